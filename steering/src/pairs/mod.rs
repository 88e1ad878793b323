//! Contrastive examples: what the two classes of a direction are read from.
//!
//! A file holds records of one shape, which the first record's fields decide ([`Shape`]): preferences, pairs of prompts,
//! labelled texts, and the public forms of these. Whatever it was, it becomes a list of [`Item`]s here, and everything
//! that is wrong with it is found here, before a model computes anything: [`PairError`] names line and field. Duplicates are
//! taken out and reported. Pairs that contradict each other, have equal sides or hold an empty text are refused, because
//! they usually mean a broken export; [`BadPairs::Skip`] leaves them out of data known to be noisy, and reports each.
//!
//! The items are cut into parts by a hash of their group and a seed ([`split`]): items with one prompt stay together, and
//! fitting, selection and test never share one. Pairs of prompts are about the line or sentence that both begin or end
//! with, where it comes again in the file; a field `group` says it where that is not so.

mod error;
mod fields;
mod group;
mod records;
mod screen;
mod shape;
pub mod split;
mod transcript;

#[cfg(test)]
mod tests;

pub use error::PairError;
pub use fields::Names;
pub use shape::Shape;
pub use split::{Part, Shares};

use crate::error::{Error, Result};
use crate::file::sha256;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use trimtab_runtime::filetype;
use trimtab_runtime::text::Message;

/// The largest file of examples that is read.
pub const FILE_LIMIT: u64 = 1 << 30;

/// Fields of pairs of prompts.
const POSITIVE: &str = "positive";
const NEGATIVE: &str = "negative";

/// Which of the two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What the direction points to.
    Positive,
    /// What it points away from.
    Negative,
}

/// One example or pair of examples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The line its record begins on, from 1.
    pub line: usize,
    /// What it shares with others that must be in the same part: usually the prompt's text.
    pub group: String,
    /// The examples.
    pub sides: Sides,
}

/// The examples of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sides {
    /// Two answers to one prompt.
    Answers {
        /// The conversation before them.
        prompt: Vec<Message>,
        /// The positive one.
        chosen: String,
        /// The negative one.
        rejected: String,
    },
    /// Two prompts. One that ends with an assistant's message has the answer begun with it.
    Prompts {
        /// The positive one.
        positive: Vec<Message>,
        /// The negative one.
        negative: Vec<Message>,
    },
    /// One text of one class.
    Labelled {
        /// Its class.
        label: Class,
        /// The text.
        text: String,
    },
}

/// Items, and what was found on the way to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// In the order of the file.
    pub items: Vec<Item>,
    /// Of the file's bytes.
    pub sha256: String,
    /// What was taken out.
    pub findings: Vec<Finding>,
    /// What the records were.
    pub shape: Shape,
}

/// An item that was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It stood in the file before.
    Duplicate {
        /// Its line.
        line: usize,
        /// The line of the first.
        of: usize,
    },
    /// It is of no use, and the caller said to leave such items out.
    Skipped {
        /// Its line.
        line: usize,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Duplicate { line, of } => write!(f, "line {line} repeats line {of}"),
            Finding::Skipped { reason, .. } => write!(f, "{reason}"),
        }
    }
}

/// What happens to records that cannot be read, and to items that cannot teach a direction anything: equal sides, an empty
/// text, a contradiction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BadPairs {
    /// The file is refused.
    #[default]
    Refuse,
    /// They are left out and reported.
    Skip,
}

impl Pairs {
    /// Reads a file or a pipe.
    pub fn open(path: &Path, bad: BadPairs, names: &Names) -> Result<Pairs> {
        let bytes = crate::file::read_stream(path, FILE_LIMIT)?;
        Pairs::named(&bytes, bad, names).map_err(|e| e.within(path))
    }

    /// Reads two files with a prompt on each line, of which those on equal lines belong together.
    pub fn open_prompts(positive: &Path, negative: &Path, bad: BadPairs) -> Result<Pairs> {
        let read = |path: &Path| -> Result<(String, String)> {
            let bytes = crate::file::read_stream(path, FILE_LIMIT)?;
            let text = records::text(&bytes).map_err(|flaw| Error::from(flaw).within(path))?;
            Ok((text, sha256(&bytes)))
        };
        let ((first, one), (second, other)) = (read(positive)?, read(negative)?);
        let wrong = |error: Error| match &error {
            Error::Data(flaw) if matches!(&**flaw, PairError::EmptyText { field, .. } if field == POSITIVE) => {
                error.within(positive)
            }
            _ => error.within(negative),
        };
        let pairs = Pairs::of_prompts(&first, &second, bad).map_err(wrong)?;
        Ok(Pairs { sha256: sha256(format!("{one}{other}").as_bytes()), ..pairs })
    }

