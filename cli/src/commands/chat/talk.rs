//! The conversations that a message goes to, the vectors they are under, and the adapter they teach.

use super::args::Chat;
use super::arms::{Arm, arms};
use super::chat_adapter::ChatAdapter;
use super::conversation::{ChatRoom, Conversation, Proposal, TurnTerms};
use crate::commands::answer::{Reply, Said};
use crate::commands::generate::{PLAIN, titled};
use crate::commands::vectors::Steering;
use crate::console::Console;
use crate::error::{Error, Result};
use crate::flags::answer::Arms;
use trimtab_adapters::host::{HostLimits, PinnedAdapter, TurnPlan};
use trimtab_runtime::generate::Request;
use trimtab_runtime::session::History;

/// What becomes of an answer while it is made, for a reader.
pub type Show<'s> = &'s mut dyn FnMut(Said) -> Result<()>;

/// A reader that waits for the whole answer.
pub fn silent(_: Said) -> Result<()> {
    Ok(())
}

/// The conversations that a message goes to.
pub struct Talk<'a> {
    pub room: ChatRoom<'a>,
    pub steering: Steering,
    /// The one without steering, where both are heard.
    pub plain: Option<Conversation<'a>>,
    pub steered: Conversation<'a>,
    pub adapter: Option<ChatAdapter>,
    /// Settings that duels choose between.
    pub arms: Vec<Arm>,
    /// The version that made the last answer, and the setting that it chose.
    pub version: Option<u32>,
    pub setting: Option<String>,
}

