//! From weight files to a [`Decoder`].

use super::block::{Block, Stacked};
use super::decoder::Decoder;
use super::linear::{Linear, RmsNorm, Weight};
use super::names::Names;
use super::rope::RopeTable;
use super::spec::arch::{Fusing, NormPlacement, QkNorm, Role};
use super::spec::gguf::RopeTensors;
use super::spec::model_type::HeadSource;
use super::spec::{self, LayerSpec, ModelSpec, SpecError};
use super::weights::{Loaded, Weights};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::kernels::arena::Arena;
use crate::kernels::attention::Attention;
use crate::kernels::heads::{HeadNorms, HeadShape};
use crate::kernels::quant::Matrix;
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Tensor};
use std::sync::Arc;

/// The longest context taken without being asked for.
pub const DEFAULT_CONTEXT: usize = 8192;

/// Whether quantised weights are served as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightForm {
    /// In their blocks: small and fast. On the CPU, formats without a kernel (Q8_1, Q8_K) become f32.
    #[default]
    AsStored,
    /// Dequantised to f32: the reference path.
    Dequantised,
}

/// How dense weights are kept on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DenseType {
    /// f32 on the CPU, bf16 elsewhere.
    #[default]
    Default,
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats; not on the CPU.
    F16,
    /// bfloat16; not on the CPU.
    Bf16,
}

/// How a decoder is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecoderOptions {
    /// Longest sequence; `None` for the model's own, at most [`DEFAULT_CONTEXT`] and at most what takes LongRoPE's
    /// short factors.
    pub context: Option<usize>,
    /// Quantised weights.
    pub form: WeightForm,
    /// Dense weights.
    pub dense: DenseType,
}

impl Decoder {
    /// Reads the description and every tensor it names.
    pub fn load(weights: &Weights, options: &DecoderOptions, device: &Device) -> Result<Decoder> {
        let spec = read_spec(weights)?;
        let context = context(&spec, options)?;
        let names = Names::find(weights, spec.arch);
        names.check(weights, &spec)?;
        let mut loader = Loader::new(names, weights, &spec, options, device)?;
        let embed = loader.matrix(&loader.name(Role::Embed, 0), [spec.vocab_size, spec.d_model])?;
        let blocks = spec.layers.iter().enumerate();
        let blocks = blocks.map(|(l, of)| loader.block(l, of)).collect::<Result<Vec<Block>>>()?;
        // Tables come last: by now every size in the description has been found in the file.
        let ropes = spec.ropes.iter().map(|r| RopeTable::new(r, context, device.candle()));
        let ropes = ropes.collect::<Result<Vec<RopeTable>>>()?;
        let decoder = Decoder {
            head: loader.head(&embed)?,
            norm: loader.norm(Role::OutputNorm, 0, spec.d_model)?,
            embed,
            blocks,
            ropes,
            context,
            device: device.clone(),
            fingerprint: fingerprint(weights, &spec, options, (context, device)),
            spec,
        };
        Ok(decoder)
    }
}

/// Reads what the files say the model is.
pub fn read_spec(weights: &Weights) -> Result<ModelSpec> {
    match (weights.metadata(), weights.config()) {
        (Some(metadata), _) => {
            let list = |name: &str| floats(weights, name);
            let tensors = RopeTensors {
                freqs: list("rope_freqs.weight")?,
                short: list("rope_factors_short.weight")?,
                long: list("rope_factors_long.weight")?,
            };
            Ok(spec::gguf::read(metadata, &tensors)?)
        }
        (None, Some(config)) => Ok(spec::config::read(config)?),
        (None, None) => Err(SpecError::Missing("a model description".into()).into()),
    }
}

/// A small tensor's values on the host; `None` if the file has none of this name.
fn floats(weights: &Weights, name: &str) -> Result<Option<Vec<f32>>> {
    if weights.entry(name).is_none() {
        return Ok(None);
    }
    let tensor = dense(weights.load(name, &candle_core::Device::Cpu)?, DType::F32);
    let values = tensor.and_then(|t| t.flatten_all()?.to_vec1::<f32>());
    values.map(Some).map_err(Error::tensor(name))
}

