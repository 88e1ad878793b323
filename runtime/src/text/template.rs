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
use crate::decoder::weights::metadata::Metadata;
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
    /// Further variables, such as `enable_thinking`; they outrank those of the template. What they hold is text
    /// of the template, so one that spells a control token is refused.
    pub extra: Variables,
    /// The time for templates that write the date, in UTC.
    pub now: SystemTime,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            generation_prompt: GenerationPrompt::Add,
            extra: Variables::new(),
            now: SystemTime::now(),
        }
    }
}

/// Variables of a template beside those it always has, by name.
pub type Variables = BTreeMap<String, serde_json::Value>;

/// What a template gets from the conversation and the model, so that nothing else may set it.
const RESERVED: &[&str] = &[
    "messages",
    "tools",
    "documents",
    "add_generation_prompt",
    "bos_token",
    "eos_token",
    "strftime_now",
];

/// Refuses a name that a template gets from elsewhere.
pub fn check_variables(variables: &Variables) -> Result<()> {
    match variables.keys().find(|name| RESERVED.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::ReservedVariable { name: name.clone() }),
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
    /// What it is given unless a rendering says otherwise.
    variables: Variables,
    sha256: String,
}

/// What a template sees of a message.
#[derive(Serialize)]
struct Seen<'a> {
    role: &'a str,
    content: &'a str,
}

/// The name of the template that is meant where none is named.
const DEFAULT: &str = "default";

impl ChatTemplate {
    /// Compiles a template for the model of `tokenizer`.
    pub fn new(source: impl Into<String>, tokenizer: Arc<Tokenizer>) -> Result<Self> {
        let source = source.into();
        let text = jinja::unified(&source);
        let environment = jinja::environment(&text).map_err(Error::Template)?;
        // To write nothing in its place would change every prompt without a word.
        let absent = tokenizer.unresolved().iter().find(|(role, _)| text.contains(role));
        if let Some((role, token)) = absent {
            return Err(Error::NotInVocabulary { role, token: token.clone() });
        }
        let controls: Vec<&str> = tokenizer.control_texts().collect();
        let literals = literals(&text, controls.into_iter());
        let sha256 = hex(&Sha256::digest(source.as_bytes()));
        let variables = Variables::new();
        Ok(Self { source, environment, literals, variables, tokenizer, sha256 })
    }

    /// The template of a GGUF file: the one of that name, or the unnamed one.
    pub fn from_metadata(
        metadata: &Metadata,
        name: Option<&str>,
        tokenizer: Arc<Tokenizer>,
    ) -> Result<Self> {
        const KEY: &str = "tokenizer.chat_template";
        let keys = metadata.iter().filter_map(|(key, _)| Some((key, key.strip_prefix(KEY)?)));
        let mut named = BTreeMap::new();
        for (key, rest) in keys {
            let known = rest.strip_prefix('.').or(rest.is_empty().then_some(DEFAULT));
            if let (Some(name), Some(source)) = (known, metadata.text(key)?) {
                named.insert(name.to_owned(), source.to_owned());
            }
        }
        Self::new(choose(named, name)?, tokenizer)
    }

    /// The template of a model folder: the one of that name, or the unnamed one. Templates are in
    /// `chat_template.jinja` with further ones in `additional_chat_templates/`, in `chat_template.json`, or in
    /// `tokenizer_config.json`, where there may be a list of named ones.
    pub fn from_folder(
        folder: &Path,
        name: Option<&str>,
        tokenizer: Arc<Tokenizer>,
    ) -> Result<Self> {
        Self::new(choose(templates_in(folder)?, name)?, tokenizer)
    }

    /// The same template, given these variables unless a rendering says otherwise.
    pub fn with_variables(self, variables: Variables) -> Result<Self> {
        check_variables(&variables)?;
        Ok(Self { variables, ..self })
    }

    /// What the template is given unless a rendering says otherwise.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// Whether the template reads a variable of this name.
    pub fn reads(&self, name: &str) -> bool {
        jinja::variables(&self.environment).contains(name)
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
        self.check_extra(&options.extra)?;
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
        let mut context: BTreeMap<String, Value> = self
            .variables
            .iter()
            .chain(&options.extra)
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

    /// A variable of one rendering may come from a client, so it must not spell a control token.
    fn check_extra(&self, extra: &Variables) -> Result<()> {
        check_variables(extra)?;
        let mut texts = Vec::new();
        extra.values().for_each(|value| collect_texts(value, &mut texts));
        match texts.into_iter().find_map(|text| self.tokenizer.spelled_control(text)) {
            None => Ok(()),
            Some(token) => Err(Error::ControlInContent { token: token.to_owned() }),
        }
    }

    /// Characters that the template may write itself.
    fn avoid(&self, options: &RenderOptions) -> HashSet<char> {
        let extra = self.variables.values().chain(options.extra.values()).map(ToString::to_string);
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

/// All texts in a value, keys of maps included.
fn collect_texts<'a>(value: &'a serde_json::Value, texts: &mut Vec<&'a str>) {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => texts.push(text),
        Json::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        Json::Object(map) => map.iter().for_each(|(key, value)| {
            texts.push(key);
            collect_texts(value, texts);
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// The templates of a folder by name. The first place that has any is the only one that counts, as in transformers.
fn templates_in(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut named = BTreeMap::new();
    if let Some(source) = optional_text(&folder.join("chat_template.jinja"))? {
        named.insert(DEFAULT.to_owned(), source);
    }
    let more = std::fs::read_dir(folder.join("additional_chat_templates"));
    for entry in more.into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
        let jinja = path.extension().is_some_and(|extension| extension == "jinja");
        if let (true, Some(name), Some(source)) = (jinja, name, optional_text(&path)?) {
            named.insert(name, source);
        }
    }
    for file in ["chat_template.json", "tokenizer_config.json"] {
        if named.is_empty() {
            let json = optional_json(&folder.join(file))?;
            named = json.get("chat_template").map(templates_of).unwrap_or_default();
        }
    }
    Ok(named)
}

/// One template, or a list of named ones.
fn templates_of(value: &serde_json::Value) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let entry = |entry: &serde_json::Value| {
        Some((text(entry.get("name")?)?, text(entry.get("template")?)?))
    };
    match (text(value), value.as_array()) {
        (Some(source), _) => BTreeMap::from([(DEFAULT.to_owned(), source)]),
        (None, Some(list)) => list.iter().filter_map(entry).collect(),
        (None, None) => BTreeMap::new(),
    }
}

/// The template of a name; without a name the default, or the only one there is.
fn choose(mut named: BTreeMap<String, String>, name: Option<&str>) -> Result<String> {
    let known = named.keys().cloned().collect::<Vec<_>>().join(", ");
    if let Some(source) = named.remove(name.unwrap_or(DEFAULT)) {
        return Ok(source);
    }
    let missing = || match known.is_empty() {
        true => Error::NoTemplate,
        false => Error::NoSuchTemplate { name: name.unwrap_or(DEFAULT).to_owned(), known },
    };
    match (name, named.len(), named.pop_first()) {
        (None, 1, Some((_, source))) => Ok(source),
        _ => Err(missing()),
    }
}
