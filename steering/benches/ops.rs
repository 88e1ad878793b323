//! What an operation costs in a decode step, beside the plain model and a lowered addition. About a minute.
//!
//! `cargo bench -p trimtab-steering --bench ops -- [MODEL]`. One thread; the plans take turns in one process, and each
//! figure is the smallest of many repetitions.

#![allow(clippy::expect_used)] // a benchmark that cannot run has no caller to tell

use std::time::Instant;
use trimtab_runtime::Model;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::{Checkpoint, Session};
use trimtab_runtime::site::Site;
use trimtab_steering::file::card::{Card, Method, MethodName, Operation, SiteCard};
use trimtab_steering::gate::{Condition, Deciding, Gate, Rule, Side};
use trimtab_steering::ops::{Rescale, Unit};
use trimtab_steering::schedule::{Course, Schedule, Span};
use trimtab_steering::steer::{Steer, SteerOptions};
use trimtab_steering::{Direction, VectorFile};

/// Tokens of one repetition.
const STEPS: usize = 8;
/// Repetitions of each plan.
const ROUNDS: usize = 60;
/// Tokens in the cache.
const CONTEXT: u32 = 64;

fn vector(sites: &[Site], width: usize) -> VectorFile {
    let raw: Vec<f32> = (0..width).map(|i| (i as f32 * 0.37).sin()).collect();
    let method = Method::named(MethodName::Random);
    let mut card = Card::unmeasured("wave", "a wave", Operation::Add, method);
    let mut directions = Vec::new();
    for site in sites {
        let (direction, _) = Direction::normalised(*site, &raw).expect("a wave has a length");
        let entry = SiteCard { anchor: Some(0.0), ..SiteCard::of(*site, Some(0.01)) };
        card.sites.insert(*site, entry);
        directions.push(direction);
    }
    VectorFile::new(card, directions).expect("the card fits")
}

fn variants(model: &Model, sites: &[Site]) -> Vec<(&'static str, Plan)> {
    let width = model.decoder().spec().d_model;
    let file = vector(sites, width);
    let first = vector(&sites[..1], width);
    let plain = SteerOptions::default;
    let of = |operation| SteerOptions { operation: Some(operation), ..plain() };
    let condition = Condition::new(&first, Side::Below, 1e9).expect("it has an anchor");
    let mean = Gate::new(Rule::All(vec![condition.clone()]), Deciding::PromptMean);
    let tokenizer = model.tokenizer().expect("the model has a tokenizer").clone();
    let course = |course| Schedule::new(course).expect("the course is one");
    let range = Operation::Clamp { min: Some(-1e9), max: Some(1e9) };
    let options = [
        ("add (lowered)", plain()),
        ("add relative", SteerOptions { unit: Unit::StreamNorm, scale: Some(1e-4), ..plain() }),
        ("add keep_norm", SteerOptions { rescale: Rescale::KeepNorm, ..plain() }),
        ("project", of(Operation::Project)),
        ("clamp, inside", of(range)),
        ("set", of(Operation::Clamp { min: Some(0.0), max: Some(0.0) })),
        ("rotate", of(Operation::Rotate { degrees: 1.0 })),
        ("add gated", SteerOptions { gate: Some(Gate::when(condition)), ..plain() }),
        ("add gated on prompt", SteerOptions { gate: mean.ok(), ..plain() }),
        (
            "add warm-up",
            SteerOptions { schedule: course(Course::WarmUp { tokens: 64 }), ..plain() },
        ),
        (
            "add resting in code",
            SteerOptions {
                schedule: Schedule::default().resting_in([Span::Code], tokenizer),
                ..plain()
            },
        ),
    ];
    let steered = options.into_iter().map(|(name, options)| {
        (name, Plan::of(Steer::new(&file, &options).expect("the options fit")))
    });
    std::iter::once(("plain model", Plan::empty())).chain(steered).collect()
}

/// Seconds of a decode step, the smallest of one repetition's.
fn step(session: &mut Session, start: &Checkpoint) -> f64 {
    session.rollback(start).expect("the checkpoint is the session's");
    let mut least = f64::INFINITY;
    for token in 0..STEPS as u32 {
        let begin = Instant::now();
        session.advance(&[100 + token]).expect("the model runs");
        least = least.min(begin.elapsed().as_secs_f64());
    }
    least
}

fn table(model: &Model, sites: &[Site]) {
    let variants = variants(model, sites);
    let mut sessions: Vec<(Session, Checkpoint)> = Vec::new();
    for (_, plan) in &variants {
        let mut session = model.session(plan.clone()).expect("the plan fits the model");
        session.push_prompt(&(100..100 + CONTEXT).collect::<Vec<u32>>()).expect("there is room");
        session.run().expect("the model runs");
        let start = session.checkpoint();
        sessions.push((session, start));
    }
    let mut least = vec![f64::INFINITY; variants.len()];
    for _ in 0..ROUNDS {
        for ((session, start), least) in sessions.iter_mut().zip(&mut least) {
            *least = least.min(step(session, start));
        }
    }
    let (plain, lowered) = (least[0], least[1]);
    println!("{} sites, {} tokens in the cache", sites.len(), CONTEXT);
    for ((name, _), least) in variants.iter().zip(&least) {
        let beside = 1e6 * (least - lowered);
        let share = 100.0 * (least / plain - 1.0);
        println!("{name:22} {:9.1} us a step {beside:+8.1} us {share:+7.2} %", 1e6 * least);
    }
}

fn main() {
    trimtab_runtime::device::set_threads(1).expect("no kernel has run before");
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let model = Model::open(named.as_deref().unwrap_or("smollm2-135m-instruct"));
    let model = model.expect("the model opens");
    let blocks = model.decoder().spec().n_layers();
    table(&model, &[Site::ResidPost(blocks / 2)]);
    table(&model, &(0..blocks).map(Site::ResidPost).collect::<Vec<Site>>());
}
