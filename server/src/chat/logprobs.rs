//! How likely tokens were, in the older shape.

use super::update::Token;
use crate::wire::chat::TopLogprob;
use crate::wire::completion::TextLogprobs;
use trimtab_runtime::text::Tokenizer;

/// In the older shape, with so many likely tokens beside each. Offsets count characters, `begin` of which stand before the
/// answer.
pub(super) fn text(
    tokenizer: &Tokenizer,
    tokens: &[Token],
    (begin, most): (usize, usize),
) -> TextLogprobs {
    let mut likely = TextLogprobs::default();
    let sampled = tokens.iter().filter_map(|token| Some((token.at, token.step.as_ref()?)));
    for (at, step) in sampled {
        let named = |id, logprob| TopLogprob::of(tokenizer, id, logprob);
        let top = step.top.iter().take(most).map(|(id, logprob)| named(*id, *logprob));
        let TopLogprob { token, logprob, .. } = named(step.token, step.logprob);
        likely.text_offset.push(begin + at);
        likely.token_logprobs.push(logprob);
        likely.top_logprobs.push(top.map(|top| (top.token, top.logprob)).collect());
        likely.tokens.push(token);
    }
    likely
}
