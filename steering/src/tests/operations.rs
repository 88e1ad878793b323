//! Every operation in a session: laws, exactness, and where the hook and the fused addition must agree.

use super::{adding, card};
use crate::direction::Direction;
use crate::file::VectorFile;
use crate::file::card::Operation;
use crate::ops::{Rescale, Unit};
use crate::scope::{Phase, Picks, Scope, ScopeParams};
use crate::steer::{Steer, SteerOptions};
use std::sync::Arc;
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::hook::{Addition, Edit, Intervention, hook_fn};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::{History, Session};
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::{laws, tiny};

pub(super) const PROMPT: [u32; 5] = [3, 1, 4, 1, 5];
pub(super) const ANSWER: [u32; 6] = [9, 2, 6, 5, 3, 5];
const SITES: [Site; 2] = [Site::ResidPost(0), Site::ResidPost(1)];

/// A dense unit row.
pub(super) fn dense(site: Site, seed: f32) -> Direction {
    let raw: Vec<f32> = (0..tiny::WIDTH).map(|i| (i as f32 * 0.9 + seed).sin()).collect();
    Direction::normalised(site, &raw).unwrap().0
}

/// A vector of dense rows at these sites, magnitude 2 and anchor 0.
pub(super) fn vector(operation: Operation, sites: &[Site]) -> VectorFile {
    let directions: Vec<Direction> = sites.iter().map(|site| dense(*site, 0.4)).collect();
    VectorFile::new(card(operation, &directions), directions).unwrap()
}

/// One of every operation, with options that give it something to do.
pub(super) fn every_operation() -> Vec<SteerOptions> {
    let plain = SteerOptions { scale: Some(0.7), ..SteerOptions::default() };
    let of = |operation| SteerOptions { operation: Some(operation), ..plain.clone() };
    vec![
        plain.clone(),
        SteerOptions { unit: Unit::StreamNorm, ..plain.clone() },
        SteerOptions { rescale: Rescale::KeepNorm, ..plain.clone() },
        of(Operation::Project),
        of(Operation::Clamp { min: Some(0.5), max: Some(1.0) }),
        of(Operation::Clamp { min: Some(0.3), max: Some(0.3) }),
        of(Operation::Rotate { degrees: 25.0 }),
    ]
}

pub(super) fn steer(options: &SteerOptions) -> Steer {
    Steer::new(&vector(Operation::Add, &SITES), options).unwrap()
}

/// Logits of every answer token and what fired.
pub(super) fn answer(decoder: &Arc<Decoder>, plan: Plan) -> (Vec<Vec<f32>>, Vec<u64>) {
    let pool = decoder.pool(64).unwrap();
    let mut session = Session::new(decoder.clone(), &pool, plan).unwrap();
    session.push_prompt(&PROMPT).unwrap();
    let mut logits = vec![session.run().unwrap().logits.remove(0)];
    logits.extend(ANSWER.iter().map(|t| session.advance(&[*t]).unwrap().logits.remove(0)));
    (logits, session.fired().to_vec())
}

