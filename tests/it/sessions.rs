//! Invariants 3, 4, 7 and 10 of ARCHITECTURE.md on the tiny model: exact rewinds, exact chunks, loud refusals.

use proptest::prelude::*;
use trimtab_runtime::Error;
use trimtab_runtime::hook::{Addition, Positions, hook_fn};
use trimtab_runtime::model::{LogitsAt, Reading, Row, Want};
use trimtab_runtime::plan::{BoundPlan, Plan};
use trimtab_runtime::sample::DrawKeys;
use trimtab_runtime::session::History;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::{copies, laws, tiny};
use trimtab_tests::rig::{Rig, counting_hook, draw, push, vector};

const PROMPT: [u32; 7] = [3, 1, 4, 1, 5, 9, 2];

fn steered() -> Plan {
    Plan::of(push(Site::ResidPost(0), 1)).then(counting_hook(Site::MlpOut(1)))
}

#[test]
fn no_plan_an_empty_plan_and_scale_zero_are_the_same_bits() {
    let rig = Rig::tiny(256);
    let mut cache = rig.pool.cache();
    let row = Row {
        tokens: &PROMPT,
        prompt_len: PROMPT.len(),
        cache: &mut cache,
        plan: &mut BoundPlan::default(),
        draws: &DrawKeys::default(),
        want: Want::default(),
    };
    let plain = rig.decoder.forward(&mut [row]).unwrap().to_host().unwrap().remove(0).logits;
    let zero = Addition::new(Site::ResidPost(1), vector(1, tiny::WIDTH), 0.0).unwrap();
    for plan in [Plan::empty(), Plan::of(zero)] {
        let mut session = rig.session(&PROMPT, plan).unwrap();
        assert_eq!(session.run().unwrap().logits, plain);
        assert!(session.fired().iter().all(|n| *n == 0));
    }
}

#[test]
fn interventions_keep_the_laws() {
    for site in Site::all(tiny::LAYERS) {
        laws::check_intervention(std::sync::Arc::new(push(site, 2))).unwrap();
        laws::check_intervention(std::sync::Arc::new(counting_hook(site))).unwrap();
    }
}

#[test]
fn a_thousand_rewinds_of_300_tokens_leave_no_trace() {
    let rig = Rig::tiny(1024);
    let straight = generate(&rig, 300, 0);
    let free = rig.pool.usage().free;
    let rewound = generate(&rig, 300, 1000);
    assert_eq!(straight, rewound);
    assert_eq!(rig.pool.usage().free, free, "blocks leaked");
    assert_eq!(rig.pool.usage().free, rig.pool.usage().blocks);
}

/// Tokens and last logits of a sampled generation that is rewound so many times on its way.
fn generate(rig: &Rig, tokens: usize, mut rewinds: usize) -> (Vec<u32>, Vec<f32>) {
    let mut session = rig.session(&PROMPT, steered()).unwrap();
    let mut checkpoints = vec![session.checkpoint()];
    let mut most_used = 0;
    let mut random = 12_345u64;
    let mut logits = session.run().unwrap().logits.remove(0);
    loop {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let done = checkpoints.len() > tokens;
        if rewinds > 0 && (done || random >> 61 == 0) {
            rewinds -= 1;
            let to = (random >> 33) as usize % checkpoints.len();
            checkpoints.truncate(to + 1);
            session.rollback(&checkpoints[to]).unwrap();
            logits = session.run().unwrap().logits.remove(0);
            continue;
        }
        if done {
            break;
        }
        session.push(&[draw(&logits, 7, session.len())]).unwrap();
        checkpoints.push(session.checkpoint());
        logits = session.run().unwrap().logits.remove(0);
        let usage = rig.pool.usage();
        most_used = most_used.max(usage.blocks - usage.free);
    }
    // A rewound sequence never needs more blocks than a straight one: memory does not grow.
    assert!(most_used <= (PROMPT.len() + tokens).div_ceil(trimtab_runtime::kv::BLOCK_LEN));
    (session.tokens().to_vec(), logits)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_walk_of_advances_rewinds_and_forks_ends_where_a_straight_one_does(
        walk in prop::collection::vec((0..4u8, 0..64u32, 0..100usize), 1..40)
    ) {
        let rig = Rig::tiny(2048);
        let mut session = rig.session(&PROMPT, steered()).unwrap();
        let mut checkpoints = vec![session.checkpoint()];
        session.run().unwrap();
        for (act, token, pick) in walk {
            match act {
                0 | 1 => {
                    session.advance(&[token]).unwrap();
                }
                2 => checkpoints.push(session.checkpoint()),
                _ => {
                    let to = pick % checkpoints.len();
                    checkpoints.truncate(to + 1);
                    session.rollback(&checkpoints[to]).unwrap();
                }
            }
            // Every second walk goes on in a fork, whose origin is dropped.
            if pick % 2 == 0 {
                session = session.fork();
            }
        }
        let end = session.advance(&[11]).unwrap();
        let mut straight = rig.session(&PROMPT, steered()).unwrap();
        straight.push(&session.tokens()[PROMPT.len()..]).unwrap();
        straight.set_chunk(1 + end.logits.len());
        prop_assert_eq!(straight.run().unwrap().logits, end.logits);
    }
}

