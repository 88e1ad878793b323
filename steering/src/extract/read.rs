//! The model pass: rows of tokens to states.
//!
//! What rows share at their beginning runs once: the beginning of all rows (a system prompt) in a session that every row is
//! forked from, and the question of a pair in one that its two answers are. The runtime promises the same bits however
//! tokens are cut into passes and whoever shares one, so this saves work and changes nothing; a test holds it to that.
//! The first position is never read: its state is an attention sink of a very different length.

use super::Refusal;
use super::Result;
use super::place::Place;
use super::render::{Sample, common};
use candle_core::{CpuStorage, Storage, Tensor};
use trimtab_runtime::Model;
use trimtab_runtime::kv::BLOCK_LEN;
use trimtab_runtime::model::{LogitsAt, Want};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::read::{self, RowOutput};
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;

/// Tokens that share a pass.
const PASS_TOKENS: usize = 1024;
/// What the captured activations of one pass may take.
const PASS_BYTES: usize = 256 << 20;
/// Below this many shared tokens a fork costs more than it saves.
const WORTH_SHARING: usize = 4;

/// Whether rows share the work of a common beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    Prefixes,
    #[cfg(test)]
    Nothing,
}

/// Reads rows on one model.
pub(super) struct Reader<'a> {
    model: &'a Model,
    sites: Vec<Site>,
    places: &'a [Place],
    /// The beginning of all rows.
    stem: Session,
    sharing: Sharing,
}

impl<'a> Reader<'a> {
    /// A reader for these rows, which may be handed to it in any portions.
    pub fn new(
        model: &'a Model,
        sites: &[Site],
        places: &'a [Place],
        samples: &[Sample],
        sharing: Sharing,
    ) -> Result<Reader<'a>> {
        let shared = match sharing {
            Sharing::Prefixes => everywhere(samples),
            #[cfg(test)]
            Sharing::Nothing => 0,
        };
        let mut stem = model.session(Plan::empty())?;
        if let Some(first) = samples.first().filter(|_| shared >= WORTH_SHARING) {
            stem.push_prompt(first.tokens.get(..shared).unwrap_or_default())?;
            let mut stems = vec![stem];
            fill(&mut stems)?;
            // One went in, one comes out.
            stem = stems.pop().map_or_else(|| model.session(Plan::empty()), Ok)?;
        }
        Ok(Reader { model, sites: sites.to_vec(), places, stem, sharing })
    }

    /// Tokens that should share a pass on this model.
    pub fn pass_tokens(&self) -> usize {
        let width = self.model.decoder().spec().d_model;
        let by_bytes = PASS_BYTES / (4 * width * self.sites.len().max(1));
        // Questions and answers of a portion are in the pool together, each in blocks of its own.
        let by_pool = self.model.pool().usage().free * BLOCK_LEN / 5;
        PASS_TOKENS.min(by_bytes).min(by_pool).max(1)
    }

    /// What a row costs behind the beginning that all share, at least a block of the pool.
    pub fn cost(&self, sample: &Sample) -> usize {
        sample.tokens.len().saturating_sub(self.stem.len()).max(BLOCK_LEN)
    }

    /// The states of some rows, `[rows, sites · places, width]`.
    // samples of [time_i] tokens -> [rows, sites, places, width]
    pub fn read(&self, samples: &[Sample]) -> Result<Vec<f32>> {
        let mut sessions = self.sessions(samples)?;
        let width = self.model.decoder().spec().d_model;
        let mut sums = Sums::new(samples, self.places.len() * self.sites.len(), width);
        let captures = self.sites.clone();
        let want = Want { logits: LogitsAt::None, captures, ..Want::default() };
        read::run(&mut sessions, &want, |row, from, output| {
            sums.add(row, from, &self.sites, output)
        })?;
        self.finite(samples, sums.means())
    }

    /// A session per row with its own tokens pending and all that it shares behind it.
    fn sessions(&self, samples: &[Sample]) -> Result<Vec<Session>> {
        let pairs: Vec<&[Sample]> = samples.chunk_by(|a, b| a.item == b.item).collect();
        let mut stems = Vec::with_capacity(pairs.len());
        for pair in &pairs {
            let mut stem = self.stem.fork();
            let shared = match self.sharing {
                Sharing::Prefixes if pair.len() > 1 => everywhere(pair),
                Sharing::Prefixes => 0,
                #[cfg(test)]
                Sharing::Nothing => 0,
            };
            let new = pair.first().and_then(|first| first.tokens.get(stem.len()..shared));
            if let Some(new) = new.filter(|new| new.len() >= WORTH_SHARING) {
                stem.push_prompt(new)?;
            }
            stems.push(stem);
        }
        fill(&mut stems)?;
        let mut sessions = Vec::with_capacity(samples.len());
        for (pair, stem) in pairs.iter().zip(&stems) {
            for sample in *pair {
                let mut session = stem.fork();
                session.push_prompt(sample.tokens.get(stem.len()..).unwrap_or_default())?;
                sessions.push(session);
            }
        }
        Ok(sessions)
    }

    fn finite(&self, samples: &[Sample], states: Vec<f32>) -> Result<Vec<f32>> {
        let Some(bad) = states.iter().position(|v| !v.is_finite()) else {
            return Ok(states);
        };
        let candidate = bad / self.model.decoder().spec().d_model.max(1);
        let (site, place) = (candidate / self.places.len(), candidate % self.places.len());
        let sample = samples.get(site / self.sites.len());
        Err(Refusal::NotFinite {
            site: self.sites.get(site % self.sites.len()).copied().unwrap_or(Site::Final),
            line: sample.map_or(0, |sample| sample.line),
            place: self.places.get(place).map(Place::to_string).unwrap_or_default(),
        }
        .into())
    }
}

