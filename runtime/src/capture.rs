//! Activations and logits of given tokens, written to a safetensors file.
//!
//! Every size is known before the first pass, so the header goes first and each tensor is written to its place as it
//! is computed: memory holds one pass, however long the list of rows. The file appears under its name only when it
//! is whole. Rows of similar length share a pass.

use crate::device::to_host;
use crate::error::{Error, Result};
use crate::generate::Flow;
use crate::kv::{BLOCK_LEN, KvPool};
use crate::model::{Decoder, LogitsAt, Want};
use crate::output::{self, Draft};
use crate::plan::Plan;
use crate::read;
use crate::session::Session;
use crate::site::Site;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Tokens that share a pass, cache blocks counted whole.
const PASS_TOKENS: usize = 1024;
/// Logits that one pass may hold.
const PASS_LOGIT_BYTES: usize = 256 << 20;

/// Whether a capture holds logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scores {
    /// Activations only.
    #[default]
    Leave,
    /// The logits of every position too.
    Write,
}

/// What is to be captured.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Token ids of each row.
    pub rows: Vec<Vec<u32>>,
    /// Where activations are read.
    pub sites: Vec<Site>,
    /// Logits.
    pub scores: Scores,
    /// The most tokens of a row in one pass.
    pub chunk: usize,
}

/// What a capture came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// The file is there.
    Written {
        /// Its length.
        bytes: u64,
    },
    /// The caller ended it; there is no file.
    Cancelled,
}

impl Capture {
    /// Runs the rows and writes `<row>.tokens`, `<row>.<site>` and `<row>.logits`, rows counted from 0.
    ///
    /// `progress` is told how many rows were done since it was last asked.
    pub fn write(
        &self,
        decoder: &Arc<Decoder>,
        pool: &KvPool,
        path: &Path,
        progress: &mut dyn FnMut(usize) -> Flow,
    ) -> Result<Captured> {
        self.check(decoder)?;
        let layout = Layout::new(self, decoder)?;
        let mut file = Draft::create(path).map_err(failed(path))?;
        let mut put = |at, bytes: &[u8]| file.put(at, bytes).map_err(failed(path));
        put(0, &layout.header)?;
        for (row, places) in self.rows.iter().zip(&layout.places) {
            let bytes: Vec<u8> = row.iter().flat_map(|t| t.to_le_bytes()).collect();
            put(places.tokens, &bytes)?;
        }
        for batch in self.batches(decoder, pool) {
            self.run(&batch, decoder, pool, &mut |row, what, from, values| {
                let Some(place) = layout.places.get(row).and_then(|p| p.place(what)) else {
                    return Err(Error::Misuse("a capture came from a site nobody asked for"));
                };
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                put(place + 4 * from as u64, &bytes)
            })?;
            if progress(batch.len()) == Flow::Cancel {
                return Ok(Captured::Cancelled);
            }
        }
        file.keep().map_err(failed(path))?;
        Ok(Captured::Written { bytes: layout.end })
    }

    fn check(&self, decoder: &Decoder) -> Result<()> {
        let n_layers = decoder.spec().n_layers();
        if let Some(site) = self.sites.iter().find(|s| !s.exists_in(n_layers)) {
            return Err(Error::NoSuchSite { site: *site, n_layers });
        }
        let invalid = |problem: String| Err(Error::Invalid { field: "data", problem });
        if self.rows.is_empty() {
            return invalid("holds no row".to_owned());
        }
        let limit = decoder.context();
        for (index, row) in self.rows.iter().enumerate() {
            if row.is_empty() {
                return invalid(format!("has no token in row {index}"));
            }
            if row.len() > limit {
                return Err(Error::ContextFull { needed: row.len(), limit });
            }
        }
        Ok(())
    }

