//! States as a file: safetensors with one tensor and the same discipline as vector files.
//!
//! One metadata key holds everything else, so that equal states are equal bytes. A shard and an unfinished run are the same
//! file; the latter says how many of its blocks are there.

use super::states::{About, States};
use super::{ExtractError, Result};
use crate::error::Error;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;
use trimtab_runtime::printable::Line;

const KEY: &str = "trimtab";
const FORMAT: &str = "trimtab.states";
const SPEC: u32 = 1;
const TENSOR: &str = "states";
/// The largest file of states that is opened.
const FILE_LIMIT: u64 = 8 << 30;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    spec: u32,
    about: About,
    first: usize,
    end: usize,
    done: usize,
}

impl States {
    /// The bytes of a file. Equal states give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = Header {
            format: FORMAT.to_owned(),
            spec: SPEC,
            about: self.about.clone(),
            first: self.blocks.start,
            end: self.blocks.end,
            done: self.done,
        };
        let header = serde_json::to_string(&header).map_err(|e| no_states(e.to_string()))?;
        let shape = vec![self.rows(), self.about.candidates(), self.about.width];
        let bytes: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let view =
            TensorView::new(Dtype::F32, shape, &bytes).map_err(|e| no_states(e.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), header)]);
        safetensors::serialize([(TENSOR, view)], Some(metadata))
            .map_err(|e| no_states(e.to_string()))
    }

    fn rows(&self) -> usize {
        self.about.rows_of(&(self.blocks.start..self.done))
    }

    /// Writes a file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        crate::file::write(path, &self.to_bytes()?)
    }

    /// Reads a file.
    pub fn open(path: &Path) -> Result<States> {
        let bytes = crate::file::read(path, FILE_LIMIT)?;
        States::from_bytes(&bytes).map_err(|e| e.within(path))
    }

    /// Reads the bytes of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<States> {
        let read = |e: safetensors::SafeTensorError| no_states(e.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(read)?;
        let header = metadata.metadata().as_ref().and_then(|keys| keys.get(KEY));
        let header = header.ok_or_else(|| no_states(format!("it has no metadata key {KEY}")))?;
        let named: serde_json::Value =
            serde_json::from_str(header).map_err(|e| no_states(e.to_string()))?;
        let (format, spec) = (named.get("format"), named.get("spec"));
        if format != Some(&FORMAT.into()) || spec != Some(&SPEC.into()) {
            let text = |value: Option<&serde_json::Value>| match value {
                Some(serde_json::Value::String(text)) => Line(text).to_string(),
                Some(other) => Line(&other.to_string()).to_string(),
                None => "not said".to_owned(),
            };
            let (format, spec) = (text(format), text(spec));
            let reason = format!(
                "its format is {format}, version {spec}, expected {FORMAT}, version {SPEC}"
            );
            return Err(no_states(reason));
        }
        let header: Header = serde_json::from_str(header).map_err(|e| no_states(e.to_string()))?;
        let about = &header.about;
        let (width, candidates) = (about.width, about.candidates());
        if width == 0 || candidates == 0 || width != about.model.d_model {
            let reason = format!(
                "it has {candidates} candidates of width {width}, expected at least one of the model's {}",
                about.model.d_model
            );
            return Err(no_states(reason));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(read)?;
        let tensor = tensors.tensor(TENSOR).map_err(read)?;
        let ordered = header.first <= header.done && header.done <= header.end;
        if !ordered || header.end > header.about.blocks() {
            let (first, done, end) = (header.first, header.done, header.end);
            return Err(no_states(format!("its blocks are {first}, {done}, {end}")));
        }
        let states = States {
            blocks: header.first..header.end,
            done: header.done,
            about: header.about,
            values: tensor
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        };
        let shape = [states.rows(), states.about.candidates(), states.about.width];
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            let found = (tensor.dtype(), tensor.shape());
            return Err(no_states(format!("its tensor is {found:?}, expected F32 {shape:?}")));
        }
        Ok(states)
    }
}

fn no_states(reason: String) -> Error {
    ExtractError::NotStates { reason }.into()
}
