//! `policy check`: its document, its tables, and files it refuses.

use crate::kit::{Folder, trimtab};

fn document(words: &[&str]) -> serde_json::Value {
    let run = trimtab(&[&["policy", "check"], words, &["--json"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!((run.stderr.as_str(), run.stdout.lines().count()), ("", 1));
    serde_json::from_str(&run.stdout).unwrap()
}

/// How a check of a document stands.
fn standing<'a>(document: &'a serde_json::Value, name: &str) -> &'a str {
    let checks = document["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not among the checks"))["standing"].as_str().unwrap()
}

#[test]
fn every_state_is_in_the_document() {
    let default = document(&[]);
    assert_eq!(default["command"], "policy check");
    assert_eq!((&default["policy"], &default["model"]), (&"default".into(), &().into()));
    let rows = default["actions"].as_array().unwrap();
    assert_eq!(rows.len(), 27);
    assert_eq!(rows.iter().filter(|row| row["feasible"] == true).count(), 20);
    let refusal = rows.iter().find(|row| row["state"] == "(1,-1,-1)").unwrap();
    assert_eq!((&refusal["flag"], &refusal["first_violated"]), (&"V".into(), &"A".into()));
    assert_eq!((&refusal["action"], &refusal["default"]), (&"watch".into(), &"watch".into()));
    assert_eq!(default["needs"]["rollback"], serde_json::json!(["S"]));
    assert_eq!(default["needs"]["action"], serde_json::json!(["S", "A", "E"]));
    assert_eq!(default["guidance"].as_array().unwrap().len(), 12);
    assert_eq!(default["guidance"][0]["tokens"], serde_json::Value::Null);
    assert_eq!(default["caps"]["discarded"], 256);
    assert_eq!(standing(&default, "correct_refusals"), "fine");
    let paper = document(&["paper"]);
    assert_eq!(standing(&paper, "correct_refusals"), "warning");
    assert_ne!(paper["sha256"], default["sha256"]);
    assert_eq!(paper["needs"]["rollback"].as_array().unwrap().len(), 3);
}

#[test]
fn people_get_tables_and_what_differs() {
    let run = trimtab(&["policy", "check", "strict"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("policy-strict", run.stdout);
}

#[test]
fn a_bad_file_is_2_and_names_its_key() {
    let folder = Folder::new();
    let head = "name = \"house\"\nextends = \"default\"\n";
    let whole = include_str!("../../../steering/data/policies/default.toml");
    let mute: String = whole
        .lines()
        .filter(|line| !line.starts_with("2 = \"This is still not honest"))
        .map(|l| format!("{l}\n"))
        .collect();
    assert!(mute.len() < whole.len());
    for (name, text, expected) in [
        (
            "unknown",
            format!("{head}[caps]\nretries = 3\n"),
            "line 4 (retries) is refused: unknown field `retries`",
        ),
        (
            "infeasible",
            format!("{head}[actions]\n\"(0,1,0)\" = \"rollback\"\n"),
            "actions.\"(0,1,0)\" is rollback, and no answer can be in it",
        ),
        ("mute", mute, "guidance.E.2 is missing; write it, or say extends"),
    ] {
        let file = folder.write(&format!("{name}.toml"), &text);
        let run = trimtab(&["policy", "check", &file, "--json"]);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(json["error"]["code"], "invalid_value");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{file}: policy: {expected}")), "{message}");
    }
    let mistyped = trimtab(&["policy", "check", "defualt"]);
    assert_eq!(mistyped.code, Some(2));
    assert_eq!(
        mistyped.stderr,
        "error: POLICY is \"defualt\", expected default, strict, paper or a policy file\n"
    );
    let missing = trimtab(&["policy", "check", &folder.path("missing.toml")]);
    assert_eq!(missing.code, Some(3), "{}", missing.stderr);
}

#[test]
fn a_model_counts_the_tokens_and_may_have_no_room() {
    let folder = Folder::new();
    let model = folder.talking();
    let short = "1 = \"a\"\n2 = \"b\"\n3 = \"c d\"\n";
    let guidance = ["S", "A", "E", "general"].map(|axis| format!("[guidance.{axis}]\n{short}"));
    let text = format!("name = \"brief\"\nextends = \"default\"\n{}", guidance.concat());
    let brief = folder.write("brief.toml", &text);
    let counted = document(&[&brief, "-m", &model, "-q"]);
    assert_eq!(counted["model"]["arch"], "llama");
    // The template of this model writes the message and a space.
    let tokens: Vec<u64> = counted["guidance"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["tokens"].as_u64().unwrap())
        .collect();
    assert_eq!(tokens[..3], [3, 3, 5]);
    assert_eq!(standing(&counted, "aside_tokens"), "fine");
    // One token a letter: the built-in texts are too long here.
    let long = trimtab(&["policy", "check", "-m", &model, "-q", "--json"]);
    assert_eq!(long.code, Some(4), "{}", long.stderr);
    assert!(long.stderr.contains("check failed: aside_tokens"), "{}", long.stderr);
    let json: serde_json::Value = serde_json::from_str(&long.stdout).unwrap();
    assert_eq!(standing(&json, "aside_tokens"), "broken");
}

#[test]
fn the_example_of_the_page_is_a_policy() {
    let page = include_str!("../../../docs/policy.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let folder = Folder::new();
    let file = folder.write("example.toml", example);
    let checked = document(&[&file]);
    assert_eq!(checked["policy"], "clinic");
    let moved: Vec<&str> = checked["actions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["action"] != row["default"])
        .map(|row| row["state"].as_str().unwrap())
        .collect();
    assert_eq!(moved, ["(0,0,0)", "(0,-1,0)", "(0,-1,-1)"]);
    let fine = checked["checks"].as_array().unwrap().iter().all(|c| c["standing"] == "fine");
    assert!(fine, "{}", checked["checks"]);
}