fn apart(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_operation_keeps_the_laws_of_interventions() {
    for options in every_operation() {
        laws::check_intervention(Arc::new(steer(&options))).unwrap();
    }
}

#[test]
fn every_operation_acts_on_every_token_it_is_asked_for() {
    let decoder = tiny::decoder().unwrap();
    let (plain, _) = answer(&decoder, Plan::empty());
    for options in every_operation() {
        let (steered, fired) = answer(&decoder, Plan::of(steer(&options)));
        assert!(apart(&plain, &steered) > 1e-2, "{options:?}");
        let in_range = matches!(options.operation, Some(Operation::Clamp { .. }));
        let all = ((PROMPT.len() + ANSWER.len()) * SITES.len()) as u64;
        assert!(fired == [all] || (in_range && fired[0] > 0 && fired[0] <= all), "{fired:?}");
    }
}

#[test]
fn scale_zero_is_the_model_itself_for_every_operation() {
    let decoder = tiny::decoder().unwrap();
    let (plain, _) = answer(&decoder, Plan::empty());
    for options in every_operation() {
        let none = steer(&SteerOptions { scale: Some(0.0), ..options });
        assert_eq!(answer(&decoder, Plan::of(none)), (plain.clone(), vec![0]));
    }
}

#[test]
fn adding_and_taking_away_is_the_model_itself() {
    let decoder = tiny::decoder().unwrap();
    let of = |scale| steer(&SteerOptions { scale: Some(scale), ..SteerOptions::default() });
    let both = Plan::of(of(0.7)).then(of(-0.7));
    assert_eq!(answer(&decoder, both).0, answer(&decoder, Plan::empty()).0);
}

#[test]
fn adding_behind_a_block_is_a_bias_of_its_mlp() {
    let decoder = tiny::decoder().unwrap();
    for block in 0..tiny::LAYERS {
        let file = vector(Operation::Add, &[Site::ResidPost(block)]);
        let added = Steer::new(&file, &SteerOptions::default()).unwrap();
        let bias = added.additions()[0].vector().to_vec();
        let biased = hook_fn([Site::MlpOut(block)], move |_, out, pass| {
            // candle's own addition of a vector to every row.
            let bias = candle_core::Tensor::new(bias.as_slice(), out.device());
            let stream = bias.and_then(|bias| out.broadcast_add(&bias));
            let stream = stream.map_err(trimtab_runtime::Error::tensor("bias"))?;
            Ok(Edit::Replace { stream, positions: pass.tokens.len() })
        });
        let (added, _) = answer(&decoder, Plan::of(added));
        let (biased, _) = answer(&decoder, Plan::of(biased));
        assert!(apart(&added, &biased) <= 1e-5, "{block}: {}", apart(&added, &biased));
        assert!(apart(&added, &answer(&decoder, Plan::empty()).0) > 1e-2);
    }
}

#[test]
fn one_block_further_is_another_place() {
    let decoder = tiny::decoder().unwrap();
    let at = |site| {
        let steer = Steer::new(&adding(&[site], tiny::WIDTH).unwrap(), &SteerOptions::default());
        answer(&decoder, Plan::of(steer.unwrap())).0
    };
    let plain = |site| {
        let mut row = vec![0.0; tiny::WIDTH];
        row[0] = 2.0;
        answer(&decoder, Plan::of(Addition::new(site, row, 1.0).unwrap())).0
    };
    for block in 0..tiny::LAYERS - 1 {
        let (here, next) = (Site::ResidPost(block), Site::ResidPost(block + 1));
        assert_eq!(at(here), plain(here));
        assert!(apart(&at(here), &at(next)) > 1e-2);
    }
}

#[test]
fn the_hook_adds_what_the_fused_addition_adds() {
    let decoder = tiny::decoder().unwrap();
    let options = SteerOptions { scale: Some(0.7), ..SteerOptions::default() };
    let fused = steer(&options);
    assert!(fused.is_lowered());
    // Tokens one by one say the same as the whole phase, and only a hook can do them.
    let tokens: Vec<u32> = (0..tiny::VOCABULARY as u32).collect();
    let include = Picks { tokens, ..Picks::default() };
    let phase = Phase { include, exclude: Picks::default() };
    let scope = ScopeParams { prompt: phase.clone(), generation: phase }.check().unwrap();
    let hooked = steer(&SteerOptions { scope: Some(scope), ..options });
    assert!(!hooked.is_lowered());
    assert_eq!(answer(&decoder, Plan::of(hooked)), answer(&decoder, Plan::of(fused)));
}

#[test]
fn a_scope_fires_where_it_says() {
    let decoder = tiny::decoder().unwrap();
    let picks = |prompt, generation| {
        let phase = |include| Phase { include, exclude: Picks::default() };
        ScopeParams { prompt: phase(prompt), generation: phase(generation) }.check().unwrap()
    };
    let tokens = |tokens: &[u32]| Picks { tokens: tokens.to_vec(), ..Picks::default() };
    let at = |positions: &[i64]| Picks { positions: positions.to_vec(), ..Picks::default() };
    for (scope, per_site) in [
        (Scope::all(), 11),
        (Scope::prompt(), 5),
        (Scope::generated(), 6),
        (Scope::last(), 1),
        (picks(at(&[-1]), Picks::whole()), 7),
        (picks(tokens(&[1]), Picks::default()), 2),
        (picks(tokens(&[1]), tokens(&[5, 6])), 5),
        (picks(at(&[0, -1, 99]), at(&[1])), 3),
    ] {
        for options in every_operation().into_iter().take(4) {
            let steer = steer(&SteerOptions { scope: Some(scope.clone()), ..options });
            laws::check_intervention(Arc::new(steer.clone())).unwrap();
            let (_, fired) = answer(&decoder, Plan::of(steer));
            assert_eq!(fired, [per_site * SITES.len() as u64], "{scope:?}");
        }
    }
}

#[test]
fn cached_decoding_is_a_full_run_with_steering_on() {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(256).unwrap();
    for options in every_operation() {
        let plan = Plan::of(steer(&options));
        let (cached, _) = answer(&decoder, plan.clone());
        for (n, expected) in cached.iter().enumerate() {
            let mut session = Session::new(decoder.clone(), &pool, plan.clone()).unwrap();
            session.push_prompt(&PROMPT).unwrap();
            session.push(&ANSWER[..n]).unwrap();
            assert_eq!(&session.run().unwrap().logits[0], expected);
        }
    }
}

#[test]
fn rows_of_a_batch_are_what_they_are_alone() {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(512).unwrap();
    let prompts: [&[u32]; 3] = [&PROMPT, &[7, 8], &[1, 2, 3, 4, 5, 6, 7, 8, 9]];
    for options in every_operation() {
        let steered = Plan::of(steer(&options));
        let plans = [steered.clone(), Plan::empty(), steered];
        let start = |i: usize| {
            let mut session = Session::new(decoder.clone(), &pool, plans[i].clone()).unwrap();
            session.push_prompt(prompts[i]).unwrap();
            session
        };
        let mut together: Vec<Session> = (0..3).map(start).collect();
        let mut rows: Vec<_> = together.iter_mut().map(|s| s.row(Default::default())).collect();
        let found = decoder.forward(&mut rows).unwrap().to_host().unwrap();
        for (i, found) in found.iter().enumerate() {
            assert_eq!(found.logits, start(i).run().unwrap().logits, "row {i}");
        }
        assert_eq!(together[1].fired(), [0u64; 0]);
    }
}

#[test]
fn a_changed_scale_over_an_old_cache_must_be_declared() {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(256).unwrap();
    for options in every_operation() {
        let weaker = Plan::of(steer(&SteerOptions { scale: Some(0.2), ..options.clone() }));
        let stronger = Plan::of(steer(&options));
        assert_ne!(weaker.fingerprint(), stronger.fingerprint());
        let after = |history| {
            let mut session = Session::new(decoder.clone(), &pool, weaker.clone()).unwrap();
            session.push_prompt(&PROMPT).unwrap();
            session.run().unwrap();
            session.replan(stronger.clone(), history).unwrap();
            session.advance(&[9]).unwrap().logits.remove(0)
        };
        let mut fresh = Session::new(decoder.clone(), &pool, stronger.clone()).unwrap();
        fresh.push_prompt(&PROMPT).unwrap();
        let fresh = fresh.advance(&[9]).unwrap().logits.remove(0);
        assert_eq!(after(History::Recompute), fresh);
        assert_ne!(after(History::Keep), fresh);
    }
}

#[test]
fn an_error_in_a_hook_leaves_the_next_session_alone() {
    let decoder = tiny::decoder().unwrap();
    let (plain, _) = answer(&decoder, Plan::empty());
    let pool = decoder.pool(64).unwrap();
    for options in every_operation() {
        let plan = Plan::of(steer(&options)).then(failing());
        let mut session = Session::new(decoder.clone(), &pool, plan).unwrap();
        session.push_prompt(&PROMPT).unwrap();
        assert!(session.run().is_err());
        // Cancelled in the middle of its prompt.
        let mut cancelled =
            Session::new(decoder.clone(), &pool, Plan::of(steer(&options))).unwrap();
        cancelled.set_chunk(2);
        cancelled.push_prompt(&PROMPT).unwrap();
        cancelled.prefill().unwrap();
        drop(cancelled);
        assert_eq!(answer(&decoder, Plan::empty()).0, plain);
    }
}

fn failing() -> impl Intervention {
    hook_fn([Site::ResidPost(1)], |_, _, _| {
        Err(trimtab_runtime::Error::Misuse("this hook always fails"))
    })
}

#[test]
fn a_failed_pass_can_be_run_again() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(64).unwrap();
    for options in every_operation() {
        let (expected, _) = answer(&decoder, Plan::of(steer(&options)));
        let calls = Arc::new(AtomicU64::new(0));
        let once = hook_fn([Site::ResidPost(2)], move |_, _, _| {
            // The second pass fails once, behind everything that steers.
            match calls.fetch_add(1, Ordering::Relaxed) {
                1 => Err(trimtab_runtime::Error::Misuse("once")),
                _ => Ok(Edit::Keep),
            }
        });
        let plan = Plan::of(steer(&options)).then(once);
        let mut session = Session::new(decoder.clone(), &pool, plan).unwrap();
        session.push_prompt(&PROMPT).unwrap();
        session.run().unwrap();
        assert!(session.advance(&ANSWER[..1]).is_err());
        assert_eq!(session.run().unwrap().logits[0], expected[1]);
    }
}