impl<'a> Talk<'a> {
    pub fn new(
        plan: &Chat,
        room: ChatRoom<'a>,
        (request, steering): (Request, Steering),
        console: &Console,
    ) -> Result<Talk<'a>> {
        let adapt = plan.adapt.as_ref();
        let arms = adapt.map(|adapt| arms(&adapt.config, &steering)).transpose()?;
        // A script has no time to think.
        let limits = match &plan.script {
            None => HostLimits::default(),
            Some(_) => HostLimits { fastest_choice_ms: 0, ..HostLimits::default() },
        };
        let open = |adapt| ChatAdapter::open(adapt, room.opened, limits, console);
        let adapter = adapt.map(open).transpose()?;
        // Vectors may act on a conversation's past otherwise than on what is being said.
        let history = match adapter.is_some() && steering.is_empty() {
            true => History::Keep,
            false => History::Recompute,
        };
        let one =
            |history| Conversation::new(room, request.clone(), plan.system.as_deref(), history);
        let plain = match plan.how.arms {
            Arms::One => None,
            Arms::Both => Some(one(History::Recompute)),
        };
        let (steered, arms) = (one(history), arms.unwrap_or_default());
        Ok(Talk { room, steering, plain, steered, adapter, arms, version: None, setting: None })
    }

    /// Says something in every conversation and prints the answers as they come.
    pub fn ask(&mut self, text: &str, console: &Console) -> Result<&Reply> {
        let show = &mut |said: Said| match said {
            Said::More(text) => console.say(text),
            // A terminal cannot be unwritten: what stays is written again.
            Said::Only(kept) => {
                console.tell_always("");
                console.tell_always("(taken back)");
                console.say(kept)
            }
        };
        if let Some(plain) = &mut self.plain {
            console.say_line(console.titled(PLAIN))?;
            let stopped = ask_plain(plain, text, show)?.complete();
            console.say("\n\n")?;
            if let Err(error) = stopped {
                // The other conversation never heard it, so this one forgets it.
                plain.undo();
                return Err(error);
            }
            console.say_line(console.titled(&titled(&self.steering)))?;
        }
        let reply = self.ask_steered(text, show)?;
        console.say("\n")?;
        Ok(reply)
    }

    /// Says something where vectors and the adapter act. What fails is not remembered, what Ctrl-C ended is, as far as it
    /// came.
    pub fn ask_steered(&mut self, text: &str, show: Show<'_>) -> Result<&Reply> {
        self.steered.say(text);
        match self.served(show) {
            Ok(reply) => Ok(self.steered.keep(reply)),
            Err(error) => {
                self.undo();
                Err(error)
            }
        }
    }

    /// The answer to what was said last, recorded if there is an adapter.
    fn served(&mut self, show: Show<'_>) -> Result<Reply> {
        let Talk { steered, steering, adapter, arms, version, setting, .. } = self;
        let Some(adapter) = adapter else {
            return Ok(steered.answer(TurnTerms::of(steering), None, show)?.reply);
        };
        let pinned = adapter.pin()?;
        (*version, *setting) = (Some(pinned.version()), None);
        let terms = TurnTerms { adapter: Some(&pinned), ..TurnTerms::of(steering) };
        let (proposal, steering) = match adapter.host().serving(&pinned)? {
            TurnPlan::Samples(count) => return self.best(&pinned, count, show),
            TurnPlan::Setting(index) => {
                let arm = arm(arms, index)?;
                *setting = Some(arm.name.clone());
                (steered.answer(arm.terms(&pinned), None, show)?, &arm.steering)
            }
            TurnPlan::Tokens => {
                let mut duel = adapter.host().token_duel(&pinned, steered.sampling())?;
                (steered.answer(terms, Some(&mut duel), show)?, &*steering)
            }
            TurnPlan::Plain | TurnPlan::Settings(_) => {
                (steered.answer(terms, None, show)?, &*steering)
            }
        };
        let record = adapter.record_of(&pinned, &proposal, steering.plan());
        adapter.keep(record);
        Ok(proposal.reply)
    }

    /// The one of several sampled answers that the learner picks.
    fn best(&mut self, pinned: &PinnedAdapter, count: usize, show: Show<'_>) -> Result<Reply> {
        let proposals = self.samples(pinned, count)?;
        let Talk { adapter, steering, .. } = self;
        let Some(adapter) = adapter else { return Err(needs_adapter("--adapter")) };
        let mut records = Vec::with_capacity(count);
        for proposal in &proposals {
            records.push(adapter.record_of(pinned, proposal, steering.plan()));
        }
        let index = adapter.host().best_of(pinned, &records)?;
        let chosen = proposals.into_iter().zip(records).nth(index);
        let (proposal, record) = chosen.ok_or(Error::Stopped)?;
        show(Said::More(&proposal.reply.answer.text))?;
        adapter.keep(record);
        Ok(proposal.reply)
    }

    /// Answers to what was said last, sampled together.
    pub fn samples(&mut self, pinned: &PinnedAdapter, count: usize) -> Result<Vec<Proposal>> {
        let terms = |choice: usize| TurnTerms {
            adapter: Some(pinned),
            choice: choice as u32,
            ..TurnTerms::of(&self.steering)
        };
        let terms: Vec<TurnTerms<'_>> = (0..count).map(terms).collect();
        self.steered.propose(&terms, None, &mut |_, _| Ok(()))
    }

    /// What the user had said last, taken back.
    pub fn undo(&mut self) -> Option<String> {
        self.plain.as_mut().and_then(Conversation::undo);
        self.adapter.iter_mut().for_each(ChatAdapter::forget_last);
        self.steered.undo()
    }

    /// Forgets the conversation, and nothing that was learnt.
    pub fn reset(&mut self) {
        self.plain.iter_mut().for_each(Conversation::reset);
        self.adapter.iter_mut().for_each(ChatAdapter::forget_last);
        self.steered.reset();
    }

    /// The adapter; `word` is what asks for it.
    pub fn adapter_for(&mut self, word: &'static str) -> Result<&mut ChatAdapter> {
        self.adapter.as_mut().ok_or_else(|| needs_adapter(word))
    }
}

/// Says something where nothing steers.
pub fn ask_plain<'c>(
    plain: &'c mut Conversation<'_>,
    text: &str,
    show: Show<'_>,
) -> Result<&'c Reply> {
    plain.say(text);
    match plain.answer(TurnTerms::of(&Steering::none()), None, show) {
        Ok(proposal) => Ok(plain.keep(proposal.reply)),
        Err(error) => {
            plain.undo();
            Err(error)
        }
    }
}

/// The setting of an index.
pub fn arm(arms: &[Arm], index: usize) -> Result<&Arm> {
    arms.get(index).ok_or_else(|| {
        Error::usage("--adapt-arms", format!("has no setting {index}, which the adapter knows"))
    })
}

fn needs_adapter(word: &'static str) -> Error {
    Error::usage(word, "needs an adapter: start chat with --adapt rosa or --adapt tpop")
}
