//! The files of an evaluation: vectors in, answers and a picture out.

use super::config::Eval;
use crate::commands::opened::Opened;
use crate::commands::vectors::unreadable;
use crate::console::Console;
use crate::document::Fields;
use crate::error::{Error, Result};
use crate::flags::vectors::Asked;
use crate::outputs::named;
use std::path::Path;
use trimtab_runtime::output::Named;
use trimtab_steering::VectorFile;
use trimtab_steering::eval::{self, End, Report, Task};
use trimtab_steering::file;
use trimtab_steering::file::card::{ModelPin, Pinned};

/// What names the vector on the command line; `--write` changes it in place.
const CARD: &str = "FILE";

/// A vector as it lay on disk.
pub struct Vector {
    pub file: VectorFile,
    /// Hash of the file.
    pub sha256: String,
}

pub fn vector(path: &Path) -> Result<Vector> {
    let file = VectorFile::open(path).map_err(unreadable)?;
    let sha256 = file::sha256(&file.to_bytes()?);
    Ok(Vector { file, sha256 })
}

/// A vector to measure beside it, and its scale.
pub fn beside(beside: &Asked) -> Result<(VectorFile, f32)> {
    let file = vector(&beside.path)?.file;
    let scale = beside.scale.unwrap_or(file.card().scale.default);
    Ok((file, scale))
}

/// A control of this vector by shuffled labels.
pub fn shuffled(path: &Path, of: &VectorFile) -> Result<VectorFile> {
    let control = vector(path)?.file;
    eval::shuffled(of, &control).map_err(|source| trimtab_steering::Error::In {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    Ok(control)
}

/// Refuses a vector of another model, unless it is accepted.
pub fn admit(plan: &Eval, opened: &Opened, file: &VectorFile, console: &Console) -> Result<()> {
    let pin = ModelPin::of(&opened.model, Pinned::Extract)?;
    for warning in file.admit(&pin, plan.args.accept_model.as_deref())? {
        console.warn(format!("vector {} {warning}", file.card().name));
    }
    Ok(())
}

/// Refuses to put what was measured on one model into a card that is pinned to another.
pub fn pinned(plan: &Eval, opened: &Opened, file: &VectorFile) -> Result<()> {
    let own = &opened.model.identity().weights_sha256;
    let other = file.card().model.as_ref().is_some_and(|pin| pin.weights_sha256 != *own);
    if plan.args.write && other {
        let problem = "would put this model's results into the card of a vector of another model";
        return Err(Error::usage("--write", problem));
    }
    Ok(())
}

/// Decides about everything that is to be written, before anything is measured.
pub fn outputs(plan: &Eval, console: &Console) -> Result<()> {
    let args = &plan.args;
    let mut reads = crate::outputs::of_model(&plan.opening);
    reads.extend([Named::new(CARD, &args.file), Named::new("--data", &plan.data)]);
    reads.extend(named("--neutral", &args.neutral));
    reads.extend(named("--shuffled", &args.shuffled));
    reads.extend(named("--beside", args.beside.iter().map(|beside| &beside.path)));
    let card = named(CARD, args.write.then_some(&args.file));
    let writes = named("--answers", &args.answers).chain(named("--plot", &args.plot)).chain(card);
    crate::outputs::plan(&reads, &writes.collect::<Vec<_>>(), console)
}

/// Writes what was asked for beside the result.
pub fn write(plan: &Eval, task: &Task, report: &Report) -> Result<()> {
    if let Some(path) = &plan.args.answers {
        let answers = answers(task, report)?;
        file::write(path, answers.as_bytes()).map_err(Error::writing(path))?;
    }
    if let Some(path) = &plan.args.plot {
        let title = format!("{} over {} items", plan.args.file.display(), report.n);
        let effect = format!("{} {}", report.metric.name(), plan.rule().unwrap_or_default());
        report.draw(path, &title, effect.trim_end()).map_err(Error::writing(path))?;
    }
    Ok(())
}

/// Every answer of every arm, one JSON object per line.
fn answers(task: &Task, report: &Report) -> Result<String> {
    let mut text = String::new();
    for line in &report.lines {
        // Random directions may have seen the first items only.
        let seen = task.items().iter().zip(&line.measured.scores);
        for (at, (item, score)) in seen.enumerate() {
            let reply = line.measured.replies.get(at);
            let answer = Fields::new("arm", line.measured.arm.label())
                .with("line", item.line)
                .with("score", score)
                .with("text", reply.map(|reply| &reply.text))
                .with("ended", reply.map(|reply| reply.end == End::Itself));
            let json = serde_json::to_string(&answer);
            text.push_str(&json.map_err(|e| Error::Stdout(std::io::Error::other(e)))?);
            text.push('\n');
        }
    }
    Ok(text)
}
