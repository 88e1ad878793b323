//! Groups: beside other answers, and after keys and values were given up, they are what they are in lockstep alone.

use super::*;
use crate::generate::{Group, run_group};
use crate::group_sampling::{Candidate, GroupSampler};
use crate::kv::BLOCK_LEN;
use crate::monitor::Stage;
use std::collections::BTreeMap;

const FAULT: &str = "a sampler's fault";

/// What a sampler does in place of a choice.
type SamplerFault = fn() -> Result<Vec<u32>>;

/// Draws tokens that the others have not just drawn, with a push by the newest activation; notes what it hears.
#[derive(Default)]
struct Apart {
    chosen: BTreeMap<usize, Vec<u32>>,
    heard: Arc<Mutex<Vec<String>>>,
    choices: usize,
    fault: Option<SamplerFault>,
}

impl GroupSampler for Apart {
    fn choose(&mut self, candidates: &[Candidate]) -> Result<Vec<u32>> {
        self.choices += 1;
        if let Some(fault) = self.fault.filter(|_| self.choices == 5) {
            return fault();
        }
        for row in candidates {
            let mut logits = row.logits.to_vec();
            for (_, tokens) in self.chosen.iter().filter(|(index, _)| **index != row.index) {
                tokens.iter().rev().take(3).for_each(|token| logits[*token as usize] -= 2.0);
            }
            let generated = row.context.generated().len();
            logits[generated % 60] += row.reading.unwrap()[0];
            // One of three arms ends early.
            let token = match (row.index, generated) {
                (2, 6) => tiny::END,
                _ => row.sampling.choose(&logits, &row.draw)?,
            };
            self.chosen.entry(row.index).or_default().push(token);
        }
        Ok(candidates.iter().map(|row| self.chosen[&row.index].last().copied().unwrap()).collect())
    }

    fn rewind(&mut self, index: usize, tokens: usize) {
        self.chosen.entry(index).or_default().truncate(tokens);
        self.heard.lock().unwrap().push(format!("{index} goes back to {tokens}"));
    }

    fn end(&mut self, index: usize) {
        self.heard.lock().unwrap().push(format!("{index} ends"));
    }
}

/// Rewinds by three tokens when an answer has eight.
struct Once(bool);

impl Monitor for Once {
    fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
        if answer.tokens.len() == 8 && std::mem::take(&mut self.0) {
            let ban = vec![answer.tokens[5]];
            return Ok(Verdict::Retry { from: 5, plan: None, guidance: Vec::new(), ban });
        }
        // Nothing is shown before the end.
        let release = if answer.stage == Stage::Ended { answer.text.len() } else { 0 };
        Ok(Verdict::Continue { release, ask_after: 1 })
    }

    fn rewind(&mut self, _: usize) {}
}

/// What is compared of an answer: all but the counts of what was run for it.
type Outcome = Result<(Vec<u32>, String, Vec<Option<Step>>, Finish), String>;

fn outcome(result: Result<Answer>) -> Outcome {
    let answer = result.map_err(|error| error.to_string())?;
    Ok((answer.tokens, answer.text, answer.steps, answer.finish))
}

type Members<'a> = &'a dyn Fn(&House, &KvPool) -> Vec<Generation>;
type Receiving = fn(usize, &Event) -> Flow;

impl House {
    /// The group in a pool of its own, without an engine.
    fn offline(&self, members: Members, receive: Receiving) -> (Vec<Outcome>, Vec<String>) {
        let pool = self.decoder.pool(4 * tiny::CONTEXT).unwrap();
        let (mut group, mut sampler) = (members(self, &pool), Apart::default());
        run_group(&mut group, &mut sampler, &mut |index, event| receive(index, &event)).unwrap();
        let heard = sampler.heard.lock().unwrap().clone();
        (group.into_iter().map(|one| outcome(one.into_answer())).collect(), heard)
    }

    fn group(&self, engine: &Engine, members: Members, receive: Receiving) -> GroupTold {
        let sampler = Apart::default();
        let (heard, members) = (sampler.heard.clone(), members(self, &self.pool));
        let count = members.len();
        let (tell, notices) = channel();
        let group = Group::new(members, sampler);
        let ticket = engine.submit_group(group, SubmitOptions::default(), move |notice| {
            let flow = match &notice {
                Notice::Event { choice, event } => receive(*choice, event),
                _ => Flow::Continue,
            };
            tell.send(notice).map_or(Flow::Cancel, |()| flow)
        });
        GroupTold { told: Told { notices, _ticket: ticket.unwrap() }, count, heard }
    }
}

struct GroupTold {
    told: Told,
    count: usize,
    heard: Arc<Mutex<Vec<String>>>,
}