fn dense(loaded: Loaded, dtype: DType) -> candle_core::Result<Tensor> {
    match loaded {
        Loaded::Dense(tensor) => tensor.to_dtype(dtype),
        Loaded::Quantised(tensor) => tensor.dequantize(&tensor.device())?.to_dtype(dtype),
    }
}

fn context(spec: &ModelSpec, options: &DecoderOptions) -> Result<usize> {
    match options.context {
        None => {
            let usual = spec.context_length.min(DEFAULT_CONTEXT);
            Ok(spec.rope_border().map_or(usual, |border| usual.min(border)))
        }
        Some(n) if n >= 1 && n <= spec.context_length => Ok(n),
        Some(n) => Err(Error::Invalid {
            field: "ctx-size",
            problem: format!("is {n}, the model allows 1 to {}", spec.context_length),
        }),
    }
}

/// Everything about loading that changes keys, values or logits.
fn fingerprint(
    weights: &Weights,
    spec: &ModelSpec,
    options: &DecoderOptions,
    (context, device): (usize, &Device),
) -> Fingerprint {
    Fingerprint::builder("trimtab.decoder")
        .text(&weights.sha256())
        // Two folders may share their weights and differ in what config.json says of them.
        .text(&format!("{spec:?}"))
        .text(&format!("{:?} {:?} {}", options.form, options.dense, device.kind()))
        // LongRoPE chooses its factors by the context.
        .number(context as u64)
        .finish()
}

struct Loader<'a> {
    weights: &'a Weights,
    spec: &'a ModelSpec,
    options: &'a DecoderOptions,
    device: &'a Device,
    dense: DType,
    arena: Arena,
    names: Names,
}

impl<'a> Loader<'a> {
    fn new(
        names: Names,
        weights: &'a Weights,
        spec: &'a ModelSpec,
        options: &'a DecoderOptions,
        device: &'a Device,
    ) -> Result<Self> {
        let on_cpu = device.kind() == "cpu";
        let dense = match options.dense {
            DenseType::Default if on_cpu => DType::F32,
            DenseType::F32 => DType::F32,
            DenseType::F16 if !on_cpu => DType::F16,
            DenseType::Bf16 | DenseType::Default if !on_cpu => DType::BF16,
            DenseType::F16 | DenseType::Bf16 | DenseType::Default => {
                return Err(Error::Invalid {
                    field: "dtype",
                    problem: "must be f32 on the cpu".to_owned(),
                });
            }
        };
        Ok(Loader { weights, spec, options, device, dense, arena: Arena::default(), names })
    }

    fn name(&self, role: Role, layer: usize) -> String {
        self.names.of(role, layer)
    }

    fn has(&self, name: &str) -> bool {
        self.weights.entry(&format!("{name}.weight")).is_some()
    }

    // -> [out, in], checked against the description before anything is read
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight> {
        let name = format!("{name}.weight");
        self.expect(&name, &shape)?;
        if let Some(format) = self.tile_format(&name) {
            return self.tiles(&[name], format, shape[1]);
        }
        let quantised = self.options.form == WeightForm::AsStored;
        let loaded = self.weights.load(&name, self.device.candle())?;
        match loaded {
            // Only elsewhere: on the CPU, candle's kernels sum in an order that depends on the number of rows.
            Loaded::Quantised(q) if quantised && !self.on_cpu() && q.dtype().block_size() > 1 => {
                Ok(Weight::Quantised(Arc::new(q)))
            }
            other => dense(other, self.dense).map(Weight::Dense).map_err(Error::tensor(name)),
        }
    }

    /// The format of a matrix, if our own kernels serve it on this device.
    fn tile_format(&self, name: &str) -> Option<GgmlDType> {
        if !self.on_cpu() || self.options.form == WeightForm::Dequantised {
            return None;
        }
        let stored = self.weights.entry(name).and_then(|e| e.dtype.quantised());
        stored.filter(|dtype| Matrix::serves(*dtype))
    }

