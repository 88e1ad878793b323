//! A named setting that a learner of tastes may choose.

use crate::error::ApiError;
use crate::steer::{LayerSource, Now, Objects};
use crate::wire::adapt::{Adapt, part};
use crate::wire::steering::Steering;
use trimtab_adapters::host::{DuelArm, PinRequest, PinnedAdapter};
use trimtab_runtime::text::Message;
use trimtab_steering::spec::FieldError;

/// The role whose turn holds instructions.
const SYSTEM: &str = "system";

/// A setting of an adapter, ready to answer under.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) name: String,
    instruction: Option<String>,
    steering: Option<Steering>,
    /// What refusals call it.
    voice: LayerSource,
    /// Another adapter that it names.
    pub(super) pinned: Option<PinnedAdapter>,
}

impl Setting {
    /// A setting as it is kept. The adapter that it may name is left for the caller to pin.
    pub(super) fn of(
        arm: &DuelArm,
        voice: LayerSource,
    ) -> Result<(Setting, Option<Adapt>), ApiError> {
        let steering = arm.steering.as_ref().filter(|document| !document.is_null());
        let steering: Option<Steering> = steering
            .map(|document| part(document, ""))
            .transpose()
            .map_err(|fault| voice.refusal(fault))?;
        let mut setting = Setting {
            name: arm.name.clone(),
            instruction: arm.instruction.clone().filter(|text| !text.trim().is_empty()),
            steering,
            voice,
            pinned: None,
        };
        let adapt = setting.steering.as_mut().and_then(|steering| steering.adapt.take());
        if let Some(adapt) = &adapt {
            named(adapt).map_err(|fault| setting.voice.refusal(fault.under("adapt")))?;
        }
        Ok((setting, adapt))
    }

    /// Refuses what could not be done to this model, whatever the prompt.
    pub(super) fn check(&self, now: &Now<'_>) -> Result<(), ApiError> {
        let setting = self.layer();
        now.resolve_set(&Objects { setting, ..Objects::default() }, None).map(drop)
    }

    /// The object that it steers by, and what refusals call it.
    pub(crate) fn layer(&self) -> Option<(&LayerSource, &Steering)> {
        self.steering.as_ref().map(|steering| (&self.voice, steering))
    }

    /// A conversation with its instruction behind the system prompt.
    pub(crate) fn instruct(&self, messages: &[Message]) -> Vec<Message> {
        let Some(instruction) = &self.instruction else { return messages.to_vec() };
        match messages.split_first() {
            Some((system, rest)) if system.role == SYSTEM => {
                let told = format!("{}\n\n{instruction}", system.content);
                [Message::new(SYSTEM, told)].into_iter().chain(rest.iter().cloned()).collect()
            }
            Some(_) | None => {
                let told = Message::new(SYSTEM, instruction.clone());
                [told].into_iter().chain(messages.iter().cloned()).collect()
            }
        }
    }
}

/// Refuses more than a version: a setting neither makes adapters nor teaches them.
fn named(adapt: &Adapt) -> Result<(), FieldError> {
    adapt.check()?;
    if adapt.create.is_some() {
        return Err(FieldError::value("create", "is given, and a setting makes no adapter"));
    }
    if adapt.learn == Some(true) {
        return Err(FieldError::value("learn", "is true, and a setting teaches no other adapter"));
    }
    Ok(())
}

/// The version of another adapter that a setting answers with: nothing is learnt for that one.
pub(super) fn frozen(adapt: &Adapt) -> PinRequest {
    adapt.version.map_or(PinRequest::NewestFrozen, PinRequest::Version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn setting(document: serde_json::Value) -> Result<Setting, ApiError> {
        let arm: DuelArm = serde_json::from_value(document).unwrap();
        Setting::of(&arm, LayerSource::Body("at".to_owned())).map(|(setting, _)| setting)
    }

    #[test]
    fn an_instruction_stands_behind_the_system_prompt() {
        let setting = setting(json!({"name": "short", "instruction": "Be brief."})).unwrap();
        let user = Message::new("user", "why?");
        let own = setting.instruct(&[Message::new("system", "You are a cook."), user.clone()]);
        assert_eq!((own.len(), own[0].content.as_str()), (2, "You are a cook.\n\nBe brief."));
        let none = setting.instruct(std::slice::from_ref(&user));
        assert_eq!((none.len(), none[0].content.as_str()), (2, "Be brief."));
        assert_eq!(none[1].content, user.content);
    }

    #[test]
    fn a_setting_that_cannot_be_names_its_field() {
        for (steering, param) in [
            (json!({"vector": []}), "at.vector"),
            (json!({"vectors": [{"ids": "x"}]}), "at.vectors[0].ids"),
            (json!({"adapt": {"adapter": "a", "create": "rosa"}}), "at.adapt.create"),
            (json!({"adapt": {"adapter": "a", "learn": true}}), "at.adapt.learn"),
        ] {
            let refusal = setting(json!({"name": "x", "steering": steering})).err().unwrap();
            assert_eq!(refusal.param.as_deref(), Some(param), "{}", refusal.message);
        }
    }
}
