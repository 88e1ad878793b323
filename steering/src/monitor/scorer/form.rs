//! The form a judge fills in: instructions, the request and the answer as quoted data, the question.
//!
//! Everything lies in one user turn of the model's own chat template. The template is split at a mark that stands for
//! the turn's text; only what it wrote itself is read for control tokens. Quoted text is ordinary text whatever it
//! spells, and a control id among an answer's tokens is replaced by the tokens of its spelling, so that nothing quoted
//! can end the turn. That, and not the delimiter, is what keeps watched text inside its quotation; the delimiter only
//! shows the model where it ends.

use super::wording::Wording;
use crate::error::{Error, Result};
use std::sync::Arc;
use trimtab_runtime::Model;
use trimtab_runtime::decoder::Decoder;
use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::kv::KvPool;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::text::{
    Message, Origin, RenderOptions, Rendered, Segment, Special, Tokenizer,
};

/// Stands for the turn's text while the template is split.
const MARK: &str = "TRIMTABQUOTATION";
/// Hexadecimal digits of a delimiter: many tokenizers make a token of each, and the suffix has at most 8.
const DIGITS: usize = 4;

/// The parts of a judge's prompt as tokens of one model.
#[derive(Debug)]
pub struct Form {
    decoder: Arc<Decoder>,
    pool: KvPool,
    tokenizer: Arc<Tokenizer>,
    space: Fingerprint,
    wording: Wording,
    /// The template's opening and the instructions.
    head: Vec<u32>,
    /// What the template writes behind the turn's text, the opening of the answer included.
    tail: String,
    template: String,
}

impl Form {
    /// The form of a model with a tokenizer and a chat template.
    pub fn new(model: &Model, wording: Wording) -> Result<Form> {
        let template = model.template()?;
        let turn = [Message::new("user", MARK)];
        let text = template.render(&turn, &dated()).map_err(trimtab_runtime::Error::from)?.text();
        let Some((opening, tail)) = text.split_once(MARK).filter(|(_, t)| !t.contains(MARK)) else {
            return Err(refused("the chat template does not write a user's text as it is"));
        };
        let tokenizer = model.tokenizer()?.clone();
        let head = written(
            &tokenizer,
            [(opening, Origin::Template), (&wording.instructions, Origin::Content)],
        )?;
        Ok(Form {
            decoder: model.decoder().clone(),
            pool: model.pool().clone(),
            space: model.prefix_space("monitor"),
            template: template.sha256().to_owned(),
            tail: tail.to_owned(),
            tokenizer,
            wording,
            head,
        })
    }

    /// The words around what is judged.
    pub fn wording(&self) -> &Wording {
        &self.wording
    }

    /// The tokens of the instructions and what the template puts in front of them: the same for every answer.
    pub fn head(&self) -> &[u32] {
        &self.head
    }

    /// The tokens between the instructions and the answer: the request between delimiters.
    pub fn opening(&self, request: &str, delimiter: &str) -> Result<Vec<u32>> {
        let mut tokens = self.plain(&Wording::with(&self.wording.request, delimiter))?;
        tokens.extend(self.request(request)?);
        tokens.extend(self.plain(&Wording::with(&self.wording.answer, delimiter))?);
        Ok(tokens)
    }

    /// The tokens behind the answer: the question, the end of the turn and the opening of the judge's answer.
    pub fn suffix(&self, delimiter: &str) -> Result<Vec<u32>> {
        let close = Wording::with(&self.wording.close, delimiter);
        written(&self.tokenizer, [(&close, Origin::Content), (&self.tail, Origin::Template)])
    }

    /// How many tokens of the suffix are ours and not the template's.
    pub fn question_len(&self, delimiter: &str) -> Result<usize> {
        Ok(self.plain(&Wording::with(&self.wording.close, delimiter))?.len())
    }

    /// What is fed for one token of an answer: itself, or the spelling of a control token.
    pub fn quoted(&self, token: u32) -> Result<Vec<u32>> {
        if !self.tokenizer.is_control(token) {
            return Ok(vec![token]);
        }
        let mut tokens = self.plain(self.tokenizer.token_text(token).unwrap_or_default())?;
        // A spelling that the vocabulary does not know could come back as the unknown token.
        tokens.retain(|token| !self.tokenizer.is_control(*token));
        Ok(tokens)
    }

    /// The delimiter of a request's seed.
    pub fn delimiter(seed: u64) -> String {
        let digest = Fingerprint::builder("trimtab.delimiter").number(seed).finish().to_string();
        digest.chars().take(DIGITS).collect()
    }

    /// The request's tokens. One that takes more than a quarter of the context is quoted by its beginning and its end.
    fn request(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = self.plain(text)?;
        tokens.retain(|token| !self.tokenizer.is_control(*token));
        let half = self.decoder.context() / 8;
        if tokens.len() > 2 * half {
            tokens.drain(half..tokens.len() - half);
        }
        Ok(tokens)
    }

    fn plain(&self, text: &str) -> Result<Vec<u32>> {
        let tokens = self.tokenizer.encode(text, Special::Plain);
        Ok(tokens.map_err(trimtab_runtime::Error::from)?)
    }

    /// An empty sequence of the model.
    pub(super) fn session(&self) -> Result<Session> {
        Ok(Session::new(self.decoder.clone(), &self.pool, Plan::empty())?)
    }

    /// Blocks of the pool that are free.
    pub(super) fn free_blocks(&self) -> usize {
        self.pool.usage().available()
    }

    /// Under what the instructions' keys and values are shared.
    pub(super) fn space(&self) -> &Fingerprint {
        &self.space
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Tokens a form may have.
    pub(super) fn context(&self) -> usize {
        self.decoder.context()
    }

    /// What tells one build of model, tokenizer and template from another.
    pub(super) fn build(&self) -> String {
        let build = Fingerprint::builder("trimtab.judge").nested(self.decoder.fingerprint());
        build.text(self.tokenizer.sha256()).text(&self.template).finish().to_string()
    }
}

/// A template that writes the date gives a judge the same tokens tomorrow.
fn dated() -> RenderOptions {
    use std::time::{Duration, SystemTime};
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_721_952_000);
    RenderOptions { now, ..RenderOptions::default() }
}

fn written<const N: usize>(tokenizer: &Tokenizer, parts: [(&str, Origin); N]) -> Result<Vec<u32>> {
    let segments = parts.map(|(text, origin)| Segment { text: text.to_owned(), origin });
    let rendered = Rendered { segments: segments.to_vec() };
    Ok(tokenizer.encode_rendered(&rendered).map_err(trimtab_runtime::Error::from)?)
}

pub(super) fn refused(reason: impl Into<String>) -> Error {
    Error::Refused { what: "judging answers with the model", reason: reason.into() }
}
