//! `--logprobs`: how likely each token was, in OpenAI's shape.

use serde::Serialize;
use trimtab_runtime::generate::Answer;
use trimtab_runtime::text::Tokenizer;

/// How likely each token of an answer was.
#[derive(Debug, Serialize)]
pub struct Logprobs {
    content: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    token: Likely,
    top_logprobs: Vec<Likely>,
}

#[derive(Debug, Serialize)]
struct Likely {
    token: String,
    logprob: f64,
    bytes: Vec<u8>,
}

impl Logprobs {
    /// Of an answer's sampled tokens.
    pub fn of(answer: &Answer, tokenizer: &Tokenizer) -> Logprobs {
        let likely = |&(id, logprob): &(u32, f64)| {
            let bytes = tokenizer.token_bytes(id).unwrap_or_default().to_vec();
            let text = if bytes.is_empty() {
                // A control token adds nothing to a text, but it has a name.
                tokenizer.token_text(id).unwrap_or_default().to_owned()
            } else {
                String::from_utf8_lossy(&bytes).into_owned()
            };
            Likely { token: text, logprob, bytes }
        };
        let steps = answer.steps.iter().flatten();
        let entries = steps.map(|step| Entry {
            token: likely(&(step.token, step.logprob)),
            top_logprobs: step.top.iter().map(likely).collect(),
        });
        Logprobs { content: entries.collect() }
    }
}