/// Runs what is pending for its keys and values alone.
fn fill(sessions: &mut [Session]) -> Result<()> {
    let want = Want { logits: LogitsAt::None, ..Want::default() };
    read::run(sessions, &want, |_, _, _| Ok(()))
}

/// Tokens that all rows begin with and none reads.
fn everywhere(samples: &[Sample]) -> usize {
    let Some(first) = samples.first() else {
        return 0;
    };
    let unread = |s: &Sample| s.spans.iter().map(|span| span.start).min().unwrap_or(0);
    let shared = |s: &Sample| common(&first.tokens, &s.tokens).min(unread(s));
    samples.iter().map(shared).min().unwrap_or(0)
}

/// Sums over the spans of rows, in f64.
struct Sums<'a> {
    samples: &'a [Sample],
    /// Sites times places.
    candidates: usize,
    width: usize,
    /// `[rows, candidates, width]`
    values: Vec<f64>,
}

impl<'a> Sums<'a> {
    fn new(samples: &'a [Sample], candidates: usize, width: usize) -> Sums<'a> {
        let values = vec![0.0; samples.len() * candidates * width];
        Sums { samples, candidates, width, values }
    }

    /// Adds the tokens of a row's spans that lie in what a pass captured from position `from` on.
    // captures of [time, width] -> Σ [candidates, width]
    fn add(&mut self, row: usize, from: usize, sites: &[Site], output: &RowOutput) -> Result<()> {
        let (width, per_row) = (self.width, self.candidates * self.width);
        let Some(sample) = self.samples.get(row) else {
            return Ok(());
        };
        let Some(sums) = self.values.get_mut(row * per_row..(row + 1) * per_row) else {
            return Ok(());
        };
        let per_site = sample.spans.len() * width;
        for (site, sums) in sites.iter().zip(sums.chunks_exact_mut(per_site)) {
            let Some(tensor) = output.capture(*site) else {
                continue;
            };
            with_values(tensor, |values| {
                for (span, sum) in sample.spans.iter().zip(sums.chunks_exact_mut(width)) {
                    let (start, end) = (span.start.max(from), span.end.max(from));
                    let lines = values.chunks_exact(width).skip(start - from);
                    lines.take(end - start).for_each(|line| add(sum, line));
                }
            })?;
        }
        Ok(())
    }

    // Σ [rows, candidates, width] -> [rows, candidates, width]
    fn means(self) -> Vec<f32> {
        let per_row = self.candidates * self.width;
        let mut means = Vec::with_capacity(self.values.len());
        for (sample, row) in self.samples.iter().zip(self.values.chunks_exact(per_row)) {
            let spans = sample.spans.iter().cycle();
            for (span, sum) in spans.zip(row.chunks_exact(self.width)) {
                let count = span.len() as f64;
                means.extend(sum.iter().map(|sum| (sum / count) as f32));
            }
        }
        means
    }
}

// [width] onto [width]
fn add(sum: &mut [f64], line: &[f32]) {
    sum.iter_mut().zip(line).for_each(|(sum, x)| *sum += f64::from(*x));
}

/// Shows a tensor's values, without a copy where they lie in host memory one behind the other.
fn with_values(tensor: &Tensor, take: impl FnOnce(&[f32])) -> Result<()> {
    let failed = trimtab_runtime::Error::tensor("captured state");
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(all)), Some((start, end))) =
        (&*storage, layout.contiguous_offsets())
    {
        take(all.get(start..end).unwrap_or_default());
        return Ok(());
    }
    drop(storage);
    let copied = tensor
        .flatten_all()
        .and_then(|t| t.to_dtype(candle_core::DType::F32))
        .and_then(|t| t.to_vec1::<f32>())
        .map_err(failed)?;
    take(&copied);
    Ok(())
}