#[test]
fn how_tokens_are_cut_into_passes_changes_no_bit() {
    let rig = Rig::tiny(1024);
    let tokens: Vec<u32> = (0..90).map(|i| (i * 7 + 3) % 62).collect();
    let all = |chunk: usize| {
        let mut session = rig.session(&tokens, steered()).unwrap();
        session.set_chunk(chunk);
        let mut logits = Vec::new();
        while session.pending() > 0 {
            let want = Want { logits: LogitsAt::All, ..Want::default() };
            let output = rig.decoder.forward(&mut [session.row(want)]).unwrap();
            logits.extend(output.to_host().unwrap().remove(0).logits);
        }
        (logits, session.fired().to_vec())
    };
    let (one_shot, fired) = all(100);
    assert_eq!(one_shot.len(), tokens.len());
    // Every position is steered once, however the prompt was cut.
    assert_eq!(fired, [tokens.len() as u64; 2]);
    for chunk in [1, 3, 7, 16, 64] {
        assert_eq!(all(chunk), (one_shot.clone(), fired.clone()), "chunks of {chunk}");
    }
}

#[test]
fn positions_decide_which_tokens_are_steered() {
    let rig = Rig::tiny(256);
    for (positions, expected) in [
        (Positions::Prompt, PROMPT.len() as u64),
        (Positions::Generated, 3),
        (Positions::Span(5..9), 4),
    ] {
        let plan = Plan::of(push(Site::ResidPost(1), 3).at(positions.clone()));
        let mut session = rig.session(&PROMPT, plan).unwrap();
        session.run().unwrap();
        session.advance(&[1, 2, 3]).unwrap();
        assert_eq!(session.fired(), [expected], "{positions:?}");
    }
}

#[test]
fn a_step_makes_one_copy_to_the_host() {
    let rig = Rig::tiny(256);
    let mut session = rig.session(&PROMPT, Plan::of(push(Site::ResidPost(1), 3))).unwrap();
    session.run().unwrap();
    let before = copies::so_far();
    session.advance(&[1]).unwrap();
    assert_eq!(copies::so_far() - before, 1);
    session.push(&[2]).unwrap();
    let want = Want { reading: Reading::LogitsAndFinal, ..Want::default() };
    let output = rig.decoder.forward(&mut [session.row(want)]).unwrap();
    let readout = output.to_host().unwrap().remove(0);
    assert_eq!(copies::so_far() - before, 2);
    assert_eq!((readout.logits[0].len(), readout.finals[0].len()), (tiny::VOCABULARY, tiny::WIDTH));
}

