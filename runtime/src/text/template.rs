//! [`ChatTemplate`]: a conversation becomes a prompt in which messages stay text.
//!
//! The template in the file is what runs. It runs on the messages as they are, and again on messages under
//! cover (see [`super::cover`]), and the two together say who wrote each character. Only a template that
//! rewrites its messages defeats that; then a conversation that spells no control token is still rendered,
//! and one that does is refused.

use super::cover::{Cover, literals};
use super::error::{Error, Result};
use super::gguf::hex;
use super::hf_files::{optional_json, optional_text};
use super::jinja;
use super::rendered::{Origin, Rendered};
use super::tokenizer::Tokenizer;
use crate::model::weights::metadata::Metadata;
use minijinja::{Environment, Value};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// The roles a message may have. A role is part of what a template writes, in some models inside a control
/// token, so it is never free text.
pub const ROLES: &[&str] = &[
    "system",
    "developer",
    "user",
    "assistant",
    "model",
    "tool",
    "function",
    "ipython",
    "observation",
];

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One of [`ROLES`].
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// Whether the prompt ends with the beginning of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GenerationPrompt {
    /// It does: the model is to answer.
    #[default]
    Add,
    /// It ends with the last message.
    Leave,
}

/// How to render.
#[derive(Debug, Clone)]
pub struct RenderOptions {
    /// Whether an answer is to follow.
    pub generation_prompt: GenerationPrompt,
    /// Further variables, such as `enable_thinking`. They are trusted like the template itself, so text from
    /// a user must never be one.
    pub extra: BTreeMap<String, serde_json::Value>,
    /// The time for templates that write the date, in UTC.
    pub now: SystemTime,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            generation_prompt: GenerationPrompt::Add,
            extra: BTreeMap::new(),
            now: SystemTime::now(),
        }
    }
}

/// A compiled chat template of one model.
#[derive(Debug)]
pub struct ChatTemplate {
    source: String,
    environment: Environment<'static>,
    tokenizer: Arc<Tokenizer>,
    /// What the template may look for in a message.
    literals: Vec<String>,
    sha256: String,
}

/// What a template sees of a message.
#[derive(Serialize)]
struct Seen<'a> {
    role: &'a str,
    content: &'a str,
}

impl ChatTemplate {
    /// Compiles a template for the model of `tokenizer`.
    pub fn new(source: impl Into<String>, tokenizer: Arc<Tokenizer>) -> Result<Self> {
        let source = source.into();
        let environment = jinja::environment(&source).map_err(Error::Template)?;
        let controls: Vec<&str> = tokenizer.control_texts().collect();
        let literals = literals(&source, controls.into_iter());
        let sha256 = hex(&Sha256::digest(source.as_bytes()));
        Ok(Self { source, environment, literals, tokenizer, sha256 })
    }

    /// The template of a GGUF file.
    pub fn from_metadata(metadata: &Metadata, tokenizer: Arc<Tokenizer>) -> Result<Self> {
        let source = metadata.text("tokenizer.chat_template")?.ok_or(Error::NoTemplate)?;
        Self::new(source, tokenizer)
    }

    /// The template of a model folder: `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`
    /// (of several named ones, `default`).
    pub fn from_folder(folder: &Path, tokenizer: Arc<Tokenizer>) -> Result<Self> {
        if let Some(source) = optional_text(&folder.join("chat_template.jinja"))? {
            return Self::new(source, tokenizer);
        }
        let config = optional_json(&folder.join("tokenizer_config.json"))?;
        let source = config.get("chat_template").and_then(default_template);
        Self::new(source.ok_or(Error::NoTemplate)?, tokenizer)
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Hash of the template's text, in lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Renders a conversation.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<Rendered> {
        check_roles(messages)?;
        let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        let plain = self.run(messages, &texts, options).map_err(Error::Template)?;
        let avoid = self.avoid(options);
        let mut controls = Vec::new();
        for readable in [&[], self.literals.as_slice()] {
            let Some(cover) = Cover::new(&texts, &avoid, readable) else {
                continue;
            };
            let covered: Vec<&str> = cover.texts.iter().map(String::as_str).collect();
            // A template that refuses covered text looked at it; the next cover may suit it.
            let Ok(rendering) = self.run(messages, &covered, options) else {
                continue;
            };
            if let Some(rendered) = cover.lift(&rendering, &plain) {
                return Ok(rendered);
            }
            controls.push(self.tokenizer.controls_in(&rendering));
        }
        self.harmless(&texts, &controls, plain)
    }

