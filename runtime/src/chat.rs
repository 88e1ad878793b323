//! One question to a model, from messages to an answer: a session, a request and a generation in one expression.
//!
//! It adds nothing to the token loop: what it builds is a [`Generation`], and [`Chat::generation`] gives that out.

use crate::error::{Error, Result};
use crate::generate::{Answer, Event, Flow, Generation, Request, run};
use crate::model::Model;
use crate::monitor::Monitor;
use crate::plan::Plan;
use crate::sample::Sampling;
use crate::session::Session;
use crate::text::Message;

/// An answer to a conversation, not yet begun; [`Model::chat`] makes it.
///
/// ```no_run
/// use trimtab_runtime::{Model, text::Message};
///
/// let model = Model::open("smollm2-135m-instruct")?;
/// let answer = model.chat(&[Message::new("user", "Name a colour.")]).max_tokens(8).run()?;
/// println!("{}", answer.text);
/// # Ok::<(), trimtab_runtime::Error>(())
/// ```
#[must_use = "a chat that is not run does nothing"]
pub struct Chat<'m> {
    model: &'m Model,
    messages: &'m [Message],
    plan: Plan,
    request: Request,
    monitors: Vec<Box<dyn Monitor>>,
}

impl Model {
    /// The answer to a conversation: greedy, without a plan and as long as the context allows unless more is said.
    pub fn chat<'m>(&'m self, messages: &'m [Message]) -> Chat<'m> {
        let (plan, request) = (Plan::empty(), Request::default());
        Chat { model: self, messages, plan, request, monitors: Vec::new() }
    }
}

impl Chat<'_> {
    /// Runs under a plan.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// The most tokens of the answer.
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.request.max_tokens = Some(tokens);
        self
    }

    /// How tokens are chosen.
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.request.sampling = sampling;
        self
    }

    /// Keys every random draw.
    pub fn seed(mut self, seed: u64) -> Self {
        self.request.seed = seed;
        self
    }

    /// Adds a text that ends the answer.
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.request.stop.push(text.into());
        self
    }

    /// Replaces everything that [`Request`] says, for what has no method here.
    pub fn request(mut self, request: Request) -> Self {
        self.request = request;
        self
    }

    /// Adds a monitor, asked after those that are there.
    pub fn monitor(mut self, monitor: impl Monitor + 'static) -> Self {
        self.monitors.push(Box::new(monitor));
        self
    }

    /// A session under the plan with the prompt pending, for what is forked or run by hand.
    pub fn session(&self) -> Result<Session> {
        let mut session = self.model.session(self.plan.clone())?;
        session.push_prompt(&self.model.chat_prompt(self.messages)?)?;
        Ok(session)
    }

    /// The generation, its prompt pending.
    pub fn generation(self) -> Result<Generation> {
        let session = self.session()?;
        let tokenizer = self.model.tokenizer()?.clone();
        let generation = Generation::new(session, tokenizer, self.request)?;
        Ok(self.monitors.into_iter().fold(generation, Generation::with_monitor))
    }

    /// Runs to the end.
    pub fn run(self) -> Result<Answer> {
        self.stream(|_| Flow::Continue)
    }

    /// Runs to the end, and hands on each event as it happens.
    pub fn stream(self, mut sink: impl FnMut(Event) -> Flow) -> Result<Answer> {
        let mut one = [self.generation()?];
        run(&mut one, &mut |_, event| sink(event))?;
        let [generation] = one;
        generation.into_answer()
    }
}

/// What the model makes of some tokens at one site: a row of `d_model` values for each token, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Activations {
    rows: Vec<Vec<f32>>,
}

impl Model {
    /// The activations of tokens at a site, read without a plan.
    ///
    /// ```no_run
    /// use trimtab_runtime::{Model, site::Site};
    ///
    /// let model = Model::open("smollm2-135m-instruct")?;
    /// let tokens = model.text_prompt("The weather is very hot")?;
    /// let mean = model.activations(&tokens, Site::ResidPost(12))?.mean();
    /// # Ok::<(), trimtab_runtime::Error>(())
    /// ```
    pub fn activations(&self, tokens: &[u32], site: crate::site::Site) -> Result<Activations> {
        // [time, d_model]
        let mut session = self.session(Plan::empty())?;
        session.push_prompt(tokens)?;
        let captured = session.capture(&[site])?.remove(&site);
        let captured = captured.ok_or(Error::Misuse("a site that is captured has activations"))?;
        Ok(Activations { rows: captured.to_vec2().map_err(Error::tensor(site.to_string()))? })
    }
}

impl Activations {
    /// `[time][d_model]`.
    pub fn rows(&self) -> &[Vec<f32>] {
        &self.rows
    }

    /// Without the first tokens; the last one stays. A first token's activation is often much longer than the others.
    #[must_use]
    pub fn skip(mut self, tokens: usize) -> Activations {
        self.rows.drain(..tokens.min(self.rows.len().saturating_sub(1)));
        self
    }

    /// The mean over the tokens, `[d_model]`, summed in f64.
    pub fn mean(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.last().len()];
        for row in &self.rows {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        sums.into_iter().map(|sum| (sum / self.rows.len() as f64) as f32).collect()
    }

    /// The last token's, `[d_model]`.
    pub fn last(&self) -> &[f32] {
        self.rows.last().map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::complete;
    use crate::site::Site;
    use crate::testing::tiny;

    #[test]
    fn a_chat_is_the_generation_that_it_stands_for() {
        let model = tiny::model(512).unwrap();
        let messages = [Message::new("user", "hello")];
        let mut session = model.session(Plan::empty()).unwrap();
        session.push_prompt(&model.chat_prompt(&messages).unwrap()).unwrap();
        let request = Request { max_tokens: Some(6), ..Request::default() };
        let tokenizer = model.tokenizer().unwrap().clone();
        let by_hand = complete(Generation::new(session, tokenizer, request).unwrap()).unwrap();
        let mut shown = String::new();
        let streamed = model.chat(&messages).max_tokens(6).stream(|event| {
            if let Event::Text { text, .. } = event {
                shown.push_str(&text);
            }
            Flow::Continue
        });
        assert_eq!(streamed.unwrap().text, by_hand.text);
        assert_eq!(shown, by_hand.text);
        assert_eq!(model.chat(&messages).max_tokens(6).run().unwrap().text, by_hand.text);
    }

    #[test]
    fn activations_have_a_row_for_each_token() {
        let model = tiny::model(512).unwrap();
        let tokens = model.text_prompt("hello you").unwrap();
        let read = model.activations(&tokens, Site::ResidPost(0)).unwrap();
        assert_eq!(read.rows().len(), tokens.len());
        assert_eq!(read.last(), read.rows().last().unwrap());
        let mean = read.mean();
        let sum: f32 = read.rows().iter().map(|row| row[0]).sum();
        assert!((mean[0] - sum / tokens.len() as f32).abs() < 1e-5);
        let last = read.clone().skip(1000);
        assert_eq!(last.rows(), [read.last().to_vec()]);
        assert_eq!(last.mean(), read.last());
        assert!(model.activations(&[], Site::ResidPost(0)).is_err());
    }
}
