//! JSON documents: objects whose fields stand in the order they are put in, and the beginning that all documents share.

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use trimtab_runtime::decoder::{Decoder, DenseType};
use trimtab_runtime::kv::KvType;
use trimtab_runtime::{Model, device};

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from.
pub const GIT: &str = env!("BUILT_FROM_COMMIT");
/// The version of the tensor library.
pub const CANDLE: &str = env!("BUILT_ON_CANDLE");

/// What this program was built with.
pub fn features() -> Vec<&'static str> {
    env!("BUILT_WITH_FEATURES").split_terminator(',').collect()
}

/// A JSON object. Numbers keep the digits of their own type.
#[derive(Debug)]
pub struct Fields(serde_json::Result<Vec<(&'static str, Box<RawValue>)>>);

impl Fields {
    /// An object whose first field this is.
    pub fn new(name: &'static str, value: impl Serialize) -> Fields {
        Fields(Ok(Vec::new())).with(name, value)
    }

    /// The same object with one more field.
    pub fn with(self, name: &'static str, value: impl Serialize) -> Fields {
        Fields(self.0.and_then(|mut fields| {
            fields.push((name, to_raw_value(&value)?));
            Ok(fields)
        }))
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.as_ref().map_err(S::Error::custom)?;
        serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
    }
}

/// The beginning of the document of a command, without the model that it ran or with it.
pub fn head(command: &'static str, ran: Option<(&Model, DenseType)>) -> Fields {
    Fields::new("command", command)
        .with("version", VERSION)
        .with("git", GIT)
        .with("model", ran.map(|(model, dense)| about(model, dense)))
        .with("device", ran.map(|(model, _)| device(model.decoder())))
}

fn about(model: &Model, dense: DenseType) -> Fields {
    let (decoder, identity) = (model.decoder(), model.identity());
    let kv_type = match model.pool().kv_type() {
        KvType::F32 => "f32",
        KvType::F16 => "f16",
    };
    Fields::new("name", model.name())
        .with("revision", model.revision())
        .with("arch", decoder.spec().arch.name)
        .with("quantization", &identity.quantization)
        .with("dtype", dtype(decoder, dense))
        .with("kv_type", kv_type)
        .with("weights_sha256", &identity.weights_sha256)
}

fn device(decoder: &Decoder) -> Fields {
    let kind = decoder.device().kind();
    Fields::new("kind", kind)
        .with("name", cpu_name().filter(|_| kind == "cpu"))
        .with("threads", device::threads())
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

/// The document of a failure: what went wrong, in words and as a code.
pub fn failure(message: &str, code: &str) -> Fields {
    Fields::new("error", Fields::new("message", message).with("code", code))
}

/// What `--version --json` prints.
pub fn version() -> Fields {
    Fields::new("name", "trimtab")
        .with("version", VERSION)
        .with("git", GIT)
        .with("candle", CANDLE)
        .with("features", features())
}

pub fn version_line() -> String {
    let features = match features().join(" ") {
        none if none.is_empty() => "no features".to_owned(),
        some => some,
    };
    format!("trimtab {VERSION} ({GIT}, candle {CANDLE}, {features})")
}