    fn on_cpu(&self) -> bool {
        self.device.kind() == "cpu"
    }

    /// Matrices of one format and width repacked for our own kernels, one above the other.
    // -> [Σout, width]
    fn tiles(&mut self, names: &[String], format: GgmlDType, width: usize) -> Result<Weight> {
        let parts: Vec<&[u8]> = names
            .iter()
            .map(|name| self.weights.bytes(name))
            .collect::<std::result::Result<_, _>>()?;
        let tiles = Matrix::pack(&mut self.arena, format, &parts, width);
        let tiles = tiles.map_err(Error::tensor(names.join("+")))?;
        // The file's pages have been read and are not needed again.
        self.weights.release_pages();
        Ok(Weight::Tiled(Arc::new(tiles)))
    }

    /// Projections of one input: one matrix, where their formats allow it.
    fn stacked<const N: usize>(
        &mut self,
        roles: [(Role, usize); N],
        layer: usize,
    ) -> Result<Stacked<N>> {
        let width = self.spec.d_model;
        let names = roles.map(|(role, _)| self.name(role, layer));
        let files = names.each_ref().map(|name| format!("{name}.weight"));
        for (file, (_, out)) in files.iter().zip(roles) {
            self.expect(file, &[out, width])?;
        }
        let plain = names.iter().all(|name| self.weights.entry(&format!("{name}.bias")).is_none());
        let formats = files.each_ref().map(|file| self.tile_format(file));
        let alike = formats.iter().all(|f| *f == formats[0]);
        if let Some(format) = formats[0].filter(|_| alike && plain) {
            let weight = self.tiles(&files, format, width)?;
            return Ok(Stacked::Together(Linear::new(names.join("+"), weight, None)));
        }
        let parts: Vec<Linear> = roles
            .iter()
            .map(|(role, out)| self.linear(*role, layer, [*out, width]))
            .collect::<Result<_>>()?;
        let parts = <[Linear; N]>::try_from(parts);
        parts.map(Stacked::Apart).map_err(|_| Error::Misuse("projections got lost"))
    }

    fn linear(&mut self, role: Role, layer: usize, shape: [usize; 2]) -> Result<Linear> {
        let name = self.name(role, layer);
        let bias = match self.weights.entry(&format!("{name}.bias")) {
            Some(_) => Some(self.vector(&format!("{name}.bias"), shape[0])?),
            None => None,
        };
        let weight = self.matrix(&name, shape)?;
        Ok(Linear::new(name, weight, bias))
    }

    // -> [width] in f32
    fn vector(&self, name: &str, width: usize) -> Result<Tensor> {
        self.expect(name, &[width])?;
        let loaded = self.weights.load(name, self.device.candle())?;
        dense(loaded, DType::F32).map_err(Error::tensor(name))
    }

    fn norm(&self, role: Role, layer: usize, width: usize) -> Result<RmsNorm> {
        let name = format!("{}.weight", self.name(role, layer));
        let weight = self.vector(&name, width)?;
        let offset = self.spec.norm_offset;
        let weight = if offset == 0.0 { Ok(weight) } else { weight + offset };
        let eps = self.spec.norm_eps as f32;
        weight.and_then(|w| RmsNorm::new(w, eps)).map_err(Error::tensor(name))
    }

    fn optional_norm(
        &self,
        placed: &[NormPlacement],
        role: Role,
        layer: usize,
    ) -> Result<Option<RmsNorm>> {
        if !placed.contains(&self.spec.arch.norms) {
            return Ok(None);
        }
        self.norm(role, layer, self.spec.d_model).map(Some)
    }

