//! Deletion: of an adapter that is deleted, no row is left in the state and no byte in its folder.

use super::checks::most;
use super::copy::Proving;
use crate::error::Result;
use trimtab_adapters::host::{AdapterKey, AdapterState, AdapterSummary, PinRequest};
use trimtab_steering::verify::{Check, Verdict};

/// Bytes of a state that are looked for together, and in how many places of it.
const MARK: usize = 32;
const MARKS: usize = 16;

impl Proving<'_> {
    /// Looks for rows and for what was learnt in the files of the folder, before and after the adapters are deleted.
    pub fn deleted(self) -> Result<Vec<Check>> {
        let (host, marks) = (self.learning.host(), self.marks()?);
        let adapters = self.learning.wait(host.adapters(self.key.owner()))?;
        let before = [self.rows(&adapters)?, self.found(&marks)?];
        for adapter in &adapters {
            let key = AdapterKey::new(self.key.owner(), &adapter.id)?;
            self.learning.wait(host.delete(&key))?;
        }
        let [rows, found] = [self.rows(&adapters)?, self.found(&marks)?];
        let [rows_before, found_before] = before;
        // What was never found would not be missed.
        let verdict = match rows_before > 0 && found_before > 0 {
            true => Verdict::Passed,
            false => Verdict::Failed,
        };
        let note = format!("rows before, and {found_before} of {} marks in the files", marks.len());
        let kept = Check {
            name: "kept_before",
            verdict,
            value: Some(rows_before as f64),
            limit: None,
            note,
        };
        let of = adapters.len();
        Ok(vec![
            kept,
            most("rows_left", rows as f64, 0.0, format!("rows of {of} deleted adapters")),
            most("bytes_left", found as f64, 0.0, "marks of what was learnt in the files"),
        ])
    }

    /// Rows of the state that name one of the adapters.
    fn rows(&self, adapters: &[AdapterSummary]) -> Result<u64> {
        let store = self.learning.store();
        let of = |adapter: &AdapterSummary| {
            self.learning.wait(store.adapter_rows(self.key.owner(), &adapter.id))
        };
        adapters.iter().map(of).sum()
    }

    /// Pieces of the newest taught state, and what its answers are called.
    fn marks(&self) -> Result<Vec<Vec<u8>>> {
        let taught = self.history.last().map_or(0, |published| published.version);
        let pinned = self.pin(PinRequest::Version(taught))?;
        let bytes: Vec<u8> = match pinned.state() {
            AdapterState::Rosa(state) => {
                state.block.values().iter().flat_map(|x| x.to_le_bytes()).collect()
            }
            AdapterState::Tpop(state) => state.encode(),
        };
        let step = (bytes.len() / MARKS).max(MARK);
        let pieces = bytes.chunks(step).filter_map(|part| part.get(..MARK));
        let named = (!self.lessons.is_empty()).then(|| self.name.clone().into_bytes());
        Ok(pieces.map(<[u8]>::to_vec).chain(named).collect())
    }

    /// How many of the pieces are in a file of the folder.
    fn found(&self, marks: &[Vec<u8>]) -> Result<u64> {
        let files = self.files()?;
        let is_in = |mark: &Vec<u8>| {
            files.iter().any(|file| file.windows(mark.len().max(1)).any(|part| part == mark))
        };
        Ok(marks.iter().filter(|mark| is_in(mark)).count() as u64)
    }
}
