//! Everything behind the address: engine, vectors, presets.

use super::config::Serve;
use crate::console::Console;
use crate::error::{Error, Result, read_data};
use crate::flags::Named;
use crate::progress::Meter;
use std::path::Path;
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::engine::EngineOptions;
use trimtab_runtime::hub::Progress;
use trimtab_server::settings::Settings;
use trimtab_server::steer::{Access, Setup, Steering, StoredVector};
use trimtab_server::wire::vector::PutSteering;
use trimtab_server::{App, Persistence, Server};
use trimtab_steering::compose::dose::DoseLimit;
use trimtab_steering::file::sha256;
use trimtab_steering::monitor::policy::{BuiltIn, Policy};
use trimtab_steering::spec::{GuardLibrary, SteeredModel};
use trimtab_steering::steer::NullVectors;

/// The bytes of a vector's file.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// Reads the vectors that requests may name.
pub fn read(vectors: &[Named]) -> Result<Vec<StoredVector>> {
    let stored = |named: &Named| {
        let bytes = bytes(&named.path)?;
        Ok(StoredVector {
            id: named.id.clone(),
            sha256: sha256(&bytes),
            bytes,
            source: None,
            accept_model: None,
            null: NullVectors::Refuse,
        })
    };
    vectors.iter().map(stored).collect()
}

/// Reads the policies that answers are judged under.
pub fn policies(named: &[String]) -> Result<Vec<Arc<Policy>>> {
    let mut policies: Vec<Arc<Policy>> = Vec::new();
    for name in named {
        let policy = Policy::open(name)?;
        let built_in = BuiltIn::named(policy.name()).is_some() && BuiltIn::named(name).is_none();
        if built_in || policies.iter().any(|other| other.name() == policy.name()) {
            let problem = format!("{name} is called {}, as another policy is", policy.name());
            return Err(Error::usage("--policy", problem));
        }
        policies.push(Arc::new(policy));
    }
    Ok(policies)
}

/// Makes ready to judge by policies, which reads some hundred texts where that was not done before.
pub fn prepare(
    policies: &[Arc<Policy>],
    folder: Option<&Path>,
    console: &Console,
    library: &GuardLibrary,
) -> Result<()> {
    let folder = folder.map(|folder| folder.join("calibrations")).filter(|_| !policies.is_empty());
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::Write { path: folder.clone(), source })?;
    }
    for policy in policies {
        let (meter, mut read) = (Meter::new(console), 0);
        let unknown = library.calibrate(policy, folder.as_deref(), &mut |done, all| {
            if read == 0 {
                meter.begin_items(&format!("measuring the judge of policy {}", policy.name()), all);
            }
            meter.advance(done.saturating_sub(read) as u64);
            read = done.max(1);
        });
        meter.end();
        let (name, share) = (policy.name(), 100.0 * unknown?);
        console.note(format!("policy {name}: {share:.0} % of harmless texts are unknown"));
    }
    Ok(())
}

/// What a model is served with, besides the server's own settings.
pub struct Behind<'a> {
    pub engine: EngineOptions,
    pub setup: Setup,
    /// Policies to judge under, by name or file.
    pub policies: &'a [String],
    /// A file with presets and the default.
    pub presets: Option<&'a Path>,
    /// The folder of the server's state.
    pub folder: Option<&'a Path>,
}

impl<'a> Behind<'a> {
    /// What the flags of `serve` ask for.
    pub fn of(plan: &'a Serve) -> Behind<'a> {
        let args = &plan.args;
        let door = |open: bool| if open { Access::Open } else { Access::Closed };
        let setup = Setup {
            vector_root: args.vector_root.clone(),
            sources: door(args.allow_source),
            inline: door(args.allow_inline),
            dose: DoseLimit::at_site(args.dose_limit),
            upload_limit: args.max_upload as u64,
            ..Setup::default()
        };
        let (policies, presets) = (args.policy.as_slice(), args.presets.as_deref());
        Behind { engine: plan.engine(), setup, policies, presets, folder: plan.folder.as_deref() }
    }
}

/// A model with an engine that runs it and everything that requests may name.
pub async fn app(
    model: Arc<Model>,
    behind: Behind<'_>,
    (settings, keep, vectors): (Settings, Persistence, Vec<StoredVector>),
    console: &Console,
) -> Result<Arc<App>> {
    let judged = policies(behind.policies)?;
    let mut setup = behind.setup;
    let named = judged.iter().map(|policy| (policy.name().to_owned(), policy.clone()));
    setup.policies.extend(named);
    let steering = Steering::new(SteeredModel::of(&model)?, setup, keep.clone());
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
    if let Some(path) = behind.presets {
        let text = read_data(path)?;
        let steering = &steering;
        tokio::task::block_in_place(|| preset(steering, &text)).map_err(|problem| Error::Line {
            path: path.to_owned(),
            line: 1,
            problem,
        })?;
    }
    let server = Server::builder(model).engine(behind.engine).settings(settings);
    let app = server.steering(steering).keep(keep).build()?;
    tokio::task::block_in_place(|| prepare(&judged, behind.folder, console, app.library()))?;
    Ok(app)
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
        && put.locked.unwrap_or(false) == now.locked
        && put.allow.clone().unwrap_or_default() == now.allow
        && put.presets.clone().unwrap_or_default() == now.presets;
    if same {
        return Ok(());
    }
    steering.put_settings(put).map(drop).map_err(|refusal| refusal.message)
}
