//! From an example to tokens and the places to read.
//!
//! Places are found by tokenising, never by knowing a template: the rendering up to the end of the text is tokenised beside
//! the whole, and what follows where the two part is the template's. That suffix is taken once from a probe and must then
//! end every row, so a text that runs into the template is found out and refused by its line.

use super::place::Place;
use super::position::Position;
use super::recipe::Wording;
use super::{Refusal, Result};
use crate::file::card::Reading;
use crate::pairs::{Class, Item, Sides};
use std::ops::Range;
use std::time::{Duration, SystemTime};
use trimtab_runtime::Model;
use trimtab_runtime::text::{
    ChatTemplate, GenerationPrompt, Message, Origin, RenderOptions, Rendered, Special, Tokenizer,
};

/// The date that templates which write one are given, 26 July 2024: the same data must give the same tokens tomorrow.
const DATE: Duration = Duration::from_secs(1_721_952_000);
/// A text whose end no template's tokens run into.
const PROBE: &str = "a";

/// One side of an item as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// The item's number.
    pub item: usize,
    /// The item's line, for errors.
    pub line: usize,
    pub class: Class,
    pub tokens: Vec<u32>,
    /// The tokens of each place.
    pub spans: Vec<Range<usize>>,
}

/// Renders examples in one way.
pub(super) struct Renderer<'a> {
    model: &'a Model,
    system: Option<&'a str>,
    wording: Wording,
    position: Position,
    /// The template's tokens that end every row; none for texts without a template.
    suffix: Vec<u32>,
    pub places: Vec<Place>,
}

/// A conversation as tokens, and where the last message's text lies in it.
struct Told {
    tokens: Vec<u32>,
    text: Range<usize>,
}

impl<'a> Renderer<'a> {
    /// A renderer whose places are those of examples like this one.
    pub fn new(
        model: &'a Model,
        (system, wording): (Option<&'a str>, Wording),
        position: Position,
        like: &Sides,
    ) -> Result<Renderer<'a>> {
        let (suffix, places) = (Vec::new(), Vec::new());
        let mut renderer = Renderer { model, system, wording, position, suffix, places };
        if matches!(like, Sides::Answers { .. }) {
            renderer.suffix = renderer.probe()?;
        }
        let tokens = |reading| {
            let count = i32::try_from(renderer.suffix.len()).unwrap_or(0);
            (-count..0).map(move |index| Place::token(reading, index))
        };
        renderer.places = match position {
            Position::ResponseAsUser => tokens(Reading::TemplateSuffix).collect(),
            Position::Last => match renderer.suffix.is_empty() {
                true => vec![Place::token(Reading::Last, -1)],
                false => tokens(Reading::Last).collect(),
            },
            Position::DialogueTail => {
                tokens(Reading::Last).chain([Place::mean(Reading::MeanResponse)]).collect()
            }
            Position::MeanResponse | Position::SharedTail | Position::HeaderAfterQuestion => {
                vec![Place::mean(Reading::MeanResponse)]
            }
            Position::LastPrompt => vec![Place::token(Reading::LastPrompt, -1)],
            Position::All => vec![Place::mean(Reading::All)],
            Position::Text => {
                vec![Place::token(Reading::Last, -1), Place::mean(Reading::All)]
            }
        };
        if renderer.places.is_empty()
            || renderer.suffix.is_empty()
                && matches!(like, Sides::Answers { .. })
                && position == Position::Last
        {
            return Err(Refusal::NoSuffix { position }.into());
        }
        Ok(renderer)
    }

    /// The tokens the template writes after the last text.
    fn probe(&self) -> Result<Vec<u32>> {
        let user = Message::new("user", PROBE);
        let told = match self.position {
            Position::ResponseAsUser => self.told(vec![user], GenerationPrompt::Add)?,
            Position::DialogueTail
            | Position::Last
            | Position::MeanResponse
            | Position::SharedTail => {
                let talk = vec![user, Message::new("assistant", PROBE)];
                self.told(talk, GenerationPrompt::Leave)?
            }
            Position::HeaderAfterQuestion
            | Position::LastPrompt
            | Position::All
            | Position::Text => return Ok(Vec::new()),
        };
        Ok(told.tokens.get(told.text.end..).unwrap_or_default().to_vec())
    }