impl GroupTold {
    fn answers(&self) -> Vec<Result<Answer>> {
        let mut ended = BTreeMap::new();
        while ended.len() < self.count {
            let notice = self.told.notices.recv_timeout(LONG).unwrap();
            if let Notice::Ended { choice, result } = notice {
                ended.insert(choice, result);
            }
        }
        ended.into_values().collect()
    }

    fn end(self) -> (Vec<Outcome>, Vec<String>) {
        let outcomes = self.answers().into_iter().map(outcome).collect();
        // The sampler is gone when it has been told of the last end.
        while Arc::strong_count(&self.heard) > 1 {
            std::thread::yield_now();
        }
        let heard = self.heard.lock().unwrap().clone();
        (outcomes, heard)
    }
}

fn on(_: usize, _: &Event) -> Flow {
    Flow::Continue
}

/// Runs a group beside seven answers and asserts that it is the one it is offline, and they the ones they are alone.
fn is_the_same_beside_others(members: Members, receive: Receiving) -> (Vec<Outcome>, Vec<String>) {
    let house = house(4096);
    let engine = house.engine(6, 64);
    let (go, held) = house.hold(&engine, 2);
    let ask = |who: usize| house.ask(&engine, who, 5 + 9 * who, 12);
    let before: Vec<Told> = (0..3).map(ask).collect();
    let group = house.group(&engine, members, receive);
    let after: Vec<Told> = (3..7).map(ask).collect();
    drop(go);
    let found = group.end();
    assert_eq!(found, house.offline(members, receive));
    for (who, told) in before.into_iter().chain(after).enumerate() {
        assert_eq!(told.end().unwrap(), house.alone(who, 5 + 9 * who, 12), "{who}");
    }
    held.end().unwrap();
    assert_eq!(engine.load().present, 0);
    engine.close(LONG);
    assert!(house.is_empty());
    found
}

fn finishes(outcomes: &[Outcome]) -> Vec<Option<Finish>> {
    outcomes.iter().map(|one| one.as_ref().ok().map(|(.., finish)| finish.clone())).collect()
}

#[test]
fn a_group_beside_others_is_the_one_it_is_offline() {
    let members = |house: &House, pool: &KvPool| {
        let member = |(who, prompt, most)| house.generation(pool, (who, prompt), most);
        [(1, 20, 12), (2, 90, 30), (3, 7, 20)].map(member).into()
    };
    let (found, heard) = is_the_same_beside_others(&members, on);
    let ends = [Finish::Length, Finish::Length, Finish::EndToken(tiny::END)].map(Some);
    assert_eq!(finishes(&found), ends);
    assert_eq!(heard, ["2 ends", "0 ends", "1 ends"]);
    let alone = outcome(Ok(house(64).alone(2, 90, 30)));
    assert_ne!(found[1], alone, "the sampler made no difference");
}

#[test]
fn a_group_gives_way_as_a_whole_and_is_the_same_again() {
    // The group at its longest takes 12 blocks, each of the others 7; there are 16.
    let small = house(16 * BLOCK_LEN);
    let engine = small.engine(4, 8);
    let long = 4 * BLOCK_LEN;
    let members = |house: &House, pool: &KvPool| {
        let one = house.generation(pool, (1, 70), long).watched_by(Once(true));
        vec![one, house.generation(pool, (2, 5), long)]
    };
    let (go, held) = small.hold(&engine, 2);
    let others = [3, 5].map(|who| small.ask(&engine, who, 20, 6 * BLOCK_LEN));
    let group = small.group(&engine, &members, on);
    drop(go);
    let found = group.end();
    let load = engine.load();
    assert!(load.preempted > 0 && load.preempted.is_multiple_of(2), "{}", load.preempted);
    assert_eq!(found, small.offline(&members, on));
    assert_eq!(found.1, ["0 goes back to 5", "1 ends", "0 ends"]);
    for (who, told) in [3, 5].into_iter().zip(others) {
        assert_eq!(told.end().unwrap().tokens, small.alone(who, 20, 6 * BLOCK_LEN).tokens);
    }
    held.end().unwrap();
    engine.close(LONG);
    assert!(small.is_empty());
}

#[test]
fn one_that_is_cancelled_leaves_the_others() {
    let members = |house: &House, pool: &KvPool| {
        (1..4).map(|who| house.generation(pool, (who, 9), 12)).collect()
    };
    let (found, heard) = is_the_same_beside_others(&members, |index, event| match event {
        Event::Token(_) if index == 1 => Flow::Cancel,
        _ => Flow::Continue,
    });
    assert_eq!(found[1].as_ref().unwrap().3, Finish::Cancelled);
    assert_eq!(found[0].as_ref().unwrap().0.len(), 12);
    assert_eq!(heard, ["1 ends", "2 ends", "0 ends"]);
}

