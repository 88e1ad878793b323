//! Arms on the tiny model, against one token at a time.

use crate::direction::Direction;
use crate::eval::{
    Answering, Arm, Check, Cost, Event, Limits, Measured, Norms, Question, Reply, Report, Rule,
    Setup, Subject, Task, calibrated, evaluate, evaluated, random,
};
use crate::file::VectorFile;
use crate::file::card::{Card, Method, MethodName, Operation, SiteCard, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::generate::{Flow, Generation, Request, complete};
use trimtab_runtime::kv::KvPool;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{SamplingParams, Step};
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;
use trimtab_runtime::text::{Special, Tokenizer};

const PROMPTS: &str = r#"{"prompt":"the same start a"}
{"prompt":"the same start b and more"}
{"prompt":"the same start"}
{"prompt":"the same s"}"#;
const PAIRS: &str = r#"{"prompt":"the same start","chosen":"yes it is","rejected":"no"}
{"prompt":"the same","chosen":"q","rejected":"a longer one"}
{"prompt":"what","chosen":"one","rejected":"two"}"#;

pub(super) struct Rig {
    decoder: Arc<Decoder>,
    pool: KvPool,
    tokenizer: Arc<Tokenizer>,
}

impl Rig {
    pub(super) fn new() -> Rig {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(4096).unwrap();
        Rig { decoder, pool, tokenizer: tiny::tokenizer().unwrap() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            decoder: &self.decoder,
            pool: &self.pool,
            tokenizer: &self.tokenizer,
            template: None,
        }
    }

    fn measure(&self, data: &str, arms: &[Arm]) -> Vec<Measured> {
        let task = Task::parse(data).unwrap();
        let rule = Rule::parse("regex:[a-m]").unwrap();
        let rule = data.starts_with(r#"{"prompt":"the same start a"#).then_some(&rule);
        let question = Question { task: &task, rule, answering: short() };
        question.measure(&self.subject(), &vector(), arms, &mut |_| Flow::Continue).unwrap()
    }

    /// One token at a time, no sharing, nothing beside it.
    fn slowly(&self, plan: &Plan, prompt: &str, answer: &str) -> f64 {
        let mut session = Session::new(self.decoder.clone(), &self.pool, plan.clone()).unwrap();
        let tokens = |text| self.tokenizer.encode(text, Special::Plain).unwrap();
        session.push_prompt(&tokens(prompt)).unwrap();
        let mut logits = session.run().unwrap().logits.remove(0);
        let answer = tokens(answer);
        let mut sum = 0.0;
        for token in &answer {
            sum += Step::of(*token, &logits, 0).logprob;
            logits = session.advance(&[*token]).unwrap().logits.remove(0);
        }
        sum / answer.len() as f64
    }
}

fn short() -> Answering {
    Answering { request: Request { max_tokens: Some(9), ..Request::default() } }
}

pub(super) fn vector() -> VectorFile {
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("calm", "calmer tone", Operation::Add, method);
    let mut directions = Vec::new();
    for (block, at) in [(0, 3), (1, 7)] {
        let mut row = vec![0.1; tiny::WIDTH];
        row[at] = 5.0;
        let (direction, _) = Direction::normalised(Site::ResidPost(block), &row).unwrap();
        let entry =
            SiteCard { stream_norm: Some(4.0), ..SiteCard::of(direction.site(), Some(2.0)) };
        card.sites.insert(direction.site(), entry);
        directions.push(direction);
    }
    VectorFile::new(card, directions).unwrap()
}

fn texts(measured: &Measured) -> Vec<&str> {
    measured.replies.iter().map(|reply| reply.text.as_str()).collect()
}

#[test]
fn scale_zero_is_no_steering_and_turning_round_is_not() {
    let rig = Rig::new();
    let arms = [0.0, 2.0, -2.0].map(|scale| Arm::Steered { scale });
    let all = [&[Arm::Base][..], &arms].concat();
    for data in [PROMPTS, PAIRS] {
        let found = rig.measure(data, &all);
        let bits = |m: &Measured| m.scores.iter().map(|s| s.to_bits()).collect::<Vec<u64>>();
        assert_eq!((bits(&found[1]), &found[1].replies), (bits(&found[0]), &found[0].replies));
        let differ = |a: &Measured, b: &Measured| bits(a) != bits(b) || a.replies != b.replies;
        for (a, b) in [(0, 2), (0, 3), (2, 3)] {
            assert!(differ(&found[a], &found[b]), "{a} {b}");
        }
    }
}

#[test]
fn answers_are_those_of_prompts_alone() {
    let rig = Rig::new();
    let arm = Arm::Steered { scale: 1.5 };
    let found = rig.measure(PROMPTS, std::slice::from_ref(&arm));
    let task = Task::parse(PROMPTS).unwrap();
    let alone = task.items().iter().map(|item| {
        let plan = arm.plan(&vector()).unwrap();
        let mut session = Session::new(rig.decoder.clone(), &rig.pool, plan).unwrap();
        let tokens = rig.tokenizer.encode(&item.prompt[0].content, Special::Plain).unwrap();
        session.push_prompt(&tokens).unwrap();
        let request = short().request;
        let generation = Generation::new(session, rig.tokenizer.clone(), request).unwrap();
        Reply::from(complete(generation).unwrap())
    });
    assert_eq!(found[0].replies, alone.collect::<Vec<Reply>>());
    let passing = found[0]
        .replies
        .iter()
        .map(|r| f64::from(u8::from(r.text.contains(|c| ('a'..='m').contains(&c)))));
    assert_eq!(found[0].scores, passing.collect::<Vec<f64>>());
}

#[test]
fn margins_are_those_of_one_token_at_a_time() {
    let rig = Rig::new();
    for arm in [Arm::Base, Arm::Steered { scale: 1.0 }, Arm::Random { seed: 3, scale: 1.0 }] {
        let found = rig.measure(PAIRS, std::slice::from_ref(&arm));
        let plan = arm.plan(&vector()).unwrap();
        let pairs = [
            ("the same start", "yes it is", "no"),
            ("the same", "q", "a longer one"),
            ("what", "one", "two"),
        ];
        for ((prompt, chosen, rejected), score) in pairs.into_iter().zip(&found[0].scores) {
            let slow = rig.slowly(&plan, prompt, chosen) - rig.slowly(&plan, prompt, rejected);
            assert_eq!(slow.to_bits(), score.to_bits(), "{arm:?} {prompt}: {slow} {score}");
        }
        assert_eq!(found[0].margins.as_ref(), Some(&found[0].scores));
        assert!(found[0].replies.is_empty());
    }
}

#[test]
fn the_likeliest_choice_per_token_is_taken() {
    let rig = Rig::new();
    let choices = ["a", "bb bb", "zz"];
    let scores = choices.map(|choice| rig.slowly(&Plan::empty(), "pick", choice));
    let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
    let line = |right: usize| {
        format!("{{\"prompt\":\"pick\",\"choices\":[\"a\",\"bb bb\",\"zz\"],\"answer\":{right}}}\n")
    };
    let data: String = (0..3).map(line).collect();
    let found = rig.measure(&data, &[Arm::Base]);
    let expected: Vec<f64> = (0..3).map(|right| f64::from(u8::from(right == best))).collect();
    assert_eq!(found[0].scores, expected);
    // Nothing is known where the right answer is also a wrong one.
    let tie = r#"{"prompt":"pick","choices":["a","a"],"answer":0}"#;
    assert_eq!(rig.measure(tie, &[Arm::Base])[0].scores, [0.0]);
}

#[test]
fn an_instruction_stands_in_the_prompt_and_steers_nothing() {
    let rig = Rig::new();
    let told = "{\"prompt\":\"the same start a\\nbe calm\"}";
    let asked = "{\"prompt\":\"the same start a\"}";
    let found = rig.measure(asked, &[Arm::Instruction("be calm".to_owned()), Arm::Base]);
    let plain = rig.measure(told, &[Arm::Base]);
    assert_eq!(texts(&found[0]), texts(&plain[0]));
    assert_ne!(texts(&found[0]), texts(&found[1]));
}

#[test]
fn drawn_answers_are_keyed_by_their_prompt() {
    let rig = Rig::new();
    let task = Task::parse("{\"prompt\":\"one\"}\n{\"prompt\":\"one\"}").unwrap();
    let rule = Rule::Exclaims;
    let sampling = SamplingParams { temperature: 2.0, ..SamplingParams::default() };
    let request = Request { sampling: sampling.check().unwrap(), seed: 5, ..short().request };
    let question = Question { task: &task, rule: Some(&rule), answering: Answering { request } };
    let run = || {
        question.measure(&rig.subject(), &vector(), &[Arm::Base], &mut |_| Flow::Continue).unwrap()
    };
    let (first, second) = (run(), run());
    assert_eq!(texts(&first[0]), texts(&second[0]));
    assert_ne!(texts(&first[0])[0], texts(&first[0])[1]);
}

#[test]
fn random_directions_are_as_long_and_elsewhere() {
    let file = vector();
    let (one, again, two) =
        (random(&file, 1).unwrap(), random(&file, 1).unwrap(), random(&file, 2).unwrap());
    assert_eq!(one, again);
    let lengths = |file: &VectorFile| -> Vec<(Site, f64)> {
        let offsets = file.offsets().unwrap().into_iter();
        offsets
            .map(|(site, row)| {
                (site, row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt())
            })
            .collect()
    };
    for ((site, long), (expected_site, expected)) in lengths(&one).into_iter().zip(lengths(&file)) {
        assert_eq!(site, expected_site);
        assert!((long - expected).abs() < 1e-5, "{long} {expected}");
    }
    let rows = |file: &VectorFile| -> Vec<Vec<f32>> {
        file.directions().iter().map(|d| d.values().to_vec()).collect()
    };
    assert!(rows(&one)[0] != rows(&two)[0] && rows(&one)[0] != rows(&one)[1]);
    assert_eq!(one.card().method.seed, Some(1));
    // Projections keep orthogonal rows; more rows than the stream is wide cannot be had.
    let mut card =
        Card::unmeasured("p", "p", Operation::Project, Method::named(MethodName::Imported));
    card.sites.insert(Site::Embed, SiteCard::of(Site::Embed, None));
    let plane = Direction::new(Site::Embed, 2, vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).unwrap();
    let drawn = random(&VectorFile::new(card, vec![plane]).unwrap(), 4).unwrap();
    assert!(drawn.directions()[0].skew() < 1e-6);
}

const FREE: Cost = Cost { ppl_ratio: 1.0, ppl_low: 0.99, ppl_high: 1.02, kl: 0.01 };

pub(super) fn setup(random: u64) -> Setup {
    Setup {
        random_items: None,
        scales: vec![1.0, 2.0],
        instruction: Some("please".to_owned()),
        random,
        shuffled: Vec::new(),
        others: vec![(vector(), 0.5)],
        limits: Limits { dose: 10.0, repetition: 1.0, ..Limits::default() },
        seed: 0,
    }
}

pub(super) fn report(rig: &Rig, setup: &Setup) -> crate::Result<Report> {
    costing(rig, setup, Some(FREE))
}

fn costing(rig: &Rig, setup: &Setup, cost: Option<Cost>) -> crate::Result<Report> {
    let task = Task::parse(PAIRS).unwrap();
    let question = Question { task: &task, rule: None, answering: short() };
    let (file, norms) = (vector(), Norms::of(&vector(), &BTreeMap::new()));
    evaluate(
        (&rig.subject(), &file),
        (&question, setup),
        &norms,
        &mut |plans, _| Ok(vec![cost; plans.len()]),
        &mut |_| Flow::Continue,
    )
}

#[test]
fn arms_stand_in_their_order() {
    let found = report(&Rig::new(), &setup(3)).unwrap();
    let kinds: Vec<&str> = found.lines.iter().map(|line| line.measured.arm.kind()).collect();
    let expected = [
        "instruction",
        "base",
        "steered",
        "steered",
        "negative",
        "random",
        "random",
        "random",
        "other",
    ];
    assert_eq!(kinds, expected);
    let scales: Vec<Option<f32>> =
        found.lines.iter().map(|line| line.measured.arm.scale()).collect();
    assert_eq!(scales[..5], [None, None, Some(1.0), Some(2.0), Some(-1.0)]);
    assert!(found.lines[5..8].iter().all(|line| line.measured.arm.scale() == Some(found.judged)));
    // Magnitude 2 in a stream of length 4.
    let doses: Vec<Option<f64>> = found.lines.iter().map(|line| line.dose).collect();
    assert_eq!(doses[..5], [None, None, Some(0.5), Some(1.0), Some(0.5)]);
    assert_eq!(found.lines[1].gain, None);
    let (plain, steered) = (&found.lines[1].measured.scores, &found.lines[2].measured.scores);
    let mean = steered.iter().zip(plain).map(|(s, p)| s - p).sum::<f64>() / 3.0;
    assert!((found.lines[2].gain.unwrap().mean - mean).abs() < 1e-12);
    let mut random: Vec<f64> =
        found.lines[5..8].iter().map(|l| l.gain.unwrap().mean.abs()).collect();
    random.sort_by(f64::total_cmp);
    let p95 = random[1] + 0.9 * (random[2] - random[1]);
    assert!((found.random_p95.unwrap() - p95).abs() < 1e-12);
    let gain = found.at(found.judged).unwrap().gain.unwrap();
    assert_eq!(found.failed.contains(&Check::ConceptOverRandom), gain.low <= p95);
    assert!(!found.failed.contains(&Check::Perplexity));
}

#[test]
fn only_what_was_measured_enough_goes_into_a_card() {
    let rig = Rig::new();
    let few = report(&rig, &setup(19)).unwrap();
    assert_eq!(evaluated(&vector(), &few, None).unwrap_err().code(), "operation_refused");
    let found = report(&rig, &Setup { others: Vec::new(), ..setup(20) }).unwrap();
    let file = evaluated(&vector(), &found, Some("exclaims".to_owned())).unwrap();
    let read = VectorFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
    assert_eq!(read, file);
    let card = read.card();
    let evaluation = card.evaluation.as_ref().unwrap();
    let scales: Vec<f32> = evaluation.response.iter().map(|r| r.scale).collect();
    assert_eq!((scales, evaluation.n), (vec![1.0, 2.0, -1.0], 3));
    assert_eq!(evaluation.random_p95, found.random_p95.unwrap() as f32);
    assert_eq!((card.status, card.scale.default), (found.choice.status, found.choice.default));
    assert_eq!(card.scale.safe, Some([-1.0, 2.0]));
    assert_eq!(card.extra["evaluation.metric"], "margin exclaims");
    assert_eq!(read.content_sha256(), vector().content_sha256());
    // A calibration says nothing about an effect.
    let tuned = calibrated(&file, &found.choice).unwrap();
    assert_eq!(tuned.card().evaluation, None);
    assert_ne!(tuned.card().status, Status::Measured);
}

#[test]
fn without_random_directions_nothing_is_held_against_them() {
    let found = report(&Rig::new(), &setup(0)).unwrap();
    assert_eq!(found.random_p95, None);
    assert!(!found.failed.contains(&Check::ConceptOverRandom));
}

/// The vector with another card.
fn changed(change: impl FnOnce(&mut Card)) -> VectorFile {
    let mut card = vector().card().clone();
    change(&mut card);
    VectorFile::new(card, vector().directions().to_vec()).unwrap()
}

#[test]
fn a_clamp_is_never_turned_round_and_has_no_dose() {
    let file = changed(|card| {
        card.operation = Operation::Clamp { min: Some(0.5), max: None };
        card.sites.values_mut().for_each(|entry| entry.anchor = Some(0.0));
    });
    let norms = Norms::of(&file, &BTreeMap::new());
    assert_eq!((norms.dose(1.0), norms.scale(0.1)), (None, None));
    let (rig, task) = (Rig::new(), Task::parse(PAIRS).unwrap());
    let question = Question { task: &task, rule: None, answering: short() };
    let setup = Setup { scales: vec![0.5, 1.0], others: Vec::new(), ..setup(2) };
    let found = evaluate(
        (&rig.subject(), &file),
        (&question, &setup),
        &norms,
        &mut |plans, _| Ok(vec![Some(FREE); plans.len()]),
        &mut |_| Flow::Continue,
    );
    let kinds: Vec<&str> =
        found.unwrap().lines.iter().map(|line| line.measured.arm.kind()).collect();
    assert_eq!(kinds, ["instruction", "base", "steered", "steered", "random", "random"]);
}

#[test]
fn the_dose_of_a_turn_is_a_chord() {
    let file = changed(|card| card.operation = Operation::Rotate { degrees: 60.0 });
    let norms = Norms::of(&file, &BTreeMap::new());
    for (scale, dose) in [(1.0, 1.0), (-1.0, 1.0), (0.5, 0.517_638_1), (3.0, 2.0), (9.0, 2.0)] {
        assert!((norms.dose(scale).unwrap() - dose).abs() < 1e-6, "{scale}");
    }
    assert!((norms.scale(1.0).unwrap() - 1.0).abs() < 1e-6);
    assert!((norms.scale(-1.0).unwrap() + 1.0).abs() < 1e-6);
    assert_eq!(norms.scale(2.1), None);
}

#[test]
fn a_prompt_on_which_nothing_can_act_is_refused() {
    use crate::scope::{Phase, Picks, ScopeParams};
    let include = Picks { positions: vec![90], ..Picks::default() };
    let prompt = Phase { include, ..Phase::default() };
    let scope = ScopeParams { prompt, ..ScopeParams::default() }.check().unwrap();
    let file = changed(|card| card.scope = scope);
    let (rig, task) = (Rig::new(), Task::parse(PAIRS).unwrap());
    let question = Question { task: &task, rule: None, answering: short() };
    let measure = |arm: Arm| {
        question.measure(&rig.subject(), &file, &[arm], &mut |_| Flow::Continue).map(|_| ())
    };
    let refused = measure(Arm::Steered { scale: 1.0 }).unwrap_err();
    assert_eq!(refused.code(), "empty_selection");
    assert!(measure(Arm::Base).is_ok() && measure(Arm::Steered { scale: 0.0 }).is_ok());
}

#[test]
fn a_rule_that_would_judge_nothing_is_refused() {
    let choice = r#"{"prompt":"pick","choices":["a","b"],"answer":0}"#;
    for data in [choice, r#"{"prompt":"what","answer":"7"}"#] {
        let task = Task::parse(data).unwrap();
        let question = Question { task: &task, rule: Some(&Rule::Exclaims), answering: short() };
        assert_eq!(question.metric().unwrap_err().code(), "rule_invalid", "{data}");
        assert!(Question { rule: None, ..question }.metric().is_ok());
    }
}

#[test]
fn what_never_acts_on_neutral_text_has_no_safe_range() {
    let unknown = costing(&Rig::new(), &setup(20), None).unwrap();
    assert_eq!(unknown.choice.safe, None);
    let refused = calibrated(&vector(), &unknown.choice).unwrap_err();
    assert!(refused.to_string().contains("neutral text"), "{refused}");
    assert_eq!(evaluated(&vector(), &unknown, None).unwrap_err().code(), "operation_refused");
}

#[test]
fn whoever_watches_can_end_it() {
    let rig = Rig::new();
    let task = Task::parse(PROMPTS).unwrap();
    let question = Question { task: &task, rule: Some(&Rule::Exclaims), answering: short() };
    let arms = [Arm::Base, Arm::Steered { scale: 1.0 }];
    let mut seen = Vec::new();
    let ended = question.measure(&rig.subject(), &vector(), &arms, &mut |event| {
        seen.push(format!("{event:?}"));
        if matches!(event, Event::Done { .. }) { Flow::Cancel } else { Flow::Continue }
    });
    assert_eq!(ended.unwrap_err().code(), "cancelled");
    assert_eq!(seen, ["Begun { what: \"no steering\", items: 4 }", "Done { items: 4 }"]);
    let without = Question { rule: None, ..question };
    let refused = without.measure(&rig.subject(), &vector(), &arms, &mut |_| Flow::Continue);
    assert_eq!(refused.unwrap_err().code(), "rule_invalid");
    let none = Setup { scales: vec![-1.0], ..setup(0) };
    assert_eq!(report(&rig, &none).unwrap_err().code(), "scale_missing");
}
