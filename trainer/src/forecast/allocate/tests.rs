//! The loop by hand: what it opens, counts and answers.

use super::*;
use crate::forecast::beta_binomial::BetaParams;
use crate::forecast::chain::ChainEnd;
use crate::forecast::grid::{ForecastGrid, GridParams};
use crate::forecast::index::{BoxReward, RewardBox};

fn grid() -> ForecastGrid {
    GridParams { step: 16, max: 48 }.check().unwrap()
}

/// Distributions of these means, nearly certain.
fn sure(means: [f64; 4]) -> Vec<BetaParams> {
    means.map(|mean| BetaParams::of_mean(mean, 1000.0)).to_vec()
}

/// Distributions of these means, of which little is known.
fn vague(means: [f64; 4]) -> Vec<BetaParams> {
    means.map(|mean| BetaParams::of_mean(mean, 2.0)).to_vec()
}

fn model(price: f64, forecast: Vec<BetaParams>) -> ModelEntry {
    ModelEntry { price, prefill_tokens: 10, forecast }
}

fn params() -> AllocateParams {
    AllocateParams {
        lambda: 0.001,
        hard_cap: 96,
        max_chains: 3,
        default_length: 48,
        ..AllocateParams::default()
    }
}

fn begin(params: AllocateParams, models: Vec<ModelEntry>) -> Allocation {
    Allocation::new(params, grid(), models).unwrap()
}

fn spend(of: &Allocation) -> Spend {
    match of.next_move().clone() {
        AllocationMove::Spend(spend) => spend,
        other => panic!("{other:?}"),
    }
}

fn forced(of: &Allocation) -> Vec<usize> {
    match of.next_move().clone() {
        AllocationMove::Force(chains) => chains,
        other => panic!("{other:?}"),
    }
}