#[test]
fn the_sampler_hears_of_a_rewind_before_it_chooses_again() {
    let members = |house: &House, pool: &KvPool| {
        let watched = |who| house.generation(pool, (who, 9 * who), 12).watched_by(Once(true));
        vec![watched(1), house.generation(pool, (2, 30), 12), watched(4)]
    };
    let (_, heard) = is_the_same_beside_others(&members, on);
    assert_eq!(heard, ["2 ends", "0 goes back to 5", "1 ends", "0 ends"]);
}

#[test]
fn a_row_that_fails_is_the_only_one_that_does() {
    let breaks: [fn(); 2] = [|| {}, || panic!("{FAULT}")];
    for breaks in breaks {
        let hook = || {
            hook_fn([Site::ResidPost(1)], move |_, x, pass| {
                if pass.start < 12 {
                    return Ok(Edit::Keep);
                }
                breaks();
                let stream = (x * f64::NAN).map_err(Error::tensor("nan"))?;
                Ok(Edit::Replace { stream, positions: 1 })
            })
        };
        let members = |house: &House, pool: &KvPool| {
            let bad = house.generation_of(Plan::of(hook()), pool, (0, 9), (12, Vec::new()));
            vec![house.generation(pool, (1, 9), 12), bad]
        };
        let (found, heard) = is_the_same_beside_others(&members, on);
        assert!(found[0].is_ok() && found[1].is_err());
        assert_eq!(heard, ["1 ends", "0 ends"]);
    }
}

#[test]
fn a_sampler_that_fails_ends_its_group_and_no_other_answer() {
    let faults: [(SamplerFault, &str); 3] = [
        (|| panic!("{FAULT}"), "group sampler panicked: a sampler's fault"),
        (|| Err(Error::Misuse("no reason")), "no reason"),
        (|| Ok(vec![1]), "a group's sampler must choose one token per answer"),
    ];
    for (fault, message) in faults {
        let house = house(4096);
        let engine = house.engine(6, 64);
        let (go, held) = house.hold(&engine, 2);
        let members = (1..3).map(|who| house.generation(&house.pool, (who, 9), 12)).collect();
        let group = Group::new(members, Apart { fault: Some(fault), ..Apart::default() });
        let (tell, notices) = channel();
        let ticket = engine.submit_group(group, SubmitOptions::default(), move |notice| {
            tell.send(notice).map_or(Flow::Cancel, |()| Flow::Continue)
        });
        let told = Told { notices, _ticket: ticket.unwrap() };
        let group = GroupTold { told, count: 2, heard: Arc::default() };
        let others: Vec<Told> = (0..5).map(|who| house.ask(&engine, who, 7, 12)).collect();
        drop(go);
        for result in group.answers() {
            let error = result.unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(matches!(error, Error::Shared(_)));
        }
        for (who, told) in others.into_iter().enumerate() {
            assert_eq!(told.end().unwrap(), house.alone(who, 7, 12), "{who}");
        }
        held.end().unwrap();
        assert!(!engine.has_ended());
        engine.close(LONG);
        assert!(house.is_empty());
    }
}