    fn head_norms(&self, layer: usize) -> Result<Option<HeadNorms>> {
        let HeadShape { heads, kv_heads, dim } = self.heads();
        let widths = match self.spec.arch.qk_norm {
            QkNorm::None => return Ok(None),
            QkNorm::PerHead => [dim, dim],
            QkNorm::FullWidth => [heads * dim, kv_heads * dim],
        };
        let (query, eps) = self.norm(Role::QueryNorm, layer, widths[0])?.into_host();
        let (key, _) = self.norm(Role::KeyNorm, layer, widths[1])?.into_host();
        Ok(Some(HeadNorms { query, key, eps }))
    }

    fn heads(&self) -> HeadShape {
        let ModelSpec { n_heads, n_kv_heads, head_dim, .. } = *self.spec;
        HeadShape { heads: n_heads, kv_heads: n_kv_heads, dim: head_dim }
    }

    /// The output matrix; a file without one ties it to the embedding.
    fn head(&mut self, embed: &Weight) -> Result<Linear> {
        let name = self.name(Role::Head, 0);
        let kind = self.weights.config().map(spec::config::head).transpose()?;
        let weight = match (self.has(&name), kind) {
            (true, _) => self.matrix(&name, [self.spec.vocab_size, self.spec.d_model])?,
            (false, Some(HeadSource::Own)) => {
                let missing =
                    format!("tensor {name}.weight, or tie_word_embeddings in config.json,");
                return Err(SpecError::Missing(missing).into());
            }
            (false, None | Some(HeadSource::Tied)) => embed.clone(),
        };
        Ok(Linear::head(name, weight))
    }

    fn block(&mut self, layer: usize, of: &LayerSpec) -> Result<Block> {
        use NormPlacement::{Both, Post, Pre};
        let (spec, shape) = (self.spec, self.heads());
        Ok(Block {
            attn_norm: self.optional_norm(&[Pre, Both], Role::AttnNorm, layer)?,
            attn_post_norm: self.optional_norm(&[Post, Both], Role::AttnPostNorm, layer)?,
            mlp_norm: self.optional_norm(&[Pre, Both], Role::MlpNorm, layer)?,
            mlp_post_norm: self.optional_norm(&[Post, Both], Role::MlpPostNorm, layer)?,
            qkv: self.qkv(layer, shape)?,
            head_norms: self.head_norms(layer)?,
            attn_out: self.linear(Role::AttnOut, layer, [spec.d_model, shape.q()])?,
            gate_up: self.gate_up(layer)?,
            down: self.linear(Role::Down, layer, [spec.d_model, spec.d_ff])?,
            activation: spec.activation,
            attention: Attention {
                shape,
                scale: spec.attn_scale as f32,
                softcap: spec.attn_softcap.map(|c| c as f32),
                window: of.window,
            },
            rope: of.rope,
        })
    }

    fn qkv(&mut self, layer: usize, shape: HeadShape) -> Result<Stacked<3>> {
        let (d, q, kv) = (self.spec.d_model, shape.q(), shape.kv());
        if self.spec.arch.fusing == Fusing::Fused {
            let one = self.linear(Role::QueryKeyValue, layer, [shape.row(), d])?;
            return Ok(Stacked::Together(one));
        }
        self.stacked([(Role::Query, q), (Role::Key, kv), (Role::Value, kv)], layer)
    }

    fn gate_up(&mut self, layer: usize) -> Result<Stacked<2>> {
        let (d, ff) = (self.spec.d_model, self.spec.d_ff);
        if self.spec.arch.fusing == Fusing::Fused {
            return Ok(Stacked::Together(self.linear(Role::GateUp, layer, [2 * ff, d])?));
        }
        self.stacked([(Role::Gate, ff), (Role::Up, ff)], layer)
    }

    fn expect(&self, name: &str, shape: &[usize]) -> Result<()> {
        let Some(entry) = self.weights.entry(name) else {
            return Err(SpecError::Missing(format!("tensor {name}")).into());
        };
        if entry.shape != shape {
            let problem = format!("has shape {:?}, the description needs {shape:?}", entry.shape);
            return Err(SpecError::value(format!("tensor {name}"), problem).into());
        }
        Ok(())
    }
}
