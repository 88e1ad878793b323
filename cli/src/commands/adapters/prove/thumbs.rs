//! A thumb up and a thumb down on copies of the newest version.

use super::answers::judged;
use super::checks::signed;
use super::copy::{Judged, Proving};
use crate::commands::learning::LOCAL;
use crate::error::Result;
use trimtab_adapters::host::{AdapterConfig, AdapterKey, Thumb};
use trimtab_adapters::rosa::Signs;
use trimtab_steering::verify::{Check, Verdict};

impl Proving<'_> {
    /// How either thumb moves ln p of the answer it is about. Copies take judgements of both signs.
    pub fn thumbs(&mut self) -> Result<Vec<Check>> {
        let Some(prompt) = judged(self.opened)?.into_iter().next() else { return Ok(Vec::new()) };
        let mut checks = Vec::new();
        for (name, id, thumb, sign) in [
            ("thumb_up_raises", "thumb-up", Thumb::Up, 1.0),
            ("thumb_down_lowers", "thumb-down", Thumb::Down, -1.0),
        ] {
            let key = self.copied(id)?;
            let judged = self.judge(&key, &prompt, thumb)?;
            checks.push(self.moved(name, sign, (&prompt, &judged))?);
        }
        Ok(checks)
    }

    /// A copy of the newest version that learns from both signs.
    pub fn copied(&self, id: &str) -> Result<AdapterKey> {
        let (host, key) = (self.learning.host(), AdapterKey::new(LOCAL, id)?);
        let config = match self.config.clone() {
            AdapterConfig::Rosa { mut params } => {
                params.signs = Signs::Both;
                AdapterConfig::Rosa { params }
            }
            taste @ AdapterConfig::Tpop(_) => taste,
        };
        self.learning.wait(host.create(&key, &config))?;
        if self.history.len() > 1 {
            let newest = self.learning.wait(host.export(&self.key, None))?;
            self.learning.wait(host.import(&key, &newest.bytes))?;
        }
        Ok(key)
    }

    fn moved(
        &self,
        name: &'static str,
        sign: f64,
        (prompt, judged): (&[u32], &Judged),
    ) -> Result<Check> {
        let report = &judged.report;
        let tokens = &judged.tokens;
        let [before, after] = [
            self.log_p(&judged.before, prompt, tokens)?,
            self.log_p(&judged.after, prompt, tokens)?,
        ];
        if let Some(reason) = &report.reason {
            let note = format!("the lesson was refused: {reason}");
            let (value, limit) = (Some(after - before), Some(0.0));
            return Ok(Check { name, verdict: Verdict::Failed, value, limit, note });
        }
        let kl = report.step.map_or(0.0, |step| step.kl);
        let note = format!(
            "ln p of the judged answer, {before:.3} to {after:.3} over {} tokens, KL {kl:.4} nats a token",
            tokens.len()
        );
        Ok(signed(name, after - before, sign, note))
    }
}
