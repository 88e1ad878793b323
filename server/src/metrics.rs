//! What Prometheus is told.
//!
//! Names are those of the interface's table. Labels come from fixed sets and registered vectors only: a label that a
//! request could choose would let it fill the memory.

use crate::settings::Build;
use crate::steer::GateCounts;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;
use trimtab_adapters::host::{DuelVote, FeedbackReport, FeedbackStatus, HostLoad};
use trimtab_runtime::engine::Load;
use trimtab_runtime::kv::BLOCK_LEN;
use trimtab_steering::monitor::{Action, Record};

/// Which route answered how.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answered {
    pub(crate) route: String,
    pub(crate) status: u16,
}

/// What was done where.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Acted {
    site: String,
    op: String,
}

/// Which guard said no.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Guarded {
    guard: String,
}

/// Labels whose values are all words of the program. What clients call their watches is no label.
type Words<const N: usize> = [(&'static str, &'static str); N];

/// What this build is: names and values, because one of the names is another crate's.
type Built = Vec<(&'static str, String)>;

/// How many seconds: from a millisecond to ten minutes.
const SECONDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0,
];

/// Bounds of doses: those that are calibrated for, and the server's wall.
const DOSES: [f64; 8] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0];

fn doses() -> Histogram {
    Histogram::new(DOSES)
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// Counters, and the registry that writes them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    request_seconds: Family<Answered, Histogram, fn() -> Histogram>,
    first_token: Histogram,
    inter_token: Histogram,
    queue_wait: Histogram,
    queue_depth: Gauge,
    active: Gauge,
    kv_tokens: Gauge,
    ready: Gauge,
    vectors: Gauge,
    prompt_tokens: Counter,
    generated_tokens: Counter,
    discarded_tokens: Counter,
    steered_tokens: Family<Acted, Counter>,
    dose: Family<Acted, Histogram, fn() -> Histogram>,
    monitor_tokens: Counter,
    monitor_checks: Family<Words<1>, Counter>,
    monitor_hits: Family<Words<1>, Counter>,
    rewinds: Family<Words<2>, Counter>,
    prefix_tokens: Family<Words<1>, Counter>,
    adapter_updates: Family<Words<1>, Counter>,
    adapter_seconds: Histogram,
    guards: Family<Guarded, Counter>,
    duels: Family<Words<1>, Counter>,
    waiting_lessons: Gauge,
    adapters_resident: Gauge,
}

/// What a scrape finds out by looking.
pub(crate) struct Now {
    pub(crate) load: Load,
    pub(crate) vectors: usize,
    pub(crate) learning: HostLoad,
    /// 1, or 0 while the server takes nothing new.
    pub(crate) ready: i64,
}