    /// The sides of an item, the positive one first.
    pub fn samples(&self, number: usize, item: &Item) -> Result<Vec<Sample>> {
        let sides = match &item.sides {
            Sides::Answers { prompt, chosen, rejected } => vec![
                (Class::Positive, self.answer(item.line, prompt, chosen)?),
                (Class::Negative, self.answer(item.line, prompt, rejected)?),
            ],
            Sides::Prompts { positive, negative } => vec![
                (Class::Positive, self.prompt(item.line, positive)?),
                (Class::Negative, self.prompt(item.line, negative)?),
            ],
            Sides::Labelled { label, text } => vec![(*label, self.text(text)?)],
        };
        let sides = match self.position {
            Position::SharedTail => shared_tails(sides),
            Position::ResponseAsUser
            | Position::DialogueTail
            | Position::Last
            | Position::MeanResponse
            | Position::HeaderAfterQuestion
            | Position::LastPrompt
            | Position::All
            | Position::Text => sides,
        };
        let samples = sides.into_iter().map(|(class, (tokens, spans))| {
            let sample = Sample { item: number, line: item.line, class, tokens, spans };
            self.check(&sample).map(|()| sample)
        });
        samples.collect()
    }

    fn check(&self, sample: &Sample) -> Result<()> {
        let (line, tokens) = (sample.line, &sample.tokens);
        if let ([first, second, ..], Some(bos)) = (tokens.as_slice(), self.tokenizer()?.bos())
            && (*first, *second) == (bos, bos)
        {
            return Err(Refusal::DoubleFirst { line, token: bos }.into());
        }
        if sample.spans.len() != self.places.len() {
            let place = self.position.to_string();
            return Err(Refusal::NothingToRead { line, place }.into());
        }
        for (place, span) in self.places.iter().zip(&sample.spans) {
            if span.is_empty() || span.start == 0 || span.end > tokens.len() {
                return Err(Refusal::NothingToRead { line, place: place.to_string() }.into());
            }
        }
        Ok(())
    }

    fn answer(&self, line: usize, prompt: &[Message], answer: &str) -> Result<Row> {
        if self.position == Position::ResponseAsUser {
            let talk = vec![Message::new("user", answer)];
            let told = self.told(talk, GenerationPrompt::Add)?;
            let spans = self.ends(line, &told.tokens)?;
            return Ok((told.tokens, spans));
        }
        let mut talk = prompt.to_vec();
        talk.push(Message::new("assistant", answer));
        let told = self.told(talk, GenerationPrompt::Leave)?;
        let mut spans = self.ends(line, &told.tokens)?;
        match self.position {
            Position::MeanResponse | Position::SharedTail => spans = vec![told.text],
            Position::HeaderAfterQuestion => spans = vec![self.header(prompt, &told)?],
            Position::ResponseAsUser
            | Position::DialogueTail
            | Position::Last
            | Position::LastPrompt
            | Position::All
            | Position::Text => {
                let pooled = self.places.iter().any(|place| place.index == 0);
                spans.extend(pooled.then_some(told.text));
            }
        }
        Ok((told.tokens, spans))
    }

    /// The template's tokens between a prompt and its answer.
    fn header(&self, prompt: &[Message], told: &Told) -> Result<Range<usize>> {
        let asked = self.told(prompt.to_vec(), GenerationPrompt::Leave)?;
        Ok(asked.text.end..told.text.start)
    }

    /// One span per token of the suffix, which must be what the row ends with.
    fn ends(&self, line: usize, tokens: &[u32]) -> Result<Vec<Range<usize>>> {
        let from = tokens.len().saturating_sub(self.suffix.len());
        let found = tokens.get(from..).unwrap_or_default();
        if found != self.suffix {
            let (expected, found) = (self.suffix.clone(), found.to_vec());
            return Err(Refusal::Suffix { line, expected, found }.into());
        }
        Ok((from..tokens.len()).map(|at| at..at + 1).collect())
    }

    /// A prompt that asks for an answer, or one whose answer has begun, up to its last token.
    fn prompt(&self, line: usize, talk: &[Message]) -> Result<Row> {
        let tokens = match self.wording {
            Wording::Chat => self.asked(talk)?,
            Wording::Raw => match talk {
                [only] if only.role == "user" => self.plain(&only.content)?,
                _ => return Err(Refusal::RawTalk { line }.into()),
            },
        };
        let last = tokens.len().checked_sub(1);
        let place = || Refusal::NothingToRead { line, place: "last_prompt".to_owned() };
        let last = last.ok_or_else(place)?;
        Ok((tokens, std::iter::once(last..last + 1).collect()))
    }

