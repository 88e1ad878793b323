//! The names of the decoder's tensors in one set of files, and a check that its blocks hold nothing else.
//!
//! A tensor in a block that is not read, such as the scale of a quantised matrix, a bias or a second norm, means that
//! other numbers are computed than the model's: the file is refused. What stands beside the decoder, as an image tower
//! does, is left alone.

use super::spec::arch::{self, Architecture, Role};
use super::spec::{ModelSpec, SpecError};
use super::weights::Weights;
use crate::printable::Line;
use std::collections::BTreeSet;

/// What stands in front of a decoder's tensors in safetensors files. The first is what transformers writes for a
/// language model; then come two spellings of models with images, and bare base models.
const TRUNKS: [&str; 4] = ["model.", "language_model.model.", "model.language_model.", ""];
/// Names of the output matrix.
const HEADS: [&str; 2] = ["lm_head", "language_model.lm_head"];
/// Endings of tensors that older writers stored and that follow from the description.
const DERIVED: [&str; 3] =
    ["self_attn.rotary_emb.inv_freq", "attn_rot_embd.weight", "rope_freqs.weight"];
/// Endings of what quantisers store beside or in place of a weight.
const QUANTISERS: [&str; 14] = [
    "qweight",
    "qzeros",
    "scales",
    "g_idx",
    "weight_scale",
    "weight_scale_inv",
    "input_scale",
    "weight_packed",
    "weight_shape",
    "absmax",
    "quant_map",
    "SCB",
    "biases",
    "scale",
];

/// The names of one decoder's tensors.
#[derive(Debug)]
pub(super) struct Names {
    arch: &'static Architecture,
    spelling: Spelling,
}

#[derive(Debug)]
enum Spelling {
    Gguf,
    Safetensors { trunk: &'static str, head: &'static str },
}

impl Names {
    /// How these files spell them.
    pub(super) fn find(weights: &Weights, arch: &'static Architecture) -> Names {
        let has = |name: String| weights.entry(&name).is_some();
        let spelling = match weights.metadata() {
            Some(_) => Spelling::Gguf,
            None => {
                let embed = arch::safetensors_name(arch.norms, Role::Embed, 0);
                let trunk = TRUNKS.into_iter().find(|t| has(format!("{t}{embed}.weight")));
                let head = HEADS.into_iter().find(|h| has(format!("{h}.weight")));
                Spelling::Safetensors {
                    trunk: trunk.unwrap_or(TRUNKS[0]),
                    head: head.unwrap_or(HEADS[0]),
                }
            }
        };
        Names { arch, spelling }
    }

    /// A tensor's name without `.weight` or `.bias`.
    pub(super) fn of(&self, role: Role, layer: usize) -> String {
        match self.spelling {
            Spelling::Gguf => arch::gguf_name(role, layer),
            Spelling::Safetensors { head, .. } if role == Role::Head => head.to_owned(),
            Spelling::Safetensors { trunk, .. } => {
                format!("{trunk}{}", arch::safetensors_name(self.arch.norms, role, layer))
            }
        }
    }

    /// Refuses a file whose blocks hold tensors that the decoder does not read.
    pub(super) fn check(&self, weights: &Weights, spec: &ModelSpec) -> Result<(), SpecError> {
        let known = self.known(spec);
        let beside = [Role::Embed, Role::OutputNorm, Role::Head].map(|r| self.of(r, 0) + ".");
        let ours = |name: &str| {
            self.block(name).is_some_and(|l| l < spec.n_layers())
                || beside.iter().any(|stem| name.starts_with(stem))
                || name.starts_with("token_embd_norm.")
        };
        let unread = |name: &&str| {
            ours(name) && !known.contains(*name) && !DERIVED.iter().any(|d| name.ends_with(d))
        };
        let Some(name) = weights.tensors().map(|t| t.name.as_str()).find(unread) else {
            return Ok(());
        };
        let last = name.rsplit('.').next().unwrap_or_default();
        let problem = if QUANTISERS.contains(&last) {
            "belongs to a quantisation that is not supported; take the model's plain weights or a GGUF"
                .to_owned()
        } else if last == "bias" {
            format!("is a bias that {} does not have by its description", self.arch.name)
        } else {
            format!("is no part of the architecture {}, and would be left out", self.arch.name)
        };
        Err(SpecError::value(format!("tensor {}", Line(name)), problem))
    }

    /// Every name the decoder may read.
    fn known(&self, spec: &ModelSpec) -> BTreeSet<String> {
        let beside = [Role::Embed, Role::OutputNorm, Role::Head].map(|role| (role, 0));
        let roles = self.arch.block_roles();
        let blocks = (0..spec.n_layers()).flat_map(|l| roles.iter().map(move |role| (*role, l)));
        let mut known = BTreeSet::new();
        for (role, layer) in beside.into_iter().chain(blocks) {
            let name = self.of(role, layer);
            if role.is_linear() && spec.biases.allow(role) {
                known.insert(format!("{name}.bias"));
            }
            known.insert(format!("{name}.weight"));
        }
        known
    }

    /// The block that a tensor is in.
    fn block(&self, name: &str) -> Option<usize> {
        let rest = match self.spelling {
            Spelling::Gguf => name.strip_prefix("blk."),
            Spelling::Safetensors { trunk, .. } => {
                name.strip_prefix(trunk).and_then(|rest| rest.strip_prefix("layers."))
            }
        };
        rest?.split('.').next()?.parse().ok()
    }
}