impl Metrics {
    pub(crate) fn new(build: &Build, device: &'static str) -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("trimtab"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            first_token: seconds(),
            inter_token: seconds(),
            queue_wait: seconds(),
            queue_depth: Gauge::default(),
            active: Gauge::default(),
            kv_tokens: Gauge::default(),
            ready: Gauge::default(),
            vectors: Gauge::default(),
            prompt_tokens: Counter::default(),
            generated_tokens: Counter::default(),
            discarded_tokens: Counter::default(),
            steered_tokens: Family::default(),
            dose: Family::new_with_constructor(doses),
            monitor_tokens: Counter::default(),
            monitor_checks: Family::default(),
            monitor_hits: Family::default(),
            rewinds: Family::default(),
            prefix_tokens: Family::default(),
            adapter_updates: Family::default(),
            adapter_seconds: seconds(),
            guards: Family::default(),
            duels: Family::default(),
            waiting_lessons: Gauge::default(),
            adapters_resident: Gauge::default(),
        };
        metrics.register();
        let built = Family::<Built, Gauge>::default();
        metrics.registry.register("build_info", "What this build is", built.clone());
        let about = [
            ("version", build.version.clone()),
            ("git", build.git.clone()),
            ("candle", build.tensors.clone()),
            ("device", device.to_owned()),
        ];
        built.get_or_create(&about.to_vec()).set(1);
        metrics
    }

    // A counter's name gets its `_total` when it is written.
    fn register(&mut self) {
        let to = &mut self.registry;
        to.register("requests", "Requests answered", self.requests.clone());
        let help = "Seconds from a request's arrival to the last byte of its answer";
        to.register("request_seconds", help, self.request_seconds.clone());
        let help = "Seconds from a request's arrival to its first token";
        to.register("time_to_first_token_seconds", help, self.first_token.clone());
        let help = "Seconds between two tokens of an answer";
        to.register("inter_token_seconds", help, self.inter_token.clone());
        let help = "Seconds that answers waited for a place";
        to.register("queue_wait_seconds", help, self.queue_wait.clone());
        to.register("queue_depth", "Answers that wait", self.queue_depth.clone());
        to.register("active_sequences", "Answers that run", self.active.clone());
        let help = "Tokens whose keys and values are in use";
        to.register("kv_tokens", help, self.kv_tokens.clone());
        to.register("ready", "Whether requests are taken", self.ready.clone());
        to.register("vectors_loaded", "Registered vectors", self.vectors.clone());
        to.register("prompt_tokens", "Tokens of prompts", self.prompt_tokens.clone());
        to.register("generated_tokens", "Tokens delivered", self.generated_tokens.clone());
        let help = "Tokens generated and taken back, or of answers that were cut before these were delivered";
        to.register("discarded_tokens", help, self.discarded_tokens.clone());
        let help = "Tokens that vectors have changed";
        to.register("steered_tokens", help, self.steered_tokens.clone());
        let help = "Length of a vector's push over that of the stream, by answer";
        to.register("dose", help, self.dose.clone());
        let help = "Tokens that monitors had the model read";
        to.register("monitor_tokens", help, self.monitor_tokens.clone());
        let help = "Looks at answers";
        to.register("monitor_checks", help, self.monitor_checks.clone());
        let help = "Looks at answers that found something";
        to.register("monitor_hits", help, self.monitor_hits.clone());
        to.register("rewinds", "Rewinds of answers", self.rewinds.clone());
        let help = "Prompt tokens whose keys and values were there already, or were not";
        to.register("prefix_cache_tokens", help, self.prefix_tokens.clone());
        self.register_learning();
    }

    fn register_learning(&mut self) {
        let to = &mut self.registry;
        let help = "Lessons that adapters were taught";
        to.register("adapter_updates", help, self.adapter_updates.clone());
        let help = "Seconds that teaching a lesson took";
        to.register("adapter_update_seconds", help, self.adapter_seconds.clone());
        let help = "Guards that kept an adapter as it was";
        to.register("adapter_guard_rejections", help, self.guards.clone());
        to.register("duels", "Duels that were decided", self.duels.clone());
        let help = "Lessons that wait";
        to.register("adapter_lessons_waiting", help, self.waiting_lessons.clone());
        let help = "Adapters whose state is in memory";
        to.register("adapters_resident", help, self.adapters_resident.clone());
    }

    /// The same was said again, and got the answer of the first time.
    pub(crate) fn repeated(&self, report: &FeedbackReport) {
        if report.duplicate {
            self.adapter_updates.get_or_create(&[("outcome", "duplicate")]).inc();
        }
    }

    /// A lesson has been taught or refused; of a duel too.
    pub(crate) fn taught(&self, report: &FeedbackReport, took: Duration) {
        let outcome = match report.status {
            FeedbackStatus::Applied => "applied",
            FeedbackStatus::Rejected => "rejected",
            FeedbackStatus::Queued => "queued",
        };
        self.adapter_updates.get_or_create(&[("outcome", outcome)]).inc();
        self.adapter_seconds.observe(took.as_secs_f64());
        for guard in report.guards.iter().filter(|guard| !guard.passed) {
            let guard = serde_json::to_value(guard.name).unwrap_or_default();
            let guard = guard.as_str().unwrap_or_default().to_owned();
            self.guards.get_or_create(&Guarded { guard }).inc();
        }
    }

    /// A duel has been decided.
    pub(crate) fn decided(&self, report: &FeedbackReport, vote: DuelVote) {
        let outcome = match (report.duplicate, vote) {
            (true, _) => "duplicate",
            (false, DuelVote::Left) => "left",
            (false, DuelVote::Right) => "right",
            (false, DuelVote::Tie) => "tie",
            (false, DuelVote::Skip) => "skip",
            (false, DuelVote::BothBad) => "both_bad",
        };
        self.duels.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(crate) fn answered(&self, answered: &Answered, took: Duration) {
        self.requests.get_or_create(answered).inc();
        self.request_seconds.get_or_create(answered).observe(took.as_secs_f64());
    }

    pub(crate) fn admitted(&self, waited: Duration) {
        self.queue_wait.observe(waited.as_secs_f64());
    }

    pub(crate) fn prompt(&self, tokens: usize, cached: usize) {
        self.prompt_tokens.inc_by(tokens as u64);
        let count = |result| self.prefix_tokens.get_or_create(&[("result", result)]);
        count("hit").inc_by(cached as u64);
        count("miss").inc_by(tokens.saturating_sub(cached) as u64);
    }

    pub(crate) fn first(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    pub(crate) fn next(&self, after: Duration) {
        self.inter_token.observe(after.as_secs_f64());
    }

    /// Tokens of an answer have been handed over.
    pub(crate) fn delivered(&self, tokens: usize) {
        self.generated_tokens.inc_by(tokens as u64);
    }

    /// Tokens were made in vain.
    pub(crate) fn discarded(&self, tokens: usize) {
        self.discarded_tokens.inc_by(tokens as u64);
    }

    /// The model has read tokens for monitors.
    pub(crate) fn monitored(&self, tokens: usize) {
        self.monitor_tokens.inc_by(tokens as u64);
    }

    /// What an answer's guard found and did; `kinds` are those of its watches.
    pub(crate) fn watched(&self, record: &Record, kinds: &[&'static str]) {
        let kind = |watch: usize| kinds.get(watch).copied().unwrap_or("unknown");
        for check in &record.checks {
            let looked = [("watch", kind(check.watch))];
            self.monitor_checks.get_or_create(&looked).inc();
            if check.action == Action::Rollback {
                self.monitor_hits.get_or_create(&looked).inc();
            }
        }
        for rewind in record.rewinds() {
            let rewound = [("watch", kind(rewind.watch)), ("outcome", rewind.sequel.name())];
            self.rewinds.get_or_create(&rewound).inc();
        }
    }

    /// What vectors did to an answer. Sites and operations are few, whatever a request says.
    pub(crate) fn steered(&self, fired: impl Iterator<Item = GateCounts>) {
        for GateCounts { site, op, tokens, dose } in fired {
            let op = serde_json::to_value(op).unwrap_or_default();
            let op = op.as_str().unwrap_or_default().to_owned();
            let acted = Acted { site: site.to_string(), op };
            self.steered_tokens.get_or_create(&acted).inc_by(tokens);
            if let Some(dose) = dose {
                self.dose.get_or_create(&acted).observe(dose);
            }
        }
    }

    pub(crate) fn text(&self, now: &Now) -> Result<String, std::fmt::Error> {
        let pool = now.load.pool;
        self.queue_depth.set(now.load.waiting() as i64);
        self.active.set(now.load.active as i64);
        self.kv_tokens.set((pool.blocks.saturating_sub(pool.available()) * BLOCK_LEN) as i64);
        self.ready.set(now.ready);
        self.vectors.set(now.vectors as i64);
        self.waiting_lessons.set(now.learning.waiting as i64);
        self.adapters_resident.set(now.learning.resident as i64);
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}
