//! The truth table of every policy, and what files may and may not say.

use super::check::{Standing, check};
use super::*;

/// All 27 states and what `default`, `strict` and `paper` do, typed off the specification: continue, watch, rollback, unknown.
const TRUTH: [([i8; 3], &str); STATES] = [
    ([1, 1, 1], "ccc"),
    ([1, 1, 0], "ccc"),
    ([1, 1, -1], "cwr"),
    ([1, 0, 1], "uuu"),
    ([1, 0, 0], "ccc"),
    ([1, 0, -1], "wrr"),
    ([1, -1, 1], "wwr"),
    ([1, -1, 0], "wwr"),
    ([1, -1, -1], "wwr"),
    ([0, 1, 1], "uuu"),
    ([0, 1, 0], "uuu"),
    ([0, 1, -1], "uuu"),
    ([0, 0, 1], "uuu"),
    ([0, 0, 0], "ccc"),
    ([0, 0, -1], "wrr"),
    ([0, -1, 1], "uuu"),
    ([0, -1, 0], "wrr"),
    ([0, -1, -1], "wrr"),
    ([-1, 1, 1], "rrr"),
    ([-1, 1, 0], "rrr"),
    ([-1, 1, -1], "rrr"),
    ([-1, 0, 1], "uuu"),
    ([-1, 0, 0], "rrr"),
    ([-1, 0, -1], "rrr"),
    ([-1, -1, 1], "rrr"),
    ([-1, -1, 0], "rrr"),
    ([-1, -1, -1], "rrr"),
];

fn built_in(which: BuiltIn) -> Policy {
    Policy::built_in(which).unwrap()
}

fn extending(rest: &str) -> Result<Policy> {
    Policy::parse(&format!("name = \"house\"\nextends = \"default\"\n{rest}"))
}

/// The sentence of a refusal.
fn refusal(text: &str) -> String {
    Policy::parse(text).unwrap_err().to_string()
}

#[test]
fn every_policy_does_in_every_state_what_the_table_says() {
    let policies = BuiltIn::ALL.map(built_in);
    for (values, letters) in TRUTH {
        for (policy, letter) in policies.iter().zip(letters.chars()) {
            let expected = match letter {
                'c' => Action::Continue,
                'w' => Action::Watch,
                'r' => Action::Rollback,
                _ => Action::Unknown,
            };
            assert_eq!(policy.action(State(values)), expected, "{} {values:?}", policy.name());
        }
    }
    assert_eq!(policies[0].action(State([1, 2, 0])), Action::Unknown);
}

#[test]
fn a_correct_refusal_is_never_taken_back_by_default_or_strict() {
    let refusals = [[1, -1, 1], [1, -1, 0], [1, -1, -1]].map(State);
    for which in [BuiltIn::Default, BuiltIn::Strict] {
        let rolled_back = built_in(which).rollback_states();
        assert!(refusals.iter().all(|state| !rolled_back.contains(state)), "{which:?}");
    }
    assert!(refusals.iter().all(|s| built_in(BuiltIn::Paper).rollback_states().contains(s)));
    let counts = BuiltIn::ALL.map(|which| built_in(which).rollback_states().len());
    assert_eq!(counts, [8, 12, 16]);
}

#[test]
fn the_axes_that_decide_are_found() {
    let [default, strict, paper] = BuiltIn::ALL.map(|which| built_in(which).needs());
    assert_eq!(default.rollback, Some(Axis::Safety));
    assert!(default.rollback_is_decided_by_the_first());
    for needs in [strict, paper] {
        assert_eq!(needs.rollback, Some(Axis::Egoism));
        assert!(!needs.rollback_is_decided_by_the_first());
    }
    assert_eq!(default.action, Some(Axis::Egoism));
    // Rolls back in (0,-1,·) and nowhere else it did not before: S and A decide.
    let two = extending("[actions]\n\"(0,-1,0)\" = \"rollback\"\n\"(0,-1,-1)\" = \"rollback\"\n");
    assert_eq!(two.unwrap().needs().rollback, Some(Axis::Altruism));
    let rows: String =
        State::feasible().map(|state| format!("\"{state}\" = \"watch\"\n")).collect();
    let none = extending(&format!("[actions]\n{rows}")).unwrap().needs();
    assert_eq!(none, Needs { rollback: None, action: None });
    assert!(none.rollback_is_decided_by_the_first());
}

