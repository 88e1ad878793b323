//! Duels token by token, on the tiny model.

use super::*;
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::generate::{Answer, Flow, Generation, Request, complete, run_group};
use trimtab_runtime::group_sampling::{Candidate, GroupSampler};
use trimtab_runtime::logits::{Bias, Context};
use trimtab_runtime::monitor::{AnswerView, Monitor, Verdict};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Sampling, SamplingParams};
use trimtab_runtime::session::Session;
use trimtab_runtime::testing::tiny;

const FEATURES: usize = 8;
/// Tokens that the simulated user likes.
const LIKED: std::ops::Range<u32> = 10..20;

struct Model {
    decoder: Arc<Decoder>,
    features: Arc<TokenFeatures>,
}

fn model() -> Model {
    let decoder = tiny::decoder().unwrap();
    let features = Arc::new(TokenFeatures::of(&decoder, FEATURES).unwrap());
    Model { decoder, features }
}

impl Model {
    fn untaught(&self, params: TpopParams) -> TpopState {
        let params = TpopParams { level: DuelLevel::Token, features: FEATURES, ..params };
        let config = params.check().unwrap();
        let (extractor, width) = (*self.features.id(), self.features.width());
        TpopState::new(TpopScope { config, extractor, width, seed: 1 }).unwrap()
    }

    /// A state that has learnt to like some tokens.
    fn taught(&self, params: TpopParams) -> TpopState {
        let liked: Vec<u32> = LIKED.collect();
        let pairs = (0..12u64).map(|id| {
            let at = id as usize % 9;
            let other = [30 + id as u32, 40 + id as u32];
            let both = [&liked[at..at + 2], &other].map(|tokens| self.features.of_answer(tokens));
            pair(id, [&both[0], &both[1]], PairLabel::A)
        });
        taught(self.untaught(params), pairs)
    }

    fn generation(&self, sampling: Sampling) -> Generation {
        let pool = self.decoder.pool(256).unwrap();
        let mut session = Session::new(self.decoder.clone(), &pool, Plan::empty()).unwrap();
        session.push_prompt(&[3, 1, 4, 1, 5, 9]).unwrap();
        let no_end = Bias::new([(tiny::END, f32::NEG_INFINITY)]).unwrap();
        let request = Request {
            sampling,
            seed: 5,
            max_tokens: Some(24),
            processors: vec![Arc::new(no_end)],
            ..Request::default()
        };
        Generation::new(session, tiny::tokenizer().unwrap(), request).unwrap()
    }

    fn duel(&self, state: &TpopState, sampling: Sampling) -> ([Answer; 2], TokenDuel) {
        let taste = TokenTaste::of(state, self.features.clone()).unwrap();
        let mut duel = TokenDuel::new(Arc::new(taste), sampling);
        let mut arms = [self.generation(sampling), self.generation(sampling)];
        run_group(&mut arms, &mut duel, &mut |_, _| Flow::Continue).unwrap();
        (arms.map(|arm| arm.into_answer().unwrap()), duel)
    }
}

pub(super) fn sampled() -> Sampling {
    SamplingParams { temperature: 0.9, top_p: 0.95, ..SamplingParams::default() }.check().unwrap()
}

#[test]
fn m11_scores_are_the_bias_of_the_projected_weights() {
    let model = model();
    let state = model.taught(TpopParams::default());
    let taste = TokenTaste::of(&state, model.features.clone()).unwrap();
    // W·(Pᵀθ) by the model's own head, up to the constant θᵀPμ that no softmax sees.
    let weights = model.features.whitening().apply_transposed(state.head().weights()).unwrap();
    let weights: Vec<f32> = weights.iter().map(|x| *x as f32).collect();
    let bias = model.decoder.head().apply(&weights).unwrap();
    let constant = f64::from(bias[0]) - taste.scores()[0];
    for (score, bias) in taste.scores().iter().zip(&bias) {
        assert!((f64::from(*bias) - score - constant).abs() < 1e-4, "{score} {bias}");
    }
    assert!(taste.scores().iter().any(|s| s.abs() > 0.1));
}

