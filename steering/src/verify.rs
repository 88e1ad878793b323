//! Proof, on the model at hand, that a vector acts where it says and nowhere else, and that rewinds are exact.
//!
//! Nothing here is about what a vector means: prompts are numbers in no order. Whether it has its effect is read off
//! its card, where the evaluation stands ([`concept_over_random`]). Every comparison is of bits or of token ids, except
//! for the length of an addition, which is rounded once.

use crate::direction::{Direction, norm};
use crate::error::{Error, Result};
use crate::file::VectorFile;
use crate::file::card::{Card, Method, MethodName, Operation, SiteCard};
use crate::steer::{Steer, SteerOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::hook::Intervention;
use trimtab_runtime::kv::KvPool;
use trimtab_runtime::model::spec::ModelSpec;
use trimtab_runtime::model::{Decoder, RowReadout, Want};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::read;
use trimtab_runtime::sample::{Draw, Purpose, SamplingParams};
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;

/// Tokens of the prompt.
const PROMPT: usize = 16;
/// Tokens that follow it.
const STEPS: usize = 8;
/// Timed steps of each kind.
const TIMED: usize = 24;
/// How far an added vector may be from what the file says, as a share of its length: x + v is rounded to f32, and x may
/// be a thousand times as long as v.
const ADDED_TOLERANCE: f64 = 1e-2;
/// Length of a throw-away vector as a share of the stream's.
const THROWAWAY: f32 = 0.25;

/// Tokens that the pool and the context must hold.
pub const ROOM: usize = 2 * (PROMPT + STEPS + 2 * TIMED);

/// What is proved about.
pub struct Subject<'a> {
    /// The model.
    pub decoder: &'a Arc<Decoder>,
    /// Where keys and values go.
    pub pool: &'a KvPool,
    /// The vector.
    pub file: &'a VectorFile,
    /// How it is applied.
    pub options: &'a SteerOptions,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What came out.
    pub verdict: Verdict,
    /// What was measured.
    pub value: Option<f64>,
    /// What it is held against.
    pub limit: Option<f64>,
    /// What the value is, or why there is none.
    pub note: String,
}

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It was not checked, or cannot fail.
    Skipped,
}

impl Check {
    fn of(name: &'static str, holds: Verdict, value: f64, limit: f64, note: &str) -> Check {
        let (value, limit) = (Some(value), Some(limit));
        Check { name, verdict: holds, value, limit, note: note.to_owned() }
    }

    /// At most so much of something.
    fn most(name: &'static str, value: f64, limit: f64, note: &str) -> Check {
        let holds = if value <= limit { Verdict::Passed } else { Verdict::Failed };
        Check::of(name, holds, value, limit, note)
    }

    /// At least so much of something.
    fn least(name: &'static str, value: f64, limit: f64, note: &str) -> Check {
        let holds = if value >= limit { Verdict::Passed } else { Verdict::Failed };
        Check::of(name, holds, value, limit, note)
    }

    fn skipped(name: &'static str, note: impl Into<String>) -> Check {
        Check { name, verdict: Verdict::Skipped, value: None, limit: None, note: note.into() }
    }
}

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything.
    Whole,
    /// Everything but times.
    Quick,
}

/// A direction of no meaning behind the middle block, a quarter as long as the stream is there.
pub fn throwaway(decoder: &Arc<Decoder>, pool: &KvPool) -> Result<VectorFile> {
    let spec = decoder.spec();
    let site = Site::ResidPost(spec.n_layers() / 2);
    let streams = read(fresh(decoder, pool, &Plan::empty())?, spec, &[site])?;
    let lengths = streams.values().flat_map(|rows| rows.iter().skip(1)).map(|row| norm(row) as f32);
    let mut lengths: Vec<f32> = lengths.collect();
    lengths.sort_by(f32::total_cmp);
    let length = lengths.get(lengths.len() / 2).copied().unwrap_or(1.0);
    let row: Vec<f32> = (0..spec.d_model).map(|i| (i as f32 * 12.9898).sin()).collect();
    let (direction, _) = Direction::normalised(site, &row)?;
    let method = Method::named(MethodName::Random);
    let summary = "a direction of no meaning, to see that something acts";
    let mut card = Card::unmeasured("throw-away", summary, Operation::Add, method);
    let entry =
        SiteCard { stream_norm: Some(length), ..SiteCard::of(site, Some(THROWAWAY * length)) };
    card.sites.insert(site, entry);
    VectorFile::new(card, vec![direction])
}

