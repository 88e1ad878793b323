//! The judge's own sequence: a form with an answer that grows and shrinks as the watched one does.
//!
//! It is append-only between rewinds, so that the judge reads each token of an answer once. The question is asked
//! behind it and taken away again.

use super::form::Form;
use crate::error::Result;
use std::sync::Arc;
use trimtab_runtime::Error::Misuse;
use trimtab_runtime::session::Session;

/// Tokens behind the suffix that a verdict may take.
pub(super) const VERDICT_TOKENS: usize = 16;

#[derive(Debug)]
pub(super) struct Quote {
    form: Arc<Form>,
    /// `None` while the token loop has it.
    session: Option<Session>,
    /// The watched tokens that are in it.
    fed: Vec<u32>,
    /// Its length behind each of them; the first is that of none.
    ends: Vec<usize>,
    suffix: Vec<u32>,
    shared: Shared,
    /// Tokens of answers and questions that were put into it.
    spent: usize,
}

/// Whether others can have the instructions' keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    NotYet,
    Offered,
}

impl Quote {
    pub fn open(form: &Arc<Form>, request: &str, seed: u64) -> Result<Quote> {
        let delimiter = Form::delimiter(seed);
        let mut session = form.session()?;
        session.push_prompt(form.head())?;
        session.push_prompt(&form.opening(request, &delimiter)?)?;
        let ends = vec![session.len()];
        let suffix = form.suffix(&delimiter)?;
        Ok(Quote {
            form: form.clone(),
            session: Some(session),
            fed: Vec::new(),
            ends,
            suffix,
            shared: Shared::NotYet,
            spent: 0,
        })
    }

    /// The sequence with everything of an answer and the question behind it, to be read by the model. `None` if that
    /// does not fit into the context.
    pub fn ask(&mut self, answer: &[u32]) -> Result<Option<Session>> {
        self.follow(answer);
        let Some(mut session) = self.session.take() else {
            return Err(Misuse("a judge's sequence is away while the model reads it").into());
        };
        let fits = self.grow(&mut session, answer)?;
        if !fits {
            self.session = Some(session);
            return Ok(None);
        }
        if session.pending() == session.len() {
            session.adopt_prefix(self.form.space())?;
        }
        session.push(&self.suffix)?;
        self.spent += self.suffix.len();
        Ok(Some(session))
    }

    /// Forgets what is not the beginning of this answer.
    fn follow(&mut self, answer: &[u32]) {
        let same = self.fed.iter().zip(answer).take_while(|(a, b)| a == b).count();
        self.rewind(same);
    }

    fn grow(&mut self, session: &mut Session, answer: &[u32]) -> Result<bool> {
        session.truncate(self.len())?;
        for token in answer.iter().skip(self.fed.len()) {
            let quoted = self.form.quoted(*token)?;
            let room = self.suffix.len() + VERDICT_TOKENS + quoted.len();
            if session.len() + room > self.form.context() {
                return Ok(false);
            }
            session.push(&quoted)?;
            self.spent += quoted.len();
            self.fed.push(*token);
            self.ends.push(session.len());
        }
        Ok(session.len() + self.suffix.len() + VERDICT_TOKENS <= self.form.context())
    }

    /// Length of the sequence without the question.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether it holds exactly this answer.
    pub fn holds(&self, answer: &[u32]) -> bool {
        self.fed == answer
    }

    /// Whether the token loop has the sequence.
    pub fn is_away(&self) -> bool {
        self.session.is_none()
    }

    /// Tokens of answers and questions that the model had to read.
    pub fn spent(&self) -> usize {
        self.spent
    }

    /// How many tokens of the answer are in it.
    pub fn taken(&self) -> usize {
        self.fed.len()
    }

    /// Takes the sequence back as it is; what does not belong in it goes at the next question.
    pub fn put_back(&mut self, session: Session) {
        self.session = Some(session);
    }

    /// Takes the sequence back, without the question.
    pub fn take_back(&mut self, mut session: Session) -> Result<()> {
        // The next judge finds the instructions read; what is private stays private.
        if self.shared == Shared::NotYet && session.pending() == 0 {
            self.shared = Shared::Offered;
            let mut head = session.fork();
            head.truncate(self.form.head().len())?;
            head.publish_prefix(self.form.space());
        }
        session.truncate(self.len())?;
        self.session = Some(session);
        Ok(())
    }

    /// Forgets everything after the answer's first tokens.
    pub fn rewind(&mut self, tokens: usize) {
        self.fed.truncate(tokens);
        self.ends.truncate(self.fed.len() + 1);
    }

    /// Gives up the keys and values.
    pub fn give_way(&mut self) -> Result<()> {
        let len = self.len();
        if let Some(session) = &mut self.session {
            session.truncate(len)?;
            session.restart(len)?;
        }
        Ok(())
    }
}