#[test]
fn token_features_are_whitened_rows_and_their_means() {
    let model = model();
    let mut row = vec![0.0; tiny::VOCABULARY];
    row[17] = 1.0;
    let row = model.decoder.head().apply_transposed(&row).unwrap();
    let expected = model.features.whitening().apply(&matrix::wide(&row)).unwrap();
    near(&matrix::wide(model.features.of_token(17).unwrap()), &expected, 1e-4);
    let mean = model.features.of_answer(&[17, 17, 3]);
    let third = |at: usize| {
        let of = |token| f64::from(model.features.of_token(token).unwrap()[at]);
        (2.0 * of(17) + of(3)) / 3.0
    };
    near(&matrix::wide(&mean), &(0..FEATURES).map(third).collect::<Vec<_>>(), 1e-5);
    let tokens = [1, 2, 3, 4, 5];
    let prefixes = (0..50).map(|at| model.features.of_prefix(&tokens, &stream::named(1, "p", at)));
    let known: Vec<_> = (3..=5).map(|n| model.features.of_answer(&tokens[..n])).collect();
    let seen = prefixes.map(|prefix| known.iter().position(|k| *k == prefix).unwrap());
    assert_eq!(seen.collect::<std::collections::BTreeSet<_>>().len(), 3);
    assert_eq!(model.features.of_token(64), None);
    assert_eq!(model.features.of_answer(&[]), vec![0.0; FEATURES]);
}

#[test]
fn m03_without_data_arm_a_is_the_plain_answer_bit_for_bit() {
    let model = model();
    for sampling in [Sampling::Greedy, sampled()] {
        for score in [TokenScore::Tilt, TokenScore::Prob] {
            let state = model.untaught(TpopParams { score, ..TpopParams::default() });
            let ([a, b], duel) = model.duel(&state, sampling);
            let plain = complete(model.generation(sampling)).unwrap();
            assert_eq!((&a.tokens, &a.steps), (&plain.tokens, &plain.steps));
            assert_ne!(a.tokens[0], b.tokens[0]);
            assert_eq!(duel.kl(), [0.0, 0.0]);
        }
    }
}

#[test]
fn m11_arms_are_forced_apart_exactly_once() {
    /// Shows every row the same logits, so that the arms would agree at every step.
    struct Same(TokenDuel);
    impl GroupSampler for Same {
        fn choose(&mut self, rows: &[Candidate]) -> trimtab_runtime::Result<Vec<u32>> {
            let logits: Vec<f32> = (0..tiny::VOCABULARY).map(|id| -(id as f32)).collect();
            let same = rows.iter().map(|row| Candidate {
                index: row.index,
                logits: &logits,
                context: Context { ..row.context },
                reading: None,
                sampling: row.sampling,
                draw: row.draw,
            });
            let rows: Vec<Candidate<'_>> = same.collect();
            self.0.choose(&rows)
        }
    }
    let model = model();
    let taste = TokenTaste::of(&model.untaught(TpopParams::default()), model.features.clone());
    let mut same = Same(TokenDuel::new(Arc::new(taste.unwrap()), Sampling::Greedy));
    let mut arms = [model.generation(Sampling::Greedy), model.generation(Sampling::Greedy)];
    run_group(&mut arms, &mut same, &mut |_, _| Flow::Continue).unwrap();
    let [a, b] = arms.map(|arm| arm.into_answer().unwrap());
    assert_eq!((a.tokens[0], b.tokens[0]), (0, 1));
    assert_eq!(a.tokens[1..], b.tokens[1..]);
    assert_eq!(same.0.forced(), 1);
}

#[test]
fn a_taste_moves_words_within_its_cap() {
    let model = model();
    let liked = |answer: &Answer| answer.tokens.iter().filter(|t| LIKED.contains(t)).count();
    let plain = complete(model.generation(sampled())).unwrap();
    let strong = TpopParams { omega: 5.0, kl_cap: 2.0, ..TpopParams::default() };
    let ([a, _], duel) = model.duel(&model.taught(strong), sampled());
    assert!(liked(&a) > liked(&plain), "{} {}", liked(&a), liked(&plain));
    assert!(duel.kl()[0] > 1.0);
    for kl_cap in [0.0, 0.1, 0.5] {
        let state = model.taught(TpopParams { kl_cap, ..strong });
        let ([a, _], duel) = model.duel(&state, sampled());
        assert!(duel.kl().iter().all(|kl| *kl <= 24.0 * kl_cap + 1e-9), "{:?}", duel.kl());
        assert!(kl_cap > 0.0 || a.tokens == plain.tokens);
    }
    // The control: a user of the opposite taste.
    let turned = taught(
        model.untaught(strong),
        model.taught(strong).pairs().map(|p| DuelPair { judgement: PairLabel::B, ..p.clone() }),
    );
    let ([other, _], _) = model.duel(&turned, sampled());
    assert!(liked(&other) < liked(&a), "{} {}", liked(&other), liked(&a));
}

