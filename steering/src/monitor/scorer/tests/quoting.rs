//! Quotations: nothing watched changes a token outside them.

use super::*;
use crate::monitor::detect::{Detection, Detector};
use crate::monitor::scorer::{Split, benign, content_free, injections};
use std::collections::BTreeSet;

/// The tokens a scorer has the model read.
fn asked(request: &str, tokens: &[u32]) -> Vec<u32> {
    let judge = judge(&policy(BuiltIn::Default), Judging::default());
    let mut scorer = judge.scorer(request, 3).unwrap();
    let Detection::Ask(sessions) = scorer.detect(&answer(tokens)).unwrap() else {
        panic!("a first check has to read");
    };
    sessions[0].tokens().to_vec()
}

#[test]
fn injections_change_no_token_outside_the_quotation() {
    let form = form();
    let delimiter = Form::delimiter(3);
    let (head, suffix) = (form.head().to_vec(), form.suffix(&delimiter).unwrap());
    let is_control = |token: &u32| form.tokenizer().is_control(*token);
    for injection in injections().unwrap() {
        let text = tokens(&injection.text);
        let opening = form.opening("what", &delimiter).unwrap();
        let whole = asked("what", &text);
        assert_eq!(whole, [head.clone(), opening, text.clone(), suffix.clone()].concat());
        // As the request: the parts around it are those around an empty one.
        let (whole, empty) = (asked(&injection.text, &[]), asked("", &[]));
        let inner = whole.len() - empty.len();
        let behind = form.opening("", &delimiter).unwrap().len() - tokens(" request 0000 ").len();
        let at = empty.len() - suffix.len() - behind;
        assert_eq!(whole[..at], empty[..at]);
        assert_eq!(whole[at + inner..], empty[at..]);
        assert!(!whole[head.len()..whole.len() - suffix.len()].iter().any(is_control));
    }
}

#[test]
fn a_control_token_of_an_answer_is_read_as_its_spelling() {
    let form = form();
    let delimiter = Form::delimiter(3);
    let quoted = asked("what", &[tokens("so")[0], tiny::END, tokens("on")[0]]);
    let inner = [tokens("s"), tokens("<|im_end|>"), tokens("o")].concat();
    assert!(!inner.contains(&tiny::END));
    let opening = form.opening("what", &delimiter).unwrap();
    let suffix = form.suffix(&delimiter).unwrap();
    assert_eq!(quoted, [form.head(), &opening, &inner, &suffix].concat());
}

#[test]
fn delimiters_are_those_of_the_seed() {
    assert_eq!(Form::delimiter(1), Form::delimiter(1));
    let many: BTreeSet<String> = (0..500).map(Form::delimiter).collect();
    assert!(many.len() > 490);
    assert!(many.iter().all(|d| d.len() == 4 && d.chars().all(|c| c.is_ascii_hexdigit())));
    let form = form();
    assert!(!form.head().is_empty());
    assert_ne!(form.suffix("0000").unwrap(), form.suffix("1111").unwrap());
}

#[test]
fn a_long_request_is_quoted_by_its_ends() {
    let form = form();
    let text = format!("{}{}", "a".repeat(600), "b".repeat(600));
    let opening = form.opening(&text, "0000").unwrap();
    let count = |letter: &str| opening.iter().filter(|t| **t == tokens(letter)[0]).count();
    assert!(count("b") >= 128 && count("b") < 140, "{}", count("b"));
    assert!(opening.len() < tiny::CONTEXT / 3);
}

#[test]
fn labels_that_are_not_one_token_are_refused_by_name() {
    let mut wrong = wording();
    wrong.labels[1][2] = "no".to_owned();
    let form = Arc::new(Form::new(model(), wrong).unwrap());
    let policy = policy(BuiltIn::Default);
    let error = Calibration::measure(&form, &policy, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("\"no\"") && error.contains("\"n\", \"o\""), "{error}");
    let mut wrong = wording();
    wrong.labels[0][2] = "a".to_owned();
    let form = Arc::new(Form::new(model(), wrong).unwrap());
    let error = Calibration::measure(&form, &policy, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("three different"), "{error}");
}

#[test]
fn the_bundled_texts_are_as_many_and_as_short_as_they_say() {
    let (select, test) = (benign(Split::Select).unwrap(), benign(Split::Test).unwrap());
    assert!(select.len() >= 200 && test.len() >= 40, "{} {}", select.len(), test.len());
    let all: Vec<_> = select.iter().chain(&test).collect();
    let requests: BTreeSet<&str> = all.iter().map(|text| text.request.as_str()).collect();
    assert_eq!(requests.len(), all.len());
    assert!(all.iter().all(|text| text.answer.chars().count() <= 200));
    let short = all.iter().filter(|text| text.answer.chars().count() < 40).count();
    assert!(short * 10 < all.len());
    assert_eq!(content_free().len(), 20);
    assert_eq!(injections().unwrap().len(), 50);
}