    /// Prompts on the lines of two texts.
    fn of_prompts(positive: &str, negative: &str, bad: BadPairs) -> Result<Pairs> {
        let count = |text: &str| filetype::lines(text.trim_end()).count();
        let (lines, others) = (count(positive), count(negative));
        if lines != others {
            return Err(PairError::Uneven { positive: lines, negative: others }.into());
        }
        let side = |line: usize, field: &str, text: &str| match text.trim() {
            "" => Err(PairError::EmptyText { line, field: field.to_owned() }),
            text => Ok(vec![Message::new("user", text)]),
        };
        let mut screen = screen::Screen::new(bad);
        let both = filetype::lines(positive.trim_end()).zip(filetype::lines(negative));
        for ((line, first), (_, second)) in both {
            // A line that is empty in both only sets others apart.
            if first.trim().is_empty() && second.trim().is_empty() {
                continue;
            }
            let sides = side(line, POSITIVE, first)
                .and_then(|positive| Ok((positive, side(line, NEGATIVE, second)?)));
            screen.take(sides.map(|(positive, negative)| Item {
                line,
                group: String::new(),
                sides: Sides::Prompts { positive, negative },
            }))?;
        }
        Pairs::screened(screen, Shape::Prompts, String::new())
    }

    /// Reads the bytes of a file.
    ///
    /// ```
    /// use trimtab_steering::pairs::{BadPairs, Pairs};
    ///
    /// let file = br#"{"prompt": "How are you?", "chosen": "Splendid!", "rejected": "Fine."}"#;
    /// let pairs = Pairs::from_bytes(file, BadPairs::Refuse).unwrap();
    /// assert_eq!(pairs.items[0].group, "How are you?");
    /// ```
    pub fn from_bytes(bytes: &[u8], bad: BadPairs) -> Result<Pairs> {
        Pairs::named(bytes, bad, &Names::default())
    }

    /// Reads the bytes of a file whose fields have other names.
    pub fn named(bytes: &[u8], bad: BadPairs, names: &Names) -> Result<Pairs> {
        let records = records::records(bytes)?.into_iter();
        let records: Vec<records::Read> =
            records.map(|read| read.and_then(|record| names.apply(record))).collect();
        let shape = shape(&records, bad)?;
        let mut screen = screen::Screen::new(bad);
        for record in records {
            match record {
                Ok(record) => match shape.items(&record, &mut |read| screen.take(read)) {
                    Ok(()) => {}
                    Err(flaw) => screen.take(Err(flaw))?,
                },
                Err(flaw) => screen.take(Err(flaw))?,
            }
        }
        Pairs::screened(screen, shape, sha256(bytes))
    }

    /// What is left of all items.
    fn screened(screen: screen::Screen, shape: Shape, sha256: String) -> Result<Pairs> {
        let (mut items, findings) = screen.finish();
        if shape == Shape::Prompts {
            group::fill(&mut items);
        }
        if items.is_empty() {
            return Err(PairError::NoPairs { taken_out: findings.len() }.into());
        }
        Ok(Pairs { items, sha256, findings, shape })
    }

    /// The part each item belongs to, in their order.
    pub fn parts(&self, shares: Shares, seed: u64) -> Vec<Part> {
        let groups: Vec<&str> = self.items.iter().map(|item| item.group.as_str()).collect();
        split::parts(&groups, shares, seed)
    }
}

/// The shape that the first record decides; where bad ones are left out, the first that has one.
fn shape(records: &[records::Read], bad: BadPairs) -> Result<Shape> {
    let mut first = None;
    for record in records {
        let found = match record {
            Ok(record) => Shape::of(record),
            Err(flaw) => Err(flaw.clone()),
        };
        match found {
            Ok(shape) => return Ok(shape),
            Err(flaw) if bad == BadPairs::Refuse => return Err(flaw.into()),
            Err(flaw) => first = first.or(Some(flaw)),
        }
    }
    Err(first.unwrap_or(PairError::Empty).into())
}
