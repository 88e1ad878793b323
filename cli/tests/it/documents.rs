//! JSON documents on the tiny model: field by field, in order.

use crate::kit::{Folder, Run, masked, trimtab};
use safetensors::SafeTensors;

fn document(words: &[&str], folder: &Folder) -> String {
    let Run { code, stdout, stderr } = trimtab(words);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.ends_with('\n') && stdout.lines().count() == 1, "{stdout}");
    let _: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    masked(stdout.trim_end(), &folder.0)
}

#[test]
fn bench_has_its_document() {
    let folder = Folder::new();
    let model = folder.tiny();
    let words =
        ["bench", "-m", &model, "-p", "8", "-n", "2", "--batch", "1,3", "-d", "0,5", "-r", "2"];
    insta::assert_snapshot!("bench-json", document(&[&words[..], &["--json"]].concat(), &folder));
    assert_eq!(
        document(&[&words[..], &["-o", "json"]].concat(), &folder),
        document(&[&words[..], &["--json"]].concat(), &folder),
    );
    let jsonl = trimtab(&[&words[..], &["-o", "jsonl"]].concat()).stdout;
    let tests: Vec<String> = jsonl
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| format!("{} {}", line["test"].as_str().unwrap(), line["batch"]))
        .collect();
    let expected = ["pp8 1", "pp8 3", "pp8 @ d5 1", "pp8 @ d5 3", "tg2 1", "tg2 3", "tg2 @ d5 1"];
    assert_eq!(tests[..7], expected);
    let csv = trimtab(&[&words[..], &["-o", "csv"]].concat()).stdout;
    assert!(csv.starts_with("test,n_prompt,") && csv.lines().count() == 9, "{csv}");
    let table = trimtab(&words).stdout;
    assert!(table.starts_with("| model") && table.lines().count() == 10, "{table}");
}

#[test]
fn bench_compares_with_the_plain_runs_around() {
    let folder = Folder::new();
    let model = folder.tiny();
    let words =
        ["bench", "-m", &model, "-p", "3", "-n", "2", "--batch", "2", "-d", "4", "-r", "3", "-q"];
    let arms = ["--beside", "steered,distinct,empty,capture"];
    let run = trimtab(&[&words[..], &arms, &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let results = json["results"].as_array().unwrap();
    let names: Vec<&str> =
        results.iter().map(|line| line["beside"].as_str().unwrap_or("-")).collect();
    assert_eq!(names[..5], ["-", "steered", "distinct", "empty", "capture"]);
    assert_eq!(names.len(), 10);
    for line in results {
        let list = |field: &str| -> Vec<f64> {
            let values = line[field].as_array().unwrap().iter();
            values.map(|value| value.as_f64().unwrap()).collect()
        };
        let mut ratios = list("samples_ratio");
        // Three rounds of four, each behind a plain run, and a plain run at the end.
        let expected = if line["beside"].is_null() { (13, 0) } else { (3, 3) };
        assert_eq!((list("samples_ns").len(), ratios.len()), expected, "{line}");
        ratios.sort_by(f64::total_cmp);
        for (field, at) in [("ratio_low", 0), ("ratio_to_plain", 1), ("ratio_high", 2)] {
            assert_eq!(line[field].as_f64(), ratios.get(at).copied(), "{line}");
        }
    }
    let steering: Vec<_> = results[..5].iter().map(|r| &r["steering"]).collect();
    let vectors: Vec<_> = steering.iter().map(|s| s["vectors"].as_u64()).collect();
    assert_eq!(vectors, [None, Some(1), Some(4), None, None]);
    let sites: Vec<_> = steering.iter().map(|s| s["sites"].as_u64()).collect();
    assert_eq!(sites, [None, Some(3), Some(2), None, None]);
    let table = trimtab(&[&words[..], &arms].concat()).stdout;
    assert!(table.lines().next().unwrap().contains("of plain"), "{table}");
    let csv = trimtab(&[&words[..], &arms, &["-o", "csv"]].concat()).stdout;
    let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(columns, [14; 11]);
}

#[test]
fn capture_has_its_document_and_its_file() {
    let folder = Folder::new();
    let (model, out) = (folder.tiny(), folder.path("out.safetensors"));
    let words = ["capture", "-m", &model, "--token-ids", "1,2,3", "-o", &out, "--logits", "--json"];
    let sites = ["--sites", "final,resid_post.0-1"];
    insta::assert_snapshot!("capture-json", document(&[&words[..], &sites].concat(), &folder));
    let bytes = std::fs::read(&out).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: Vec<String> =
        file.iter().map(|(name, t)| format!("{name} {:?} {:?}", t.dtype(), t.shape())).collect();
    shapes.sort();
    let expected = [
        "0.final F32 [3, 16]",
        "0.logits F32 [3, 64]",
        "0.resid_post.0 F32 [3, 16]",
        "0.resid_post.1 F32 [3, 16]",
        "0.tokens U32 [3]",
    ];
    assert_eq!(shapes, expected);
    assert_eq!(file.tensor("0.tokens").unwrap().data(), [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(folder.names(), ["out.safetensors", "tiny"]);
}

#[test]
fn the_version_is_an_object() {
    let folder = Folder::new();
    insta::assert_snapshot!("version-json", document(&["--version", "--json"], &folder));
    let line = trimtab(&["--version"]).stdout;
    assert!(line.starts_with("trimtab 0.") && line.lines().count() == 1, "{line}");
    let json: serde_json::Value =
        serde_json::from_str(&trimtab(&["--version", "--json"]).stdout).unwrap();
    let engine = format!(", candle {}, ", json["candle"].as_str().unwrap());
    assert!(line.contains(&engine), "{line}");
}

#[test]
fn models_and_devices_have_documents() {
    let folder = Folder::new();
    let model = folder.tiny();
    insta::assert_snapshot!(
        "models-info-json",
        document(&["models", "info", &model, "--json"], &folder)
    );
    insta::assert_snapshot!(
        "models-path-json",
        document(&["models", "path", &model, "--json"], &folder)
    );
    assert_eq!(trimtab(&["models", "pull", &model]).stdout, format!("{model}\n"));
    let list = document(&["models", "list", "--json"], &folder);
    for field in ["\"name\":\"smollm2-135m-instruct\"", "\"licence\":\"Apache-2.0\"", "\"here\":"] {
        assert!(list.contains(field), "{list}");
    }
    let devices = document(&["bench", "--list-devices", "--json"], &folder);
    assert!(devices.contains("\"devices\":[\"cpu\""), "{devices}");
    assert_eq!(document(&["--list-devices", "--json"], &folder), devices);
}
