//! Controls by shuffled labels: made where the true labels choose, with nothing of the true difference in them.

use super::super::Keep;
use super::*;
use crate::VectorFile;
use crate::file::card::{Param, Role, Status};

/// The states of pairs at these sites.
fn states(recipe: &Recipe, sites: &[Site]) -> States {
    let (model, pairs) = (model(), pairs(80));
    read(&Extraction::new(&model, &pairs, sites, recipe).unwrap(), Shard::WHOLE)
}

/// Of the first direction of each.
fn cosine(a: &VectorFile, b: &VectorFile) -> f64 {
    let (a, b) = (a.directions()[0].values(), b.directions()[0].values());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
fn a_control_holds_nothing_of_the_difference_and_lies_where_it_was_chosen() {
    let states = states(&recipe(MethodName::MeanDifference), &SITES);
    let truth = states.finish().unwrap();
    let controls: Vec<VectorFile> =
        (1..=8).map(|seed| states.control(seed).unwrap().file).collect();
    for (seed, control) in (1..).zip(&controls) {
        assert!(cosine(control, &truth.file).abs() < 1e-6, "{seed}");
        assert_eq!(control.directions()[0].site(), truth.report.recommended);
        let (card, of) = (control.card(), truth.file.card());
        assert_eq!((card.method.name, card.method.seed), (MethodName::Shuffled, Some(seed)));
        assert_eq!((card.status, card.scale.default), (Status::Unmeasured, 1.0));
        assert_eq!((card.role, card.name.as_str()), (Role::Steer, "glad.shuffled"));
        assert_eq!((&card.data, &card.model), (&of.data, &of.model));
        assert_eq!(card.method.position, of.method.position);
        let text = |text: &str| Some(Param::Text(text.to_owned()));
        assert_eq!(card.method.params.get("estimator").cloned(), text("mean_difference"));
        assert_eq!(card.method.params.get("split_seed"), Some(&Param::Integer(0)));
        assert_eq!(&VectorFile::from_bytes(&control.to_bytes().unwrap()).unwrap(), control);
    }
    let apart = |a: &VectorFile, b: &VectorFile| cosine(a, b).abs() < 0.999;
    assert!(controls.iter().skip(1).all(|other| apart(&controls[0], other)));
    // The same seed, the same bytes; and a shard that was written and read again is as good.
    let again = States::from_bytes(&states.to_bytes().unwrap()).unwrap().control(1).unwrap();
    assert_eq!(again.file.to_bytes().unwrap(), controls[0].to_bytes().unwrap());
}

#[test]
fn every_method_has_its_control_at_every_site_it_writes() {
    let sites = [Site::ResidPost(0), Site::ResidPost(1)];
    for method in [
        MethodName::Palrs,
        MethodName::PcaDifference,
        MethodName::PcaCentred,
        MethodName::LinearProbe,
        MethodName::LogisticProbe,
    ] {
        // The scale of palrs is one site's, so it writes one.
        let keep = if method == MethodName::Palrs { Keep::Best } else { Keep::All };
        let states = states(&Recipe { keep, ..recipe(method) }, &sites);
        let Ok(truth) = states.finish() else {
            // On a random model a component need not tell the classes apart; then there is no control either.
            assert_eq!(states.control(1).unwrap_err().code(), "sign_not_identified");
            continue;
        };
        let control = states.control(1).unwrap();
        assert!(control.read.is_none(), "{method:?}");
        let written = |file: &VectorFile| -> Vec<Site> {
            file.directions().iter().map(|direction| direction.site()).collect()
        };
        assert_eq!(written(&control.file), written(&truth.file));
        let gaps: Vec<f32> = control.report.sites.iter().map(|site| site.magnitude).collect();
        assert!(
            gaps.len() == written(&truth.file).len() && gaps.iter().all(|gap| *gap > 0.0),
            "{method:?} {gaps:?}"
        );
    }
}

#[test]
fn what_cannot_be_shuffled_is_refused() {
    let usual = recipe(MethodName::MeanDifference);
    let mut robust = states(&usual, &SITES);
    robust.about.recipe.eta = Some(0.9);
    let error = robust.control(1).unwrap_err();
    assert_eq!(error.code(), "invalid_value");
    assert!(error.to_string().starts_with("shuffle is no control of robust weights"), "{error}");
    let (model, pairs) = (model(), pairs(80));
    let extraction = Extraction::new(&model, &pairs, &SITES, &usual).unwrap();
    let half = read(&extraction, Shard { index: 1, of: 2 });
    assert_eq!(half.control(1).unwrap_err().code(), "shards_incomplete");
}