    /// The plain rendering as a whole, if messages cannot have written any control token of it.
    fn harmless(&self, texts: &[&str], controls: &[Vec<u32>], plain: String) -> Result<Rendered> {
        let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let spelled = |token: &str| {
            let token = token.to_lowercase();
            lower.iter().any(|text| text.contains(&token))
        };
        if let Some(token) = self.controls().into_iter().find(|token| spelled(token)) {
            return Err(Error::ControlInContent { token: token.to_owned() });
        }
        // A message may also complete a control token that the template only begins.
        let written = self.tokenizer.controls_in(&plain);
        if !controls.contains(&written) {
            let odd = written.first().and_then(|id| self.tokenizer.token_text(*id));
            return Err(Error::ControlInContent { token: odd.unwrap_or_default().to_owned() });
        }
        let mut rendered = Rendered::default();
        rendered.push(&plain, Origin::Template);
        Ok(rendered)
    }

    fn run(
        &self,
        messages: &[Message],
        texts: &[&str],
        options: &RenderOptions,
    ) -> std::result::Result<String, minijinja::Error> {
        let seen: Vec<Seen> = messages
            .iter()
            .zip(texts)
            .map(|(message, content)| Seen { role: &message.role, content })
            .collect();
        let mut context: BTreeMap<String, Value> = options
            .extra
            .iter()
            .map(|(name, value)| (name.clone(), Value::from_serialize(value)))
            .collect();
        let tokens = [("bos_token", self.tokenizer.bos()), ("eos_token", self.tokenizer.eos())];
        for (name, id) in tokens {
            if let Some(text) = id.and_then(|id| self.tokenizer.token_text(id)) {
                context.insert(name.to_owned(), Value::from(text));
            }
        }
        let add = options.generation_prompt == GenerationPrompt::Add;
        let fixed = [
            ("messages", Value::from_serialize(&seen)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(add)),
            ("strftime_now", jinja::clock(options.now)),
        ];
        context.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
        jinja::run(&self.environment, &Value::from(context))
    }

    fn controls(&self) -> Vec<&str> {
        self.tokenizer.control_texts().collect()
    }

    /// Characters that the template may write itself.
    fn avoid(&self, options: &RenderOptions) -> HashSet<char> {
        let extra = options.extra.values().map(ToString::to_string);
        let mut avoid: HashSet<char> = self.source.chars().collect();
        extra.for_each(|text| avoid.extend(text.chars()));
        self.controls().iter().for_each(|text| avoid.extend(text.chars()));
        avoid
    }
}

fn check_roles(messages: &[Message]) -> Result<()> {
    match messages.iter().find(|message| !ROLES.contains(&message.role.as_str())) {
        None => Ok(()),
        Some(message) => {
            Err(Error::UnknownRole { role: message.role.clone(), known: ROLES.join(", ") })
        }
    }
}

fn default_template(value: &serde_json::Value) -> Option<String> {
    let named = |value: &serde_json::Value| {
        let entries = value.as_array()?;
        let default = entries.iter().find(|entry| entry.get("name") == Some(&"default".into()))?;
        Some(default.get("template")?.as_str()?.to_owned())
    };
    value.as_str().map(str::to_owned).or_else(|| named(value))
}