#[test]
fn candidates_are_the_union_of_both_rows_and_only_b_has_a_bonus() {
    let model = model();
    let params = TpopParams { top_k: 2, kl_cap: 2.0, ..TpopParams::default() };
    let taste = TokenTaste::of(&model.taught(params), model.features.clone()).unwrap();
    let logits = |best: [usize; 2]| {
        let mut logits = vec![0.0f32; tiny::VOCABULARY];
        best.into_iter().for_each(|id| logits[id] = 3.0);
        logits
    };
    let (x, y) = (logits([5, 12]), logits([12, 40]));
    let row = |arm, logits| DuelRow { arm, logits };
    let written = model.features.of_answer(&[12]);
    let tilted = taste.tilt(&[row(TokenArm::A, &x), row(TokenArm::B, &y)], &written);
    let ids = |row: &TiltedRow| row.scores.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!((ids(&tilted[0]), ids(&tilted[1])), (vec![5, 12, 40], vec![5, 12, 40]));
    // Token 12 is all that arm a has written: of the candidates it has the smallest bonus.
    let of = |arm| taste.tilt(&[row(arm, &x), row(arm, &y)], &written)[0].scores[1].1;
    assert!(of(TokenArm::B) < of(TokenArm::A));
    let sum: f64 = tilted[0].scores.iter().map(|(_, score)| score).sum();
    assert!(sum.abs() < 1e-9, "scores are not centred: {sum}");
    let prob = TpopParams { score: TokenScore::Prob, ..params };
    let taste = TokenTaste::of(&model.taught(prob), model.features.clone()).unwrap();
    let scored = taste.tilt(&[row(TokenArm::A, &x), row(TokenArm::B, &y)], &written);
    assert_eq!((scored[0].kl, scored[0].share), (0.0, 1.0));
    let ([a, b], _) = model.duel(&model.taught(prob), sampled());
    assert_ne!(a.tokens[0], b.tokens[0]);
}

#[test]
fn tastes_of_other_features_or_nets_are_refused() {
    let model = model();
    let state = model.untaught(TpopParams { head: HeadKind::Mlp, ..TpopParams::default() });
    let refused = TokenTaste::of(&state, model.features.clone()).unwrap_err();
    assert!(matches!(refused, TpopError::Unsupported { .. }), "{refused}");
    let ahead = TpopParams { token_features: TokenFeatureKind::Lookahead, ..TpopParams::default() };
    let refused = TokenTaste::of(&model.untaught(ahead), model.features.clone()).unwrap_err();
    assert!(matches!(refused, TpopError::Unsupported { .. }), "{refused}");
    let refused = TokenTaste::of(&super::state(), model.features.clone()).unwrap_err();
    assert!(matches!(refused, TpopError::OtherExtractor { .. }), "{refused}");
}

/// One step of both arms, whose tokens so far are these behind a prompt of two.
fn step(duel: &mut TokenDuel, rows: [&[f32]; 2], tokens: [&[u32]; 2]) -> Vec<u32> {
    let tokens = tokens.map(|own| [&[3, 1], own].concat());
    let rows = rows.iter().zip(&tokens).enumerate().map(|(index, (logits, tokens))| Candidate {
        index,
        logits,
        context: Context { tokens, prompt_len: 2 },
        reading: None,
        sampling: &Sampling::Greedy,
        draw: stream::named(1, "step", index),
    });
    duel.choose(&rows.collect::<Vec<_>>()).unwrap()
}

fn greedy(model: &Model, state: &TpopState) -> TokenDuel {
    let taste = TokenTaste::of(state, model.features.clone()).unwrap();
    TokenDuel::new(Arc::new(taste), Sampling::Greedy)
}

/// Logits that fall from this token on to those after it.
fn from(best: usize) -> Vec<f32> {
    let n = tiny::VOCABULARY;
    (0..n).map(|id| -(((id + n - best) % n) as f32)).collect()
}

