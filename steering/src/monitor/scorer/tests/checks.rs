//! Checks: the tree, what is asked for, verdicts, and the perceiver's cache.

use super::*;
use crate::monitor::detect::{Action, Detection, Detector, Finding};
use crate::monitor::policy::State;
use crate::monitor::scorer::tree::{Tree, log_sum, states};
use crate::monitor::scorer::{Depth, Reading, Scorer, Text, listen, settle};

const SEED: u64 = 7;

fn full() -> Judging {
    Judging { depth: Depth::Full, ..Judging::default() }
}

/// log p of these tokens behind a sequence, one pass each, every key made anew.
fn plain(prompt: &[u32], labels: &[u32]) -> f64 {
    let score = |index: usize| {
        let mut session = model().session(trimtab_runtime::plan::Plan::empty()).unwrap();
        session.push_prompt(prompt).unwrap();
        session.push(&labels[..index]).unwrap();
        let logits: Vec<f64> =
            session.run().unwrap().logits[0].iter().map(|x| f64::from(*x)).collect();
        let total: f64 = logits.iter().map(|x| x.exp()).sum();
        logits[labels[index] as usize] - total.ln()
    };
    (0..labels.len()).map(score).sum()
}

fn prompt(form: &Form, request: &str, answer: &[u32]) -> Vec<u32> {
    let delimiter = Form::delimiter(SEED);
    let opening = form.opening(request, &delimiter).unwrap();
    let suffix = form.suffix(&delimiter).unwrap();
    [form.head(), &opening, answer, &suffix].concat()
}

fn read(judge: &Judge, text: &str) -> Reading {
    let text = Text { request: "what".to_owned(), answer: text.to_owned() };
    judge.read(&[text], &mut |_| {}).unwrap().remove(0)
}

#[test]
fn the_tree_equals_twenty_strings_scored_one_by_one() {
    let judge = judge(&policy(BuiltIn::Default), full());
    let text = tokens("an answer to it");
    let mut scorer = judge.scorer("what is it", SEED).unwrap();
    let mut asked = Vec::new();
    let finding = drive(&mut scorer, &text, &mut asked);
    assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 8]);
    let prompt = prompt(&judge.form, "what is it", &text);
    let word = |axis: usize, value: i8| {
        tokens(&judge.form.wording().labels[axis][(1 - value) as usize])[0]
    };
    let brute: Vec<f64> = states()
        .into_iter()
        .map(|State([s, a, e])| plain(&prompt, &[word(0, s), word(1, a), word(2, e)]))
        .collect();
    // The same through the judge's own arithmetic.
    let biased: Vec<f64> = brute.iter().enumerate().map(|(i, x)| x + i as f64 / 10.0).collect();
    let odds: (Vec<f64>, Vec<f64>) = (biased[12..].to_vec(), biased[..12].to_vec());
    let expected = log_sum(odds.0.into_iter()) - log_sum(odds.1.into_iter());
    assert!((finding.score - expected).abs() < 1e-4, "{} {expected}", finding.score);
    let reading = Reading { tree: last_tree(&judge, &prompt) };
    for (score, brute) in reading.scores().iter().zip(&brute) {
        assert!((score - brute).abs() < 1e-4, "{score} {brute}");
    }
    let probabilities = judge.probabilities(&reading);
    assert_eq!(probabilities.len(), 20);
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

/// The tree of a prompt, by the walk alone.
fn last_tree(judge: &Judge, prompt: &[u32]) -> Tree {
    use crate::monitor::scorer::walk::Walk;
    let mut root = judge.form.session().unwrap();
    root.push_prompt(prompt).unwrap();
    let root = listen(vec![root]).unwrap().remove(0);
    let mut walk = Walk::begin(&judge.labels, &root.session, &root.logits, Depth::Full).unwrap();
    while !walk.is_done() {
        let heard = listen(walk.ask()).unwrap();
        walk.heard(&judge.labels, &heard).unwrap();
    }
    walk.tree().clone()
}

