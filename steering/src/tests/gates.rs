//! Gates in a session: what opens them, when they are decided, and what they must not wait for.

use super::operations::{ANSWER, PROMPT, answer, dense, every_operation, vector};
use super::{card, one_hot};
use crate::direction::Direction;
use crate::error::Result;
use crate::file::VectorFile;
use crate::file::card::{Card, Operation, Role, SiteCard};
use crate::gate::{Condition, Deciding, Gate, Rule, Side};
use crate::steer::{Steer, SteerOptions};
use std::sync::Arc;
use trimtab_runtime::hook::Intervention;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::{History, Session};
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::{laws, tiny};

/// Where conditions are read.
const READ: Site = Site::ResidPost(0);
/// Where the vector acts.
const ACT: Site = Site::ResidPost(1);
const DECIDING: [Deciding; 3] = [Deciding::EachToken, Deciding::PromptMean, Deciding::PromptLast];

/// A read direction at a site: coordinate `(x·v + 0.25) / 2`.
fn reader(site: Site, seed: f32) -> VectorFile {
    let directions = vec![dense(site, seed)];
    let mut card = Card { role: Role::Read, ..card(Operation::Add, &directions) };
    card.sites.values_mut().for_each(|entry| entry.anchor = Some(-0.25));
    VectorFile::new(card, directions).unwrap()
}

fn condition(seed: f32, side: Side, threshold: f32) -> Condition {
    Condition::new(&reader(READ, seed), side, threshold).unwrap()
}

fn gated(gate: Gate, options: SteerOptions) -> Steer {
    let options = SteerOptions { gate: Some(gate), ..options };
    Steer::new(&vector(Operation::Add, &[ACT]), &options).unwrap()
}

fn add() -> SteerOptions {
    SteerOptions { scale: Some(0.7), ..SteerOptions::default() }
}

/// Coordinates of every token on two readers, read from captures of the plain model by candle.
fn coordinates() -> [Vec<f32>; 2] {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(64).unwrap();
    let mut session = Session::new(decoder, &pool, Plan::empty()).unwrap();
    session.push_prompt(&PROMPT).unwrap();
    session.push(&ANSWER).unwrap();
    let stream = session.capture(&[READ]).unwrap().remove(&READ).unwrap();
    [0.0, 1.0].map(|seed| {
        let row = dense(READ, seed).values().to_vec();
        let row = candle_core::Tensor::from_vec(row, (tiny::WIDTH, 1), stream.device()).unwrap();
        let dots: Vec<f32> = stream.matmul(&row).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        dots.iter().map(|dot| (dot + 0.25) / 2.0).collect()
    })
}

/// A threshold that some of the values are above and some below, well apart from each.
fn between(values: &[f32]) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let gaps = sorted.windows(2).skip(1).take(sorted.len() - 3);
    let widest = gaps.max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0]))).unwrap();
    assert!(widest[1] - widest[0] > 1e-3);
    (widest[0] + widest[1]) / 2.0
}

fn fired(steer: Steer) -> u64 {
    answer(&tiny::decoder().unwrap(), Plan::of(steer)).1[0]
}

#[test]
fn every_gate_keeps_the_laws_of_interventions() {
    let [first, second] = coordinates();
    let conditions = || {
        vec![
            condition(0.0, Side::Above, between(&first)),
            condition(1.0, Side::Below, between(&second)),
        ]
    };
    for rule in [Rule::All(conditions()), Rule::Any(conditions()), Rule::None(conditions())] {
        for deciding in DECIDING {
            for options in every_operation() {
                let gate = Gate::new(rule.clone(), deciding).unwrap();
                laws::check_intervention(Arc::new(gated(gate, options))).unwrap();
            }
        }
    }
}

#[test]
fn a_gate_is_open_where_the_rule_holds_and_nowhere_else() {
    let [first, second] = coordinates();
    let (above, below) = (between(&first), between(&second));
    let conditions =
        || vec![condition(0.0, Side::Above, above), condition(1.0, Side::Below, below)];
    let holds = |i: usize| [first[i] > above, second[i] < below];
    let all = |i: usize| holds(i)[0] && holds(i)[1];
    let any = |i: usize| holds(i)[0] || holds(i)[1];
    let count = |open: &dyn Fn(usize) -> bool| (0..first.len()).filter(|i| open(*i)).count() as u64;
    for (rule, expected) in [
        (Rule::All(conditions()), count(&all)),
        (Rule::Any(conditions()), count(&any)),
        (Rule::None(conditions()), count(&|i| !any(i))),
    ] {
        let gate = Gate::new(rule.clone(), Deciding::EachToken).unwrap();
        assert_eq!(fired(gated(gate, add())), expected, "{rule:?}");
    }
    let one = count(&|i| first[i] > above);
    assert!(one > 0 && one < first.len() as u64);
    assert_eq!(fired(gated(Gate::when(conditions().remove(0)), add())), one);
}