#[test]
fn a_group_that_can_never_run_is_refused() {
    let house = house(12 * BLOCK_LEN);
    let engine = house.engine(3, 8);
    let space = Some(Fingerprint::builder("test").finish());
    let try_group = |count: usize, (prompt, most), space| {
        let members = (0..count).map(|_| house.generation(&house.pool, (4, prompt), most));
        let group = Group::new(members.collect(), Apart::default());
        let terms = SubmitOptions { space, ..SubmitOptions::default() };
        engine.submit_group(group, terms, |_| Flow::Continue).map_err(|error| error.to_string())
    };
    let few = (3, 3);
    assert!(try_group(3, few, None).is_ok());
    let many = try_group(4, few, None).err().unwrap();
    assert_eq!(many, "group has 4 answers, the engine runs 3 at a time");
    // Prompts of five blocks each: ten fit, fifteen do not, unless four of each are the same.
    let long = (4 * BLOCK_LEN + 2, 9);
    assert!(try_group(2, long, None).is_ok());
    let large = try_group(3, long, None).err().unwrap();
    assert_eq!(large, "group of 3 answers needs 15 key-value blocks, the pool has 12");
    assert!(try_group(3, long, space).is_ok());
    assert!(try_group(0, few, None).is_err());
    while engine.load().present > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn answers_that_would_fill_the_pool_end_at_their_part_of_it() {
    let house = house(12 * BLOCK_LEN);
    let engine = house.engine(3, 8);
    let members = |house: &House, pool: &KvPool| {
        let member = |(who, prompt)| house.generation(pool, (who, prompt), usize::MAX);
        [(1, 20), (2, 4 * BLOCK_LEN)].map(member).into()
    };
    let (found, _) = house.group(&engine, &members, on).end();
    assert_eq!(finishes(&found), [Some(Finish::ContextFull), Some(Finish::ContextFull)]);
    let tokens = |at: usize| found[at].as_ref().unwrap().0.len();
    // Of twelve blocks two and five are the prompts' with a token each, and two more are for each answer. The last token
    // of an answer is chosen and never run.
    assert_eq!((tokens(0) + 20, tokens(1) + 4 * BLOCK_LEN), (4 * BLOCK_LEN + 1, 7 * BLOCK_LEN + 1));
}

#[test]
fn logits_that_leave_no_choice_end_their_own_row() {
    #[derive(Debug)]
    struct Nothing;
    impl LogitsProcessor for Nothing {
        fn process(&self, context: &Context, logits: &mut [f32]) -> Result<()> {
            if context.generated().len() == 3 {
                logits.fill(f32::NEG_INFINITY);
            }
            Ok(())
        }
    }
    let members = |house: &House, pool: &KvPool| {
        let bad = house.generation_of(Plan::empty(), pool, (0, 9), (12, vec![Arc::new(Nothing)]));
        vec![house.generation(pool, (1, 9), 12), bad]
    };
    let (found, heard) = is_the_same_beside_others(&members, on);
    assert!(found[0].is_ok() && found[1].as_ref().unwrap_err().contains("logits"));
    assert_eq!(heard, ["1 ends", "0 ends"]);
}

#[test]
fn the_sampler_of_a_group_that_never_ran_hears_of_its_ends() {
    let house = house(4096);
    let engine = house.engine(2, 8);
    let (go, held) = house.hold(&engine, 2);
    let sampler = Apart::default();
    let heard = sampler.heard.clone();
    let members = (1..3).map(|who| house.generation(&house.pool, (who, 9), 12)).collect();
    let group = Group::new(members, sampler);
    drop(engine.submit_group(group, SubmitOptions::default(), |_| Flow::Continue).unwrap());
    drop(go);
    held.end().unwrap();
    while Arc::strong_count(&heard) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(*heard.lock().unwrap(), ["0 ends", "1 ends"]);
}

#[test]
fn a_group_runs_its_prompt_once() {
    let house = house(4096);
    let engine = house.engine(4, 4);
    let prompt = 3 * BLOCK_LEN + 5;
    let members = |house: &House, pool: &KvPool| {
        (0..3).map(|_| house.generation(pool, (4, prompt), 9)).collect()
    };
    let (expected, _) = house.offline(&members, on);
    let (tell, notices) = channel();
    let space = Some(Fingerprint::builder("test").finish());
    let terms = SubmitOptions { space, ..SubmitOptions::default() };
    let group = Group::new(members(&house, &house.pool), Apart::default());
    let ticket = engine.submit_group(group, terms, move |notice| {
        tell.send(notice).map_or(Flow::Cancel, |()| Flow::Continue)
    });
    let told = Told { notices, _ticket: ticket.unwrap() };
    let answers = GroupTold { told, count: 3, heard: Arc::default() }.answers();
    let answers: Vec<Answer> = answers.into_iter().map(Result::unwrap).collect();
    let cached: Vec<usize> = answers.iter().map(|answer| answer.usage.cached_tokens).collect();
    assert_eq!(cached, [0, 3 * BLOCK_LEN, 3 * BLOCK_LEN]);
    assert_eq!(engine.load().cached_tokens, 6 * BLOCK_LEN as u64);
    let found: Vec<Outcome> = answers.into_iter().map(|answer| outcome(Ok(answer))).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_group_takes_a_turn_of_its_owner_for_each_answer() {
    let house = house(4096);
    let engine = house.engine(2, 64);
    let (go, held) = house.hold(&engine, 2);
    let (tell, order) = channel();
    let ask = |owner: u64, count: usize| {
        let tell = tell.clone();
        let members = (0..count).map(|_| house.generation(&house.pool, (1, 4), 2)).collect();
        let terms = SubmitOptions { owner, ..SubmitOptions::default() };
        let sink = move |notice| {
            if let Notice::Admitted { choice, .. } = notice {
                tell.send((owner, choice)).unwrap();
            }
            Flow::Continue
        };
        engine.submit_group(Group::new(members, Apart::default()), terms, sink).unwrap()
    };
    let tickets = [(1, 2), (1, 1), (2, 1), (2, 1), (2, 1)].map(|(owner, count)| ask(owner, count));
    drop(go);
    held.end().unwrap();
    let order: Vec<(u64, usize)> = (0..6).map(|_| order.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(order, [(1, 0), (1, 1), (2, 0), (2, 0), (1, 0), (2, 0)]);
    drop(tickets);
}