    /// Rows of similar length, together no more than a pass should hold.
    fn batches(&self, decoder: &Decoder, pool: &KvPool) -> Vec<Vec<usize>> {
        let most = match self.scores {
            Scores::Leave => PASS_TOKENS,
            Scores::Write => PASS_TOKENS.min(PASS_LOGIT_BYTES / (4 * decoder.spec().vocab_size)),
        };
        let most = most.min(pool.usage().blocks * BLOCK_LEN);
        let mut order: Vec<(usize, usize)> =
            self.rows.iter().map(Vec::len).enumerate().map(|(i, len)| (len, i)).collect();
        order.sort_unstable();
        let (mut batches, mut room) = (Vec::<Vec<usize>>::new(), 0);
        for (len, index) in order {
            let cost = len.next_multiple_of(BLOCK_LEN);
            match batches.last_mut().filter(|_| cost <= room) {
                Some(batch) => {
                    batch.push(index);
                    room -= cost;
                }
                None => {
                    batches.push(vec![index]);
                    room = most.saturating_sub(cost);
                }
            }
        }
        batches
    }

    /// Runs some rows together.
    fn run(
        &self,
        batch: &[usize],
        decoder: &Arc<Decoder>,
        pool: &KvPool,
        sink: Sink,
    ) -> Result<()> {
        let logits = match self.scores {
            Scores::Leave => LogitsAt::None,
            Scores::Write => LogitsAt::All,
        };
        let want = Want { logits, captures: self.sites.clone(), ..Want::default() };
        let mut sessions = Vec::with_capacity(batch.len());
        for &index in batch {
            let mut session = Session::new(decoder.clone(), pool, Plan::empty())?;
            session.set_chunk(self.chunk);
            session.push_prompt(self.rows.get(index).map(Vec::as_slice).unwrap_or_default())?;
            sessions.push(session);
        }
        let width = decoder.spec().d_model;
        read::run(&mut sessions, &want, |at, from, output| {
            let index = batch.get(at).copied().unwrap_or_default();
            for (site, tensor) in output.captures() {
                sink(index, What::Site(site), from * width, &to_host(tensor)?)?;
            }
            for (position, logits) in (from..).zip(output.logits()) {
                sink(index, What::Logits, position * logits.len(), logits)?;
            }
            Ok(())
        })
    }
}

/// Takes values of a row's tensor, from its value of this index on.
type Sink<'a> = &'a mut dyn FnMut(usize, What, usize, &[f32]) -> Result<()>;

/// A tensor of a row, tokens aside.
#[derive(Debug, Clone, Copy)]
enum What {
    Site(Site),
    Logits,
}

/// Where a row's tensors begin in the file.
struct Places {
    tokens: u64,
    sites: BTreeMap<Site, u64>,
    logits: u64,
}

impl Places {
    fn place(&self, what: What) -> Option<u64> {
        match what {
            What::Site(site) => self.sites.get(&site).copied(),
            What::Logits => Some(self.logits),
        }
    }
}

/// The file before its values are known.
struct Layout {
    /// Length and JSON.
    header: Vec<u8>,
    places: Vec<Places>,
    end: u64,
}

impl Layout {
    fn new(capture: &Capture, decoder: &Decoder) -> Result<Layout> {
        let spec = decoder.spec();
        let mut entries = Entries::default();
        let mut places = Vec::with_capacity(capture.rows.len());
        for (index, row) in capture.rows.iter().enumerate() {
            let tokens = entries.add(format!("{index}.tokens"), Dtype::U32, vec![row.len()]);
            let mut sites = BTreeMap::new();
            for site in &capture.sites {
                let shape = vec![row.len(), spec.d_model];
                sites.insert(*site, entries.add(format!("{index}.{site}"), Dtype::F32, shape));
            }
            let logits = match capture.scores {
                Scores::Leave => 0,
                Scores::Write => {
                    let shape = vec![row.len(), spec.vocab_size];
                    entries.add(format!("{index}.logits"), Dtype::F32, shape)
                }
            };
            places.push(Places { tokens, sites, logits });
        }
        let header = entries.header()?;
        let start = header.len() as u64;
        for row in &mut places {
            row.tokens += start;
            row.logits += start;
            row.sites.values_mut().for_each(|place| *place += start);
        }
        Ok(Layout { places, end: start + entries.end as u64, header })
    }
}

#[derive(Default)]
struct Entries {
    list: Vec<(String, TensorInfo)>,
    end: usize,
}

impl Entries {
    /// Puts a tensor of 4-byte values behind the others and says where it begins.
    fn add(&mut self, name: String, dtype: Dtype, shape: Vec<usize>) -> u64 {
        let start = self.end;
        self.end += 4 * shape.iter().product::<usize>();
        self.list.push((name, TensorInfo { dtype, shape, data_offsets: (start, self.end) }));
        start as u64
    }