#[test]
fn a_closed_gate_is_the_model_itself_and_counts_nothing() {
    let decoder = tiny::decoder().unwrap();
    let (plain, _) = answer(&decoder, Plan::empty());
    for options in every_operation() {
        let shut = gated(Gate::when(condition(0.0, Side::Above, 1e6)), options);
        assert_eq!(answer(&decoder, Plan::of(shut)), (plain.clone(), vec![0]));
    }
}

#[test]
fn an_open_gate_is_no_gate() {
    let decoder = tiny::decoder().unwrap();
    for options in every_operation() {
        let open = gated(Gate::when(condition(0.0, Side::Below, 1e6)), options.clone());
        let none = Steer::new(&vector(Operation::Add, &[ACT]), &options).unwrap();
        assert_eq!(answer(&decoder, Plan::of(open)), answer(&decoder, Plan::of(none)));
    }
}

#[test]
fn a_decision_on_the_prompt_is_held_from_its_last_token_on() {
    let [first, _] = coordinates();
    let prompt = &first[..PROMPT.len()];
    // The first token is left out of the mean.
    let mean = prompt[1..].iter().sum::<f32>() / (prompt.len() - 1) as f32;
    let held = (1 + ANSWER.len()) as u64;
    for (deciding, value) in
        [(Deciding::PromptMean, mean), (Deciding::PromptLast, prompt[prompt.len() - 1])]
    {
        for (side, threshold, expected) in [
            (Side::Above, value - 1e-3, held),
            (Side::Above, value + 1e-3, 0),
            (Side::Below, value + 1e-3, held),
            (Side::Below, value - 1e-3, 0),
        ] {
            let rule = Rule::All(vec![condition(0.0, side, threshold)]);
            let gate = Gate::new(rule, deciding).unwrap();
            assert_eq!(fired(gated(gate, add())), expected, "{deciding:?} {side:?}");
        }
    }
}

#[test]
fn each_prompt_is_decided_anew() {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(64).unwrap();
    let [first, _] = coordinates();
    // The next prompt ends with the answer's token that is on the other side of the first prompt's last one.
    let last = first[PROMPT.len() - 1];
    let (next, other) = first[PROMPT.len()..]
        .iter()
        .enumerate()
        .max_by(|a, b| (a.1 - last).abs().total_cmp(&(b.1 - last).abs()))
        .unwrap();
    let side = if *other > last { Side::Above } else { Side::Below };
    let rule = Rule::All(vec![condition(0.0, side, (last + other) / 2.0)]);
    let steer = gated(Gate::new(rule, Deciding::PromptLast).unwrap(), add());
    let mut session = Session::new(decoder, &pool, Plan::of(steer)).unwrap();
    session.push_prompt(&PROMPT).unwrap();
    session.run().unwrap();
    if next > 0 {
        session.advance(&ANSWER[..next]).unwrap();
    }
    assert_eq!(session.fired(), [0], "closed for the first prompt");
    session.push_prompt(&ANSWER[next..=next]).unwrap();
    session.run().unwrap();
    assert_eq!(session.fired(), [1], "open from the second prompt's last token on");
}

#[test]
fn a_gate_that_never_saw_the_prompt_says_so() {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(64).unwrap();
    for deciding in [Deciding::PromptMean, Deciding::PromptLast] {
        let rule = Rule::All(vec![condition(0.0, Side::Below, 1e6)]);
        let plan = Plan::of(gated(Gate::new(rule, deciding).unwrap(), add()));
        let run = |history| {
            let mut session = Session::new(decoder.clone(), &pool, Plan::empty()).unwrap();
            session.push_prompt(&PROMPT).unwrap();
            session.run().unwrap();
            session.replan(plan.clone(), history).unwrap();
            session.advance(&ANSWER).map(|_| session.fired()[0])
        };
        assert!(run(History::Keep).unwrap_err().to_string().contains("needs a pass over it"));
        assert_eq!(run(History::Recompute).unwrap(), 7);
    }
    // Token by token nothing is missing.
    let plan = Plan::of(gated(Gate::when(condition(0.0, Side::Below, 1e6)), add()));
    let mut session = Session::new(decoder, &pool, Plan::empty()).unwrap();
    session.push_prompt(&PROMPT).unwrap();
    session.run().unwrap();
    session.replan(plan, History::Keep).unwrap();
    session.advance(&ANSWER).unwrap();
    assert_eq!(session.fired(), [6]);
}

