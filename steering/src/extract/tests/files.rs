//! The file is the same however its states came together.

use super::super::{BLOCK, Candidate, Keep, Place, Position, Report, Rule};
use super::*;
use crate::VectorFile;
use crate::estimate::{self, Classes};
use crate::file::card::{Param, Reading, Role, Status};
use crate::file::sha256;
use crate::pairs::{Class, Part};

fn bytes(states: &States) -> Vec<u8> {
    states.finish().unwrap().file.to_bytes().unwrap()
}

#[test]
fn shards_give_the_file_of_one_run() {
    let (model, pairs) = (model(), pairs(4 * BLOCK + 3));
    let recipe = recipe(MethodName::Palrs);
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let whole = read(&extraction, Shard::WHOLE);
    let shards: Vec<Vec<u8>> = (1..=4)
        .rev()
        .map(|index| read(&extraction, Shard { index, of: 4 }).to_bytes().unwrap())
        .collect();
    let shards = || shards.iter().map(|bytes| States::from_bytes(bytes).unwrap());
    let merged = States::merge(shards().collect()).unwrap();
    assert_eq!(merged, whole);
    for candidate in 0..whole.about.candidates() {
        for class in [Class::Positive, Class::Negative] {
            let of = |states: &States| sums(states, candidate, class);
            let bits = |m: crate::estimate::Moments| -> Vec<u64> {
                m.sum.iter().chain(&m.squares).map(|v| v.to_bits()).collect()
            };
            assert_eq!(bits(of(&merged)), bits(of(&whole)));
        }
    }
    assert_eq!(sha256(&bytes(&merged)), sha256(&bytes(&whole)));

    let code = |shards: Vec<States>| States::merge(shards).unwrap_err().code();
    assert_eq!(code(shards().skip(1).collect()), "shards_incomplete");
    assert_eq!(code(shards().chain(shards().take(1)).collect()), "shards_incomplete");
    assert_eq!(code(Vec::new()), "shards_incomplete");
    let other = Recipe { seed: 1, ..recipe.clone() };
    let other = Extraction::new(&model, &pairs, &SITES, &other).unwrap();
    let other = read(&other, Shard { index: 1, of: 4 });
    assert_eq!(code(shards().take(3).chain([other]).collect()), "states_differ");
    let one = shards().next().unwrap();
    assert_eq!(one.finish().unwrap_err().code(), "shards_incomplete");
}

#[test]
fn an_interrupted_run_goes_on_where_it_ended() {
    let (model, pairs) = (model(), pairs(6 * BLOCK));
    let recipe = recipe(MethodName::MeanDifference);
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let mut begun = extraction.begin(Shard::WHOLE, STATE_BYTES).unwrap();
    let flow = extraction.read(&mut begun, &mut |_, _| Flow::Cancel).unwrap();
    assert_eq!(flow, Flow::Cancel);
    let left = extraction.remaining(&begun);
    assert!(0 < left && left < 6 * BLOCK, "{left}");
    let mut resumed = States::from_bytes(&begun.to_bytes().unwrap()).unwrap();
    extraction.check_resumed(&resumed, Shard::WHOLE).unwrap();
    let mut told = 0;
    extraction
        .read(&mut resumed, &mut |_, items| {
            told += items;
            Flow::Continue
        })
        .unwrap();
    assert_eq!((told, &resumed), (left, &read(&extraction, Shard::WHOLE)));

    let other = Recipe { seed: 1, ..recipe.clone() };
    let other = Extraction::new(&model, &pairs, &SITES, &other).unwrap();
    assert_eq!(other.check_resumed(&begun, Shard::WHOLE).unwrap_err().code(), "states_differ");
    let half = Shard { index: 1, of: 2 };
    assert_eq!(extraction.check_resumed(&begun, half).unwrap_err().code(), "states_differ");
}

