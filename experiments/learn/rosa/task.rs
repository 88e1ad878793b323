//! Questions with a right answer, made here or read from a file, and how an answer to one is read.

use serde_json::Value;
use std::path::Path;
use trimtab_runtime::sample::{Draw, Purpose};
use trimtab_runtime::text::Message;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Share of the items that settings may be chosen on.
const DEVELOPMENT: f64 = 0.3;

/// Worked examples before a word problem, in the form of the answer that is wanted.
const SHOTS: [(&str, &str); 3] = [
    (
        "A baker fills 6 trays with 8 rolls each and sells 20 of the rolls. How many rolls are left?",
        "The baker makes 6 * 8 = 48 rolls. After selling 20 there are 48 - 20 = 28 rolls left.\n#### 28",
    ),
    (
        "Nora has 15 stamps. Her brother has 9 stamps more than Nora. How many stamps do they have together?",
        "Her brother has 15 + 9 = 24 stamps. Together they have 15 + 24 = 39 stamps.\n#### 39",
    ),
    (
        "A rope of 60 metres is cut into pieces of 5 metres. Each piece costs 2 dollars. What do all pieces cost?",
        "There are 60 / 5 = 12 pieces. They cost 12 * 2 = 24 dollars.\n#### 24",
    ),
];

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Sums,
    SmallProducts,
    Products,
    Svamp,
}

/// Which part of the items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    Development,
    Test,
}

impl Split {
    pub fn name(self) -> &'static str {
        match self {
            Split::Development => "dev",
            Split::Test => "test",
        }
    }
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub name: String,
    pub question: String,
    pub right: String,
}

// -> [0, 1)
fn uniform(name: &'static str, choice: u32, position: usize) -> f64 {
    Draw { seed: 0, choice, purpose: Purpose::Named(name), attempt: 0, position }.uniform()
}

fn of_split(split: Split, choice: u32, position: usize) -> bool {
    let development = uniform("learn_rosa.split", choice, position) < DEVELOPMENT;
    development == (split == Split::Development)
}

impl Task {
    pub const ALL: [Task; 4] = [Task::Sums, Task::Products, Task::SmallProducts, Task::Svamp];

    pub fn name(self) -> &'static str {
        match self {
            Task::Sums => "sums",
            Task::SmallProducts => "small_products",
            Task::Products => "products",
            Task::Svamp => "svamp",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Task::Sums => "5-digit sums",
            Task::SmallProducts => "1 × 2-digit products",
            Task::Products => "2 × 2-digit products",
            Task::Svamp => "SVAMP, 3-shot",
        }
    }

    pub fn named(name: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|task| task.name() == name)
    }

    /// Most tokens of an answer.
    pub fn tokens(self) -> usize {
        match self {
            Task::Sums | Task::SmallProducts | Task::Products => 12,
            Task::Svamp => 160,
        }
    }

    /// The items of a part, in an order of chance; word problems are read from a file.
    pub fn items(self, split: Split, svamp: Option<&Path>) -> Result<Vec<Item>> {
        match self {
            Task::Sums => {
                let of = |at: usize| 10_000 + (uniform("sums", 0, at) * 90_000.0) as u64;
                let pairs = (0..1000).map(|at| (at, of(2 * at), of(2 * at + 1)));
                let kept = pairs.filter(|(at, ..)| of_split(split, 0, *at));
                Ok(kept.map(|(_, a, b)| Item::arithmetic(a, '+', b)).collect())
            }
            Task::SmallProducts => Ok(products(split, 2..10)),
            Task::Products => Ok(products(split, 11..100)),
            Task::Svamp => svamp.map_or(Ok(Vec::new()), |path| word_problems(split, path)),
        }
    }

    /// The conversation that asks.
    pub fn ask(self, item: &Item) -> Vec<Message> {
        let mut messages = Vec::new();
        if self == Task::Svamp {
            for (question, answer) in SHOTS {
                messages.push(Message::new("user", question));
                messages.push(Message::new("assistant", answer));
            }
        }
        messages.push(Message::new("user", item.question.clone()));
        messages
    }

    /// The number that an answer gives.
    pub fn value(self, text: &str) -> Option<String> {
        let text = text.replace(',', "");
        let number = |part: &str| {
            let digits = |c: char| !(c.is_ascii_digit() || c == '.');
            let mut found = part.split(digits).filter(|p| p.chars().any(|c| c.is_ascii_digit()));
            found.next().and_then(|digits| digits.trim_matches('.').parse::<f64>().ok())
        };
        let found = match self {
            Task::Sums | Task::SmallProducts | Task::Products => number(&text),
            Task::Svamp => match text.rsplit_once("####") {
                Some((_, end)) => number(end),
                None => text.split_whitespace().rev().find_map(number),
            },
        };
        found.map(|value| format!("{value}"))
    }

    /// Which tokens, by their texts, are the number.
    // texts [T] -> [T]
    pub fn span(self, texts: &[&str]) -> Vec<std::ops::Range<usize>> {
        let digits =
            |at: &usize| texts.get(*at).is_some_and(|t| t.contains(|c: char| c.is_ascii_digit()));
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        for at in (0..texts.len()).filter(digits) {
            match runs.last_mut() {
                Some(run) if run.end == at => run.end = at + 1,
                _ => runs.push(at..at + 1),
            }
        }
        match self {
            Task::Sums | Task::SmallProducts | Task::Products => runs,
            Task::Svamp => runs.pop().into_iter().collect(),
        }
    }
}

