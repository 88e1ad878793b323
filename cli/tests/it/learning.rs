//! Conversations that teach an adapter, and what can be done with what was learnt. The tiny model says nothing that means
//! anything; what is held here is what is counted, kept, undone and refused.

use crate::kit::{Folder, Run, binary, feed, trimtab};
use serde_json::Value;
use trimtab_adapters::store::Store;

/// A scripted conversation with the tiny model.
fn talk(model: &str, words: &[&str], script: &str) -> Run {
    let fixed = ["chat", "-m", model, "-s", "7", "-n", "12", "--script", "-"];
    feed(binary().args([&fixed[..], words].concat()), script)
}

/// The turns of a scripted conversation.
fn turns(model: &str, words: &[&str], script: &str) -> Vec<Value> {
    let run = talk(model, &[words, &["--json", "-q"]].concat(), script);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["seed"], 7);
    document["turns"].as_array().unwrap().clone()
}

fn json(words: &[&str]) -> Value {
    let run = trimtab(&[words, &["--json"]].concat());
    assert_eq!(run.code, Some(0), "{words:?}: {}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn a_thumb_teaches_a_version_and_a_revert_brings_the_answer_back() {
    let folder = Folder::new();
    let model = folder.talking();
    let script = "hello there\n/bad\n/again\n/versions\n/revert 0\n/again\n";
    let turns = turns(&model, &["--adapt", "rosa", "--adapt-param", "eps_neg=0.2"], script);
    let [first, lesson, second, versions, reverted, third] = &turns[..] else {
        panic!("{turns:?}")
    };
    assert_eq!(
        (&first["adapter"]["id"], &first["adapter"]["version"]),
        (&"chat".into(), &0.into())
    );
    let lesson = &lesson["lesson"];
    assert_eq!((&lesson["status"], &lesson["adapter"]["version"]), (&"applied".into(), &1.into()));
    assert!(lesson["step"]["kl"].as_f64().unwrap() > 0.0);
    assert_eq!(second["adapter"]["version"], 1);
    let versions = versions["versions"].as_array().unwrap();
    assert_eq!((versions.len(), &versions[0]["cause"]), (1, &"feedback".into()));
    assert_eq!(
        (&reverted["reverted"]["version"], &reverted["reverted"]["restores"]),
        (&2.into(), &0.into())
    );
    assert_eq!((&third["text"], &third["adapter"]["version"]), (&first["text"], &2.into()));
}

#[test]
fn what_is_typed_next_judges_where_a_rule_is_about_it() {
    let folder = Folder::new();
    let model = folder.talking();
    let told = talk(&model, &["--adapt", "rosa"], "hello\nNo, that's wrong.\n");
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let line = "judged as wrong (-1, rule \"that's wrong\"); learnt: version 1";
    assert!(told.stderr.contains(line), "{}", told.stderr);
    assert_eq!(told.stdout.lines().count(), 2);
    let silent = talk(&model, &["--adapt", "rosa"], "hello\nWhat is wrong with it?\n");
    assert!(!silent.stderr.contains("judged") && !silent.stderr.contains("learnt"));
    // Nothing is learnt where nothing was asked to learn.
    let plain = talk(&model, &[], "hello\nNo, that's wrong.\n");
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    assert!(!plain.stderr.contains("judged"), "{}", plain.stderr);
}

#[test]
fn a_thumb_that_may_not_teach_says_why() {
    let folder = Folder::new();
    let model = folder.talking();
    let refused = talk(&model, &["--adapt", "rosa"], "hello\n/good\n");
    assert_eq!(refused.code, Some(0), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("not learnt: version stays 0; sign_not_allowed"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--adapt-param signs=both"), "{}", refused.stderr);
    let both = ["--adapt", "rosa", "--adapt-param", "signs=both"];
    let taken = talk(&model, &both, "hello\n/good\nhello\n/edit a better\\\nanswer\n");
    assert!(taken.stderr.contains("learnt: version 2"), "{}", taken.stderr);
}

#[test]
fn a_script_ends_at_what_is_wrong_in_it() {
    let folder = Folder::new();
    let model = folder.talking();
    for (words, script, problem) in [
        (&[][..], "/bad\n", "/bad needs an adapter"),
        (&["--adapt", "rosa"], "/bad\n", "/bad finds no answer"),
        (&["--adapt", "rosa"], "hello\n/bad\n/bad\n", "/bad finds no answer"),
        (&["--adapt", "rosa"], "/sing\n", "has /sing, which is not known"),
        (&["--adapt", "tpop", "--adapt-param", "features=8"], "/duel\nhello\n3\n", "1, 2, tie"),
    ] {
        let run = talk(&model, words, script);
        assert_eq!(run.code, Some(2), "{script}: {}", run.stderr);
        assert!(run.stderr.contains(problem), "{script}: {}", run.stderr);
    }
    for words in [
        &["chat", "--adapter", "x"][..],
        &["chat", "--adapt", "lora"],
        &["chat", "--adapt", "rosa", "--adapt-param", "sings=both"],
        &["chat", "--adapt", "rosa", "--adapt-param", "rank=99"],
        &["chat", "--adapt", "rosa", "--adapter", "A b"],
    ] {
        let run = feed(binary().args(words).args(["-m", &model]), "hello");
        assert_eq!(run.code, Some(2), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn duels_between_samples_are_asked_and_learnt() {
    let folder = Folder::new();
    let model = folder.talking();
    let words = ["--adapt", "tpop", "--adapt-param", "features=8"];
    let script = "/duel\nhello\n1\n/duel\nagain\ntie\nand now\n";
    let turns = turns(&model, &words, script);
    let [duel, lesson, second, tie, answer] = &turns[..] else { panic!("{turns:?}") };
    let answers = duel["duel"]["answers"].as_array().unwrap();
    assert_eq!((answers.len(), &duel["vote"]), (2, &"0".into()));
    assert_ne!(answers[0]["text"], answers[1]["text"]);
    assert!(answers.iter().any(|answer| answer["arm"] == "best"), "{answers:?}");
    assert_eq!(
        (&lesson["lesson"]["status"], &lesson["lesson"]["bandit"]["pairs"]),
        (&"applied".into(), &1.into())
    );
    assert_eq!(second["vote"], "tie");
    assert_eq!(tie["lesson"]["bandit"]["updated"], false);
    assert_eq!(answer["adapter"]["version"], lesson["lesson"]["adapter"]["version"]);
}

#[test]
fn duels_between_settings_choose_how_answers_are_made() {
    let folder = Folder::new();
    let model = folder.talking();
    let arms = folder.write(
        "arms.json",
        r#"[{"name":"plain"},{"name":"short","instruction":"Be short"},{"name":"warm","instruction":"Be warm"}]"#,
    );
    let words = ["--adapt", "tpop", "--adapt-arms", &arms];
    let turns = turns(&model, &words, &"/duel\nhello\n2\n".repeat(3));
    let duels: Vec<&Value> = turns.iter().filter(|turn| turn["duel"].is_object()).collect();
    assert_eq!(duels.len(), 3, "{turns:?}");
    let bad = folder.write("bad.json", r#"[{"name":"a"},{"name":"b","steering":{"monitor":{}}}]"#);
    let run = talk(&model, &["--adapt", "tpop", "--adapt-arms", &bad], "hello\n");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("setting b"), "{}", run.stderr);
}

#[test]
fn a_folder_of_state_keeps_what_was_learnt_until_it_is_deleted() {
    let folder = Folder::new();
    let model = folder.talking();
    let state = folder.path("state");
    let adapt = ["--adapt", "rosa", "--adapter", "alice", "--state-dir", &state];
    turns(&model, &adapt, "hello\n/bad\nhello\n/bad\n");
    // Another conversation goes on where this one ended.
    let next = turns(&model, &adapt, "hello\n/bad\n");
    assert_eq!(
        (&next[0]["adapter"]["version"], &next[1]["lesson"]["adapter"]["version"]),
        (&2.into(), &3.into())
    );

    let here = ["--state-dir", &state];
    let list = json(&[&["adapters", "list"][..], &here].concat());
    let adapters = list["adapters"].as_array().unwrap();
    assert_eq!(
        (adapters.len(), &adapters[0]["id"], &adapters[0]["version"]),
        (1, &"alice".into(), &3.into())
    );
    let shown = json(&[&["adapters", "show", "alice"][..], &here].concat());
    assert_eq!(shown["versions"].as_array().unwrap().len(), 3);
    let diff = json(&[&["adapters", "diff", "alice", "0", "3", "-m", &model][..], &here].concat());
    assert_eq!(diff["norms"][0], 0.0);
    assert!(diff["kl"].as_f64().unwrap() > 0.0 && diff["cosine"].is_null());
    assert!(!diff["lowered"].as_array().unwrap().is_empty());

    let file = folder.path("alice.adapter");
    json(&[&["adapters", "export", "alice", "2", "-o", &file][..], &here].concat());
    let imported = json(&[&["adapters", "import", "bob", &file][..], &here].concat());
    assert_eq!(
        (&imported["adapter"]["id"], &imported["adapter"]["version"]),
        (&"bob".into(), &1.into())
    );
    let reverted = json(&[&["adapters", "revert", "alice", "1"][..], &here].concat());
    assert_eq!(
        (&reverted["reverted"]["version"], &reverted["reverted"]["restores"]),
        (&4.into(), &1.into())
    );
    let same = json(&[&["adapters", "diff", "alice", "1", "4"][..], &here].concat());
    assert_eq!((&same["change"], &same["cosine"]), (&0.0.into(), &1.0.into()));

    let table = trimtab(&[&["adapters", "show", "alice"][..], &here].concat()).stdout;
    assert!(table.contains("revert to 1") && table.contains("feedback"), "{table}");
    let deleted = json(&[&["adapters", "delete", "alice"][..], &here].concat());
    assert_eq!(deleted["deleted"]["versions"], 4);
    let gone = trimtab(&[&["adapters", "show", "alice"][..], &here].concat());
    assert_eq!(gone.code, Some(3), "{}", gone.stderr);
    assert!(gone.stderr.contains("adapter alice does not exist"), "{}", gone.stderr);
    let other = trimtab(&[&["adapters", "show", "bob", "--owner", "eve"][..], &here].concat());
    assert_eq!(other.code, Some(3), "{}", other.stderr);
}

#[test]
fn a_folder_that_is_held_is_left_alone() {
    let folder = Folder::new();
    let state = folder.path("state");
    let threads = tokio::runtime::Runtime::new().unwrap();
    let store = threads.block_on(Store::open(state.as_ref())).unwrap();
    let run = trimtab(&["adapters", "list", "--state-dir", &state]);
    assert_eq!(run.code, Some(5), "{}", run.stderr);
    assert!(run.stderr.contains("in use by another server"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: stop the server"), "{}", run.stderr);
    drop(store);
}

/// The checks of a proof by name, and whether each passed.
fn checks(document: &Value) -> Vec<(&str, Option<bool>)> {
    let rows = document["checks"].as_array().unwrap().iter();
    rows.map(|row| (row["name"].as_str().unwrap(), row["passed"].as_bool())).collect()
}

#[test]
fn a_proof_checks_a_fresh_adapter_and_a_copy_of_a_kept_one() {
    let folder = Folder::new();
    let model = folder.talking();
    let fresh = json(&["adapters", "prove", "-m", &model, "-n", "8"]);
    let names = [
        "lessons_taken",
        "untaught_identical",
        "thumb_up_raises",
        "thumb_down_lowers",
        "held_out_changed",
        "neutral_kl",
        "neutral_perplexity",
        "zero_update_identical",
        "versions_reproduce",
        "kept_before",
        "rows_left",
        "bytes_left",
    ];
    let found = checks(&fresh);
    assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    let held = |(name, passed): &(&str, Option<bool>)| {
        *passed == if *name == "held_out_changed" { None } else { Some(true) }
    };
    assert!(found.iter().all(held), "{fresh}");

    let state = folder.path("state");
    let adapt = ["--adapt", "rosa", "--adapter", "alice", "--state-dir", &state];
    turns(&model, &adapt, "hello\n/bad\n");
    let stored = ["adapters", "prove", "-m", &model, "--adapter", "alice", "--state-dir", &state];
    let copy = json(&stored);
    assert_eq!((&copy["adapter"], &copy["passed"]), (&"alice".into(), &true.into()));
    // The user's own is as it was.
    let shown = json(&["adapters", "show", "alice", "--state-dir", &state]);
    assert_eq!(shown["adapter"]["version"], 1);
}

#[test]
fn a_proof_of_what_learns_nothing_fails() {
    let folder = Folder::new();
    let model = folder.talking();
    let words = ["adapters", "prove", "-m", &model, "--adapt-param", "eps_neg=0", "--json"];
    let run = trimtab(&words);
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["passed"], false);
    let failed: Vec<&str> = checks(&document)
        .into_iter()
        .filter(|(_, passed)| *passed == Some(false))
        .map(|(name, _)| name)
        .collect();
    assert!(
        failed.contains(&"lessons_taken") && failed.contains(&"thumb_down_lowers"),
        "{document}"
    );
}

#[test]
fn a_proof_of_a_taste_is_about_choices() {
    let folder = Folder::new();
    let model = folder.talking();
    let state = folder.path("state");
    let adapt = ["--adapt", "tpop", "--adapt-param", "features=8", "--state-dir", &state];
    let words = [&adapt[..], &["--adapter", "taste"]].concat();
    turns(&model, &words, "/duel\nhello\n1\n/duel\nhello again\n2\n");
    let stored = ["adapters", "prove", "-m", &model, "--adapter", "taste", "--state-dir", &state];
    let document = json(&stored);
    let found = checks(&document);
    assert!(found.contains(&("left_choice_raises", Some(true))), "{document}");
    assert!(found.contains(&("right_choice_raises", Some(true))), "{document}");
    assert!(found.contains(&("bytes_left", Some(true))), "{document}");
}