#[test]
fn another_operation_is_done_with_a_warning_or_not_at_all() {
    let of = |own, asked| {
        let options = SteerOptions { operation: Some(asked), ..SteerOptions::default() };
        Steer::new(&vector(own, &SITES), &options)
    };
    let rotate = Operation::Rotate { degrees: 10.0 };
    let clamp = Operation::Clamp { min: Some(0.0), max: None };
    for asked in [Operation::Project, clamp, rotate] {
        let steer = of(Operation::Add, asked).unwrap();
        let warning = steer.overridden().unwrap();
        assert_eq!((warning.from, warning.to), ("add", asked.kind()));
        assert!(warning.to_string().starts_with("operation_overridden"));
        // The card's scale counts class gaps, which the other operation does not know.
        assert_eq!(steer.scale(), 1.0);
    }
    for own in [Operation::Add, Operation::Project, clamp, rotate] {
        assert_eq!(of(own, own).unwrap().overridden(), None);
    }
    for (own, asked) in [
        (Operation::Project, Operation::Add),
        (Operation::Project, rotate),
        (clamp, Operation::Add),
        (rotate, Operation::Project),
    ] {
        let error = of(own, asked).unwrap_err();
        assert_eq!(error.code(), "operation_refused", "{own:?} {asked:?}");
    }
    let error = of(Operation::Project, Operation::Add).unwrap_err().to_string();
    assert!(error.starts_with("add is refused: calm is a project vector"), "{error}");
}