#[test]
fn a_forbidden_token_is_chosen_by_no_score() {
    let model = model();
    for score in [TokenScore::Prob, TokenScore::Tilt] {
        let params = TpopParams { score, omega: 5.0, kl_cap: 2.0, ..TpopParams::default() };
        let state = model.taught(params);
        // What scores best is forbidden in one row and a candidate of the other.
        let taste = TokenTaste::of(&state, model.features.clone()).unwrap();
        let mut order: Vec<usize> = (0..tiny::VOCABULARY).collect();
        order.sort_by(|x, y| taste.scores()[*y].total_cmp(&taste.scores()[*x]));
        let mut banned = from(order[63]);
        order[..10].iter().for_each(|id| banned[*id] = f32::NEG_INFINITY);
        let free = from(order[0]);
        for rows in [[&banned[..], &free], [&free, &banned]] {
            let chosen = step(&mut greedy(&model, &state), rows, [&[], &[]]);
            for (logits, token) in rows.iter().zip(&chosen) {
                assert!(logits[*token as usize].is_finite(), "{score:?} {chosen:?}");
            }
        }
    }
}

#[test]
fn an_arm_with_one_allowed_token_is_not_forced_away_from_it() {
    let model = model();
    let mut only = vec![f32::NEG_INFINITY; tiny::VOCABULARY];
    only[7] = 0.0;
    let mut duel = greedy(&model, &model.untaught(TpopParams::default()));
    assert_eq!(step(&mut duel, [&from(7), &only], [&[], &[]]), [7, 7]);
    assert_eq!(duel.forced(), 0);
}

#[test]
fn arms_that_begin_anew_under_guidance_are_forced_apart_anew() {
    let model = model();
    let mut duel = greedy(&model, &model.untaught(TpopParams::default()));
    let (first, second) = (from(7), from(20));
    assert_eq!(step(&mut duel, [&first, &first], [&[], &[]]), [7, 8]);
    assert_eq!(step(&mut duel, [&first, &first], [&[7], &[8]]), [7, 7]);
    // Both go back to their start; the guidance 40, 41 is in the context and not in the answer.
    duel.rewind(0, 0);
    duel.rewind(1, 0);
    let guided: [&[u32]; 2] = [&[40, 41], &[40, 41]];
    assert_eq!(step(&mut duel, [&second, &second], guided), [20, 21]);
    // Arm b alone goes back: arm a's first token still counts.
    duel.rewind(1, 0);
    assert_eq!(step(&mut duel, [&first, &second], [&[40, 41, 20], &[40, 41]]), [7, 21]);
    // A shorter way back is no beginning.
    duel.rewind(0, 1);
    duel.rewind(1, 1);
    assert_eq!(step(&mut duel, [&second, &second], [&[40, 41, 20], &[40, 41, 21]]), [20, 20]);
    // Arm a alone goes back and begins with another token.
    duel.rewind(0, 0);
    assert_eq!(step(&mut duel, [&first, &first], [&[], &[40, 41, 21, 20]]), [7, 7]);
    duel.rewind(1, 0);
    assert_eq!(step(&mut duel, [&first, &second], [&[7], &[]]), [7, 20]);
}

/// Sends an answer of three tokens back to its start, once, under guidance.
pub(super) struct Restart {
    is_due: bool,
}

impl Restart {
    pub(super) fn due() -> Restart {
        Restart { is_due: true }
    }
}

impl Monitor for Restart {
    fn watch(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Verdict> {
        if self.is_due && answer.tokens.len() == 3 {
            self.is_due = false;
            let guidance = vec![40, 41];
            return Ok(Verdict::Retry { from: 0, plan: None, guidance, ban: Vec::new() });
        }
        let release = if self.is_due { 0 } else { answer.text.len() };
        Ok(Verdict::Continue { release, ask_after: 1 })
    }

    fn rewind(&mut self, _: usize) {}
}

#[test]
fn a_group_that_a_monitor_sends_back_is_forced_apart_anew() {
    let model = model();
    let mut duel = greedy(&model, &model.untaught(TpopParams::default()));
    let arm = || model.generation(Sampling::Greedy).watched_by(Restart::due());
    let mut arms = [arm(), arm()];
    run_group(&mut arms, &mut duel, &mut |_, _| Flow::Continue).unwrap();
    let [a, b] = arms.map(|arm| arm.into_answer().unwrap());
    assert_eq!((a.rewinds, b.rewinds), (1, 1));
    assert_ne!(a.tokens[0], b.tokens[0]);
    assert_eq!(duel.forced(), 2);
}
