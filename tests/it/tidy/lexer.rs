//! Tells code, comments and quoted text apart in a Rust file.
//!
//! Every other rule reads one of these three layers, so that a word in a string or in prose is not
//! mistaken for code. Layers keep the line and column of each character: what belongs to another
//! layer is a space. Not a tokenizer: within code, nothing is told apart.

/// Which layer a character belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Everything the compiler sees, quotation marks included.
    Code,
    /// Line and block comments, with their marks.
    Comment,
    /// The inside of string and character literals.
    Text,
}

/// The characters of `layer`, all others blanked; line ends stay.
pub fn only(layer: Layer, chars: &[char], layers: &[Layer]) -> String {
    let pairs = chars.iter().zip(layers);
    pairs.map(|(&c, &l)| if l == layer || c == '\n' { c } else { ' ' }).collect()
}

/// The layer of each character.
pub fn layers(chars: &[char]) -> Vec<Layer> {
    let mut lexer = Lexer { chars, layers: Vec::with_capacity(chars.len()) };
    while lexer.layers.len() < chars.len() {
        lexer.step();
    }
    lexer.layers
}

struct Lexer<'a> {
    chars: &'a [char],
    layers: Vec<Layer>,
}

impl Lexer<'_> {
    /// The character `ahead` of the next one; a NUL past the end.
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.layers.len() + ahead).copied().unwrap_or('\0')
    }

    fn take(&mut self, count: usize, layer: Layer) {
        let end = (self.layers.len() + count).min(self.chars.len());
        self.layers.resize(end, layer);
    }

    fn done(&self) -> bool {
        self.layers.len() >= self.chars.len()
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.character(),
            ('r', '"' | '#') if self.starts_raw() => self.raw_string(),
            _ => self.take(1, Layer::Code),
        }
    }

    fn line_comment(&mut self) {
        while !self.done() && self.peek(0) != '\n' {
            self.take(1, Layer::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while !self.done() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.take(1, Layer::Comment);
                    continue;
                }
            }
            self.take(2, Layer::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(1, Layer::Code);
        while !self.done() && self.peek(0) != '"' {
            let width = if self.peek(0) == '\\' { 2 } else { 1 };
            self.take(width, Layer::Text);
        }
        self.take(1, Layer::Code);
    }

    /// A character literal, or the tick of a lifetime.
    fn character(&mut self) {
        self.take(1, Layer::Code);
        if self.peek(0) == '\\' {
            self.take(2, Layer::Text);
            while !self.done() && self.peek(0) != '\'' {
                self.take(1, Layer::Text);
            }
            self.take(1, Layer::Code);
        } else if self.peek(1) == '\'' {
            self.take(1, Layer::Text);
            self.take(1, Layer::Code);
        }
    }

    /// Whether the `r` here begins a raw string: not the end of a word, not a raw identifier.
    fn starts_raw(&self) -> bool {
        let at = self.layers.len();
        let before = |back: usize| at.checked_sub(back).map_or(' ', |i| self.chars[i]);
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let prefixed = matches!(before(1), 'b' | 'c') && !word(before(2));
        (!word(before(1)) || prefixed) && self.peek(1 + self.hashes(1)) == '"'
    }

    fn hashes(&self, from: usize) -> usize {
        (from..).take_while(|&ahead| self.peek(ahead) == '#').count()
    }

    fn raw_string(&mut self) {
        let hashes = self.hashes(1);
        self.take(2 + hashes, Layer::Code);
        let ends = |lexer: &Self| lexer.peek(0) == '"' && lexer.hashes(1) >= hashes;
        while !self.done() && !ends(self) {
            self.take(1, Layer::Text);
        }
        self.take(1 + hashes, Layer::Code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        only(Layer::Code, &chars, &layers(&chars))
    }

    #[test]
    fn quoted_text_is_not_code() {
        assert_eq!(code(r#"a("{\"}") b"#), r#"a("    ") b"#);
        assert_eq!(code("a('{') 'x: '\\'' b"), "a(' ') 'x: '  ' b");
        assert_eq!(code("f('é', '\\u{7d}')}"), "f(' ', '      ')}");
        assert_eq!(code("r#\"{\"}\"# br\"\\\" z"), "r#\"   \"# br\" \" z");
        assert_eq!(code("r#fn for\"{\" z"), "r#fn for\" \" z");
    }

    #[test]
    fn comments_are_not_code() {
        assert_eq!(code("a // {\nb"), "a     \nb");
        assert_eq!(code("a /* { /* } */ \" */ b"), "a                   b");
        assert_eq!(code("\"// no\" b"), "\"     \" b");
        assert_eq!(code("\"open"), "\"    ");
    }

    #[test]
    fn layers_add_up_to_the_file() {
        let chars: Vec<char> = "let s = \"t\"; // c".chars().collect();
        let layers = layers(&chars);
        assert_eq!(only(Layer::Comment, &chars, &layers).trim(), "// c");
        assert_eq!(only(Layer::Text, &chars, &layers).trim(), "t");
    }
}
