//! Everything behind the address: engine, vectors, presets.

use super::folder;
use crate::commands::monitors::JUDGES;
use crate::console::Console;
use crate::error::{Error, Result, read_text};
use crate::plan::{Named, Serve, Sources};
use crate::progress::Meter;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::engine::Engine;
use trimtab_runtime::hub::Progress;
use trimtab_server::settings::Settings;
use trimtab_server::steer::{Door, Frame, Judges, NullStatus, Setup, Steering, StoredVector};
use trimtab_server::wire::flag::Flag;
use trimtab_server::wire::vector::PutSteering;
use trimtab_server::{App, Keep};
use trimtab_steering::compose::dose::DoseLimit;
use trimtab_steering::file::sha256;
use trimtab_steering::monitor::policy::Policy;
use trimtab_steering::monitor::scorer::MOST_UNKNOWN;

/// Reads the vectors that requests may name.
pub fn read(vectors: &[Named]) -> Result<Vec<StoredVector>> {
    let stored = |named: &Named| {
        let bytes = std::fs::read(&named.path)
            .map_err(|source| Error::Read { path: named.path.clone(), source })?;
        Ok(StoredVector {
            id: named.id.clone(),
            sha256: sha256(&bytes),
            bytes,
            source: None,
            accept_model: None,
            null: NullStatus::Refused,
        })
    };
    vectors.iter().map(stored).collect()
}

/// Reads the policies that monitors may name, the built-in ones among them.
pub fn policies(files: &[PathBuf]) -> Result<BTreeMap<String, Arc<Policy>>> {
    let mut policies = Setup::default().policies;
    for path in files {
        let policy = Policy::read(path)?;
        let name = policy.name().to_owned();
        if policies.insert(name.clone(), Arc::new(policy)).is_some() {
            let problem = format!("{} is called {name}, as another policy is", path.display());
            return Err(Error::usage("--policy", problem));
        }
    }
    Ok(policies)
}

/// Calibrates the model for the policies that it is to judge by, or takes what an earlier run left in the folder.
pub fn judges(
    model: &Model,
    (names, policies): (&[String], &BTreeMap<String, Arc<Policy>>),
    folder: Option<&Path>,
    console: &Console,
) -> Result<Judges> {
    let mut judges = Judges::default();
    for name in names {
        let policy = policies.get(name).ok_or_else(|| {
            let known: Vec<&str> = policies.keys().map(String::as_str).collect();
            let problem = format!("{name:?} is no policy; there is {}", known.join(", "));
            Error::usage("--judge", problem)
        })?;
        let (meter, mut read) = (Meter::new(console), 0);
        judges.seat(model, policy, folder, &mut |done, total| {
            if read == 0 {
                meter.begin_items(&format!("calibrating the judge of policy {name}"), total);
            }
            meter.advance(done.saturating_sub(read) as u64);
            read = done.max(1);
        })?;
        meter.end();
    }
    for (name, unknown) in judges.names().filter(|(_, unknown)| *unknown > MOST_UNKNOWN) {
        console.warn(format!(
            "the model cannot judge {:.0} % of benign answers by policy {name}: it may advise, but not end answers",
            100.0 * unknown
        ));
    }
    Ok(judges)
}

/// A model with an engine that runs it and everything that requests may name.
pub async fn app(
    model: Arc<Model>,
    plan: &Serve,
    (settings, keep, vectors): (Settings, Keep, Vec<StoredVector>),
    console: &Console,
) -> Result<Arc<App>> {
    let policies = policies(&plan.policies)?;
    let folder = folder(&plan.state)?.map(|folder| folder.join(JUDGES));
    let judges = tokio::task::block_in_place(|| {
        judges(&model, (&plan.judges, &policies), folder.as_deref(), console)
    })?;
    let setup = Setup { policies, judges, ..setup(&plan.sources) };
    let steering = Steering::new(Frame::of(&model)?, setup, keep.clone());
    // What was named on the command line is there for this run, and in the place of what was kept under its name.
    let named: Vec<String> = vectors.iter().map(|vector| vector.id.clone()).collect();
    let kept = keep.vectors().await?.into_iter().filter(|kept| !named.contains(&kept.id));
    let all = kept.chain(vectors).collect();
    for (id, refusal) in steering.restore(all, keep.settings().await?) {
        if named.contains(&id) {
            return Err(refusal.into());
        }
        console.warn(format!("vector {id} is left out: {}", refusal.message));
    }
    if let Some(path) = &plan.presets {
        let text = read_text(path)?;
        let steering = &steering;
        tokio::task::block_in_place(|| preset(steering, &text)).map_err(|problem| Error::Line {
            path: path.clone(),
            line: 1,
            problem,
        })?;
    }
    let (decoder, pool) = (model.decoder().clone(), model.pool().clone());
    let engine = Arc::new(Engine::start(decoder, pool, plan.engine)?);
    Ok(App::new(model, engine, settings, (steering, keep)))
}

fn setup(sources: &Sources) -> Setup {
    let door = |switch: crate::args::Switch| if switch.is_on() { Door::Open } else { Door::Closed };
    let usual = DoseLimit::default();
    Setup {
        vector_root: sources.root.clone(),
        sources: door(sources.by_request),
        inline: door(sources.inline),
        // One vector alone may push half as hard as all together.
        dose: DoseLimit {
            vector: usual.vector * sources.dose / usual.site,
            site: sources.dose,
            ..usual
        },
        upload_limit: sources.upload as u64,
        ..Setup::default()
    }
}

/// Puts a file's presets and default into force, unless they are already.
fn preset(steering: &Steering, text: &str) -> std::result::Result<(), String> {
    let mut document: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
    let now = steering.settings();
    let Some(object) = document.as_object_mut() else {
        return Err("is no object with default, locked and presets".to_owned());
    };
    object.insert("expected_version".to_owned(), now.version.into());
    let put: PutSteering = serde_json::from_value(document).map_err(|error| error.to_string())?;
    let same = put.default == now.default
        && put.locked.unwrap_or(false) == (now.locked == Flag::Yes)
        && put.presets.clone().unwrap_or_default() == now.presets;
    if same {
        return Ok(());
    }
    steering.put_settings(put).map(drop).map_err(|refusal| refusal.message)
}