#[test]
fn what_cannot_act_is_refused_before_the_first_token() {
    let rig = Rig::tiny(64);
    let refused = |plan: Plan| rig.session(&PROMPT, plan).unwrap_err().to_string();
    assert_eq!(
        refused(Plan::of(push(Site::ResidPost(3), 1))),
        "site resid_post.3 is not in this model (3 blocks)"
    );
    let narrow = Addition::new(Site::Final, vec![1.0; 5], 1.0).unwrap();
    assert_eq!(refused(Plan::of(narrow)), "vector for final has 5 values, the stream has 16");
    let nowhere = push(Site::Embed, 1).at(Positions::Span(4..4));
    let message = refused(Plan::empty().then(push(Site::Embed, 1)).then(nowhere));
    assert_eq!(message, "intervention 1 cannot act: its span of positions is empty");
    assert!(matches!(
        rig.session(&[64], Plan::empty()),
        Err(Error::NoSuchToken { token: 64, vocab_size: 64 })
    ));
}

#[test]
fn hooks_that_misbehave_are_named_and_stay_alone() {
    let rig = Rig::tiny(256);
    let plain = rig.session(&PROMPT, Plan::empty()).unwrap().run().unwrap().logits;
    let nan = hook_fn([Site::ResidMid(1)], |_, stream, pass| {
        let stream = (stream * f64::NAN).map_err(Error::tensor("nan"))?;
        Ok(trimtab_runtime::hook::Edit::Replace { stream, positions: pass.tokens.len() })
    });
    let failed = rig.session(&PROMPT, Plan::of(nan)).unwrap().run().unwrap_err();
    assert_eq!(failed.to_string(), "resid_mid.1 is not finite at position 0");
    let reshaping = hook_fn([Site::Embed], |_, stream, _| {
        let stream = stream.t().map_err(Error::tensor("t"))?;
        Ok(trimtab_runtime::hook::Edit::Replace { stream, positions: 1 })
    });
    let failed = rig.session(&PROMPT, Plan::of(reshaping)).unwrap().run().unwrap_err();
    assert_eq!(failed.to_string(), "hook at embed returned shape [16, 7] for [7, 16]");
    let panicking = hook_fn([Site::Embed], |_, _, _| panic!("a hook's own fault"));
    let mut session = rig.session(&PROMPT, Plan::of(panicking)).unwrap();
    let failed = session.run().unwrap_err();
    assert_eq!(failed.to_string(), "hook panicked: a hook's own fault");
    drop(session);
    assert_eq!(rig.session(&PROMPT, Plan::empty()).unwrap().run().unwrap().logits, plain);
    assert_eq!(rig.pool.usage().free, rig.pool.usage().blocks);
}

#[test]
fn replanning_says_what_becomes_of_the_past() {
    let rig = Rig::tiny(512);
    let (old, new) = (Plan::of(push(Site::ResidPost(0), 1)), Plan::of(push(Site::ResidPost(0), 5)));
    let fresh = rig.session(&PROMPT, new.clone()).unwrap().advance(&[8]).unwrap().logits;
    let replanned = |history| {
        let mut session = rig.session(&PROMPT, old.clone()).unwrap();
        session.run().unwrap();
        session.replan(new.clone(), history).unwrap();
        session.advance(&[8]).unwrap().logits
    };
    assert_eq!(replanned(History::Recompute), fresh);
    assert_ne!(replanned(History::Keep), fresh);
}

#[test]
fn a_checkpoint_outlives_a_replan_only_with_its_history() {
    let rig = Rig::tiny(512);
    let mut session = rig.session(&PROMPT, steered()).unwrap();
    let expected = session.run().unwrap().logits;
    session.push(&[8]).unwrap();
    let checkpoint = session.checkpoint();
    let after = session.run().unwrap().logits;
    session.replan(Plan::empty(), History::Keep).unwrap();
    assert_ne!(session.advance(&[9]).unwrap().logits, expected);
    session.rollback(&checkpoint).unwrap();
    assert_eq!(session.run().unwrap().logits, after, "the old plan and its hooks are back");
    session.replan(Plan::empty(), History::Recompute).unwrap();
    session.run().unwrap();
    let stale = session.rollback(&checkpoint).unwrap_err();
    assert!(matches!(stale, Error::StaleCheckpoint { len: 8 }), "{stale}");
}

