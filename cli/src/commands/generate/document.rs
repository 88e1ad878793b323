//! The document of an answer, and of the plain one beside it.

use crate::commands::answer::{Reply, Timings, Usage};
use crate::document::Head;
use serde::Serialize;
use trimtab_server::wire::chat::Logprobs;
use trimtab_steering::receipt::Receipt;

/// The document of an answer.
#[derive(Serialize)]
pub struct Document<'a> {
    #[serde(flatten)]
    head: Head,
    text: &'a str,
    finish_reason: &'static str,
    seed: u64,
    usage: Usage,
    timings: Timings,
    steering: Option<Receipt>,
    plain: Option<Plain<'a>>,
    /// How likely each token was.
    pub logprobs: Option<Logprobs>,
}

/// The answer without steering, beside the steered one.
#[derive(Serialize)]
pub struct Plain<'a> {
    text: &'a str,
    finish_reason: &'static str,
    usage: Usage,
    timings: Timings,
}

impl<'a> Plain<'a> {
    /// Of a reply.
    pub fn of(reply: &'a Reply) -> Plain<'a> {
        Plain {
            text: &reply.answer.text,
            finish_reason: reply.answer.finish.openai_reason(),
            usage: reply.usage(),
            timings: reply.timings.clone(),
        }
    }
}

impl<'a> Document<'a> {
    /// The same document with what steered, and the answer it is compared with.
    pub fn steered(self, receipt: Option<Receipt>, plain: Option<&'a Reply>) -> Document<'a> {
        Document { steering: receipt, plain: plain.map(Plain::of), ..self }
    }

    /// Of a reply.
    pub fn new(head: Head, reply: &'a Reply, seed: u64) -> Document<'a> {
        Document {
            head,
            text: &reply.answer.text,
            finish_reason: reply.answer.finish.openai_reason(),
            seed,
            usage: reply.usage(),
            timings: reply.timings.clone(),
            steering: None,
            plain: None,
            logprobs: None,
        }
    }
}
