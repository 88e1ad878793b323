//! The beginning that all JSON documents share, and the document of a failure. Field order is fixed.

use serde::Serialize;
use trimtab_runtime::decoder::{Decoder, DenseType};
use trimtab_runtime::kv::KvType;
use trimtab_runtime::{Model, device};

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from.
pub const GIT: &str = env!("BUILT_FROM_COMMIT");

/// The beginning of a document.
#[derive(Debug, Clone, Serialize)]
pub struct Head {
    command: &'static str,
    version: &'static str,
    git: &'static str,
    model: Option<ModelHead>,
    device: Option<DeviceHead>,
}

#[derive(Debug, Clone, Serialize)]
struct ModelHead {
    name: String,
    revision: Option<String>,
    arch: &'static str,
    quantization: String,
    dtype: &'static str,
    kv_type: &'static str,
    weights_sha256: String,
}

#[derive(Debug, Clone, Serialize)]
struct DeviceHead {
    kind: &'static str,
    name: Option<String>,
    threads: usize,
}

impl Head {
    /// Of a command that opens no model.
    pub fn bare(command: &'static str) -> Head {
        Head { command, version: VERSION, git: GIT, model: None, device: None }
    }

    /// Of a command that ran a model.
    pub fn of(command: &'static str, model: &Model, dense: DenseType) -> Head {
        let decoder = model.decoder();
        let identity = model.identity();
        let about = ModelHead {
            name: model.name().to_owned(),
            revision: model.revision().map(str::to_owned),
            arch: decoder.spec().arch.name,
            quantization: identity.quantization.clone(),
            dtype: dtype(decoder, dense),
            kv_type: match model.pool().kv_type() {
                KvType::F32 => "f32",
                KvType::F16 => "f16",
            },
            weights_sha256: identity.weights_sha256.clone(),
        };
        let kind = decoder.device().kind();
        let device = DeviceHead {
            kind,
            name: if kind == "cpu" { cpu_name() } else { None },
            threads: device::threads(),
        };
        Head { model: Some(about), device: Some(device), ..Head::bare(command) }
    }
}

fn dtype(decoder: &Decoder, dense: DenseType) -> &'static str {
    match (dense, decoder.device().kind()) {
        (DenseType::F32, _) | (DenseType::Default, "cpu") => "f32",
        (DenseType::F16, _) => "f16",
        (DenseType::Bf16 | DenseType::Default, _) => "bf16",
    }
}

/// What Linux calls the processor; other systems do not say it in a file.
fn cpu_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

/// The document of a failure.
#[derive(Debug, Serialize)]
pub struct Failure<'a> {
    error: Fault<'a>,
}

#[derive(Debug, Serialize)]
struct Fault<'a> {
    message: &'a str,
    code: &'a str,
}

impl<'a> Failure<'a> {
    /// What went wrong, in words and as a code.
    pub fn new(message: &'a str, code: &'a str) -> Failure<'a> {
        Failure { error: Fault { message, code } }
    }
}

/// What `--version --json` prints.
#[derive(Debug, Serialize)]
pub struct Version {
    name: &'static str,
    version: &'static str,
    git: &'static str,
    #[serde(rename = "candle")]
    engine: &'static str,
    features: Vec<&'static str>,
}

impl Version {
    /// Of this build.
    pub fn new() -> Version {
        Version {
            name: "trimtab",
            version: VERSION,
            git: GIT,
            engine: env!("BUILT_ON_CANDLE"),
            features: env!("BUILT_WITH_FEATURES").split_terminator(',').collect(),
        }
    }

    /// The version of the tensor library.
    pub fn tensors(&self) -> &'static str {
        self.engine
    }

    /// What it was built with.
    pub fn features(&self) -> &[&'static str] {
        &self.features
    }

    /// The same on one line.
    pub fn line(&self) -> String {
        let features = match self.features.join(" ") {
            none if none.is_empty() => "no features".to_owned(),
            some => some,
        };
        format!("trimtab {} ({}, candle {}, {features})", self.version, self.git, self.engine)
    }
}
