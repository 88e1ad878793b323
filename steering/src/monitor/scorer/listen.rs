//! The model reads for a perceiver, where no token loop does it: in calibration, in programs that judge texts, in tests.

use crate::monitor::perceive::{Finding, Perceiver, Perception};
use trimtab_runtime::Result;
use trimtab_runtime::model::{Row, Want};
use trimtab_runtime::monitor::{Heard, Unfolding};
use trimtab_runtime::session::Session;

/// Runs what is pending in sequences of one model, together, and gives the logits behind each one's last token.
pub fn listen(mut sessions: Vec<Session>) -> Result<Vec<Heard>> {
    let Some(decoder) = sessions.first().map(|session| session.decoder().clone()) else {
        return Ok(Vec::new());
    };
    let mut logits: Vec<Vec<f32>> = vec![Vec::new(); sessions.len()];
    loop {
        let (mut due, mut rows): (Vec<usize>, Vec<Row<'_>>) = (Vec::new(), Vec::new());
        for (index, session) in sessions.iter_mut().enumerate().filter(|(_, s)| s.pending() > 0) {
            due.push(index);
            rows.push(session.row(Want::default()));
        }
        if rows.is_empty() {
            break;
        }
        let read = decoder.forward(&mut rows)?.to_host()?;
        for (index, mut row) in due.into_iter().zip(read) {
            if let (Some(place), Some(last)) = (logits.get_mut(index), row.logits.pop()) {
                *place = last;
            }
        }
    }
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