#[test]
fn every_method_writes_what_it_should() {
    let (model, pairs) = (model(), pairs(80));
    let components = [MethodName::PcaDifference, MethodName::PcaCentred];
    let mut made = Vec::new();
    for method in [
        MethodName::Palrs,
        MethodName::MeanDifference,
        MethodName::PcaDifference,
        MethodName::PcaCentred,
        MethodName::LinearProbe,
        MethodName::LogisticProbe,
    ] {
        let recipe = recipe(method);
        let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
        let states = read(&extraction, Shard::WHOLE);
        let extracted = match states.finish() {
            Ok(extracted) => extracted,
            // On a random model a component need not tell the classes apart.
            Err(error) => {
                assert!(components.contains(&method), "{method:?}: {error}");
                assert_eq!(error.code(), "sign_not_identified", "{method:?}: {error}");
                continue;
            }
        };
        made.push(method);
        let (card, report) = (extracted.file.card(), &extracted.report);
        let round = VectorFile::from_bytes(&extracted.file.to_bytes().unwrap()).unwrap();
        assert_eq!(round, extracted.file);
        assert_eq!(bytes(&states), extracted.file.to_bytes().unwrap());
        assert_eq!((card.role, card.method.name), (Role::Steer, method));
        assert_eq!((card.method.pairs, card.method.seed), (Some(32), Some(0)));
        assert_eq!(report.parts, [32, 16, 32]);
        let data = card.data.as_ref().unwrap();
        assert_eq!((data.pairs, data.sha256.as_str()), (80, pairs.sha256.as_str()));
        assert_eq!(report.grid.len(), SITES.len() * states.about.places.len());
        assert_eq!(card.sites.len(), 1);
        let site = card.sites.get(&report.recommended).unwrap();
        assert!(site.magnitude.unwrap() > 0.0 && site.stream_norm.unwrap() > 0.0);
        assert!(site.auc.is_some());
        let probe = matches!(method, MethodName::LinearProbe | MethodName::LogisticProbe);
        assert_eq!(extracted.read.is_some(), probe, "{method:?}");
        if let Some(read) = &extracted.read {
            assert_eq!((read.card().role, read.card().name.as_str()), (Role::Read, "glad.read"));
        }
        // What a card says of a direction is said of its own row.
        let index = chosen(report, &states);
        for file in [Some(&extracted.file), extracted.read.as_ref()].into_iter().flatten() {
            let row: Vec<f64> =
                file.directions()[0].values().iter().map(|v| f64::from(*v)).collect();
            let on = |class| -> Vec<f64> {
                let rows = states.of(index, class, Part::Test);
                rows.chunks_exact(row.len()).map(|x| estimate::project(x, &row)).collect()
            };
            let expected = estimate::auroc(&on(Class::Positive), &on(Class::Negative));
            let auc = file.card().sites[&report.recommended].auc.unwrap();
            assert!((f64::from(auc) - expected).abs() < 1e-6, "{method:?} {auc} {expected}");
            if file.card().role == Role::Steer {
                let share = estimate::top_share(&row);
                let found = report.grid[index].score.top_share;
                assert!((found - share).abs() < 1e-5, "{method:?} {found} {share}");
            }
        }
    }
    assert!(components.iter().any(|method| made.contains(method)), "{made:?}");
}

/// The number of the candidate that was chosen.
fn chosen(report: &Report, states: &States) -> usize {
    let is_it = |c: &Candidate| (c.site, c.place) == (report.recommended, report.place);
    assert_eq!(report.grid.len(), states.about.candidates());
    report.grid.iter().position(is_it).unwrap()
}

#[test]
fn robust_weights_are_in_every_number() {
    let (model, pairs) = (model(), pairs(500));
    let usual = recipe(MethodName::Palrs);
    let recipe = Recipe { eta: Some(0.9), shares: [0.8, 0.2, 0.0], ..usual };
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let states = read(&extraction, Shard::WHOLE);
    let report = states.finish().unwrap().report;
    let index = chosen(&report, &states);
    let [positive, negative] =
        [Class::Positive, Class::Negative].map(|class| states.of(index, class, Part::Fit));
    let groups = states.about.groups(Part::Fit);
    let classes = Classes::paired(tiny::WIDTH, &positive, &negative, &groups).unwrap();
    let (_, weights) = estimate::robust(&classes, 0.9).unwrap();
    let mean = |states: &[f32]| -> Vec<f64> {
        let mut mean = vec![0.0; tiny::WIDTH];
        for (row, weight) in states.chunks_exact(tiny::WIDTH).zip(&weights.weights) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += weight * f64::from(*x));
        }
        mean
    };
    let (positive, negative) = (mean(&positive), mean(&negative));
    let r: Vec<f64> = positive.iter().zip(&negative).map(|(p, n)| p - n).collect();
    let expected = estimate::cosine(&r, &positive);
    let found = report.grid[index].score.cosine;
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

#[test]
fn palrs_is_read_chosen_and_scaled_as_its_authors_did() {
    let (model, pairs) = (model(), pairs(30));
    let recipe = Recipe { alpha: 0.5, ..recipe(MethodName::Palrs) };
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let extracted = read(&extraction, Shard::WHOLE).finish().unwrap();
    let (card, report) = (extracted.file.card(), &extracted.report);
    assert_eq!(report.rule, Rule::PaperCosine);
    assert_eq!(card.method.position, Some(Reading::TemplateSuffix));
    // At the embedding a template's token is the same in every row, and there is no cosine.
    let grid = report.grid.iter().filter(|candidate| candidate.score.cosine.is_finite());
    let best = grid.max_by(|a, b| a.score.cosine.total_cmp(&b.score.cosine)).unwrap();
    assert_eq!((best.site, best.place), (report.recommended, report.place));
    // Scale times magnitude is α‖μ⁺‖.
    let Some(Param::Number(norm)) = card.method.params.get("mu_norm") else { panic!() };
    let added = card.scale.default * card.sites[&report.recommended].magnitude.unwrap();
    assert!((added - 0.5 * norm).abs() < 1e-4 * norm, "{added} {norm}");
    assert_eq!(card.method.params.get("alpha"), Some(&Param::Number(0.5)));
    assert_eq!(card.status, Status::Unmeasured);
}

