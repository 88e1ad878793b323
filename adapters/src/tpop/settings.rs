//! Arms that are settings: vectors at scales, presets, instructions, versions of an adapter.
//!
//! A duel between answers learns what to pick of what was sampled; a duel between settings learns how the model is to be
//! steered. An arm's features are its setting's, which are known before a token is sampled, then its answer's where
//! those are used too. This is ours; the published arms are answers.

use super::bytes::TpopDigest;
use super::error::TpopError;
use trimtab_runtime::fingerprint::Fingerprint;

/// What is known of a setting beforehand.
#[derive(Debug, Clone, PartialEq)]
pub enum SettingFeatures {
    /// Settings that have nothing in common: a 1 at the setting's own place. Nothing learnt of one tells of another.
    Categorical {
        /// How many settings there are.
        settings: usize,
    },
    /// Features that settings share, such as doses: `[settings, width]`, one row behind the other.
    Given {
        /// Values of one setting.
        width: usize,
        /// All rows.
        table: Vec<f32>,
    },
}

/// The features of arms that are a setting and, where asked for, the answer given under it.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmFeatures {
    settings: SettingFeatures,
    answer_width: usize,
    id: TpopDigest,
}

impl ArmFeatures {
    /// Arms with features of settings only: an arm is chosen before an answer is written.
    ///
    /// # Errors
    ///
    /// Fewer than two settings; a table of another shape or that is not finite.
    pub fn of_settings(settings: SettingFeatures) -> Result<ArmFeatures, TpopError> {
        let name = "trimtab.tpop.settings";
        ArmFeatures::new(settings, 0, *Fingerprint::builder(name).finish().as_bytes())
    }

    /// Arms with features of settings and, behind them, `width` features of answers by this extractor.
    ///
    /// # Errors
    ///
    /// As [`of_settings`](Self::of_settings).
    pub fn with_answers(
        settings: SettingFeatures,
        width: usize,
        extractor: &TpopDigest,
    ) -> Result<ArmFeatures, TpopError> {
        ArmFeatures::new(settings, width, *extractor)
    }

    fn new(
        settings: SettingFeatures,
        answer_width: usize,
        extractor: TpopDigest,
    ) -> Result<ArmFeatures, TpopError> {
        let found = check(&settings)?;
        if found < 2 {
            return Err(TpopError::TooFew { what: "settings", found, least: 2 });
        }
        let digest = Fingerprint::builder("trimtab.tpop.arms").bytes(&extractor);
        let digest = match &settings {
            SettingFeatures::Categorical { settings } => {
                digest.text("categorical").number(*settings as u64)
            }
            SettingFeatures::Given { width, table } => {
                digest.text("given").number(*width as u64).floats(table)
            }
        };
        let id = *digest.number(answer_width as u64).finish().as_bytes();
        Ok(ArmFeatures { settings, answer_width, id })
    }

    /// Digest of the settings' features and of the answers' extractor; it stands where an extractor's id does.
    pub fn id(&self) -> &TpopDigest {
        &self.id
    }

    /// How many settings there are.
    pub fn settings(&self) -> usize {
        match &self.settings {
            SettingFeatures::Categorical { settings } => *settings,
            SettingFeatures::Given { width, table } => table.len() / (*width).max(1),
        }
    }

    /// Values of an arm's feature vector.
    pub fn width(&self) -> usize {
        self.answer_width
            + match &self.settings {
                SettingFeatures::Categorical { settings } => *settings,
                SettingFeatures::Given { width, .. } => *width,
            }
    }

    /// The features of a setting, `answer` behind them; empty where only settings count.
    ///
    /// # Errors
    ///
    /// A setting that does not exist, or an answer of another width.
    // answer [answer width] -> [width]
    pub fn features(&self, setting: usize, answer: &[f32]) -> Result<Vec<f32>, TpopError> {
        let (settings, found) = (self.settings(), answer.len());
        if setting >= settings {
            return Err(TpopError::NoSetting { setting, settings });
        }
        if found != self.answer_width {
            let expected = self.answer_width;
            return Err(TpopError::Width { what: "feature vector of an answer", found, expected });
        }
        let mut features: Vec<f32> = match &self.settings {
            SettingFeatures::Categorical { settings } => {
                (0..*settings).map(|at| if at == setting { 1.0 } else { 0.0 }).collect()
            }
            SettingFeatures::Given { width, table } => {
                table.iter().copied().skip(setting * width).take(*width).collect()
            }
        };
        features.extend_from_slice(answer);
        Ok(features)
    }
}

/// How many settings there are.
fn check(settings: &SettingFeatures) -> Result<usize, TpopError> {
    match settings {
        SettingFeatures::Categorical { settings } => Ok(*settings),
        SettingFeatures::Given { width, table } => {
            if *width == 0 || !table.len().is_multiple_of(*width) {
                let (what, found, expected) = ("table of settings", table.len(), *width);
                return Err(TpopError::Width { what, found, expected });
            }
            if table.iter().any(|x| !x.is_finite()) {
                return Err(TpopError::NotFinite { what: "table of settings" });
            }
            Ok(table.len() / width)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_settings_come_before_those_of_answers() {
        let one_hot = SettingFeatures::Categorical { settings: 3 };
        let arms = ArmFeatures::with_answers(one_hot.clone(), 2, &[1; 32]).unwrap();
        assert_eq!(arms.features(1, &[5.0, 6.0]).unwrap(), [0.0, 1.0, 0.0, 5.0, 6.0]);
        assert_eq!((arms.width(), arms.settings()), (5, 3));
        let doses = SettingFeatures::Given { width: 2, table: vec![0.1, 0.0, 0.2, 1.0] };
        let arms = ArmFeatures::of_settings(doses).unwrap();
        assert_eq!(arms.features(1, &[]).unwrap(), [0.2, 1.0]);
        assert!(matches!(arms.features(2, &[]), Err(TpopError::NoSetting { .. })));
        assert!(matches!(arms.features(1, &[1.0]), Err(TpopError::Width { .. })));
    }

    #[test]
    fn the_id_covers_settings_and_extractor() {
        let of = |settings, extractor| {
            let settings = SettingFeatures::Categorical { settings };
            *ArmFeatures::with_answers(settings, 2, &[extractor; 32]).unwrap().id()
        };
        let base = of(3, 1);
        assert_eq!(base, of(3, 1));
        assert!(base != of(4, 1) && base != of(3, 2));
    }

    #[test]
    fn tables_without_a_shape_are_refused() {
        let given =
            |width, table| ArmFeatures::of_settings(SettingFeatures::Given { width, table });
        assert!(matches!(given(0, vec![1.0]), Err(TpopError::Width { .. })));
        assert!(matches!(given(2, vec![1.0; 3]), Err(TpopError::Width { .. })));
        assert!(matches!(given(2, vec![1.0; 2]), Err(TpopError::TooFew { .. })));
        assert!(matches!(given(1, vec![1.0, f32::NAN]), Err(TpopError::NotFinite { .. })));
    }
}