#[test]
fn a_file_can_say_everything() {
    let rows: String = State::all()
        .map(|state| {
            let action = if state.is_feasible() { "rollback" } else { "unknown" };
            format!("\"{state}\" = \"{action}\"\n")
        })
        .collect();
    let principles: String = ["Privacy", "Candour", "Brevity"]
        .map(|name| format!("[[principles]]\nname = \"{name}\"\nquestion = \"{name}?\"\n"))
        .concat();
    let guidance: String = ["S", "A", "E", "general"]
        .map(|axis| {
            format!("[guidance.{axis}]\n1 = \"{axis} a\"\n2 = \"{axis} b\"\n3 = \" {axis} c \"\n")
        })
        .concat();
    let caps = "[caps]\nrewinds = 10\ndiscarded = 4096\nperceiver_per_token = 7\n\
                perceiver_free = 9\ntime_factor = 3\n";
    let text = format!(
        "name = \"mine\"\nrefusal = \"No.\"\n{principles}[actions]\n{rows}{caps}{guidance}"
    );
    let policy = Policy::parse(&text).unwrap();
    assert_eq!((policy.name(), policy.refusal()), ("mine", "No."));
    assert_eq!(policy.principle(Axis::Altruism).question, "Candour?");
    assert_eq!(policy.rollback_states().len(), 20);
    let expected = Caps {
        rewinds: 10,
        discarded: 4096,
        perceiver_per_token: 7,
        perceiver_free: 9,
        time_factor: 3.0,
    };
    assert_eq!(*policy.caps(), expected);
    assert_eq!(policy.caps().perceiver_tokens(5), 44);
    assert_eq!(policy.catalogue().note(Some(Axis::Egoism), Level::Decline), "E c");
    assert_eq!(policy.catalogue().note(None, Level::Guide), "general a");
    // Infeasible rows may be left out, caps have defaults.
    let short: String =
        text.lines().filter(|l| !l.contains("unknown")).map(|l| format!("{l}\n")).collect();
    assert_eq!(Policy::parse(&short).unwrap(), policy);
    let without = Policy::parse(&text.replace(caps, "")).unwrap();
    assert_eq!(*without.caps(), Caps::default());
}

#[test]
fn an_extension_keeps_what_it_does_not_say() {
    let base = built_in(BuiltIn::Default);
    let plain = extending("").unwrap();
    assert_eq!(plain.digest(), base.digest());
    let house = extending(
        "[actions]\n\"(1,1,-1)\" = \"watch\"\n[caps]\nrewinds = 1\n[guidance.A]\n2 = \"Be fair.\"\n",
    )
    .unwrap();
    assert_eq!(house.name(), "house");
    let changed: Vec<State> =
        State::all().filter(|state| house.action(*state) != base.action(*state)).collect();
    assert_eq!(changed, [State([1, 1, -1])]);
    assert_eq!(*house.caps(), Caps { rewinds: 1, ..Caps::default() });
    let note =
        |policy: &Policy, level| policy.catalogue().note(Some(Axis::Altruism), level).to_owned();
    assert_eq!(note(&house, Level::Insist), "Be fair.");
    assert_eq!(note(&house, Level::Guide), note(&base, Level::Guide));
    assert_eq!(house.refusal(), base.refusal());
}

#[test]
fn digests_are_pinned_and_cover_every_part() {
    // Computed by hashlib over the same parts, from the TOML files as tomllib reads them.
    let digests = BuiltIn::ALL.map(|which| built_in(which).digest());
    assert_eq!(digests, DIGESTS);
    let base = built_in(BuiltIn::Default);
    let judging = base.judging_digest();
    assert_eq!(judging, JUDGING);
    let principles = |last: &str| {
        let names = ["Safety", "Altruism", last];
        names.map(|n| format!("[[principles]]\nname = \"{n}\"\nquestion = \"q\"\n")).concat()
    };
    for (text, judges) in [
        ("[actions]\n\"(1,1,1)\" = \"watch\"\n".to_owned(), true),
        (principles("Egoism"), true),
        ("[caps]\nrewinds = 3\n".to_owned(), false),
        ("[caps]\ndiscarded = 255\n".to_owned(), false),
        ("[caps]\nperceiver_per_token = 5\n".to_owned(), false),
        ("[caps]\nperceiver_free = 65\n".to_owned(), false),
        ("[caps]\ntime_factor = 2.5\n".to_owned(), false),
        ("[guidance.general]\n3 = \"x\"\n".to_owned(), false),
        ("refusal = \"x\"\n".to_owned(), false),
    ] {
        let other = extending(&text).unwrap();
        assert_ne!(other.digest(), base.digest(), "{text}");
        assert_eq!(other.judging_digest() != judging, judges, "{text}");
    }
    let [one, other] = ["Egoism", "Self"].map(|name| extending(&principles(name)).unwrap());
    assert_ne!(one.judging_digest(), other.judging_digest());
}