    /// A conversation that asks for an answer, or one whose answer has begun.
    fn asked(&self, talk: &[Message]) -> Result<Vec<u32>> {
        let begun = talk.last().is_some_and(|last| last.role == "assistant");
        if begun {
            let mut told = self.told(talk.to_vec(), GenerationPrompt::Leave)?;
            told.tokens.truncate(told.text.end);
            return Ok(told.tokens);
        }
        Ok(self.told(talk.to_vec(), GenerationPrompt::Add)?.tokens)
    }

    /// A text as it is written.
    fn plain(&self, text: &str) -> Result<Vec<u32>> {
        let special = match self.wording {
            Wording::Chat => Special::Plain,
            Wording::Raw => Special::Parse,
        };
        let tokenizer = self.tokenizer()?;
        let tokens = tokenizer.encode(text, special).map_err(trimtab_runtime::Error::from)?;
        Ok(tokenizer.with_bos(tokens))
    }

    /// A text without a template.
    fn text(&self, text: &str) -> Result<Row> {
        let tokens = self.plain(text)?;
        let end = tokens.len();
        let span = |place: &Place| match place.index {
            0 => 1.min(end)..end,
            _ => end.saturating_sub(1)..end,
        };
        let spans = self.places.iter().map(span).collect();
        Ok((tokens, spans))
    }

    fn tokenizer(&self) -> Result<&Tokenizer> {
        Ok(self.model.tokenizer()?)
    }

    /// Renders a conversation and finds its last message's text.
    fn told(&self, mut talk: Vec<Message>, generation_prompt: GenerationPrompt) -> Result<Told> {
        let led = talk.first().is_some_and(|first| first.role == "system");
        if let Some(system) = self.system.filter(|_| !led) {
            talk.insert(0, Message::new("system", system));
        }
        let now = SystemTime::UNIX_EPOCH + DATE;
        let options = RenderOptions { generation_prompt, now, ..RenderOptions::default() };
        let template: &ChatTemplate = self.model.template()?;
        let rendered = template.render(&talk, &options).map_err(trimtab_runtime::Error::from)?;
        let text = talk.last().map_or("", |last| last.content.as_str());
        let place = text_in(&rendered, text);
        let tokens = self.encode(&rendered)?;
        let shared = |end: usize| {
            Ok::<usize, crate::Error>(common(&tokens, &self.encode(&begin(&rendered, end))?))
        };
        let text = shared(place.start)?..shared(place.end)?;
        Ok(Told { tokens, text })
    }

    fn encode(&self, rendered: &Rendered) -> Result<Vec<u32>> {
        let tokens = self.tokenizer()?.encode_rendered(rendered);
        Ok(tokens.map_err(trimtab_runtime::Error::from)?)
    }
}

/// Tokens, and the span of each place.
type Row = (Vec<u32>, Vec<Range<usize>>);

/// The sides of a pair, with only those of their tokens in the spans in which both end.
fn shared_tails(mut sides: Vec<(Class, Row)>) -> Vec<(Class, Row)> {
    let [(_, (a, a_spans)), (_, (b, b_spans))] = sides.as_mut_slice() else { return sides };
    for (a_span, b_span) in a_spans.iter_mut().zip(b_spans) {
        let texts = (a.get(a_span.clone()), b.get(b_span.clone()));
        let (a_text, b_text) = (texts.0.unwrap_or_default(), texts.1.unwrap_or_default());
        let alike = a_text.iter().rev().zip(b_text.iter().rev()).take_while(|(a, b)| a == b);
        let count = alike.count();
        a_span.start = a_span.end - count;
        b_span.start = b_span.end - count;
    }
    sides
}

/// The bytes of the last message's text in a rendering.
fn text_in(rendered: &Rendered, text: &str) -> Range<usize> {
    let mut at = 0;
    let mut found = None;
    for segment in &rendered.segments {
        let range = at..at + segment.text.len();
        at = range.end;
        if segment.origin == Origin::Content {
            found = Some(range);
        }
    }
    // A template that rewrites its messages leaves no origin; what it kept of the text is still there.
    let by_text = || {
        let (whole, text) = (rendered.text(), text.trim());
        whole.rfind(text).map(|start| start..start + text.len())
    };
    found.or_else(by_text).unwrap_or(at..at)
}

/// The first `end` bytes of a rendering.
fn begin(rendered: &Rendered, end: usize) -> Rendered {
    let (mut left, mut out) = (end, Rendered::default());
    for segment in &rendered.segments {
        let mut part = segment.clone();
        part.text.truncate(left.min(segment.text.len()));
        left -= part.text.len();
        if !part.text.is_empty() {
            out.segments.push(part);
        }
    }
    out
}

/// How many tokens two rows share at their beginning.
pub(super) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