impl Item {
    fn arithmetic(a: u64, sign: char, b: u64) -> Item {
        let right = if sign == '+' { a + b } else { a * b };
        let question = format!("What is {a} {sign} {b}? Answer with only the number.");
        Item { name: format!("{a}{sign}{b}"), question, right: right.to_string() }
    }
}

/// Every product of a first factor and a two-digit one, shuffled.
fn products(split: Split, first: std::ops::Range<u64>) -> Vec<Item> {
    let pairs = first.flat_map(|a| (11..100u64).map(move |b| (a, b)));
    let place = |(a, b): &(u64, u64)| (a * 100 + b) as usize;
    let mut kept: Vec<(u64, u64)> = pairs.filter(|pair| of_split(split, 1, place(pair))).collect();
    kept.sort_by(|x, y| uniform("order", 0, place(x)).total_cmp(&uniform("order", 0, place(y))));
    kept.into_iter().map(|(a, b)| Item::arithmetic(a, '*', b)).collect()
}

/// Lines of JSON with the fields of SVAMP: `ID`, `Body`, `Question`, `Answer`.
fn word_problems(split: Split, path: &Path) -> Result<Vec<Item>> {
    let text = std::fs::read_to_string(path)?;
    let mut items = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(at, _)| of_split(split, 2, *at)) {
        let value: Value = serde_json::from_str(line)?;
        let word = |name: &str| value[name].as_str().unwrap_or_default().trim().to_owned();
        let (body, question) = (word("Body"), word("Question"));
        let stop = if body.ends_with(['.', '?', '!']) { "" } else { "." };
        let right = value["Answer"].as_f64().ok_or_else(|| format!("line {at} has no answer"))?;
        let question = format!("{body}{stop} {question}");
        items.push(Item { name: word("ID"), question, right: format!("{right}") });
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_share_no_item() {
        for task in [Task::Sums, Task::SmallProducts, Task::Products] {
            let [dev, test] =
                [Split::Development, Split::Test].map(|s| task.items(s, None).unwrap());
            assert!(dev.len() > 100 && test.len() > 2 * dev.len() - 100);
            assert!(dev.iter().all(|one| test.iter().all(|other| one.name != other.name)));
        }
    }

    #[test]
    fn answers_are_read_as_numbers() {
        assert_eq!(Task::Sums.value("12,345.").as_deref(), Some("12345"));
        assert_eq!(Task::Sums.value("The sum is 0042").as_deref(), Some("42"));
        assert_eq!(Task::Sums.value("none"), None);
        assert_eq!(Task::Svamp.value("3 + 4 = 7\n#### 7").as_deref(), Some("7"));
        assert_eq!(Task::Svamp.value("so 3 and then 8 apples").as_deref(), Some("8"));
        assert_eq!(Task::Sums.span(&["1", "2", " is", "3"]), [0..2, 3..4]);
        let last = Task::Svamp.span(&["3", " +", "4", "\n", "####", " ", "1", "2"]);
        assert_eq!(last.first(), Some(&(6..8)));
    }
}