/// Asks until something is found; leaves how many tokens each sequence of each question brought.
fn drive(scorer: &mut Scorer, tokens: &[u32], asked: &mut Vec<Vec<usize>>) -> Finding {
    loop {
        match scorer.detect(&answer(tokens)).unwrap() {
            Detection::Found(finding) => return finding,
            Detection::Ask(sessions) => {
                asked.push(sessions.iter().map(|session| session.pending()).collect());
                scorer.heard(listen(sessions).unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn a_lazy_check_reads_what_is_new_and_the_question_and_each_fourth_reads_all() {
    let judge = judge(&policy(BuiltIn::Default), Judging::default());
    let mut scorer = judge.scorer("what", SEED).unwrap();
    let text = tokens("one two three four five six seven");
    let suffix = judge.form.suffix(&Form::delimiter(SEED)).unwrap().len();
    let opened = judge.form.head().len() + judge.form.opening("what", "0000").unwrap().len();
    let mut asked = Vec::new();
    for check in 1..=8 {
        let finding = drive(&mut scorer, &text[..4 * check], &mut asked);
        assert!(finding.score.is_finite());
    }
    let root = |index: usize| vec![4 + suffix + if index == 0 { opened } else { 0 }];
    let (three, eight) = (vec![1; 3], vec![1; 8]);
    let expected = [
        root(0),
        root(1),
        root(2),
        root(3),
        three.clone(),
        eight.clone(),
        root(4),
        root(5),
        root(6),
        root(7),
        three,
        eight,
    ];
    // The instructions may have been read for another test; then they are adopted.
    assert!(asked[0][0] <= expected[0][0]);
    assert_eq!(asked[1..], expected[1..]);
}

#[test]
fn a_policy_that_needs_all_axes_is_never_judged_by_safety_alone() {
    for which in [BuiltIn::Strict, BuiltIn::Paper] {
        let judge = judge(&policy(which), Judging::default());
        let mut asked = Vec::new();
        drive(&mut judge.scorer("what", SEED).unwrap(), &tokens("so"), &mut asked);
        assert_eq!(asked.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 8]);
    }
}

#[test]
fn growth_truncation_and_rollback_leave_what_a_fresh_judge_has_bit_for_bit() {
    let judge = judge(&policy(BuiltIn::Default), full());
    let text = tokens("a long answer with many words in it and more of them behind");
    let other = tokens("another one");
    let mut scorer = judge.scorer("tell me", SEED).unwrap();
    let same = |scorer: &mut Scorer, tokens: &[u32]| {
        let grown = settle(scorer, &answer(tokens)).unwrap();
        let mut fresh = judge.scorer("tell me", SEED).unwrap();
        let fresh = settle(&mut fresh, &answer(tokens)).unwrap();
        assert_eq!(grown.score.to_bits(), fresh.score.to_bits());
        assert_eq!(grown, fresh);
    };
    for (rewind, grow) in [(0, 5), (5, 9), (9, 40), (12, 13), (0, 1), (1, 33), (30, 31)] {
        scorer.rewind(rewind);
        same(&mut scorer, &text[..grow]);
    }
    scorer.give_way().unwrap();
    same(&mut scorer, &text[..35]);
    // Another answer without a word about it: what differs is read again.
    same(&mut scorer, &[&text[..20], other.as_slice()].concat());
    // A rewind while the model reads: what comes back no longer counts.
    let Detection::Ask(away) = scorer.detect(&answer(&text)).unwrap() else {
        panic!("it has to read");
    };
    scorer.rewind(3);
    scorer.heard(listen(away).unwrap()).unwrap();
    same(&mut scorer, &text[..10]);
    // And one while it has read only the root.
    let Detection::Ask(away) = scorer.detect(&answer(&text)).unwrap() else {
        panic!("it has to read");
    };
    scorer.heard(listen(away).unwrap()).unwrap();
    scorer.rewind(2);
    same(&mut scorer, &text[..10]);
}

#[test]
fn an_answer_that_leaves_no_room_is_unknown_and_a_shorter_one_is_judged_again() {
    let judge = judge(&policy(BuiltIn::Default), full());
    let mut scorer = judge.scorer("what", SEED).unwrap();
    let long = vec![tokens("a")[0]; tiny::CONTEXT];
    let finding = settle(&mut scorer, &answer(&long)).unwrap();
    assert_eq!(finding.action, Action::Unknown);
    assert!(finding.note.unwrap().contains("context"));
    // Where many are read at once, an answer is read as far as it fits.
    assert!(read(&judge, &"a".repeat(tiny::CONTEXT)).scores().iter().all(|x| x.is_finite()));
    scorer.rewind(4);
    let short = settle(&mut scorer, &answer(&long[..4])).unwrap();
    assert!(short.score.is_finite());
}

#[test]
fn scores_far_from_the_threshold_act_and_close_or_strange_ones_are_unknown() {
    let policy = policy(BuiltIn::Default);
    let judge = judge(&policy, full());
    let tree = |violated: f64| {
        let even = [(1.0f64 / 3.0).ln(); 3];
        let rest = ((1.0 - violated) / 2.0).ln();
        Tree { safety: [rest, rest, violated.ln()], altruism: [even; 3], egoism: [[even; 3]; 3] }
    };
    let lazy = |violated: f64| judge.verdict(&tree(violated), Depth::Lazy);
    assert_eq!(lazy(0.9).action, Action::Rollback);
    assert_eq!(lazy(0.9).state, Some(State([-1, 0, 0])));
    assert_eq!(lazy(0.05).action, Action::Continue);
    let even = lazy(0.45);
    assert!(even.margin.abs() < 0.5 && even.action == Action::Unknown, "{even:?}");
    for strange in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for place in 0..3 {
            let mut tree = tree(0.3);
            tree.safety[place] = strange;
            for depth in [Depth::Lazy, Depth::Full] {
                let found = judge.verdict(&tree, depth);
                let certain = strange == f64::NEG_INFINITY && found.margin.is_finite();
                assert!(certain || found.action == Action::Unknown, "{strange} {found:?}");
            }
        }
        let mut tree = tree(0.3);
        tree.egoism[1][1] = [f64::NAN; 3];
        assert_eq!(judge.verdict(&tree, Depth::Full).action, Action::Unknown);
    }
}

#[test]
fn whatever_is_found_is_a_state_that_can_be_with_the_action_of_the_policy() {
    let policy = policy(BuiltIn::Strict);
    let judge = judge(&policy, Judging { margin: 0.0, ..full() });
    for text in ["", "so", "a b c", "zzzz", "no no no", "QUITE ANOTHER 1234"] {
        let found = judge.find(&read(&judge, text), Depth::Full);
        let state = found.state.unwrap();
        assert!(state.is_feasible());
        assert_eq!(found.action, policy.action(state));
    }
}
