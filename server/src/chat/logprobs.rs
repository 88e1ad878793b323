//! How likely tokens were, in the two shapes of the wire.

use super::assembler::Token;
use crate::wire::chat::{Logprobs, TokenLogprob, TopLogprob};
use crate::wire::completion::TextLogprobs;
use trimtab_runtime::sample::Step;
use trimtab_runtime::text::Tokenizer;

/// JSON has no infinity; this is what OpenAI's API says of a token that cannot be.
const NEVER: f64 = -9999.0;

/// A token as people read it, and its bytes.
fn spelled(tokenizer: &Tokenizer, id: u32) -> (String, Vec<u8>) {
    let bytes = tokenizer.token_bytes(id).unwrap_or_default().to_vec();
    if bytes.is_empty() {
        // A control token adds nothing to a text, but it has a name.
        return (tokenizer.token_text(id).unwrap_or_default().to_owned(), bytes);
    }
    (String::from_utf8_lossy(&bytes).into_owned(), bytes)
}

/// In chat's shape. Tokens that were not sampled have no place in it.
pub(super) fn chat(tokenizer: &Tokenizer, tokens: &[Token]) -> Logprobs {
    let top = |(id, logprob): &(u32, f64)| {
        let (token, bytes) = spelled(tokenizer, *id);
        TopLogprob { token, logprob: logprob.max(NEVER), bytes }
    };
    let entry = |step: &Step| {
        let (token, bytes) = spelled(tokenizer, step.token);
        let top_logprobs = step.top.iter().map(top).collect();
        TokenLogprob { token, logprob: step.logprob.max(NEVER), bytes, top_logprobs }
    };
    Logprobs { content: tokens.iter().filter_map(|token| token.step.as_ref()).map(entry).collect() }
}

/// In the older shape. Offsets count characters, `begin` of which stand before the answer.
pub(super) fn text(tokenizer: &Tokenizer, tokens: &[Token], begin: usize) -> TextLogprobs {
    let mut likely = TextLogprobs::default();
    let sampled = tokens.iter().filter_map(|token| Some((token.at, token.step.as_ref()?)));
    for (at, step) in sampled {
        let top = step.top.iter();
        let top = top.map(|(id, logprob)| (spelled(tokenizer, *id).0, logprob.max(NEVER)));
        likely.text_offset.push(begin + at);
        likely.token_logprobs.push(step.logprob.max(NEVER));
        likely.top_logprobs.push(top.collect());
        likely.tokens.push(spelled(tokenizer, step.token).0);
    }
    likely
}