#[test]
fn a_vector_of_another_width_is_refused_before_the_first_token() {
    let directions = vec![Direction::new(Site::ResidPost(0), 1, vec![0.6, 0.8]).unwrap()];
    let file = VectorFile::new(card(Operation::Project, &directions), directions).unwrap();
    let steer = Steer::new(&file, &SteerOptions::default()).unwrap();
    let error = Plan::of(steer).bind(tiny::decoder().unwrap().spec()).unwrap_err();
    assert!(matches!(error, trimtab_runtime::Error::Width { found: 2, .. }), "{error}");
}

#[test]
fn everything_that_changes_the_effect_changes_the_fingerprint() {
    let mut all = every_operation();
    all.push(SteerOptions { scope: Some(Scope::last()), ..all[3].clone() });
    all.push(SteerOptions { rescale: Rescale::KeepNorm, ..all[3].clone() });
    all.push(SteerOptions { scale: Some(0.6), ..all[3].clone() });
    all.push(SteerOptions { blocks: Some(1..=1), ..all[3].clone() });
    let prints: Vec<_> = all.iter().map(|options| steer(options).fingerprint()).collect();
    for (i, a) in prints.iter().enumerate() {
        assert_eq!(*a, steer(&all[i]).fingerprint());
        assert!(prints[..i].iter().all(|b| a != b), "{:?}", all[i]);
    }
}
