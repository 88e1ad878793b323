//! The model reads for a perceiver, where no token loop does it: in calibration, in programs that judge texts, in tests.

use crate::monitor::perceive::{Finding, Perceiver, Perception};
use trimtab_runtime::model::Want;
use trimtab_runtime::monitor::{Heard, Unfolding};
use trimtab_runtime::read;
use trimtab_runtime::session::Session;
use trimtab_runtime::{Error, Result};

/// Runs what is pending in sequences of one model, together, and gives the logits behind each one's last token.
pub fn listen(mut sessions: Vec<Session>) -> Result<Vec<Heard>> {
    let mut logits: Vec<Vec<f32>> = vec![Vec::new(); sessions.len()];
    read::run(&mut sessions, &Want::default(), |index, _, output| {
        if let (Some(place), Some(last)) = (logits.get_mut(index), output.logits().last()) {
            *place = last.to_vec();
        }
        Ok::<(), Error>(())
    })?;
    let heard = sessions.into_iter().zip(logits);
    Ok(heard.map(|(session, logits)| Heard { session, logits }).collect())
}

/// Asks a perceiver and has the model read what it wants read, until it has found something.
pub fn settle(perceiver: &mut dyn Perceiver, answer: &Unfolding) -> Result<Finding> {
    loop {
        match perceiver.perceive(answer)? {
            Perception::Found(finding) => return Ok(finding),
            Perception::Ask(sessions) => perceiver.heard(listen(sessions)?)?,
        }
    }
}
