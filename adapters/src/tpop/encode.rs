//! A state as bytes.
//!
//! Pairs, ids of dropped pairs, keys, seed and version are what is kept; θ, κ, N and V stand beside them only to be
//! compared with what the pairs give when the bytes are read. Texts are not in it.

use super::ask::FIRST_CONTRASTS;
use super::bytes::{Reader, TpopDigest, Writer, hex};
use super::error::TpopError;
use super::fit::fit;
use super::pair::{DuelOrder, DuelPair, PairLabel, PairLog, Recorded};
use super::params::{ConfidenceKind, TpopParams};
use super::state::{TpopScope, TpopState};
use std::collections::BTreeSet;
use std::sync::Arc;

const MARK: &[u8; 8] = b"tt-tps01";
/// How far a weight may be from what the pairs give, as a share of its size where that is above 1.
const TOLERANCE: f64 = 1e-9;
const JUDGEMENTS: [PairLabel; 5] =
    [PairLabel::A, PairLabel::B, PairLabel::Tie, PairLabel::Skip, PairLabel::BothBad];

impl TpopState {
    /// The binary form: about 650 bytes a pair of 65 features, and V.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(MARK);
        writer.digest(&self.scope.extractor);
        // Names and numbers: there is nothing in the keys that JSON could refuse.
        let params = serde_json::to_vec(self.scope.config.params()).unwrap_or_default();
        writer.bytes(&params);
        writer.floats(&fractions(self.scope.config.params()));
        writer.number(self.scope.width as u64);
        writer.number(self.scope.seed);
        writer.number(self.version);
        writer.number(self.recorded);
        writer.floats(&self.contrasts);
        writer.number(self.log.pairs().len() as u64);
        self.log.pairs().iter().for_each(|recorded| write_pair(&mut writer, recorded));
        writer.number(self.log.dropped().len() as u64);
        self.log.dropped().iter().for_each(|id| writer.number(*id));
        writer.number(self.fitted.taught.pairs as u64);
        writer.float(self.fitted.taught.kappa);
        writer.floats(self.fitted.taught.head.weights());
        writer.floats(&self.upper_triangle());
        writer.finish()
    }

    /// Reads a state whose features are this extractor's and this wide, learns its pairs anew and compares.
    ///
    /// # Errors
    ///
    /// [`TpopError::OtherExtractor`] before anything else is looked at; [`TpopError::Width`] for features of another
    /// width, before anything is made of it, and [`TpopError::Range`] for keys or a width out of range;
    /// [`TpopError::Unreadable`] for other, newer or damaged bytes, and for numbers that no state has;
    /// [`TpopError::NotReproduced`] if θ, κ, N or V differ by more than 1e-9 from what the pairs give.
    pub fn decode(
        bytes: &[u8],
        extractor: &TpopDigest,
        width: usize,
    ) -> Result<TpopState, TpopError> {
        let mut reader = Reader::open("state", MARK, bytes)?;
        let scope = read_scope(&mut reader, extractor, width)?;
        let (version, recorded) = (reader.number()?, reader.number()?);
        let contrasts = reader.floats()?;
        let log = read_log(&mut reader, &scope)?;
        let known = log.pairs().len() as u64 + log.dropped().len() as u64;
        if recorded != known || version < recorded {
            return Err(reader.refuse("its counts do not go together"));
        }
        let is_contrast = |x: &f64| x.is_finite() && *x >= 0.0;
        if contrasts.len() as u64 != recorded.min(FIRST_CONTRASTS as u64)
            || !contrasts.iter().all(is_contrast)
        {
            return Err(reader.refuse("its first contrasts"));
        }
        let fitted = Arc::new(fit(scope.config.params(), width, log.pairs())?);
        let state = TpopState { scope, version, recorded, contrasts, log, fitted };
        state.compare(&mut reader)?;
        reader.end()?;
        Ok(state)
    }

    /// Reads a state of whatever extractor it is of: where no model is at hand.
    ///
    /// # Errors
    ///
    /// As of [`decode`](Self::decode), but for the extractor and the width.
    pub fn decode_unbound(bytes: &[u8]) -> Result<TpopState, TpopError> {
        let mut reader = Reader::open("state", MARK, bytes)?;
        let extractor = reader.digest()?;
        reader.bytes()?;
        reader.floats()?;
        let width = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
        TpopState::decode(bytes, &extractor, width)
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

/// The keys that are fractions, which JSON may give back changed in their last bit.
fn fractions(params: &TpopParams) -> [f64; 5] {
    [params.nu, params.lambda, params.eta, params.omega, params.kl_cap]
}

fn read_scope(
    reader: &mut Reader<'_>,
    extractor: &TpopDigest,
    width: usize,
) -> Result<TpopScope, TpopError> {
    let found = reader.digest()?;
    if found != *extractor {
        let (found, expected) = (hex(&found), hex(extractor));
        return Err(TpopError::OtherExtractor { found, expected });
    }
    let params: TpopParams = serde_json::from_slice(reader.bytes()?)
        .map_err(|error| reader.refuse(format!("its keys: {error}")))?;
    let Ok([nu, lambda, eta, omega, kl_cap]) = <[f64; 5]>::try_from(reader.floats()?) else {
        return Err(reader.refuse("its keys: another number of fractions"));
    };
    let config = TpopParams { nu, lambda, eta, omega, kl_cap, ..params }.check()?;
    let stored = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
    if stored != width {
        return Err(TpopError::Width { what: "feature vector", found: stored, expected: width });
    }
    let scope = TpopScope { config, extractor: found, width, seed: reader.number()? };
    scope.check()?;
    Ok(scope)
}

/// The pairs, oldest first, and the ids of those that were dropped; no id comes twice.
fn read_log(reader: &mut Reader<'_>, scope: &TpopScope) -> Result<PairLog, TpopError> {
    let most = scope.config.params().max_pairs as u64;
    let n = reader.number()?;
    if n > most {
        return Err(reader.refuse(format!("it has {n} pairs and keeps {most}")));
    }
    let (mut pairs, mut ids, mut dropped) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..n {
        let recorded = read_pair(reader, scope.width)?;
        if !recorded.margin.is_finite() {
            return Err(reader.refuse("a margin is not finite"));
        }
        if !ids.insert(recorded.pair.id) {
            return Err(reader.refuse(format!("pair {} is there twice", recorded.pair.id)));
        }
        pairs.push(Arc::new(recorded));
    }
    for _ in 0..reader.number()? {
        let id = reader.number()?;
        if !ids.insert(id) {
            return Err(reader.refuse(format!("pair {id} is there twice")));
        }
        dropped.insert(id);
    }
    Ok(PairLog::of(pairs, dropped))
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
        PairLabel::A => 0,
        PairLabel::B => 1,
        PairLabel::Tie => 2,
        PairLabel::Skip => 3,
        PairLabel::BothBad => 4,
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