#[test]
fn a_gate_behind_what_it_gates_is_refused() {
    let late = Condition::new(&reader(Site::ResidPost(2), 0.0), Side::Above, 0.5).unwrap();
    let early = condition(0.0, Side::Above, 0.5);
    let gate = Gate::new(Rule::Any(vec![early, late.clone()]), Deciding::EachToken).unwrap();
    let of = |file: &VectorFile, gate: &Gate| {
        Steer::new(file, &SteerOptions { gate: Some(gate.clone()), ..add() })
    };
    let error = of(&vector(Operation::Add, &[ACT, Site::ResidPost(2)]), &gate).unwrap_err();
    assert_eq!(error.code(), "gate_too_late");
    let text = error.to_string();
    assert!(
        text.starts_with("gate reads resid_post.2, which a pass reaches after resid_post.1"),
        "{text}"
    );
    // The same site is not late: the gate reads before the vector acts.
    let here = of(&vector(Operation::Add, &[Site::ResidPost(2)]), &Gate::when(late)).unwrap();
    assert_eq!(here.sites(), [Site::ResidPost(2)]);
    laws::check_intervention(Arc::new(here)).unwrap();
}

#[test]
fn a_condition_needs_a_row_and_its_coordinate() {
    let refused = |made: Result<Condition>| made.unwrap_err();
    let two = vector(Operation::Add, &[READ, ACT]);
    let missing = refused(Condition::new(&two, Side::Above, 0.5)).to_string();
    assert!(missing.starts_with("gate.site is missing, expected one of the 2 sites"), "{missing}");
    assert_eq!(Condition::at(&two, ACT, Side::Above, 0.5).unwrap().site(), ACT);
    let elsewhere = refused(Condition::at(&two, Site::Final, Side::Above, 0.5)).to_string();
    assert!(elsewhere.contains("vector calm has resid_post.0, resid_post.1"), "{elsewhere}");
    assert_eq!(refused(Condition::at(&two, ACT, Side::Above, f32::NAN)).code(), "invalid_value");
    let directions = vec![one_hot(READ, tiny::WIDTH, 0)];
    let mut bare = card(Operation::Project, &directions);
    bare.sites.insert(READ, SiteCard { anchor: None, ..SiteCard::of(READ, Some(1.0)) });
    let bare = VectorFile::new(bare, directions).unwrap();
    let error = refused(Condition::new(&bare, Side::Above, 0.5));
    assert_eq!((error.code(), error.to_string().contains("no anchor")), ("anchor_missing", true));
    let rows = [one_hot(READ, 4, 0).values(), one_hot(READ, 4, 1).values()].concat();
    let plane = vec![Direction::new(READ, 2, rows).unwrap()];
    let plane = VectorFile::new(card(Operation::Project, &plane), plane).unwrap();
    let error = refused(Condition::new(&plane, Side::Above, 0.5)).to_string();
    assert!(error.contains("has 2 rows"), "{error}");
    assert!(Gate::new(Rule::All(Vec::new()), Deciding::EachToken).is_err());
}

#[test]
fn a_condition_of_another_width_is_refused_before_the_first_token() {
    let directions = vec![one_hot(READ, 4, 0)];
    let narrow = VectorFile::new(card(Operation::Add, &directions), directions).unwrap();
    let gate = Gate::when(Condition::new(&narrow, Side::Above, 0.0).unwrap());
    let plan = Plan::of(gated(gate, add()));
    assert!(plan.bind(tiny::decoder().unwrap().spec()).is_err());
}

#[test]
fn what_changes_a_gate_changes_the_fingerprint() {
    let print =
        |rule: Rule, deciding| gated(Gate::new(rule, deciding).unwrap(), add()).fingerprint();
    let one = |seed, side, at| vec![condition(seed, side, at)];
    let base = || one(0.0, Side::Above, 0.5);
    let mut prints = vec![
        print(Rule::All(base()), Deciding::EachToken),
        print(Rule::None(base()), Deciding::EachToken),
        print(Rule::All(base()), Deciding::PromptMean),
        print(Rule::All(base()), Deciding::PromptLast),
        print(Rule::All(one(1.0, Side::Above, 0.5)), Deciding::EachToken),
        print(Rule::All(one(0.0, Side::Below, 0.5)), Deciding::EachToken),
        print(Rule::All(one(0.0, Side::Above, 0.6)), Deciding::EachToken),
    ];
    let count = prints.len();
    prints.sort();
    prints.dedup();
    assert_eq!(prints.len(), count);
}