/// Checks everything in order and hands each result on; what `show` ends is returned as it stands.
pub fn verify<'a>(
    subject: &Subject<'a>,
    depth: Depth,
    show: &mut dyn FnMut(&Check) -> Flow,
) -> Result<Vec<Check>> {
    let mut steps: Vec<fn(&Subject<'a>) -> Result<Check>> = vec![
        Subject::zero_scale_identical,
        Subject::fires,
        Subject::site_probe,
        Subject::bystander_untouched,
        Subject::rewind_exact,
        Subject::seed_repeats,
        |subject| Ok(concept_over_random(subject.file.card())),
    ];
    steps.push(match depth {
        Depth::Whole => Subject::cost,
        Depth::Quick => |_| Ok(Check::skipped("cost", "left out")),
    });
    let mut checks = Vec::with_capacity(steps.len());
    for step in steps {
        let check = step(subject)?;
        let flow = show(&check);
        checks.push(check);
        if flow == Flow::Cancel {
            break;
        }
    }
    Ok(checks)
}

/// Whether the effect that the card says was measured is larger than that of random directions.
pub fn concept_over_random(card: &Card) -> Check {
    let name = "concept_over_random";
    let Some(evaluation) = &card.evaluation else {
        return Check::skipped(
            name,
            "the card has no evaluation; `trimtab eval --write` makes one",
        );
    };
    let wanted = card.scale.default;
    let near = |scale: f32| (scale - wanted).abs();
    let responses = evaluation.response.iter().filter(|r| r.scale != 0.0);
    let Some(response) = responses.min_by(|a, b| near(a.scale).total_cmp(&near(b.scale))) else {
        return Check::skipped(name, "the card's evaluation has no scale but 0");
    };
    let value = f64::from(response.concept * response.scale.signum());
    let limit = f64::from(evaluation.chance());
    let holds = if value > limit { Verdict::Passed } else { Verdict::Failed };
    let note = format!("change of the margin at scale {}, as the card says it", response.scale);
    Check::of(name, holds, value, limit, &note)
}

