//! A state as bytes.
//!
//! Pairs, keys, seed and version are what is kept; θ, κ, N and V stand beside them only to be compared with what the
//! pairs give when the bytes are read. Texts are not in it.

use super::bytes::{Reader, TpopDigest, Writer, hex};
use super::error::TpopError;
use super::fit::fit;
use super::pair::{DuelOrder, DuelPair, Judgement, PairLog, Recorded};
use super::params::{ConfidenceKind, TpopParams};
use super::state::{TpopScope, TpopState};
use std::sync::Arc;

const MARK: &[u8; 8] = b"tt-tps01";
/// How far a weight may be from what the pairs give, as a share of its size where that is above 1.
const TOLERANCE: f64 = 1e-9;
const JUDGEMENTS: [Judgement; 5] =
    [Judgement::A, Judgement::B, Judgement::Tie, Judgement::Skip, Judgement::BothBad];

impl TpopState {
    /// The binary form: about 650 bytes a pair of 65 features, and V.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(MARK);
        writer.digest(&self.scope.extractor);
        // Names and numbers: there is nothing in the keys that JSON could refuse.
        let params = serde_json::to_vec(self.scope.config.params()).unwrap_or_default();
        writer.bytes(&params);
        writer.number(self.scope.width as u64);
        writer.number(self.scope.seed);
        writer.number(self.version);
        writer.number(self.recorded);
        writer.floats(&self.contrasts);
        writer.number(self.log.pairs().len() as u64);
        self.log.pairs().iter().for_each(|recorded| write_pair(&mut writer, recorded));
        writer.number(self.fitted.taught.pairs as u64);
        writer.float(self.fitted.taught.kappa);
        writer.floats(self.fitted.taught.head.weights());
        writer.floats(&self.upper_triangle());
        writer.finish()
    }

    /// Reads a state whose features are this extractor's, learns its pairs anew and compares.
    ///
    /// # Errors
    ///
    /// [`TpopError::OtherExtractor`] before anything else is looked at; [`TpopError::Unreadable`] for other, newer or
    /// damaged bytes; [`TpopError::NotReproduced`] if θ, κ, N or V differ by more than 1e-9 from what the pairs give.
    pub fn decode(bytes: &[u8], extractor: &TpopDigest) -> Result<TpopState, TpopError> {
        let mut reader = Reader::open("state", MARK, bytes)?;
        let found = reader.digest()?;
        if found != *extractor {
            let (found, expected) = (hex(&found), hex(extractor));
            return Err(TpopError::OtherExtractor { found, expected });
        }
        let params: TpopParams = serde_json::from_slice(reader.bytes()?)
            .map_err(|error| reader.refuse(format!("its keys: {error}")))?;
        let width = reader.number()? as usize;
        if width == 0 {
            return Err(reader.refuse("its features have no width"));
        }
        let seed = reader.number()?;
        let scope = TpopScope { config: params.check()?, extractor: found, width, seed };
        let (version, recorded) = (reader.number()?, reader.number()?);
        let contrasts = reader.floats()?;
        let mut pairs = Vec::new();
        for _ in 0..reader.number()? {
            pairs.push(Arc::new(read_pair(&mut reader, width)?));
        }
        let fitted = Arc::new(fit(&params, width, &pairs)?);
        let state =
            TpopState { scope, version, recorded, contrasts, log: PairLog::of(pairs), fitted };
        state.compare(&mut reader)?;
        reader.end()?;
        Ok(state)
    }

    fn compare(&self, reader: &mut Reader<'_>) -> Result<(), TpopError> {
        let n = reader.number()?;
        if n != self.fitted.taught.pairs as u64 {
            let difference = n as f64 - self.fitted.taught.pairs as f64;
            return Err(TpopError::NotReproduced { what: "number of pairs", difference });
        }
        same("kappa", &[reader.float()?], &[self.fitted.taught.kappa])?;
        same("reward weights", &reader.floats()?, self.fitted.taught.head.weights())?;
        same("confidence matrix", &reader.floats()?, &self.upper_triangle())
    }

    /// V from the diagonal on, row by row, or its diagonal.
    fn upper_triangle(&self) -> Vec<f64> {
        let (values, width) = (self.confidence().values(), self.confidence().width());
        match self.scope.config.params().confidence {
            ConfidenceKind::Diag => values,
            ConfidenceKind::Exact => {
                let rows = values.chunks(width.max(1)).enumerate();
                rows.flat_map(|(at, row)| row.iter().copied().skip(at)).collect()
            }
        }
    }
}

// [n], [n] -> []
fn same(what: &'static str, stored: &[f64], found: &[f64]) -> Result<(), TpopError> {
    if stored.len() != found.len() {
        let (found, expected) = (stored.len(), found.len());
        return Err(TpopError::Width { what, found, expected });
    }
    let each = stored.iter().zip(found);
    let difference = each.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max);
    // A maximum passes over a NaN.
    if difference <= TOLERANCE && stored.iter().all(|x| x.is_finite()) {
        return Ok(());
    }
    Err(TpopError::NotReproduced { what, difference })
}

fn write_pair(writer: &mut Writer, recorded: &Recorded) {
    let pair = &recorded.pair;
    writer.number(pair.id);
    pair.features.iter().for_each(|features| writer.singles(features));
    pair.answers.iter().for_each(|answer| writer.digest(answer));
    writer.byte(u8::from(pair.prefixes.is_some()));
    pair.prefixes.iter().flatten().for_each(|features| writer.singles(features));
    writer.byte(match pair.order {
        DuelOrder::ALeft => 0,
        DuelOrder::BLeft => 1,
    });
    writer.byte(match pair.judgement {
        Judgement::A => 0,
        Judgement::B => 1,
        Judgement::Tie => 2,
        Judgement::Skip => 3,
        Judgement::BothBad => 4,
    });
    [pair.weight, pair.propensity, pair.contrast].iter().for_each(|x| writer.float(*x));
    writer.signed(pair.time_ms);
    writer.float(recorded.margin);
    writer.byte(u8::from(recorded.held));
}

fn read_pair(reader: &mut Reader<'_>, width: usize) -> Result<Recorded, TpopError> {
    let id = reader.number()?;
    let features = [reader.singles()?, reader.singles()?];
    let answers = [reader.digest()?, reader.digest()?];
    let prefixes = match flag(reader)? {
        true => Some([reader.singles()?, reader.singles()?]),
        false => None,
    };
    let order = if flag(reader)? { DuelOrder::BLeft } else { DuelOrder::ALeft };
    let judgement = usize::from(reader.byte()?);
    let judgement = *JUDGEMENTS.get(judgement).ok_or_else(|| reader.refuse("a judgement"))?;
    let (weight, propensity, contrast) = (reader.float()?, reader.float()?, reader.float()?);
    let pair = DuelPair {
        id,
        features,
        answers,
        prefixes,
        order,
        judgement,
        weight,
        propensity,
        contrast,
        time_ms: reader.signed()?,
    };
    pair.check(width)?;
    Ok(Recorded { pair, margin: reader.float()?, held: flag(reader)? })
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, TpopError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(reader.refuse(format!("a flag is {other}"))),
    }
}
