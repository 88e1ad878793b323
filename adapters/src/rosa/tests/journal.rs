//! Versions out of the journal, and the same versions out of the same judgements.

use super::super::history::RosaHistory;
use super::super::journal::{JournalEntry, JournalOutcome, replay};
use super::super::refusal::SkipReason;
use super::*;

/// What a conversation leaves behind.
struct Talk {
    scene: Scene,
    versions: Vec<RosaState>,
    entries: Vec<JournalEntry>,
    /// The answers that led to a version.
    judged: Vec<(AnswerTrace, Judgement)>,
}

/// A conversation of judgements of both signs.
fn conversation(mut scene: Scene, turns: usize) -> Talk {
    let mut history = RosaHistory::default();
    let (mut versions, mut entries, mut judged) =
        (vec![scene.state.clone()], Vec::new(), Vec::new());
    for turn in 0..turns {
        let trace = AnswerTrace { id: format!("turn {turn}"), ..scene.served() };
        let judgement = Judgement::value(if turn % 3 == 2 { 1.0 } else { -1.0 });
        let teaching = (&trace, &judgement);
        let update =
            scene.rosa.learn(&mut history, &scene.model(), &scene.state, teaching).unwrap();
        entries.push(update.entry);
        if let Some(state) = update.state {
            scene.state = state;
            versions.push(scene.state.clone());
            judged.push((trace, judgement));
        }
    }
    Talk { scene, versions, entries, judged }
}

fn assert_equal(a: &RosaState, b: &RosaState) {
    assert_eq!(a.version, b.version);
    let both = a.block.values().iter().zip(b.block.values());
    assert!(both.clone().all(|(a, b)| (a - b).abs() <= 1e-6), "{both:?}");
}

#[test]
fn m10_the_journal_alone_rebuilds_every_version() {
    for scene in both_blocks(41, (80, 8), 2.0) {
        let start = scene.state.clone();
        let Talk { versions, entries, .. } = conversation(scene, 8);
        assert!(versions.len() > 4, "{entries:?}");
        let lines: Vec<String> =
            entries.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        let read: Vec<JournalEntry> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        // JSON's numbers may come back with another last bit.
        let what =
            |entry: &JournalEntry| (entry.trace.clone(), entry.outcome.clone(), entry.old_version);
        assert!(read.iter().map(what).eq(entries.iter().map(what)));
        assert!(read.iter().zip(&entries).all(|(a, b)| a.guards.len() == b.guards.len()));
        for version in &versions {
            let upto = |entry: &&JournalEntry| match entry.outcome {
                JournalOutcome::Applied { version: made } => made <= version.version,
                JournalOutcome::Rejected { .. } | JournalOutcome::Skipped { .. } => true,
            };
            assert_equal(&replay(&start, read.iter().filter(upto)).unwrap(), version);
        }
        // A journal with a hole is refused.
        let hole = read.iter().filter(|entry| entry.old_version != 1);
        assert!(replay(&start, hole).is_err());
    }
}

#[test]
fn m10_the_same_judgements_give_the_same_versions() {
    for mut scene in both_blocks(42, (80, 8), 2.0) {
        let start = scene.state.clone();
        let talk = conversation(scene, 6);
        let (versions, judged) = (talk.versions, talk.judged);
        scene = talk.scene;
        scene.state = start;
        for ((trace, judgement), version) in judged.iter().zip(&versions[1..]) {
            let update = scene.rosa.update(&scene.model(), &scene.state, trace, judgement).unwrap();
            scene.state = update.state.unwrap();
            assert_equal(&scene.state, version);
        }
    }
}

#[test]
fn a_decayed_state_is_replayed_too() {
    let params = RosaParams { decay: 0.8, ..open_params() };
    let scene = Scene::with(43, (80, 8), 2.0, params);
    let start = scene.state.clone();
    let Talk { versions, entries, .. } = conversation(scene, 6);
    assert_equal(&replay(&start, &entries).unwrap(), versions.last().unwrap());
}

#[test]
fn the_journal_has_no_text_of_the_conversation() {
    let scene = Scene::new(44, (80, 8), 2.0);
    let trace = AnswerTrace { prompt: "digest".to_owned(), ..scene.served() };
    let entry = scene.update(&trace, -1.0).entry;
    assert_eq!((entry.prompt.as_str(), entry.tokens), ("digest", 6));
    assert_eq!(entry.response, trace.response());
    assert_eq!(entry.delta.len(), 8);
    let low = Judgement { confidence: 0.1, ..Judgement::down() };
    let update = scene.rosa.update(&scene.model(), &scene.state, &trace, &low).unwrap();
    let reason = SkipReason::LowConfidence;
    assert_eq!(update.entry.outcome, JournalOutcome::Skipped { reason });
}
