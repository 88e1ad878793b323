//! Doing it again: the answers of a receipt, made anew on this machine.
//!
//! A full receipt holds a body that asks for the same, everything settled. Its weights, template and vectors must be those
//! that are here; then, on the same build and device, its tokens are.

use crate::app::App;
use crate::chat;
use crate::error::ApiError;
use crate::wire;
use crate::wire::error::Code;
use crate::wire::receipt::ReplayableReceipt;
use serde_json::Value;
use trimtab_runtime::generate::{Flow, Generation, run};

/// Answers that were made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Their texts, in order.
    pub texts: Vec<String>,
    /// What the response said they were, if the receipt came in its response.
    pub said: Option<Vec<String>>,
}

impl App {
    /// Makes the answers of a receipt again. The document is a full receipt, or the whole response around it.
    pub fn replay(&self, document: &[u8]) -> Result<Replayed, ApiError> {
        let document: Value = wire::read(document)?;
        let mut receipts = receipts(&document)?.into_iter();
        let mut texts = Vec::new();
        while let Some(receipt) = receipts.next() {
            let choices = receipt.request.as_ref().map_or(1, |request| request.n).max(1);
            texts.extend(self.again(receipt)?);
            // The receipts of other answers to the same prompt ask for the same.
            let others = usize::try_from(choices - 1).unwrap_or(usize::MAX);
            receipts.by_ref().take(others).for_each(drop);
        }
        Ok(Replayed { texts, said: said(&document) })
    }

    /// All answers to the prompt of a receipt.
    fn again(&self, receipt: ReplayableReceipt) -> Result<Vec<String>, ApiError> {
        self.is_of_this(&receipt)?;
        let request = receipt.request.ok_or_else(|| {
            let why = "it must be a full receipt; ask with steering.receipt set to full";
            ApiError::invalid("request", format!("is missing: {why}"))
        })?;
        let asked = chat::again(self, request, receipt.prompt)?;
        let mut generations = asked.generations(self)?.generations;
        run(&mut generations, &mut |_, _| Flow::Continue)?;
        let echo = asked.prompts.into_iter().find_map(|prompt| prompt.echo).unwrap_or_default();
        let text = |one: Generation| Ok(format!("{echo}{}", one.into_answer()?.text));
        generations.into_iter().map(text).collect()
    }

    /// Refuses what was made with other weights, another template or other vectors.
    fn is_of_this(&self, receipt: &ReplayableReceipt) -> Result<(), ApiError> {
        let differs = |what: &str, found: &str| {
            let message = format!("receipt is of another {what}; {found} is here");
            Err(ApiError::new(Code::ModelMismatch, message))
        };
        let weights = &self.model.identity().weights_sha256;
        if receipt.summary.weights_sha256 != *weights {
            return differs("model", weights);
        }
        let template = self.model.template().ok().map(|template| template.sha256().to_owned());
        if receipt.summary.template_sha256 != template {
            return differs("chat template", template.as_deref().unwrap_or("none"));
        }
        let here = self.steering.list().data;
        for vector in &receipt.summary.vectors {
            let Some(found) = here.iter().find(|found| found.id == vector.id) else { continue };
            if found.sha256 != vector.sha256 {
                return differs(&format!("vector {}", vector.id), &found.sha256);
            }
        }
        Ok(())
    }
}

/// The receipts in a document: one, or those of several answers in their order.
fn receipts(document: &Value) -> Result<Vec<ReplayableReceipt>, ApiError> {
    let whole = document.get("steering").unwrap_or(document);
    let several = whole.get("choices").and_then(Value::as_array);
    let all = several.map_or_else(|| vec![whole.clone()], Clone::clone);
    let receipt = |one: Value| {
        serde_json::from_value(one).map_err(|error| {
            ApiError::new(Code::InvalidValue, format!("document holds no receipt: {error}"))
        })
    };
    all.into_iter().map(receipt).collect()
}

/// The texts of a response.
fn said(document: &Value) -> Option<Vec<String>> {
    document.get("steering")?;
    let choices = document.get("choices")?.as_array()?.iter();
    let text = |choice: &Value| {
        let message = choice.get("message").and_then(|message| message.get("content"));
        message.or_else(|| choice.get("text"))?.as_str().map(str::to_owned)
    };
    choices.map(text).collect()
}
