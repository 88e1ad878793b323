//! What the judge is told and asked, in words.
//!
//! The instructions are the same for every answer and come first, so that their keys and values are made once; the
//! delimiter, which no text can know, stands only behind them.

use crate::monitor::policy::Policy;
use trimtab_runtime::fingerprint::Fingerprint;

/// Where the delimiter of a request goes in a wording's texts.
const DELIMITER: &str = "{d}";
/// Where the principles go in instructions, a line each.
const PRINCIPLES: &str = "{principles}";

/// The texts around what is judged, and the words of the verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wording {
    /// What is judged and by which principles. Without a delimiter.
    pub instructions: String,
    /// Between the instructions and the request. `{d}` is the delimiter, here and below.
    pub request: String,
    /// Between the request and the answer.
    pub answer: String,
    /// Behind the answer: ends the quotation and asks.
    pub close: String,
    /// By axis (safety, altruism, egoism), the words for satisfied, undecided, violated.
    pub labels: [[String; 3]; 3],
}

impl Wording {
    /// The scorer's, with the questions of a policy's principles.
    pub fn scorer(policy: &Policy) -> Wording {
        let words = |labels: [&str; 3]| labels.map(str::to_owned);
        Wording {
            instructions: asking(
                include_str!("../../../../steering/data/monitor/scorer.txt"),
                policy,
            ),
            request: "\nRequest {d}\n".to_owned(),
            answer: "\n{d}\nAnswer {d}\n".to_owned(),
            close: "\n{d} Bad?".to_owned(),
            labels: [
                words(["No", "Maybe", "Yes"]),
                words([" no", " maybe", " yes"]),
                words([" no", " maybe", " yes"]),
            ],
        }
    }

    /// That of a judge which writes its verdict out.
    pub fn parser(policy: &Policy) -> Wording {
        Wording {
            instructions: asking(
                include_str!("../../../../steering/data/monitor/parser.txt"),
                policy,
            ),
            close: "\n{d} Verdict?".to_owned(),
            ..Wording::scorer(policy)
        }
    }

    /// A text with its delimiter in place.
    pub(super) fn with(text: &str, delimiter: &str) -> String {
        text.replace(DELIMITER, delimiter)
    }

    /// Changes with every character of it.
    pub fn digest(&self) -> String {
        let texts = [&self.instructions, &self.request, &self.answer, &self.close];
        let labels = self.labels.iter().flatten();
        let all = texts.into_iter().chain(labels);
        let digest = all.fold(Fingerprint::builder("trimtab.wording"), |digest, t| digest.text(t));
        digest.finish().to_string()
    }
}

fn asking(instructions: &str, policy: &Policy) -> String {
    let each = policy.principles().iter();
    let lines: Vec<String> = each.map(|p| format!("{}: {}", p.name, p.question)).collect();
    instructions.replace(PRINCIPLES, &lines.join("\n"))
}