    fn header(&mut self) -> Result<Vec<u8>> {
        let unwritable = |e: &dyn std::fmt::Display| Error::Invalid {
            field: "sites",
            problem: format!("cannot be written: {e}"),
        };
        let list = std::mem::take(&mut self.list);
        let metadata = Metadata::new(None, list).map_err(|e| unwritable(&e))?;
        let mut json = serde_json::to_vec(&metadata).map_err(|e| unwritable(&e))?;
        // The format's readers want the data aligned to 8 bytes, and allow spaces.
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut header = (json.len() as u64).to_le_bytes().to_vec();
        header.append(&mut json);
        Ok(header)
    }
}

fn failed<E: Into<output::Problem>>(path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.display().to_string();
    move |problem| {
        let problem: output::Problem = problem.into();
        Error::Io { path, source: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tiny;
    use safetensors::SafeTensors;
    use std::path::PathBuf;

    fn capture(rows: Vec<Vec<u32>>) -> Capture {
        let sites = vec![Site::ResidPost(1), Site::Final];
        Capture { rows, sites, scores: Scores::Write, chunk: 4 }
    }

    fn target(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("trimtab-capture-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_file_holds_what_sessions_give_row_by_row() {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(256).unwrap();
        let rows = vec![vec![1, 2, 3, 4, 5, 6, 7], vec![9], vec![8, 7, 6]];
        let (capture, path) = (capture(rows.clone()), target("whole"));
        let mut done = 0;
        let mut count = |rows| {
            done += rows;
            Flow::Continue
        };
        let written = capture.write(&decoder, &pool, &path, &mut count).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(written, Captured::Written { bytes: bytes.len() as u64 });
        assert_eq!(done, 3);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), 12);
        for (index, row) in rows.iter().enumerate() {
            let mut session = Session::new(decoder.clone(), &pool, Plan::empty()).unwrap();
            session.push_prompt(row).unwrap();
            for (site, tensor) in session.fork().capture(&capture.sites).unwrap() {
                let view = file.tensor(&format!("{index}.{site}")).unwrap();
                assert_eq!(view.shape(), [row.len(), tiny::WIDTH]);
                let expected: Vec<u8> =
                    to_host(&tensor).unwrap().iter().flat_map(|v| v.to_le_bytes()).collect();
                assert!(view.data() == expected, "{index}.{site}");
            }
            let logits = file.tensor(&format!("{index}.logits")).unwrap();
            let last = session.run().unwrap().logits.pop().unwrap();
            let last: Vec<u8> = last.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert!(logits.data().ends_with(&last), "{index}.logits");
        }
    }

    #[test]
    fn nothing_is_left_behind_by_what_does_not_end_well() {
        let decoder = tiny::decoder().unwrap();
        let pool = decoder.pool(1024).unwrap();
        let folder = target("folder");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("out.safetensors");
        let write = |capture: Capture, flow| capture.write(&decoder, &pool, &path, &mut |_| flow);
        let two = capture(vec![vec![1], vec![2; 900]]);
        assert_eq!(write(two, Flow::Cancel).unwrap(), Captured::Cancelled);
        // Token 64 is found only when its row is run.
        assert!(write(capture(vec![vec![1], vec![64]]), Flow::Continue).is_err());
        assert!(write(capture(vec![vec![]]), Flow::Continue).is_err());
        assert!(write(capture(vec![]), Flow::Continue).is_err());
        let elsewhere = Capture { sites: vec![Site::MlpOut(3)], ..capture(vec![vec![1]]) };
        assert!(write(elsewhere, Flow::Continue).is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn rows_of_similar_length_go_together() {
        let decoder = tiny::decoder().unwrap();
        let rows = [700, 16, 300, 17, 1024].map(|len| vec![0; len]).to_vec();
        let capture = capture(rows);
        let pool = decoder.pool(4096).unwrap();
        assert_eq!(capture.batches(&decoder, &pool), [vec![1, 3, 2], vec![0], vec![4]]);
        let small = decoder.pool(320).unwrap();
        assert_eq!(capture.batches(&decoder, &small).len(), 4);
    }
}
