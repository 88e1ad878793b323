//! What is refused, and that line and field are named.

use super::super::{BadPairs, PairError, Pairs};
use super::flaw;

const GOOD: &str = r#"{"prompt": "p", "chosen": "a", "rejected": "b"}"#;

fn second(line: &str) -> PairError {
    flaw(&format!("{GOOD}\n{line}\n"))
}

#[test]
fn files_without_records() {
    for empty in ["", " \n\n ", "[]", "\u{feff}", "prompt,chosen,rejected\n"] {
        assert_eq!(flaw(empty), PairError::Empty, "{empty:?}");
    }
    let one = r#"{"prompt": "p", "chosen": "a", "rejected": "a"}"#;
    let left = Pairs::from_bytes(one.as_bytes(), BadPairs::Skip).unwrap_err();
    assert!(left.to_string().contains("1 records were taken out"), "{left}");
    assert_eq!(left.code(), "data_refused");
}

#[test]
fn bytes_that_are_no_text() {
    let mut bytes = format!("{GOOD}\n{{\"prompt\": \"").into_bytes();
    bytes.extend([0xff, 0xfe]);
    let error = Pairs::from_bytes(&bytes, BadPairs::Refuse).unwrap_err();
    assert_eq!(error.to_string(), "line 2 is not UTF-8: byte 0xff at column 13");
}

#[test]
fn broken_json_is_named_by_its_line() {
    for (text, line) in [
        (format!("{GOOD}\n{{\"prompt\": \n"), 2),
        (format!("{{\"prompt\" \"p\"}}\n{GOOD}"), 1),
        (format!("[\n{GOOD},\n{{\"prompt\"\n]"), 4),
        (format!("{GOOD}\n\n{GOOD} {GOOD}"), 3),
    ] {
        let PairError::NotJson { line: found, .. } = flaw(&text) else { panic!("{text}") };
        assert_eq!(found, line, "{text}");
    }
    assert_eq!(second("[1]"), PairError::NotObject { line: 2, found: "a list" });
    assert_eq!(flaw("[\"a\", \"b\"]"), PairError::NotObject { line: 1, found: "a text" });
}

#[test]
fn another_shape_is_named_by_line_and_field() {
    let shape = "prompt, chosen and rejected";
    let missing = second(r#"{"positive": "a", "negative": "b"}"#);
    assert_eq!(missing, PairError::Missing { line: 2, field: "chosen".to_owned(), shape });
    let missing = second(r#"{"prompt": "p", "chosen": "a"}"#);
    assert_eq!(missing, PairError::Missing { line: 2, field: "rejected".to_owned(), shape });
    let unknown = flaw(r#"{"a": 1, "b": 2}"#).to_string();
    assert!(unknown.starts_with("line 1 has the fields a, b, expected"), "{unknown}");
}

#[test]
fn values_of_another_type() {
    let wrong = second(r#"{"prompt": "p", "chosen": 3, "rejected": "b"}"#).to_string();
    assert_eq!(wrong, "line 2 field chosen is a number, expected a text, or a list of messages");
    for line in [
        r#"{"prompt": null, "chosen": "a", "rejected": "b"}"#,
        r#"{"prompt": [], "chosen": "a", "rejected": "b"}"#,
        r#"{"prompt": [{"role": "user"}], "chosen": "a", "rejected": "b"}"#,
    ] {
        assert!(matches!(second(line), PairError::WrongType { line: 2, .. }), "{line}");
    }
    let role =
        second(r#"{"prompt": [{"role": "me", "content": "x"}], "chosen": "a", "rejected": "b"}"#);
    assert!(
        role.to_string().starts_with("line 2 field prompt has a message of role \"me\""),
        "{role}"
    );
    let last =
        second(r#"{"prompt": "p", "chosen": [{"role": "user", "content": "x"}], "rejected": "b"}"#);
    assert!(last.to_string().contains("does not end with a message of role assistant"), "{last}");
    let label = flaw(r#"{"text": "t", "label": "maybe"}"#).to_string();
    assert!(label.starts_with("line 1 field label is \"maybe\", expected positive"), "{label}");
}

#[test]
fn sides_must_differ_and_say_something() {
    let equal = second(r#"{"prompt": "p", "chosen": "a", "rejected": "a"}"#);
    assert_eq!(equal, PairError::EqualSides { line: 2 });
    let empty = second(r#"{"prompt": "p", "chosen": " ", "rejected": "a"}"#);
    assert_eq!(empty, PairError::EmptyText { line: 2, field: "chosen".to_owned() });
    let turned = second(r#"{"prompt": "p", "chosen": "b", "rejected": "a"}"#);
    assert_eq!(turned, PairError::Contradictory { line: 2, other: 1 });
    let labels = "{\"text\": \"t\", \"label\": 1}\n{\"text\": \"t\", \"label\": 0}";
    assert_eq!(flaw(labels), PairError::Contradictory { line: 2, other: 1 });
}

#[test]
fn transcripts_must_share_their_beginning() {
    let line = |chosen: &str, rejected: &str| {
        serde_json::json!({"chosen": chosen, "rejected": rejected}).to_string()
    };
    let (yes, no) = ("\n\nHuman: Hi\n\nAssistant: Yes", "\n\nHuman: Ho\n\nAssistant: No");
    let differ = PairError::PromptsDiffer { line: 1, first: "chosen", second: "rejected" };
    assert_eq!(flaw(&line(yes, no)), differ);
    for bad in ["\n\nHuman: Hi", "\n\nHuman: Hi\n\nAssistant: Yes\n\nHuman: Bye"] {
        let found = flaw(&line(bad, bad)).to_string();
        assert!(found.contains("does not end with an Assistant: turn"), "{found}");
    }
    let plain = flaw(&line("yes", "no")).to_string();
    assert!(plain.contains("has no turn before its answer"), "{plain}");
}

#[test]
fn scores_are_numbers_and_answers_say_something() {
    let text = |scores: &str| {
        flaw(&format!(r#"{{"examples": [{{"input": "a", "target_scores": {scores}}}]}}"#))
            .to_string()
    };
    let found = text(r#"{"x": "1", "y": 0}"#);
    assert_eq!(
        found,
        "line 1 field examples.target_scores is a text, expected an object of numbers"
    );
    let found = text(r#"{"x": 1, " ": 0}"#);
    assert!(found.starts_with("line 1 field examples.target_scores is empty"), "{found}");
}

#[test]
fn a_prompt_is_not_answered_twice() {
    let found =
        second(r#"{"prompt": "\n\nHuman: a\n\nAssistant: b", "chosen": "c", "rejected": "d"}"#);
    assert!(found.to_string().contains("field prompt ends with an answer"), "{found}");
}

#[test]
fn tables_must_be_rectangular() {
    let ragged = flaw("prompt,chosen,rejected\na,b\n").to_string();
    assert_eq!(
        ragged,
        "line 2 of the table has 2 cells, the header has 3; quote cells with commas"
    );
}

#[test]
fn contrast_templates_must_fit_together() {
    let text = |template: &str, negative: &str| {
        format!(
            r#"{{"template": "{template}", "positive_personas": ["a"], "negative_personas": {negative}, "suffixes": ["x"]}}"#
        )
    };
    let found = flaw(&text("Be.", r#"["b"]"#)).to_string();
    assert!(found.contains("template does not contain {persona}"), "{found}");
    let found = flaw(&text("Be {persona}.", r#"["b", "c"]"#)).to_string();
    assert!(found.contains("negative_personas has 2 entries"), "{found}");
}