#[test]
fn every_site_can_be_written_at_the_best_place() {
    let (model, pairs) = (model(), pairs(30));
    let sites = [Site::ResidPost(0), Site::ResidPost(1), Site::ResidPost(2)];
    let recipe = Recipe {
        keep: Keep::All,
        position: Some(Position::MeanResponse),
        ..recipe(MethodName::MeanDifference)
    };
    let extraction = Extraction::new(&model, &pairs, &sites, &recipe).unwrap();
    let extracted = read(&extraction, Shard::WHOLE).finish().unwrap();
    let written: Vec<Site> = extracted.file.directions().iter().map(|d| d.site()).collect();
    assert_eq!(written, sites);
    assert_eq!(extracted.report.place, Place { reading: Reading::MeanResponse, index: 0 });
    assert_eq!(extracted.file.card().method.position, Some(Reading::MeanResponse));
}

#[test]
fn swapped_sides_turn_the_direction_round() {
    let (model, recipe) = (model(), recipe(MethodName::MeanDifference));
    let recipe = Recipe { position: Some(Position::MeanResponse), ..recipe };
    let site = [Site::ResidPost(1)];
    let swap = |line: &String| {
        line.replace("\"chosen\"", "\"x\"")
            .replace("\"rejected\"", "\"chosen\"")
            .replace("\"x\"", "\"rejected\"")
    };
    let row = |lines: &[String]| {
        let pairs = pairs_of(lines);
        let extraction = Extraction::new(&model, &pairs, &site, &recipe).unwrap();
        let file = read(&extraction, Shard::WHOLE).finish().unwrap().file;
        file.directions()[0].values().to_vec()
    };
    let lines = lines(24);
    let (there, back) = (row(&lines), row(&lines.iter().map(swap).collect::<Vec<String>>()));
    assert!(there.iter().zip(&back).all(|(a, b)| *a == -*b));
}

#[test]
fn labelled_texts_are_read_without_a_template() {
    let (model, mut lines) = (model(), Vec::new());
    for i in 0..60u8 {
        let (word, label) = if i % 2 == 0 { ("glad", 1) } else { ("dull", 0) };
        let letter = char::from(b'a' + i % 26);
        let mark = char::from(b'A' + i / 26);
        lines.push(json!({"text": format!("{mark}{letter} {word}"), "label": label}).to_string());
    }
    let (pairs, recipe) = (pairs_of(&lines), recipe(MethodName::LinearProbe));
    let extraction = Extraction::new(&model, &pairs, &SITES, &recipe).unwrap();
    let extracted = read(&extraction, Shard::WHOLE).finish().unwrap();
    assert_eq!(extracted.report.grid.len(), 2 * SITES.len());
    let auc = extracted.report.sites[0].auc.unwrap();
    assert!(auc > 0.95, "{auc}");
}

#[test]
fn a_direction_that_separates_nothing_is_told() {
    let (model, recipe) = (model(), recipe(MethodName::MeanDifference));
    let recipe = Recipe { position: Some(Position::MeanResponse), ..recipe };
    let doubts = |lines: &[String]| {
        let pairs = pairs_of(lines);
        let extraction = Extraction::new(&model, &pairs, &[Site::ResidPost(1)], &recipe).unwrap();
        let report = read(&extraction, Shard::WHOLE).finish().unwrap().report;
        let chance = |text: &String| text.contains("chance");
        (report.warnings.iter().filter(|text| chance(text)).count(), report)
    };
    assert_eq!(doubts(&lines(80)).0, 0);
    // Every second pair turned round: what is left is noise.
    let swap = |line: &String| {
        line.replace("\"chosen\"", "\"x\"")
            .replace("\"rejected\"", "\"chosen\"")
            .replace("\"x\"", "\"rejected\"")
    };
    let turned = |(at, line): (usize, &String)| if at % 2 == 0 { swap(line) } else { line.clone() };
    let noise: Vec<String> = lines(80).iter().enumerate().map(turned).collect();
    let (count, report) = doubts(&noise);
    assert_eq!(count, 2, "{:?} {:?}", report.warnings, report.sites);
}