fn done(of: &Allocation) -> AllocationOutcome {
    match of.next_move().clone() {
        AllocationMove::Done(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn report(of: &mut Allocation, generated: u32, end: ChainEnd, forecast: Vec<BetaParams>) {
    of.spent(Spent { generated, end, forecast: Some(forecast) }).unwrap();
}

fn answer(chain: usize, tokens: u32, answer: &str) -> ForcedAnswer {
    ForcedAnswer { chain, tokens, answer: Some(answer.to_owned()) }
}

const RISING: [f64; 4] = [0.2, 0.4, 0.5, 0.55];
const LEVEL: [f64; 4] = [0.6, 0.6, 0.6, 0.6];

#[test]
fn m07_tokens_are_those_counted_by_hand() {
    let params = AllocateParams { pick: AnswerPick::Vote, ..params() };
    let models = vec![model(1.0, vague(RISING)), model(4.0, vague([0.1; 4]))];
    let mut all = begin(params, models);
    let first = spend(&all);
    assert_eq!(first.target, SpendTarget::NewChain(0));
    // The chain ends by itself, five tokens early, and is bad: another one is opened, its prompt is forked.
    report(&mut all, first.tokens - 5, ChainEnd::Finished, sure([0.05; 4]));
    let second = spend(&all);
    assert_eq!(second.target, SpendTarget::NewChain(0));
    report(&mut all, second.tokens, ChainEnd::Open, sure([0.3, 0.31, 0.9, 0.9]));
    let third = spend(&all);
    assert_eq!((third.target, third.tokens), (SpendTarget::Chain(1), 32));
    report(&mut all, 32, ChainEnd::Open, sure([0.9; 4]));
    assert_eq!(forced(&all), [0, 1]);
    all.answered(&[answer(0, 0, "12"), answer(1, 7, "14")]).unwrap();
    let outcome = done(&all);
    let thinking = u64::from(first.tokens - 5 + second.tokens + 32);
    let expected = ModelTokens { thinking, prefill: 10, forced: 7 };
    assert_eq!(outcome.ledger.models(), [expected, ModelTokens::default()]);
    assert_eq!(outcome.ledger.total(), expected);
    let cost = outcome.ledger.cost(all.models(), 0.001);
    assert!((cost - 0.001 * (thinking + 10) as f64).abs() < 1e-12);
    assert_eq!((outcome.chain, outcome.answer.as_deref()), (1, Some("14")));
    assert_eq!(outcome.end, AllocationEnd::NoBoxPays);
}

#[test]
fn m07_each_model_pays_its_prefill_once_and_its_own_price() {
    // Model 1 is dear and pays at 48 tokens only; when those no longer fit under the cap, model 0 is entered.
    let params = AllocateParams { hard_cap: 68, ..params() };
    let late = vague([0.1, 0.1, 0.1, 0.9]);
    let models = vec![model(1.0, sure([0.2, 0.4, 0.4, 0.4])), model(3.0, late.clone())];
    let mut all = begin(params, models);
    let of = |at: u32, tokens: u32| (SpendTarget::NewChain(at as usize), tokens);
    for ((target, tokens), generated) in [(of(1, 48), 3), (of(1, 48), 48), (of(0, 16), 16)] {
        let found = spend(&all);
        assert_eq!((found.target, found.tokens), (target, tokens));
        report(&mut all, generated, ChainEnd::Finished, sure([0.01; 4]));
    }
    let [cheap, dear] = [16, 51].map(|thinking| ModelTokens { thinking, prefill: 10, forced: 0 });
    assert_eq!(all.ledger().models(), [cheap, dear]);
    assert!((all.ledger().cost(all.models(), 0.001) - 0.001 * (26.0 + 3.0 * 61.0)).abs() < 1e-12);
    // The index of the first box is that of its price and its prefill, that of the second of its price.
    let mut again = begin(params, all.models().to_vec());
    for tokens in [58.0, 48.0] {
        let cost = 0.001 * 3.0 * tokens;
        let index = BoxReward::ForecastMean.index(RewardBox { mean: late[3], cost }).unwrap();
        match spend(&again).cause {
            SpendCause::Index(found) => assert!((found - index).abs() < 1e-12),
            other => panic!("{other:?}"),
        }
        report(&mut again, 3, ChainEnd::Finished, sure([0.01; 4]));
    }
}

#[test]
fn the_box_of_highest_index_is_opened_and_only_above_the_value_in_hand() {
    let models = vec![model(1.0, vague([0.1, 0.2, 0.2, 0.2])), model(1.0, vague(RISING))];
    let mut all = begin(params(), models);
    let first = spend(&all);
    assert_eq!(first.target, SpendTarget::NewChain(1));
    report(&mut all, first.tokens, ChainEnd::Open, sure(LEVEL));
    assert!((all.value_in_hand() - 0.6).abs() < 1e-12);
    // What is left: a new chain of either model, worth less than 0.6, or more?
    let best = all.models()[1].forecast.iter().zip([0.0, 0.016, 0.032, 0.048]).skip(1);
    let index = |(mean, cost): (&BetaParams, f64)| {
        BoxReward::ForecastMean.index(RewardBox { mean: *mean, cost }).unwrap()
    };
    let best = best.map(index).fold(0.0, f64::max);
    assert_eq!(best > 0.6, matches!(all.next_move().clone(), AllocationMove::Spend(_)));
    // A better chain in hand closes all boxes.
    let mut better = begin(params(), all.models().to_vec());
    report(&mut better, first.tokens, ChainEnd::Open, sure([0.95; 4]));
    assert_eq!(forced(&better), [0]);
}

#[test]
fn m08_a_finished_chain_keeps_its_value_and_has_no_boxes() {
    let mut all = begin(params(), vec![model(1.0, vague(RISING))]);
    let first = spend(&all);
    // Its forecast says that it would rise, but it has ended.
    let rising = sure([0.5, 0.9, 0.95, 0.99]);
    let mut open = all.clone();
    report(&mut open, first.tokens, ChainEnd::Open, rising.clone());
    assert_eq!(spend(&open).target, SpendTarget::Chain(0));
    report(&mut all, 3, ChainEnd::Finished, rising);
    assert_eq!(all.means(0).unwrap().unwrap(), [0.5; 4]);
    assert!((all.value_in_hand() - 0.5).abs() < 1e-12);
    let before = all.ledger().clone();
    if let AllocationMove::Spend(spend) = all.next_move().clone() {
        assert_eq!(spend.target, SpendTarget::NewChain(0));
        report(&mut all, spend.tokens, ChainEnd::Finished, sure([0.4; 4]));
    }
    while let AllocationMove::Spend(spend) = all.next_move().clone() {
        report(&mut all, spend.tokens, ChainEnd::Finished, sure([0.4; 4]));
    }
    assert_eq!(forced(&all), [0]);
    assert!(all.answered(&[answer(0, 1, "x")]).is_err(), "a finished chain costs nothing");
    all.answered(&[answer(0, 0, "x")]).unwrap();
    assert_eq!(done(&all).ledger.total().forced, 0);
    assert!(before.total().thinking == 3 && all.means(9).is_err());
}

#[test]
fn caps_end_the_loop_and_say_so() {
    // Without a price every box pays.
    let free = AllocateParams { lambda: 0.0, ..params() };
    let mut all = begin(free, vec![model(1.0, vague(RISING))]);
    let mut moves = 0;
    while let AllocationMove::Spend(spend) = all.next_move().clone() {
        report(&mut all, spend.tokens, ChainEnd::Open, vague(RISING));
        moves += 1;
    }
    assert!(all.ledger().total().thinking == 96 && moves <= 6);
    all.answered(&[answer(forced(&all)[0], 4, "x")]).unwrap();
    assert_eq!(done(&all).end, AllocationEnd::HardCap);
    // Chains that end at once: the third is the last.
    let mut all = begin(params(), vec![model(1.0, vague(RISING))]);
    for _ in 0..3 {
        spend(&all);
        report(&mut all, 1, ChainEnd::Finished, sure([0.01; 4]));
    }
    assert_eq!(all.chains(), 3);
    all.answered(&[answer(forced(&all)[0], 0, "x")]).unwrap();
    assert_eq!(done(&all).end, AllocationEnd::ChainCap);
}

#[test]
fn when_nothing_pays_the_best_model_answers_at_once() {
    let poor = [0.1, 0.11, 0.12, 0.13];
    let dear = AllocateParams { lambda: 0.1, ..params() };
    let models = vec![model(1.0, sure(poor)), model(0.5, sure(poor))];
    let mut all = begin(dear, models);
    let first = spend(&all);
    assert_eq!(
        first,
        Spend { target: SpendTarget::NewChain(1), tokens: 0, cause: SpendCause::NothingPays }
    );
    report(&mut all, 0, ChainEnd::Open, sure(poor));
    all.answered(&[answer(forced(&all)[0], 5, "x")]).unwrap();
    let outcome = done(&all);
    let expected = ModelTokens { thinking: 0, prefill: 10, forced: 5 };
    assert_eq!((outcome.ledger.models()[1], outcome.end), (expected, AllocationEnd::NoBoxPays));
    // A prompt that is cheap and a forecast that is level: at once, because thinking adds nothing.
    let mut level = begin(params(), vec![model(1.0, sure(LEVEL))]);
    let first = spend(&level);
    assert_eq!((first.tokens, first.target), (0, SpendTarget::NewChain(0)));
    match first.cause {
        SpendCause::Index(index) => assert!((index - 0.59).abs() < 1e-12),
        other => panic!("{other:?}"),
    }
    report(&mut level, 0, ChainEnd::Open, sure(LEVEL));
    assert_eq!(forced(&level), [0]);
}

#[test]
fn a_chain_without_a_forecast_goes_to_the_default_length_and_is_flagged() {
    let mut all = begin(params(), vec![model(1.0, vague(RISING))]);
    let first = spend(&all);
    all.spent(Spent { generated: first.tokens, end: ChainEnd::Open, forecast: None }).unwrap();
    let mut generated = first.tokens;
    while generated < 48 {
        let next = spend(&all);
        assert_eq!((next.target, next.cause), (SpendTarget::Chain(0), SpendCause::MissingForecast));
        let mut nan = sure(RISING);
        nan[2].beta = f64::NAN;
        report(&mut all, next.tokens, ChainEnd::Open, nan);
        generated += next.tokens;
        assert_eq!(all.means(0), Ok(None));
    }
    while let AllocationMove::Spend(next) = all.next_move().clone() {
        assert_ne!(next.target, SpendTarget::Chain(0));
        report(&mut all, next.tokens, ChainEnd::Finished, sure([0.7; 4]));
    }
    all.answered(&[answer(forced(&all)[0], 0, "x")]).unwrap();
    assert!(done(&all).missing_forecasts >= 1);
}

#[test]
fn an_answer_that_is_not_understood_is_tried_once_more() {
    let mut all = begin(params(), vec![model(1.0, sure(LEVEL))]);
    report(&mut all, 0, ChainEnd::Open, sure(LEVEL));
    let unparsed = |tokens| [ForcedAnswer { chain: 0, tokens, answer: None }];
    all.answered(&unparsed(12)).unwrap();
    let retry = spend(&all);
    let cause = SpendCause::UnparsedAnswer;
    assert_eq!(retry, Spend { target: SpendTarget::Chain(0), tokens: 16, cause });
    report(&mut all, 16, ChainEnd::Open, sure(LEVEL));
    let mut again = all.clone();
    all.answered(&[answer(0, 4, "x")]).unwrap();
    assert_eq!(done(&all).answer.as_deref(), Some("x"));
    let expected = ModelTokens { thinking: 16, prefill: 10, forced: 16 };
    assert_eq!(done(&all).ledger.total(), expected);
    again.answered(&unparsed(12)).unwrap();
    assert_eq!((done(&again).answer, done(&again).ledger.total().forced), (None, 24));
    // A finished chain cannot be tried again.
    let mut ended = begin(params(), vec![model(1.0, sure(LEVEL))]);
    report(&mut ended, 0, ChainEnd::Finished, sure(LEVEL));
    ended.answered(&unparsed(0)).unwrap();
    assert_eq!(done(&ended).answer, None);
}

#[test]
fn a_vote_weighs_forecasts_and_the_best_chain_alone_does_not() {
    let run = |pick| {
        let params = AllocateParams { pick, ..params() };
        let mut all = begin(params, vec![model(1.0, vague(RISING))]);
        for value in [0.3, 0.35, 0.5] {
            // Three chains that ended, none so good that the loop stops before the chain cap.
            spend(&all);
            report(&mut all, 2, ChainEnd::Finished, sure([value; 4]));
            if !matches!(all.next_move().clone(), AllocationMove::Spend(_)) {
                break;
            }
        }
        all
    };
    let mut vote = run(AnswerPick::Vote);
    let count = vote.chains();
    assert_eq!(count, 3, "the loop stops too early for this test");
    assert_eq!(forced(&vote), [0, 1, 2]);
    vote.answered(&[answer(0, 0, "a"), answer(1, 0, "a"), answer(2, 0, "b")]).unwrap();
    assert_eq!((done(&vote).answer.as_deref(), done(&vote).chain), (Some("a"), 1));
    let mut single = run(AnswerPick::Forecast);
    assert_eq!(forced(&single), [2]);
    single.answered(&[answer(2, 0, "b")]).unwrap();
    assert_eq!(done(&single).answer.as_deref(), Some("b"));
    // An answer that was not understood has no vote.
    let mut vote = run(AnswerPick::Vote);
    let unparsed = ForcedAnswer { chain: 2, tokens: 0, answer: None };
    vote.answered(&[answer(0, 0, "a"), answer(1, 0, "c"), unparsed]).unwrap();
    assert_eq!(done(&vote).answer.as_deref(), Some("c"));
}

#[test]
fn reports_out_of_turn_or_out_of_range_change_nothing() {
    let mut all = begin(params(), vec![model(1.0, vague(RISING))]);
    let before = all.clone();
    let first = spend(&all);
    let good = Spent { generated: first.tokens, end: ChainEnd::Open, forecast: Some(sure(LEVEL)) };
    let code = |of: &mut Allocation, spent: Spent| of.spent(spent).unwrap_err().code();
    let more = Spent { generated: first.tokens + 1, ..good.clone() };
    assert_eq!(code(&mut all, more), "invalid_value");
    let fewer = Spent { generated: first.tokens - 1, ..good.clone() };
    assert_eq!(code(&mut all, fewer), "invalid_value");
    let narrow = Spent { forecast: Some(sure(LEVEL)[1..].to_vec()), ..good.clone() };
    assert_eq!(code(&mut all, narrow), "invalid_value");
    assert_eq!(all.answered(&[]).unwrap_err().code(), "out_of_turn");
    assert_eq!(all, before);
    let mut all = begin(params(), vec![model(1.0, sure(LEVEL))]);
    report(&mut all, 0, ChainEnd::Open, sure(LEVEL));
    assert_eq!(all.spent(good).unwrap_err().code(), "out_of_turn");
    assert_eq!(all.answered(&[answer(1, 0, "x")]).unwrap_err().code(), "out_of_turn");
    assert_eq!(all.answered(&[]).unwrap_err().code(), "out_of_turn");
}

#[test]
fn wrong_keys_and_models_are_refused() {
    let good = || vec![model(1.0, vague(RISING))];
    let refused = |params, models| Allocation::new(params, grid(), models).unwrap_err().to_string();
    for (bad, key) in [
        (AllocateParams { lambda: 0.2, ..params() }, "lambda"),
        (AllocateParams { hard_cap: 47, ..params() }, "hard_cap"),
        (AllocateParams { max_chains: 0, ..params() }, "max_chains"),
        (AllocateParams { max_chains: 65, ..params() }, "max_chains"),
        (AllocateParams { default_length: 97, ..params() }, "default_length"),
    ] {
        assert!(refused(bad, good()).contains(key));
    }
    assert!(refused(params(), vec![]).contains("models"));
    assert!(refused(params(), vec![model(0.0, vague(RISING))]).contains("price"));
    assert!(refused(params(), vec![model(1.0, vague(RISING)[1..].to_vec())]).contains("forecast"));
    assert!(refused(params(), vec![model(1.0, vague([0.0; 4]))]).contains("alpha"));
}