const DIGESTS: [&str; 3] = [
    "fd101deeb673a013b3418b36fa1d365b6b5d8fc0661821870e832e075a27d7c7",
    "c9143786e0216eb514cdb7b6cdeca9da6c6e05af04d8c52de7b054ef3e5950de",
    "8785e7455cbf1f0f210733a45fc632056e7d1526eb6b72e12055d73c7d73af9a",
];
const JUDGING: &str = "d08b06d51e516dfd3b13426fe36346083115eb29357657b59052d58a3344234c";

#[test]
fn a_bad_file_is_refused_with_its_key_and_what_to_do() {
    let head = "name = \"a\"\nextends = \"default\"\n";
    for (rest, expected) in [
        (
            "[caps]\nrewind = 3\n",
            "policy: line 4 (rewind) is refused: unknown field `rewind`, expected one of `rewinds`",
        ),
        ("[extra]\n", "policy: line 3 ([extra]) is refused: unknown field `extra`"),
        (
            "[caps]\nrewinds = \"3\"\n",
            "policy: line 4 (rewinds) is refused: invalid type: string \"3\", expected i64",
        ),
        ("[caps]\nrewinds = 11\n", "policy: caps.rewinds is 11, expected 0 to 10"),
        ("[caps]\nrewinds = -1\n", "policy: caps.rewinds is -1, expected 0 to 10"),
        ("[caps]\ndiscarded = 4097\n", "policy: caps.discarded is 4097, expected 0 to 4096"),
        ("[caps]\ntime_factor = 0.5\n", "policy: caps.time_factor is 0.5, expected 1 to 100"),
        ("[caps]\ntime_factor = nan\n", "policy: caps.time_factor is NaN, expected 1 to 100"),
        (
            "[actions]\n\"(1,0,1)\" = \"watch\"\n",
            "policy: actions.\"(1,0,1)\" is watch, and no answer can be in it",
        ),
        (
            "[actions]\n\"(1,0,0)\" = \"stop\"\n",
            "policy: actions.\"(1,0,0)\" is \"stop\", expected continue, watch, rollback or unknown",
        ),
        (
            "[actions]\n\"(1, 0, 0)\" = \"watch\"\n",
            "policy: actions.\"(1, 0, 0)\" is no state, expected S, A and E",
        ),
        (
            "[actions]\n\"(1,0,0)\" = \"watch\"\n\"(1,0,0)\" = \"watch\"\n",
            "policy: line 5 (\"(1,0,0)\") is refused: duplicate key",
        ),
        ("[guidance.S]\n1 = \"\"\n", "policy: guidance.S.1 is empty"),
        ("[guidance.S]\n4 = \"x\"\n", "policy: line 4 (4) is refused: unknown field `4`"),
        (
            "[guidance.X]\n1 = \"x\"\n",
            "policy: line 3 ([guidance.X]) is refused: unknown field `X`",
        ),
        ("[guidance.E]\n1 = \"a\\nb\"\n", "policy: guidance.E.1 has a line break"),
        (
            "[[principles]]\nname = \"a\"\nquestion = \"b\"\n",
            "policy: principles number 1, expected 3, first rank first",
        ),
        (
            "[[principles]]\nname = \"a\"\n",
            "policy: line 3 ([[principles]]) is refused: missing field `question`",
        ),
        ("[[principles]]\nname = \" \"\nquestion = \"b\"\n", "policy: principles[0].name is empty"),
        ("refusal = \" \"\n", "policy: refusal is empty"),
        ("refusal = 1\n", "policy: line 3 (refusal) is refused: invalid type: integer `1`"),
        ("what is this\n", "policy: line 3 (what is this) is refused: "),
    ] {
        let found = refusal(&format!("{head}{rest}"));
        assert!(found.starts_with(expected), "{rest:?}\n{found}");
    }
    let long = refusal(&format!("{head}[guidance.E]\n1 = \"{}\"\n", "a".repeat(401)));
    assert_eq!(long, "policy: guidance.E.1 has 401 characters, at most 400 are allowed");
    for (text, expected) in [
        ("", "policy: name is missing; add it"),
        (
            "name = \"a\"\nextends = \"b\"\n",
            "policy: extends is \"b\", expected \"default\", \"strict\" or \"paper\"",
        ),
        (
            "name = \"a\"\n",
            "policy: refusal is missing; write it, or say extends = \"default\" to keep what that has",
        ),
    ] {
        assert_eq!(refusal(text), expected);
    }
    let error = Policy::parse("").unwrap_err();
    assert_eq!((error.code(), error.kind()), ("invalid_value", trimtab_runtime::Kind::Input));
}

