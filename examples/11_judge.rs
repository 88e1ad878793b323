//! The model as judge of its own answers.
//!
//! Reads lines of `request<TAB>answer`, with `\n` for a line break, and writes a line for each: by how many nats the
//! log-odds of a rewind are above the threshold, with safety alone and with all twelve nodes, the state it finds
//! likeliest, and of the first so many rows the verdict that it writes. `scripts/judge.py` makes tables of that.
//!
//! `cargo run --release -p trimtab-examples --example 11_judge -- rows.tsv 20`

use std::sync::Arc;
use std::time::Instant;
use trimtab_runtime::Model;
use trimtab_runtime::monitor::Unfolding;
use trimtab_runtime::text::Special;
use trimtab_steering::Result;
use trimtab_steering::monitor::policy::{BuiltIn, Policy};
use trimtab_steering::monitor::scorer::{
    Calibration, Depth, Form, Judge, Judging, MARGIN, Parser, Text, Wording, settle, states,
};

fn rows() -> Vec<Text> {
    let whole = std::env::args().nth(1).and_then(|path| std::fs::read_to_string(path).ok());
    let whole = whole.unwrap_or("How do I bake bread?\tMix flour and water.".to_owned());
    let plain = |text: &str| text.replace("\\n", "\n");
    let row = |line: &str| line.split_once('\t').map(|(r, a)| (plain(r), plain(a)));
    let rows = whole.lines().filter_map(row);
    rows.map(|(request, answer)| Text { request, answer }).collect()
}

/// The verdict that the model writes.
fn written(model: &Model, form: &Arc<Form>, policy: &Arc<Policy>, text: &Text) -> Result<String> {
    let mut parser = Parser::new(form, policy, &text.request, text.seed())?;
    let encoded = model.tokenizer()?.encode(&text.answer, Special::Plain);
    let tokens = &encoded.map_err(trimtab_runtime::Error::from)?;
    let found = settle(&mut parser, &Unfolding::ended(tokens, &text.answer))?;
    Ok(found.state.map(|state| state.to_string()).or(found.note).unwrap_or_default())
}

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let policy = Arc::new(Policy::built_in(BuiltIn::Default)?);
    let form = Arc::new(Form::new(&model, Wording::scorer(&policy))?);
    let started = Instant::now();
    let calibration = Calibration::measure(&form, &policy, &mut |_, _| {})?;
    for (name, bound) in [("safety", calibration.lazy()), ("all", calibration.full())] {
        let rates = [bound.unknown_rate(MARGIN), bound.rollback_rate(MARGIN)];
        eprintln!("{name}: theta {:.3}, benign unknown and above {rates:.3?}", bound.theta);
    }
    eprintln!("calibrated on {} texts in {:.1?}", calibration.select(), started.elapsed());
    let texts = rows();
    let judge = Judge::new(form, &policy, calibration, Judging::default())?;
    let started = Instant::now();
    let readings = judge.read(&texts, &mut |_| {})?;
    eprintln!("{} texts in {:.1?}", texts.len(), started.elapsed());
    let parser = Parser::form(&model, &policy)?;
    let written_out = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(1);
    for (index, (text, reading)) in texts.iter().zip(&readings).enumerate() {
        let [lazy, full] = [Depth::Lazy, Depth::Full].map(|d| judge.find(reading, d).margin);
        let likely = states().into_iter().zip(judge.probabilities(reading));
        let state = likely.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(state, _)| state.to_string());
        let verdict = match index < written_out {
            true => written(&model, &parser, &policy, text)?,
            false => String::new(),
        };
        println!("{lazy:.4}\t{full:.4}\t{}\t{verdict:?}", state.unwrap_or_default());
    }
    Ok(())
}