impl Subject<'_> {
    fn plan(&self, scale: Option<f32>) -> Result<Plan> {
        let scale = scale.or(self.options.scale);
        let options = SteerOptions { scale, ..self.options.clone() };
        Ok(Plan::of(Steer::new(self.file, &options)?))
    }

    fn fresh(&self, plan: &Plan) -> Result<Session> {
        fresh(self.decoder, self.pool, plan)
    }

    /// A session with the prompt and an answer behind it pending.
    fn answered(&self, plan: &Plan) -> Result<Session> {
        let mut session = self.fresh(plan)?;
        session.push(&answer(self.decoder))?;
        Ok(session)
    }

    /// Scale 0 gives the bits of no plan at all.
    fn zero_scale_identical(&self) -> Result<Check> {
        let zero = trail(&mut self.fresh(&self.plan(Some(0.0))?)?)?;
        let plain = trail(&mut self.fresh(&Plan::empty())?)?;
        let note = "logits that differ from the plain model's in a bit";
        Ok(Check::most("zero_scale_identical", differing(&zero, &plain), 0.0, note))
    }

    /// A plan of the vector's sites one by one, so that each is counted by itself.
    fn by_site(&self) -> Result<Vec<(Site, Steer)>> {
        let all = Steer::new(self.file, self.options)?.sites();
        let one = |site: Site| {
            let mut card = self.file.card().clone();
            card.sites.retain(|other, _| *other == site);
            let mut directions = self.file.directions().to_vec();
            directions.retain(|direction| direction.site() == site);
            let file = VectorFile::new(card, directions)?;
            let options = SteerOptions { blocks: None, ..self.options.clone() };
            Ok((site, Steer::new(&file, &options)?))
        };
        all.into_iter().map(one).collect()
    }

    /// Every site touches tokens of a prompt with an answer behind it.
    fn fires(&self) -> Result<Check> {
        let steers = self.by_site()?;
        let items =
            steers.iter().map(|(_, steer)| Arc::new(steer.clone()) as Arc<dyn Intervention>);
        let mut session = self.fresh(&Plan::from_shared(items))?;
        trail(&mut session)?;
        let least = session.fired().iter().copied().min().unwrap_or(0) as f64;
        let note =
            format!("tokens touched at the least of {} sites, of {}", steers.len(), PROMPT + STEPS);
        Ok(Check::least("fires", least, 1.0, &note))
    }

    /// Each site alone: the stream is moved there, by what the file says if that is a constant, and nowhere before.
    fn site_probe(&self) -> Result<Check> {
        let spec = self.decoder.spec();
        let everywhere: Vec<Site> = Site::all(spec.n_layers()).collect();
        let plain = read(self.answered(&Plan::empty())?, spec, &everywhere)?;
        let (mut worst, mut least) = (0.0_f64, usize::MAX);
        for (site, steer) in self.by_site()? {
            let offset = steer.additions().first().map(|a| a.vector().to_vec());
            let moved = read(self.answered(&Plan::of(steer))?, spec, &everywhere)?;
            let before = everywhere.iter().filter(|other| **other < site);
            let early = before.filter(|other| plain.get(other) != moved.get(other)).count();
            let rows =
                plain.get(&site).into_iter().flatten().zip(moved.get(&site).into_iter().flatten());
            // A token outside the scope stays as it is. What depends on the token is not foretold.
            let touched: Vec<_> = rows.filter(|(x, y)| x != y).collect();
            least = least.min(touched.len());
            let far = offset.map_or(0.0, |offset| {
                touched.iter().map(|(x, y)| off(x, y, &offset)).fold(0.0, f64::max)
            });
            worst = worst.max(far).max(early as f64);
        }
        if least == 0 && worst <= ADDED_TOLERANCE {
            // What moved nothing showed nothing.
            return Ok(Check::skipped("site_probe", "no token was moved at one of the sites"));
        }
        let note = format!(
            "distance from the vector at its site, or sites moved before it, over {least} tokens or more"
        );
        Ok(Check::most("site_probe", worst, ADDED_TOLERANCE, &note))
    }

    /// A plain sequence gives the same tokens alone and beside a steered one in every pass.
    fn bystander_untouched(&self) -> Result<Check> {
        let (mut steered, mut beside) =
            (self.fresh(&self.plan(None)?)?, self.fresh(&Plan::empty())?);
        let mut alone = self.fresh(&Plan::empty())?;
        let (mut differing, mut next) = (0, [likeliest(&alone.run()?); 3]);
        pair(&mut steered, &mut beside)?;
        for step in 0..STEPS {
            alone.push(&[next[0]])?;
            steered.push(&[next[1]])?;
            beside.push(&[next[2]])?;
            let (hurt, calm) = pair(&mut steered, &mut beside)?;
            next = [likeliest(&alone.run()?), likeliest(&hurt), likeliest(&calm)];
            differing += usize::from(next[0] != next[2]);
            if step + 1 == STEPS && alone.tokens() != beside.tokens() {
                differing = differing.max(1);
            }
        }
        let note = "tokens of a plain sequence that a steered one beside it changed";
        Ok(Check::most("bystander_untouched", differing as f64, 0.0, note))
    }

    /// Going back and on again gives the same bits.
    fn rewind_exact(&self) -> Result<Check> {
        let mut session = self.fresh(&self.plan(None)?)?;
        session.run()?;
        let here = session.checkpoint();
        let first = steps(&mut session)?;
        session.rollback(&here)?;
        let again = steps(&mut session)?;
        let note = "logits that differ in a bit after going back";
        Ok(Check::most("rewind_exact", differing(&first, &again), 0.0, note))
    }

    /// The same seed draws the same tokens.
    fn seed_repeats(&self) -> Result<Check> {
        let plan = self.plan(None)?;
        let (first, again) = (drawn(self.fresh(&plan)?)?, drawn(self.fresh(&plan)?)?);
        let differing = first.iter().zip(&again).filter(|(a, b)| a != b).count();
        let note = "drawn tokens that differ between two runs of one seed";
        Ok(Check::most("seed_repeats", differing as f64, 0.0, note))
    }

    /// Time of a token with the vector over the time without: least over runs in turn. It is told and cannot fail.
    fn cost(&self) -> Result<Check> {
        let mut plain = self.fresh(&Plan::empty())?;
        let mut steered = self.fresh(&self.plan(None)?)?;
        let (mut next, mut least) =
            ([likeliest(&plain.run()?), likeliest(&steered.run()?)], [f64::INFINITY; 2]);
        for _ in 0..TIMED {
            for ((session, next), least) in
                [&mut plain, &mut steered].into_iter().zip(&mut next).zip(&mut least)
            {
                let started = Instant::now();
                *next = likeliest(&session.advance(&[*next])?);
                *least = least.min(started.elapsed().as_secs_f64());
            }
        }
        let [plain, steered] = least;
        let value = Some(steered / plain);
        let note = format!("time of a token with the vector over {:.2} ms without", plain * 1e3);
        Ok(Check { value, ..Check::skipped("cost", note) })
    }
}

