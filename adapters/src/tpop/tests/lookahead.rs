//! Duels whose tokens are judged by what the model reads of the answer with each of them, on the tiny model.

use super::token::{Restart, sampled};
use super::*;
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::generate::{Answer, Flow, Generation, Request, complete, run_group};
use trimtab_runtime::group_sampling::{Candidate, GroupSampler};
use trimtab_runtime::logits::Bias;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::Sampling;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

const FEATURES: usize = 8;
const PROMPT: [u32; 6] = [3, 1, 4, 1, 5, 9];
const TOKENS: usize = 12;

struct Model {
    decoder: Arc<Decoder>,
    extractor: Arc<Extractor>,
}

fn model() -> Model {
    let decoder = tiny::decoder().unwrap();
    let extractor = extractor(&decoder, StatePooling::Own);
    Model { decoder, extractor }
}

/// Fitted on the activations of single tokens.
fn extractor(decoder: &Arc<Decoder>, pooling: StatePooling) -> Arc<Extractor> {
    let pooled: Vec<f32> = (0..40).flat_map(|token| own_states(decoder, &[token])).collect();
    let tokens: Vec<usize> = (1..=40).collect();
    let origin = ExtractorOrigin {
        model: "tiny".to_owned(),
        quantisation: String::new(),
        kv_plan: [0; 32],
        pooling,
    };
    let neutral = NeutralAnswers { pooled: &pooled, tokens: &tokens };
    Arc::new(Extractor::fit(origin, neutral, FEATURES).unwrap())
}

fn prompt(decoder: &Arc<Decoder>) -> Session {
    let pool = decoder.pool(2048).unwrap();
    let mut session = Session::new(decoder.clone(), &pool, Plan::empty()).unwrap();
    session.push_prompt(&PROMPT).unwrap();
    session
}

/// Activations at `final` of an answer's tokens, by one pass over everything.
// tokens [n] -> [n, d_model]
fn own_states(decoder: &Arc<Decoder>, tokens: &[u32]) -> Vec<f32> {
    let mut session = prompt(decoder);
    session.push(tokens).unwrap();
    let all = session.capture(&[Site::Final]).unwrap().remove(&Site::Final).unwrap();
    let states = all.to_vec2::<f32>().unwrap();
    states[PROMPT.len()..].concat()
}

impl Model {
    fn untaught(&self, params: TpopParams) -> TpopState {
        let (level, token_features) = (DuelLevel::Token, TokenFeatureKind::Lookahead);
        let params = TpopParams { level, token_features, features: FEATURES, ..params };
        let config = params.check().unwrap();
        let (extractor, width) = (*self.extractor.id(), self.extractor.width());
        TpopState::new(TpopScope { config, extractor, width, seed: 1 }).unwrap()
    }

    /// A state that has learnt to like what a large first feature says.
    fn taught(&self, params: TpopParams, liked: PairLabel) -> TpopState {
        let pairs = (0..12u64).map(|id| {
            let features = |first: f32| {
                let mut features = vec![0.1 * (id % 3) as f32; self.extractor.width()];
                features[0] = first;
                features
            };
            pair(id, [&features(2.0), &features(-2.0)], liked)
        });
        taught(self.untaught(params), pairs)
    }

    fn generation(&self, sampling: Sampling) -> Generation {
        let no_end = Bias::new([(tiny::END, f32::NEG_INFINITY)]).unwrap();
        let request = Request {
            sampling,
            seed: 5,
            max_tokens: Some(TOKENS),
            processors: vec![Arc::new(no_end)],
            ..Request::default()
        };
        Generation::new(prompt(&self.decoder), tiny::tokenizer().unwrap(), request).unwrap()
    }

    fn lookahead(&self, state: &TpopState) -> Lookahead {
        Lookahead::of(state, self.extractor.clone(), prompt(&self.decoder)).unwrap()
    }

    fn duel(&self, state: &TpopState, sampling: Sampling) -> ([Answer; 2], TokenDuel<Lookahead>) {
        let mut duel = TokenDuel::new(self.lookahead(state), sampling);
        let mut arms = [self.generation(sampling), self.generation(sampling)];
        run_group(&mut arms, &mut duel, &mut |_, _| Flow::Continue).unwrap();
        (arms.map(|arm| arm.into_answer().unwrap()), duel)
    }

    fn first_feature(&self, answer: &Answer) -> f32 {
        self.extractor.features(&own_states(&self.decoder, &answer.tokens)).unwrap()[0]
    }
}

fn strong() -> TpopParams {
    TpopParams { omega: 5.0, kl_cap: 2.0, ..TpopParams::default() }
}

/// Keeps the candidates of every step with the tokens that the arm had then.
struct Kept {
    duel: TokenDuel<Lookahead>,
    seen: Vec<(Vec<u32>, u32, Vec<f32>)>,
}

