//! Compose: two directions that overlap, the second freed of the first, pushed together under one dose limit.
//!
//! Both are differences of mean activations. The program prints their cosine before and after, the share that the
//! second keeps, and an answer under the merged push.
//!
//! `cargo run --release -p trimtab-examples --example 09_compose`

use trimtab_runtime::Model;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::text::Message;
use trimtab_steering::compose::dose::{DoseLimit, DosePolicy, Dosed};
use trimtab_steering::compose::{Part, Settings, Stream, compose};
use trimtab_steering::neutral::stream_norms;
use trimtab_steering::{Result, SteerOptions, VectorFile};

const SITE: Site = Site::ResidPost(14);

/// A vector from one text to another; the first token is left out, whose length is another.
fn vector(model: &Model, name: &str, from: &str, to: &str) -> Result<VectorFile> {
    let read = |text: &str| model.activations(&model.text_prompt(text)?, SITE);
    let (from, to) = (read(from)?.skip(1).mean(), read(to)?.skip(1).mean());
    VectorFile::from_difference(name, SITE, &from, &to)
}

fn main() -> Result<()> {
    let model = Model::open("smollm2-135m-instruct")?;
    let sad = "I am so sad. What a terrible, gloomy, miserable day.";
    let glad = vector(&model, "glad", sad, "I am so happy! What a wonderful, joyful day!")?;
    let soft = "listen to me. this is rather big. please come here now.";
    let loud = vector(&model, "loud", soft, "LISTEN TO ME! THIS IS HUGE! PLEASE COME HERE NOW!")?;

    let norms = stream_norms(&model, &[SITE], 512)?;
    let norms = norms.into_iter().map(|(site, norm)| (site, norm.median)).collect();
    let stream = Stream { norms, ..Stream::default() };
    let options = SteerOptions { scale: Some(1.0), ..SteerOptions::default() };
    let parts = [&glad, &loud].map(|file| Part::from(Dosed::new(file, &options)));
    // The first in the list stays as it is; scales are lowered until every dose fits.
    let dose = DoseLimit { policy: DosePolicy::Clamp, ..DoseLimit::default() };
    let composed = compose(&parts, &Settings { dose, ..Settings::default() }, &stream)?;

    let report = composed.report();
    for group in &report.groups {
        let cosine = |table: &[Vec<f64>]| table.first().and_then(|row| row.get(1)).copied();
        let (before, after) = (cosine(&group.before), cosine(&group.after));
        println!("{}: cosine {before:.2?} -> {after:.2?}, kept {:.2?}", group.site, group.kept);
    }
    report.doses.sites.iter().for_each(|site| println!("dose at {}: {:.2}", site.site, site.dose));
    report.doses.notes.iter().for_each(|note| println!("note: {note}"));
    report.findings.iter().for_each(|finding| println!("note: {finding}"));

    let question = [Message::new("user", "Describe your morning.")];
    for (name, plan) in [("plain", Plan::empty()), ("composed", composed.merged()?)] {
        let answer = model.chat(&question).plan(plan).max_tokens(40).run()?;
        println!("{name}: {}", answer.text.replace('\n', " "));
    }
    Ok(())
}
