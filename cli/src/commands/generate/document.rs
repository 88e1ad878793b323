//! The document of an answer, and of the plain one beside it.

use crate::commands::answer::Reply;
use crate::document::Fields;
use trimtab_steering::receipt::Receipt;

/// The document of a reply, with what steered it and the answer it is compared with. What follows may be added.
pub fn document(
    head: Fields,
    (reply, seed): (&Reply, u64),
    steering: Option<Receipt>,
    plain: Option<&Reply>,
) -> Fields {
    let plain = plain.map(|plain| {
        let text = Fields::new("text", &plain.answer.text);
        text.with("finish_reason", plain.answer.finish.openai_reason())
            .with("usage", plain.usage())
            .with("timings", &plain.timings)
    });
    head.with("text", &reply.answer.text)
        .with("finish_reason", reply.answer.finish.openai_reason())
        .with("seed", seed)
        .with("usage", reply.usage())
        .with("timings", &reply.timings)
        .with("steering", steering)
        .with("plain", plain)
}