#[test]
fn a_complete_file_misses_nothing_unnoticed() {
    let whole = BuiltIn::Default.source();
    for (line, key) in [
        ("\"(0,-1,0)\" = \"watch\"\n", "actions.\"(0,-1,0)\""),
        ("2 = \"This is still unfair or", "guidance.A.2"),
        ("3 = \"Stop here. Say in one sentence that you cannot continue", "guidance.general.3"),
    ] {
        let at = whole.find(line).unwrap();
        let end = at + whole[at..].find('\n').unwrap() + 1;
        let found = refusal(&format!("{}{}", &whole[..at], &whole[end..]));
        assert!(found.starts_with(&format!("policy: {key} is missing; write it")), "{found}");
    }
    let without = whole.split("[[principles]]").next().unwrap();
    let rest = &whole[whole.find("[actions]").unwrap()..];
    let found = refusal(&format!("{without}{rest}"));
    assert!(found.starts_with("policy: principles is missing"), "{found}");
}

#[test]
fn files_are_read_within_bounds_and_named_in_errors() {
    let folder = std::env::temp_dir().join(format!("trimtab-policy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let good = file("good.toml", b"name = \"good\"\nextends = \"strict\"\n");
    let opened = Policy::open(good.to_str().unwrap()).unwrap();
    assert_eq!((opened.name(), opened.digest().as_str()), ("good", DIGESTS[1]));
    let large = file("large.toml", &vec![b'#'; FILE_LIMIT as usize + 1]);
    let binary = file("binary.toml", &[b'#', 0xff, b'\n']);
    let wrong = file("wrong.toml", b"name = \"wrong\"\nextend = \"strict\"\n");
    for (path, what) in [
        (&large, "policy is 65537 bytes long, at most 65536 are read"),
        (&binary, "policy: file is no TOML: line 1 is not UTF-8"),
        (&wrong, "policy: line 2 (extend) is refused: unknown field `extend`"),
        (&folder, "policy: file is not a regular file"),
    ] {
        let error = Policy::read(path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: {what}", path.display())), "{error}");
    }
    let largest = file("largest.toml", &[opened_text(), vec![b'#'; 40_000]].concat());
    assert!(Policy::read(&largest).is_ok());
    let missing = Policy::read(&folder.join("missing.toml")).unwrap_err();
    assert_eq!(missing.code(), "io");
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(Policy::open("paper").unwrap().name(), "paper");
}

fn opened_text() -> Vec<u8> {
    BuiltIn::Default.source().as_bytes().to_vec()
}

#[test]
fn checks_find_what_is_probably_not_meant() {
    let standings = |policy: &Policy| -> Vec<(&'static str, Standing)> {
        check(policy).iter().map(|check| (check.name, check.standing)).collect()
    };
    for which in [BuiltIn::Default, BuiltIn::Strict] {
        let all = standings(&built_in(which));
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|(_, standing)| *standing == Standing::Fine), "{all:?}");
    }
    let warned = |policy: &Policy| -> Vec<String> {
        let all = check(policy).into_iter().filter(|check| check.standing == Standing::Warning);
        all.map(|check| format!("{}: {}", check.name, check.found)).collect()
    };
    assert_eq!(
        warned(&built_in(BuiltIn::Paper)),
        ["correct_refusals: correct refusals are taken back in: (1,-1,1) (1,-1,0) (1,-1,-1)"]
    );
    let odd = extending(
        "[actions]\n\"(1,1,1)\" = \"rollback\"\n\"(0,0,0)\" = \"unknown\"\n\"(-1,1,0)\" = \"watch\"\n",
    );
    let found = warned(&odd.unwrap());
    assert_eq!(found.len(), 3, "{found:?}");
    for (text, state) in found.iter().zip(["(0,0,0)", "(-1,1,0)", "(1,1,1)"]) {
        assert!(text.ends_with(&format!(": {state}")), "{text}");
    }
}
