//! Simulations: the table, the document and the picture, the same on every machine.

use crate::kit::{Folder, masked, trimtab};
use serde_json::Value;

/// A small simulation of duels.
const DUEL: [&str; 10] =
    ["simulate", "duel", "--rounds", "40", "--seeds", "3", "--candidates", "12", "--width", "5"];
/// The same of judgements.
const ROSA: [&str; 8] = ["simulate", "rosa", "--rounds", "6", "--seeds", "3", "--candidates", "20"];

fn document(words: &[&str]) -> Value {
    let run = trimtab(&[words, &["--json"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn mean(result: &Value, measure: &str) -> f64 {
    result[measure]["mean"].as_f64().unwrap()
}

#[test]
fn duels_show_what_learns_and_what_is_broken() {
    let found = document(&DUEL);
    let results = found["results"].as_array().unwrap();
    let arms: Vec<&str> = results.iter().map(|r| r["arm"].as_str().unwrap()).collect();
    let expected = [
        "ucb",
        "thompson",
        "random",
        "runner_up",
        "growing_matrix",
        "both_random",
        "inverted_label",
        "random_labels",
    ];
    assert_eq!(arms, expected);
    let late = |arm: &str| {
        let at = arms.iter().position(|name| *name == arm).unwrap();
        mean(&results[at], "late_first_regret")
    };
    assert!(late("ucb") < late("both_random") && late("both_random") < late("inverted_label"));
    assert!(results[0]["regret"]["difference"].is_null());
    let difference = &results[6]["regret"]["difference"];
    assert!(difference["low"].as_f64().unwrap() > 0.0, "{difference}");
    let sum = mean(&results[0], "regret") + difference["mean"].as_f64().unwrap();
    assert!((sum - mean(&results[6], "regret")).abs() < 1e-9);
    // The same seeds give the same numbers, and a curve ends where its measure is.
    assert_eq!(document(&DUEL), found);
    let curve = &results[1]["curves"][0];
    assert_eq!(curve["round"].as_array().unwrap().last(), Some(&Value::from(40.0)));
    assert_eq!(curve["mean"].as_array().unwrap().last(), Some(&results[1]["regret"]["mean"]));
}

#[test]
fn judgements_near_the_optimum_and_controls_do_not() {
    let found = document(&ROSA);
    let results = found["results"].as_array().unwrap();
    let distance = |arm: &str| {
        let of = |r: &&Value| r["arm"] == arm;
        mean(results.iter().find(of).unwrap(), "distance")
    };
    assert_eq!(results.len(), 7);
    assert!(distance("rosa") < distance("still") && distance("still") < distance("inverted"));
    assert_eq!(distance("ban"), distance("still"));
    assert_eq!(found["settings"]["beta"], serde_json::json!([1.0]));
}

#[test]
fn lists_are_run_in_all_combinations() {
    let folder = Folder::new();
    let svg = folder.path("sweep.svg");
    let words = [&ROSA[..], &["--only", "rosa", "--flips", "0,0.3", "--svg", &svg]].concat();
    let run = trimtab(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", run.stdout);
    assert!(lines[0].contains("setting") && lines[0].contains("less flips 0.0"), "{}", lines[0]);
    assert!(lines[3].contains("flips 0.3"), "{}", lines[3]);
    let picture = std::fs::read_to_string(&svg).unwrap();
    for word in ["simulation: judgements", "3 seeds", "flips 0.3", "KL to the optimum"] {
        assert!(picture.contains(word), "{word}");
    }
    let arms = ["--only", "ucb,random", "--head", "linear,mlp", "--svg", &svg];
    let run = trimtab(&[&DUEL[..], &arms].concat());
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 6), "{}", run.stderr);
    let picture = std::fs::read_to_string(&svg).unwrap();
    assert!(picture.contains("simulation: duels") && picture.contains("random, head mlp"));
    assert_eq!(folder.names(), ["sweep.svg"]);
}

#[test]
fn simulations_have_their_documents() {
    let folder = Folder::new();
    let of = |words: &[&str], only: &str| {
        let small = words.iter().map(|word| if ["40", "6"].contains(word) { "2" } else { word });
        let run = trimtab(&small.chain(["--only", only, "--json"]).collect::<Vec<_>>());
        masked(run.stdout.trim_end(), &folder.0)
    };
    insta::assert_snapshot!("simulate-duel-json", of(&DUEL, "ucb,random"));
    insta::assert_snapshot!("simulate-rosa-json", of(&ROSA, "rosa,ban"));
}

#[test]
fn pictures_are_refused_before_the_runs() {
    let folder = Folder::new();
    let nowhere = folder.path("no/x.svg");
    let run = trimtab(&[&DUEL[..], &["--svg", &nowhere]].concat());
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("cannot be written: folder"), "{}", run.stderr);
}
