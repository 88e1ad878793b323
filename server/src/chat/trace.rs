//! What is kept of an answered request, so that it can be had again and learnt from.

use crate::persistence::Persistence;
use crate::wire::chat::Steered;
use crate::wire::receipt::ReplayableReceipt;
use trimtab_adapters::store::{self, UserText, now_ms};

/// A request that is being answered, as it will be kept.
pub(crate) struct Trace {
    keep: Persistence,
    row: store::Trace,
    receipts: Vec<Option<ReplayableReceipt>>,
}

/// Whose answer it is, and to what.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) response: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) weights_sha256: &'a str,
    pub(crate) prompt: &'a [u32],
    /// The adapter that answers, and its version.
    pub(crate) adapter: Option<(&'a str, u32)>,
}

impl About<'_> {
    /// The id that the answer's trace has. A client may use one request id twice; a response's id is made here.
    pub(crate) fn trace_id(&self) -> String {
        format!("{}.{}", self.request_id, self.response)
    }
}

impl Trace {
    pub(crate) fn new(keep: &Persistence, about: &About<'_>, choices: usize) -> Option<Trace> {
        let row = store::Trace {
            id: about.trace_id(),
            response: about.response.to_owned(),
            owner: about.owner.to_owned(),
            created_ms: now_ms(),
            weights_sha256: about.weights_sha256.to_owned(),
            receipt: String::new(),
            prompt: about.prompt.to_vec(),
            answers: vec![Vec::new(); choices],
            user_text: UserText::Present,
            adapter: about.adapter.map(|(id, version)| (id.to_owned(), version)),
        };
        let receipts = vec![None; choices];
        // What an adapter answers is kept in any case: it may be learnt from.
        let is_kept = about.adapter.is_some() || keep.keeps_traces();
        is_kept.then(|| Trace { keep: keep.clone(), row, receipts })
    }

    /// The trace of one of its answers, as that of a response of its own.
    pub(crate) fn of_answer(&self, choice: usize, response: &str) -> Trace {
        let id = self.row.id.strip_suffix(&self.row.response).unwrap_or(&self.row.id);
        let row = store::Trace {
            id: format!("{id}{response}"),
            response: response.to_owned(),
            answers: self.row.answers.get(choice).cloned().into_iter().collect(),
            ..self.row.clone()
        };
        let receipts = self.receipts.get(choice).cloned().into_iter().collect();
        Trace { keep: self.keep.clone(), row, receipts }
    }

    /// The trace with one of its answers only.
    pub(crate) fn only(&self, choice: usize) -> Trace {
        self.of_answer(choice, &self.row.response)
    }

    /// Takes in an answer.
    pub(crate) fn push(&mut self, choice: usize, receipt: ReplayableReceipt, tokens: &[u32]) {
        if let (Some(answer), Some(place)) =
            (self.row.answers.get_mut(choice), self.receipts.get_mut(choice))
        {
            *answer = tokens.to_vec();
            *place = Some(receipt);
        }
    }

    /// Keeps it, all answers being there.
    pub(crate) fn store(self) {
        let Trace { keep, mut row, receipts } = self;
        let steered = Steered::of(receipts.into_iter().flatten().collect());
        match serde_json::to_string(&steered) {
            Ok(receipt) => row.receipt = receipt,
            Err(error) => return tracing::error!(%error, id = row.id, "trace was not kept"),
        }
        keep.trace(row);
    }
}