#[test]
fn a_checkpoint_whose_history_was_cut_is_stale() {
    let rig = Rig::tiny(512);
    let mut session = rig.session(&PROMPT, Plan::empty()).unwrap();
    let early = session.checkpoint();
    session.advance(&[1, 2, 3]).unwrap();
    let late = session.checkpoint();
    session.rollback(&early).unwrap();
    session.advance(&[4, 5, 6, 7]).unwrap();
    assert!(matches!(session.rollback(&late), Err(Error::StaleCheckpoint { .. })));
    assert_eq!(session.len(), PROMPT.len() + 4, "a refused rewind changes nothing");
    session.rollback(&early).unwrap();
}

#[test]
fn a_full_context_is_an_error_that_loses_nothing() {
    let rig = Rig::tiny(2048);
    let tokens = vec![1; tiny::CONTEXT];
    let mut session = rig.session(&tokens, Plan::empty()).unwrap();
    let full = session.push(&[1]).unwrap_err();
    assert_eq!(full.to_string(), "sequence of 1025 tokens does not fit the context of 1024");
    assert_eq!(session.len(), tiny::CONTEXT);
}

#[test]
fn attention_weights_of_the_last_token_are_a_distribution_over_what_it_sees() {
    let rig = Rig::tiny(256);
    let mut session = rig.session(&PROMPT, Plan::empty()).unwrap();
    let plain = rig.session(&PROMPT, Plan::empty()).unwrap().run().unwrap().logits;
    let want = Want { attention: vec![0, 2], ..Want::default() };
    let output = rig.decoder.forward(&mut [session.row(want)]).unwrap();
    assert_eq!(output.to_host().unwrap()[0].logits, plain, "watching changes nothing");
    let watched = output.attention(0).unwrap();
    assert_eq!(watched.keys().copied().collect::<Vec<_>>(), [0, 2]);
    for weights in watched.values() {
        let heads = weights.to_vec2::<f32>().unwrap();
        assert_eq!((heads.len(), heads[0].len()), (4, PROMPT.len()));
        assert!(heads.iter().all(|h| (h.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    }
    let want = Want { attention: vec![3], ..Want::default() };
    session.push(&[1]).unwrap();
    assert!(rig.decoder.forward(&mut [session.row(want)]).is_err());
}

#[test]
fn a_checkpoint_is_good_for_its_session_and_its_forks_only() {
    let rig = Rig::tiny(512);
    let mut one = rig.session(&PROMPT, steered()).unwrap();
    one.advance(&[1, 2]).unwrap();
    let early = one.checkpoint();
    let expected = one.advance(&[3]).unwrap().logits;
    let mut fork = one.fork();
    let late = one.checkpoint();
    fork.advance(&[9, 9, 9]).unwrap();
    assert!(matches!(fork.rollback(&late), Err(Error::Misuse(_))), "made after the fork");
    fork.rollback(&early).unwrap();
    assert_eq!(fork.advance(&[3]).unwrap().logits, expected);
    let mut stranger = rig.session(&[5; 30], Plan::empty()).unwrap();
    stranger.run().unwrap();
    assert!(matches!(stranger.rollback(&early), Err(Error::Misuse(_))));
}

#[test]
fn a_restart_is_a_fresh_run_of_the_first_tokens() {
    let rig = Rig::tiny(512);
    let mut session = rig.session(&PROMPT, steered()).unwrap();
    session.advance(&[1, 2, 3]).unwrap();
    session.restart(PROMPT.len() + 1).unwrap();
    let expected = rig.session(&PROMPT, steered()).unwrap().advance(&[1]).unwrap().logits;
    assert_eq!(session.run().unwrap().logits, expected);
}