impl GroupSampler for Kept {
    fn choose(&mut self, rows: &[Candidate]) -> trimtab_runtime::Result<Vec<u32>> {
        let tokens = self.duel.choose(rows)?;
        for row in rows {
            for (token, state) in self.duel.taste().judged(row.index) {
                self.seen.push((row.context.generated().to_vec(), token, state.to_vec()));
            }
        }
        Ok(tokens)
    }

    fn rewind(&mut self, index: usize, tokens: usize) {
        self.duel.rewind(index, tokens);
    }
}

#[test]
fn m11_lookahead_states_equal_a_fresh_forward() {
    let model = model();
    let state = model.taught(TpopParams::default(), PairLabel::A);
    let duel = TokenDuel::new(model.lookahead(&state), sampled());
    let mut kept = Kept { duel, seen: Vec::new() };
    // Both arms are sent back to their start once, where guidance stands before what they write anew.
    let arm = || model.generation(sampled()).watched_by(Restart::due());
    let mut arms = [arm(), arm()];
    run_group(&mut arms, &mut kept, &mut |_, _| Flow::Continue).unwrap();
    assert!(kept.seen.len() > 2 * TOKENS * LOOKAHEAD_CANDIDATES, "{}", kept.seen.len());
    for (before, token, state) in &kept.seen {
        let all = own_states(&model.decoder, &[before.as_slice(), &[*token]].concat());
        let fresh = &all[all.len() - state.len()..];
        near(&matrix::wide(state), &matrix::wide(fresh), 1e-4);
    }
}

#[test]
fn a_token_that_was_judged_is_not_run_again() {
    let model = model();
    let (answers, duel) = model.duel(&model.taught(strong(), PairLabel::A), Sampling::Greedy);
    assert!(answers.iter().all(|answer| answer.tokens.len() == TOKENS));
    // Arm b may be forced to a token that was not judged, once; greedy choices are candidates otherwise.
    let judged = PROMPT.len() + 2 * TOKENS * LOOKAHEAD_CANDIDATES;
    let run = duel.taste().tokens_run();
    assert!((judged..=judged + 1).contains(&run), "{run} for {judged}");
}

#[test]
fn m03_lookahead_without_data_is_plain_bit_for_bit() {
    let model = model();
    for sampling in [Sampling::Greedy, sampled()] {
        let ([a, b], duel) = model.duel(&model.untaught(TpopParams::default()), sampling);
        let plain = complete(model.generation(sampling)).unwrap();
        assert_eq!((&a.tokens, &a.steps), (&plain.tokens, &plain.steps));
        assert_ne!(a.tokens[0], b.tokens[0]);
        assert_eq!((duel.kl(), duel.forced()), ([0.0, 0.0], 1));
        assert_eq!(duel.taste().tokens_run(), PROMPT.len());
    }
}

#[test]
fn a_taste_for_beginnings_moves_answers_within_its_cap_and_an_inverted_one_the_other_way() {
    let model = model();
    let of = |liked| {
        let ([a, _], duel) = model.duel(&model.taught(strong(), liked), sampled());
        assert!(duel.kl().iter().all(|kl| *kl > 0.0 && *kl <= 2.0 * TOKENS as f64));
        model.first_feature(&a)
    };
    let plain = model.first_feature(&complete(model.generation(sampled())).unwrap());
    let (liked, disliked) = (of(PairLabel::A), of(PairLabel::B));
    assert!(disliked < plain && plain < liked, "{disliked} {plain} {liked}");
}

#[test]
fn a_net_judges_beginnings_too_with_its_own_gradients() {
    let model = model();
    let net = |nu| TpopParams { head: HeadKind::Mlp, nu, ..strong() };
    let of = |nu| model.duel(&model.taught(net(nu), PairLabel::A), sampled());
    let ([a, b], duel) = of(0.0);
    assert!(duel.kl().iter().all(|kl| *kl > 0.0));
    // The bonus is arm b's alone, and it is not nothing.
    let ([same, other], _) = of(5.0);
    assert_eq!(a.tokens, same.tokens);
    assert_ne!(b.tokens, other.tokens);
}

#[test]
fn other_states_and_extractors_are_refused() {
    let model = model();
    let refused = |state: &TpopState, extractor: &Arc<Extractor>| {
        let prompt = prompt(&model.decoder);
        Lookahead::of(state, extractor.clone(), prompt).err().unwrap().to_string()
    };
    let other = refused(&super::state(), &model.extractor);
    assert!(other.contains("extractor"), "{other}");
    let before = extractor(&model.decoder, StatePooling::Before);
    let scope =
        TpopScope { extractor: *before.id(), ..*model.untaught(TpopParams::default()).scope() };
    let pooled = refused(&TpopState::new(scope).unwrap(), &before);
    assert!(pooled.contains("own activation"), "{pooled}");
    let config = TpopParams { features: FEATURES, ..TpopParams::default() }.check().unwrap();
    let scope = TpopScope { config, ..*model.untaught(TpopParams::default()).scope() };
    let level = refused(&TpopState::new(scope).unwrap(), &model.extractor);
    assert!(level.contains("tpop.level = token"), "{level}");
}
