//! States that memory has no room for give the very file of those that are kept.

use super::*;
use crate::extract::Keep;

/// Every bit of what an extraction gives, as text; NaN is one word.
fn all(extracted: &super::super::Extracted) -> (Vec<u8>, Option<Vec<u8>>, String) {
    let read = extracted.read.as_ref().map(|read| read.to_bytes().unwrap());
    (extracted.file.to_bytes().unwrap(), read, format!("{:?}", extracted.report))
}

fn alike(pairs: &Pairs, recipe: &Recipe, budget: usize) {
    let model = model();
    let extraction = Extraction::new(&model, pairs, &SITES, recipe).unwrap();
    let method = recipe.method;
    let mut items = 0;
    let streamed = extraction.stream(budget, &mut |more| {
        items += more;
        Flow::Continue
    });
    match (streamed, read(&extraction, Shard::WHOLE).finish()) {
        (Ok(streamed), Ok(held)) => {
            assert!(all(&streamed) == all(&held), "{method:?}");
            assert_eq!(items, extraction.streamed(budget).unwrap(), "{method:?}");
        }
        // On a random model a component need not tell the classes apart.
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string(), "{method:?}"),
        (one, other) => panic!("{method:?}: {:?} {:?}", one.err(), other.err()),
    }
}

#[test]
fn little_memory_changes_no_bit() {
    let pairs = pairs(80);
    for method in [
        MethodName::Palrs,
        MethodName::MeanDifference,
        MethodName::PcaDifference,
        MethodName::PcaCentred,
        MethodName::LinearProbe,
        MethodName::LogisticProbe,
    ] {
        let recipe = recipe(method);
        let keep = if method == MethodName::Palrs { Keep::Best } else { Keep::All };
        let position = Some(crate::extract::Position::DialogueTail);
        for recipe in [Recipe { keep, position, ..recipe.clone() }, recipe] {
            // Room for one site at a time, and for all of them.
            let model = model();
            let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
            let plan = super::super::sums::Plan::of(&extraction.about);
            let one = plan.bytes() * extraction.about.places.len();
            assert!(!extraction.fits(one) && extraction.fits(STATE_BYTES));
            alike(&pairs, &recipe, one);
            alike(&pairs, &recipe, STATE_BYTES);
            let refused = extraction.stream(one - 1, &mut |_| Flow::Continue).unwrap_err();
            assert_eq!(refused.code(), "states_too_large");
        }
    }
}

#[test]
fn nor_do_weights_parts_or_classes() {
    let usual = recipe(MethodName::MeanDifference);
    let robust = Recipe { eta: Some(0.9), shares: [0.8, 0.2, 0.0], ..usual.clone() };
    alike(&pairs(300), &robust, 1 << 18);
    let rule = Some(crate::extract::Rule::PaperCosine);
    let whole = Recipe { shares: [1.0, 0.0, 0.0], rule, ..usual.clone() };
    alike(&pairs(40), &whole, 1 << 13);
    let line = |i: u8| {
        let word = if i.is_multiple_of(3) { "glad" } else { "dull" };
        let text = format!("{}{} {word}", char::from(b'a' + i % 26), char::from(b'A' + i / 26));
        json!({"text": text, "label": u8::from(i.is_multiple_of(3))}).to_string()
    };
    let labelled = pairs_of(&(0..90).map(line).collect::<Vec<String>>());
    alike(&labelled, &Recipe { min_pairs: 5, ..recipe(MethodName::LinearProbe) }, 1 << 15);
    alike(&labelled, &Recipe { min_pairs: 5, ..usual }, 1 << 13);
}

#[test]
fn what_is_cancelled_gives_nothing() {
    let (model, pairs) = (model(), pairs(80));
    let recipe = recipe(MethodName::MeanDifference);
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let error = extraction.stream(STATE_BYTES, &mut |_| Flow::Cancel).unwrap_err();
    assert_eq!(error.code(), "cancelled");
}