/// A session with the prompt pending: numbers in no order, the same in every run.
fn fresh(decoder: &Arc<Decoder>, pool: &KvPool, plan: &Plan) -> Result<Session> {
    let mut session = Session::new(decoder.clone(), pool, plan.clone())?;
    let vocabulary = decoder.spec().vocab_size as u64;
    let mut state = 1_u64;
    let tokens: Vec<u32> = (0..PROMPT)
        .map(|_| {
            // Knuth's MMIX congruence; its high bits are the good ones.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % vocabulary.max(1)) as u32
        })
        .collect();
    session.push_prompt(&tokens)?;
    Ok(session)
}

/// The logits of the prompt's last token and of some likeliest tokens behind it.
fn trail(session: &mut Session) -> Result<Vec<Vec<f32>>> {
    let first = session.run()?;
    let mut all = vec![logits(first)];
    all.extend(steps(session)?);
    Ok(all)
}

/// The logits of some tokens from here on: always the same ones.
fn steps(session: &mut Session) -> Result<Vec<Vec<f32>>> {
    let tokens = answer(session.decoder());
    tokens.into_iter().map(|token| Ok(logits(session.advance(&[token])?))).collect()
}

/// An answer of no meaning.
fn answer(decoder: &Decoder) -> Vec<u32> {
    let vocabulary = decoder.spec().vocab_size.max(1);
    (0..STEPS).map(|step| ((step * 7 + 3) % vocabulary) as u32).collect()
}

fn logits(readout: RowReadout) -> Vec<f32> {
    readout.logits.into_iter().next().unwrap_or_default()
}

/// How many values differ in a bit; all of them if there are not equally many.
fn differing(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let flat = |rows: &[Vec<f32>]| rows.iter().flatten().map(|v| v.to_bits()).collect::<Vec<u32>>();
    let (a, b) = (flat(a), flat(b));
    if a.len() != b.len() || a.is_empty() {
        return a.len().max(b.len()).max(1) as f64;
    }
    a.iter().zip(&b).filter(|(x, y)| x != y).count() as f64
}

fn likeliest(readout: &RowReadout) -> u32 {
    let all = readout.logits.first().map(Vec::as_slice).unwrap_or_default();
    let best = all.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(token, _)| token as u32)
}

/// What is pending in two sequences, in the same pass.
fn pair(first: &mut Session, second: &mut Session) -> Result<(RowReadout, RowReadout)> {
    let mut found = [RowReadout::default(), RowReadout::default()];
    read::run(&mut [first, second], &Want::default(), |index, _, output| {
        if let Some(place) = found.get_mut(index) {
            *place = output.readout();
        }
        Ok::<(), Error>(())
    })?;
    let [first, second] = found;
    Ok((first, second))
}

fn drawn(mut session: Session) -> Result<Vec<u32>> {
    let sampling = SamplingParams { temperature: 1.0, ..SamplingParams::default() }.check()?;
    let mut readout = session.run()?;
    let mut tokens = Vec::with_capacity(STEPS);
    for _ in 0..STEPS {
        let position = session.len();
        let draw = Draw { seed: 7, choice: 0, purpose: Purpose::Token, attempt: 0, position };
        let token = sampling.choose(&logits(readout), &draw)?;
        tokens.push(token);
        readout = session.advance(&[token])?;
    }
    Ok(tokens)
}

/// The stream at some sites, token by token.
// -> [time][d_model] per site
fn read(
    mut session: Session,
    spec: &ModelSpec,
    sites: &[Site],
) -> Result<BTreeMap<Site, Vec<Vec<f32>>>> {
    let captured = session.capture(sites)?.into_iter();
    let rows = |(site, stream): (Site, trimtab_runtime::Tensor)| {
        let stream = stream.to_dtype(candle_core::DType::F32).and_then(|s| s.to_vec2::<f32>());
        let rows = stream.map_err(trimtab_runtime::Error::tensor(site.to_string()))?;
        match rows.iter().find(|row| row.len() != spec.d_model) {
            None => Ok((site, rows)),
            Some(row) => Err(Error::tensor(site, format!("has {} values here", row.len()))),
        }
    };
    captured.map(rows).collect()
}

/// How far a move is from the vector that was to be added, as a share of its length.
// [d_model], [d_model], [d_model] -> []
fn off(plain: &[f32], moved: &[f32], offset: &[f32]) -> f64 {
    let moves = plain.iter().zip(moved).map(|(x, y)| f64::from(*y) - f64::from(*x));
    let far = moves.zip(offset).map(|(found, v)| (found - f64::from(*v)).powi(2)).sum::<f64>();
    far.sqrt() / norm(offset).max(f64::MIN_POSITIVE)
}
