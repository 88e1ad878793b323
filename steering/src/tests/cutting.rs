//! How tokens are cut into passes changes no bit, whatever acts on them.

use super::card;
use super::operations::{dense, every_operation, vector};
use super::schedules::every_schedule;
use crate::file::VectorFile;
use crate::file::card::Operation;
use crate::gate::{Condition, Deciding, Gate, Rule, Side};
use crate::schedule::Schedule;
use crate::scope::{Phase, Picks, Scope, ScopeParams, Window};
use crate::steer::{Steer, SteerOptions};
use proptest::prelude::*;
use std::sync::{Arc, OnceLock};
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::kv::KvPool;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

fn rig() -> &'static (Arc<Decoder>, KvPool) {
    static RIG: OnceLock<(Arc<Decoder>, KvPool)> = OnceLock::new();
    RIG.get_or_init(|| {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(1024).unwrap();
        (decoder, pool)
    })
}

fn scopes() -> Vec<Option<Scope>> {
    let window = Picks { window: Some(Window { start: -4, end: Some(-1) }), ..Picks::default() };
    let tokens = Picks { tokens: (0..32).collect(), ..Picks::default() };
    let params = ScopeParams {
        prompt: Phase { include: window, exclude: tokens.clone() },
        generation: Phase { include: tokens, exclude: Picks::default() },
    };
    let mixed = params.check().unwrap();
    vec![None, Some(Scope::prompt()), Some(Scope::generated()), Some(Scope::last()), Some(mixed)]
}

fn gates() -> Vec<Option<Gate>> {
    let directions = vec![dense(Site::ResidPost(0), 1.0)];
    let file = VectorFile::new(card(Operation::Add, &directions), directions).unwrap();
    let condition = |side| Condition::new(&file, side, 0.05).unwrap();
    let mut gates = vec![None];
    for deciding in [Deciding::EachToken, Deciding::PromptMean, Deciding::PromptLast] {
        for side in [Side::Above, Side::Below] {
            let rule = Rule::Any(vec![condition(side)]);
            gates.push(Some(Gate::new(rule, deciding).unwrap()));
        }
    }
    gates
}

fn options() -> impl Strategy<Value = SteerOptions> {
    let schedules: Vec<Schedule> =
        every_schedule().into_iter().chain([Schedule::default()]).collect();
    let parts = (
        prop::sample::select(every_operation()),
        prop::sample::select(scopes()),
        prop::sample::select(gates()),
        prop::sample::select(schedules),
    );
    parts.prop_map(|(operation, scope, gate, schedule)| SteerOptions {
        scope,
        gate,
        schedule,
        ..operation
    })
}

/// Last logits and what fired, with the prompt in passes of `chunk` tokens and the answer in these pieces.
fn run(plan: &Plan, (prompt, answer): (&[u32], &[u32]), cuts: (usize, usize)) -> (Vec<f32>, u64) {
    let (decoder, pool) = rig();
    let mut session = Session::new(decoder.clone(), pool, plan.clone()).unwrap();
    session.set_chunk(cuts.0);
    session.push_prompt(prompt).unwrap();
    let mut logits = Vec::new();
    for piece in answer.chunks(cuts.1) {
        logits = session.advance(piece).unwrap().logits.remove(0);
    }
    (logits, session.fired()[0])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn passes_of_any_length_give_the_same_bits(
        options in options(),
        prompt in prop::collection::vec(0u32..64, 1..14),
        answer in prop::collection::vec(0u32..20, 1..14),
        cuts in (1usize..9, 1usize..9),
    ) {
        let sites = [Site::ResidPost(0), Site::ResidPost(1)];
        // A warm-up of a prompt is refused, which is tested where it belongs.
        if let Ok(steer) = Steer::new(&vector(Operation::Add, &sites), &options) {
            let plan = Plan::of(steer);
            let whole = run(&plan, (&prompt, &answer), (100, 100));
            prop_assert_eq!(run(&plan, (&prompt, &answer), cuts), whole);
        }
    }

    #[test]
    fn a_rewind_to_anywhere_leaves_no_trace(
        options in options(),
        answer in prop::collection::vec(0u32..20, 3..14),
        at in 1usize..12,
        other in prop::collection::vec(0u32..20, 1..6),
    ) {
        let at = at.min(answer.len() - 1);
        let sites = [Site::ResidPost(0), Site::ResidPost(1)];
        if let Ok(steer) = Steer::new(&vector(Operation::Add, &sites), &options) {
            let (decoder, pool) = rig();
            let plan = Plan::of(steer);
            let mut session = Session::new(decoder.clone(), pool, plan.clone()).unwrap();
            session.push_prompt(&[3, 1, 4]).unwrap();
            session.advance(&answer[..at]).unwrap();
            let here = session.checkpoint();
            session.advance(&other).unwrap();
            session.rollback(&here).unwrap();
            let rewound = session.advance(&answer[at..]).unwrap().logits.remove(0);
            let whole = run(&plan, (&[3, 1, 4], &answer), (100, 100));
            prop_assert_eq!((rewound, session.fired()[0]), whole);
        }
    }
}
