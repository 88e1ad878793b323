//! Which tokens were delivered, as they are: an answer that is cut in the middle has cost its tokens as well.

use super::request::Streaming;
use crate::metrics::Metrics;
use crate::request_context::RequestContext;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How answers are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Pieces,
    /// All of them at the end.
    Whole,
}

impl Delivery {
    pub(super) fn of(streaming: Streaming) -> Delivery {
        match streaming {
            Streaming::No => Delivery::Whole,
            Streaming::Chunks | Streaming::ChunksAndUsage => Delivery::Pieces,
        }
    }
}

#[derive(Default)]
struct Tally {
    /// Tokens that are counted as delivered.
    delivered: usize,
    /// Tokens of the whole answer, once it has ended.
    ended: Option<usize>,
}

/// The answers of one request.
pub(super) struct Count {
    visit: Arc<RequestContext>,
    metrics: Arc<Metrics>,
    delivery: Delivery,
    answers: BTreeMap<usize, Tally>,
}

impl Count {
    pub(super) fn new(
        (visit, metrics): (Arc<RequestContext>, Arc<Metrics>),
        delivery: Delivery,
    ) -> Count {
        Count { visit, metrics, delivery, answers: BTreeMap::new() }
    }

    /// So many tokens of an answer have been sent and stand.
    pub(super) fn goes_on(&mut self, choice: usize, sent: usize) {
        if self.delivery == Delivery::Pieces {
            self.settle(choice, sent);
        }
    }

    /// An answer has ended with so many tokens.
    pub(super) fn ends(&mut self, choice: usize, tokens: usize) {
        self.answers.entry(choice).or_default().ended = Some(tokens);
        self.goes_on(choice, tokens);
    }

    /// All have ended; a response that is sent whole is complete.
    pub(super) fn closes(&mut self) {
        let ended = self.answers.iter().filter_map(|(choice, tally)| Some((*choice, tally.ended?)));
        for (choice, tokens) in ended.collect::<Vec<_>>() {
            self.settle(choice, tokens);
        }
    }

    /// The request is over. `made` tokens of an answer were generated and `rewound` ones taken back before; those that were
    /// not delivered are counted as discarded. What an answer that has ended took back is counted with its end.
    pub(super) fn is_dropped(&mut self, choice: usize, (made, rewound): (usize, usize)) {
        let tally = self.answers.entry(choice).or_default();
        let vain = match tally.ended {
            Some(tokens) => tokens.saturating_sub(tally.delivered),
            None => (made + rewound).saturating_sub(tally.delivered),
        };
        self.metrics.discarded(vain);
    }

    fn settle(&mut self, choice: usize, tokens: usize) {
        let tally = self.answers.entry(choice).or_default();
        match tokens.checked_sub(tally.delivered) {
            Some(more) => {
                self.visit.delivered(more);
                self.metrics.delivered(more);
            }
            None => self.visit.retracted(tally.delivered - tokens),
        }
        tally.delivered = tokens;
    }
}
