//! What a version of an adapter does while the model answers, as an intervention of a plan.

use crate::rosa::{BlockState, LastMlpLora};
use candle_core::DType;
use std::sync::Arc;
use trimtab_runtime::decoder::spec::ModelSpec;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::hook::{Addition, Bound, Edit, Hook, Intervention, Pass};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::site::Site;
use trimtab_runtime::{Error, Result, Tensor};

impl BlockState {
    /// A plan with this block behind everything else in it. A block that changes nothing adds nothing: the plan stays as it
    /// is, and so does every bit of an answer.
    ///
    /// # Errors
    ///
    /// A number that is not finite.
    pub fn in_force(&self, plan: &Plan, n_layers: usize) -> Result<Plan> {
        if self.is_zero() {
            return Ok(plan.clone());
        }
        match self {
            BlockState::FinalOffset(offset) => {
                Ok(plan.then(Addition::new(Site::Final, offset.delta.clone(), 1.0)?))
            }
            BlockState::LastMlpLora(lora) => {
                let block = n_layers.saturating_sub(1);
                Ok(plan.then(LastMlpPush { lora: Arc::new(lora.clone()), block }))
            }
        }
    }
}

/// `B·A·n(resid_mid)` at `mlp_out` of the last block.
#[derive(Debug, Clone)]
struct LastMlpPush {
    lora: Arc<LastMlpLora>,
    block: usize,
}

impl LastMlpPush {
    fn sites(&self) -> [Site; 2] {
        [Site::ResidMid(self.block), Site::MlpOut(self.block)]
    }
}

impl Intervention for LastMlpPush {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::builder("trimtab.last_mlp_push")
            .number(self.block as u64)
            .number(self.lora.rank() as u64)
            .floats(self.lora.down())
            .floats(self.lora.up())
            .finish()
    }

    fn sites(&self) -> Vec<Site> {
        LastMlpPush::sites(self).to_vec()
    }

    fn bind(&self, _: &ModelSpec) -> Result<Bound> {
        Ok(Bound::Hook(Box::new(RunningPush { push: self.clone(), mid: Vec::new() })))
    }
}

/// The push of one session: what it read at `resid_mid` of the pass that is running.
struct RunningPush {
    push: LastMlpPush,
    /// `[time][d_model]`
    mid: Vec<Vec<f32>>,
}

impl Hook for RunningPush {
    // [time, d_model] -> [time, d_model]
    fn apply(&mut self, site: Site, stream: &Tensor, _: &Pass) -> Result<Edit> {
        let read = |tensor: &Tensor| tensor.to_dtype(DType::F32).and_then(|rows| rows.to_vec2());
        if site == Site::ResidMid(self.push.block) {
            self.mid = read(stream).map_err(Error::tensor("last_mlp_lora"))?;
            return Ok(Edit::Keep);
        }
        let pushes: Vec<f32> = self.mid.iter().flat_map(|row| self.push.lora.push(row)).collect();
        let positions = self.mid.len();
        let stream = Tensor::from_vec(pushes, stream.dims(), stream.device())
            .and_then(|push| push.to_dtype(stream.dtype()))
            .and_then(|push| stream + push)
            .map_err(Error::tensor("last_mlp_lora"))?;
        Ok(Edit::Replace { stream, positions })
    }

    fn fork(&self) -> Box<dyn Hook> {
        Box::new(RunningPush { push: self.push.clone(), mid: self.mid.clone() })
    }
}
