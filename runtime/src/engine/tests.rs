//! Tests of the engine: whatever comes and goes beside an answer, it is the one it would be alone.

mod faults;
mod groups;

use super::*;
use crate::decoder::{LogitsAt, Outputs, WithFinal};
use crate::fingerprint::Fingerprint;
use crate::generate::{Answer, Event, Finish, Request, complete};
use crate::hook::{Addition, Edit, hook_fn};
use crate::logits::{Bias, Context, LogitsProcessor};
use crate::monitor::{AnswerView, Monitor, Verdict};
use crate::plan::Plan;
use crate::read::{Last, Mean, RowOutput};
use crate::sample::{SamplingParams, Step};
use crate::site::Site;
use crate::testing::tiny;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A model, a pool of so many tokens, and what it is asked.
struct House {
    decoder: Arc<Decoder>,
    pool: KvPool,
}

const LONG: Duration = Duration::from_secs(30);

fn house(tokens: usize) -> House {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(tokens).unwrap();
    House { decoder, pool }
}

impl House {
    fn engine(&self, parallel: usize, queue: usize) -> Engine {
        let options = EngineOptions { parallel, queue, chunk: 16 };
        Engine::start(self.decoder.clone(), self.pool.clone(), options).unwrap()
    }

    fn generation(&self, pool: &KvPool, row: (usize, usize), most: usize) -> Generation {
        let who = row.0;
        let direction = (0..tiny::WIDTH).map(|i| ((i * 7 + who) % 5) as f32 - 2.0).collect();
        let push = Addition::new(Site::ResidPost(who % 3), direction, 0.1 * who as f32);
        let plan = if who.is_multiple_of(4) { Plan::empty() } else { Plan::of(push.unwrap()) };
        self.generation_of(plan, pool, row, (most, Vec::new()))
    }

    fn generation_of(
        &self,
        plan: Plan,
        pool: &KvPool,
        (who, prompt): (usize, usize),
        (most, mut processors): (usize, Vec<Arc<dyn LogitsProcessor>>),
    ) -> Generation {
        let mut session = Session::new(self.decoder.clone(), pool, plan).unwrap();
        let tokens: Vec<u32> = (0..prompt).map(|i| ((i * 13 + who * 5) % 60) as u32).collect();
        session.push_prompt(&tokens).unwrap();
        let params = SamplingParams { temperature: 0.8, ..SamplingParams::default() };
        // Answers are as long as they may be.
        processors.push(Arc::new(Bias::new([(tiny::END, f32::NEG_INFINITY)]).unwrap()));
        let request = Request {
            sampling: params.check().unwrap(),
            seed: who as u64,
            max_tokens: Some(most),
            processors,
            reading: WithFinal::LogitsAndFinal,
            ..Request::default()
        };
        Generation::new(session, tiny::tokenizer().unwrap(), request).unwrap()
    }

    /// The answer in a pool of its own.
    fn alone(&self, who: usize, prompt: usize, most: usize) -> Answer {
        let pool = self.decoder.pool(tiny::CONTEXT).unwrap();
        complete(self.generation(&pool, (who, prompt), most)).unwrap()
    }

    fn ask(&self, engine: &Engine, who: usize, prompt: usize, most: usize) -> Told {
        self.try_ask(engine, SubmitOptions::default(), (who, prompt), most).unwrap()
    }

    fn try_ask(
        &self,
        engine: &Engine,
        terms: SubmitOptions,
        (who, prompt): (usize, usize),
        most: usize,
    ) -> Result<Told> {
        let generation = self.generation(&self.pool, (who, prompt), most);
        let (tell, notices) = channel();
        let ticket = engine.submit(vec![generation], terms, move |notice| {
            tell.send(notice).map_or(Flow::Cancel, |()| Flow::Continue)
        })?;
        Ok(Told { notices, _ticket: ticket })
    }

    /// An answer that holds the engine up at its first token until it is let go.
    fn hold(&self, engine: &Engine, most: usize) -> (Sender<()>, Told) {
        let generation = self.generation(&self.pool, (0, 40), most);
        let (tell, notices) = channel();
        let (go, gone) = channel::<()>();
        let ticket = engine.submit(vec![generation], SubmitOptions::default(), move |notice| {
            let token = matches!(&notice, Notice::Event { event: Event::Token(_), .. });
            let flow = tell.send(notice).map_or(Flow::Cancel, |()| Flow::Continue);
            if token {
                gone.recv().ok(); // the sender may be gone
            }
            flow
        });
        let told = Told { notices, _ticket: ticket.unwrap() };
        told.begin();
        (go, told)
    }

    fn is_empty(&self) -> bool {
        let usage = self.pool.usage();
        usage.available() == usage.blocks
    }
}

struct Told {
    notices: Receiver<Notice>,
    _ticket: Ticket,
}

impl Told {
    fn end(self) -> Result<Answer> {
        loop {
            if let Notice::Ended { result, .. } = self.notices.recv_timeout(LONG).unwrap() {
                return result;
            }
        }
    }

    fn begin(&self) {
        let token = |n: &Notice| matches!(n, Notice::Event { event: Event::Token(_), .. });
        while !token(&self.notices.recv_timeout(LONG).unwrap()) {}
    }
}

#[test]
fn answers_are_those_they_would_be_alone() {
    let house = house(4096);
    let engine = house.engine(3, 64);
    let asked: Vec<Told> = (0..12).map(|who| house.ask(&engine, who, 5 + 9 * who, 12)).collect();
    for (who, told) in asked.into_iter().enumerate() {
        let (got, alone) = (told.end().unwrap(), house.alone(who, 5 + 9 * who, 12));
        assert_eq!((got.text, got.tokens), (alone.text, alone.tokens), "{who}");
        assert_eq!(got.fired, alone.fired);
    }
    assert!(engine.load().rows > engine.load().rounds, "nothing ran together");
    engine.close(LONG);
    assert!(house.is_empty());
}

#[test]
fn a_pool_too_small_for_all_gives_the_same_answers() {
    // Four answers of 100 tokens want 28 blocks; there are 16.
    let house = house(16 * crate::kv::BLOCK_LEN);
    let engine = house.engine(4, 8);
    let long = 6 * crate::kv::BLOCK_LEN;
    let asked: Vec<Told> = (0..6).map(|who| house.ask(&engine, who, 20, long)).collect();
    for (who, told) in asked.into_iter().enumerate() {
        let got = told.end().unwrap();
        assert_eq!(got.tokens, house.alone(who, 20, long).tokens, "{who}");
    }
    assert!(engine.load().preempted > 0, "the pool was never too small");
    engine.close(LONG);
    assert!(house.is_empty());
}

#[test]
fn a_full_line_is_told_at_once_and_takes_again_when_somebody_has_gone() {
    let house = house(4096);
    let engine = house.engine(1, 1);
    let (go, first) = house.hold(&engine, 400);
    let second = house.ask(&engine, 1, 4, 3);
    let third = house.try_ask(&engine, SubmitOptions::default(), (2, 4), 3).err().unwrap();
    assert!(matches!(third, Error::QueueFull { places: 2 }), "{third}");
    drop((first, go));
    second.end().unwrap();
    house.ask(&engine, 2, 4, 3).end().unwrap();
}

#[test]
fn places_that_were_taken_are_nobody_elses_until_they_are_given_back() {
    let house = house(4096);
    let engine = house.engine(1, 1);
    let places = engine.places(2).unwrap();
    assert!(matches!(engine.places(1).err().unwrap(), Error::QueueFull { places: 2 }));
    assert!(house.try_ask(&engine, SubmitOptions::default(), (1, 4), 3).is_err());
    let wrong = engine.submit_at(places, Vec::new(), SubmitOptions::default(), |_| Flow::Continue);
    assert!(matches!(wrong.err().unwrap(), Error::Misuse(_)));
    house.ask(&engine, 1, 4, 3).end().unwrap();
    drop(engine.places(1).unwrap());
    engine.drain(Duration::ZERO);
    assert!(matches!(engine.places(1).err().unwrap(), Error::Draining));
}

#[test]
fn who_goes_away_frees_the_row_before_the_next_round() {
    let house = house(4096);
    let engine = house.engine(2, 2);
    let (go, Told { notices, _ticket: ticket }) = house.hold(&engine, 900);
    drop(ticket);
    drop(go);
    let answer = loop {
        match notices.recv_timeout(LONG).unwrap() {
            Notice::Ended { result, .. } => break result.unwrap(),
            Notice::Event { event: Event::Token(_), .. } => panic!("a round came after the word"),
            _ => continue,
        }
    };
    assert_eq!((answer.finish, answer.tokens.len()), (Finish::Cancelled, 1));
    assert_eq!(engine.load().present, 0);
    assert!(house.is_empty());
}

#[test]
fn a_sink_that_wants_no_more_ends_its_answer() {
    let house = house(4096);
    let engine = house.engine(2, 2);
    let told = house.ask(&engine, 0, 4, 900);
    told.begin();
    let Told { notices, _ticket } = told;
    drop(notices);
    while engine.load().present > 0 {
        std::thread::yield_now();
    }
    assert!(house.is_empty());
}

#[test]
fn deadlines_end_what_waits_and_what_runs() {
    let house = house(4096);
    let engine = house.engine(1, 4);
    let soon = SubmitOptions {
        deadline: Some(Instant::now() + Duration::from_millis(40)),
        ..SubmitOptions::default()
    };
    let first = house.try_ask(&engine, soon.clone(), (0, 4), 1000).unwrap();
    let second = house.try_ask(&engine, soon, (1, 4), 1000).unwrap();
    // The tiny model may be done in time; who waits behind a thousand tokens is not.
    for told in [first, second] {
        match told.end() {
            Ok(answer) => assert_ne!(answer.finish, Finish::Cancelled),
            Err(error) => assert!(matches!(error, Error::Deadline), "{error}"),
        }
    }
    let past = SubmitOptions { deadline: Some(Instant::now()), ..SubmitOptions::default() };
    let late = house.try_ask(&engine, past, (2, 4), 5).unwrap();
    assert!(matches!(late.end(), Err(Error::Deadline)));
    assert_eq!(engine.load().present, 0);
}

#[test]
fn draining_ends_what_runs_and_takes_nothing_new() {
    let house = house(4096);
    let engine = house.engine(1, 4);
    let runs = house.ask(&engine, 0, 4, 8);
    engine.drain(LONG);
    let refused = house.try_ask(&engine, SubmitOptions::default(), (1, 4), 3).err().unwrap();
    assert!(matches!(refused, Error::Draining));
    assert!(runs.end().is_ok());
    let cut = self::house(4096);
    let engine = cut.engine(1, 4);
    let told = [cut.ask(&engine, 0, 4, 1000), cut.ask(&engine, 1, 4, 1000)];
    engine.close(Duration::ZERO);
    for told in told {
        assert!(matches!(told.end(), Err(Error::Draining)));
    }
    assert!(cut.is_empty());
}

#[test]
fn owners_take_turns() {
    let house = house(4096);
    let engine = house.engine(1, 64);
    let (tell, order) = channel();
    let (go, first) = house.hold(&engine, 2);
    let ask = |owner: u64| {
        let tell = tell.clone();
        let terms = SubmitOptions { owner, ..SubmitOptions::default() };
        let generation = house.generation(&house.pool, (1, 4), 2);
        let sink = move |notice| {
            if let Notice::Admitted { .. } = notice {
                tell.send(owner).unwrap();
            }
            Flow::Continue
        };
        engine.submit(vec![generation], terms, sink).unwrap()
    };
    let tickets: Vec<Ticket> = [1, 1, 1, 1, 2, 3].into_iter().map(ask).collect();
    drop(go);
    first.end().unwrap();
    let order: Vec<u64> = (0..6).map(|_| order.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(order, [1, 2, 3, 1, 1, 1]);
    drop(tickets);
}

#[test]
fn several_answers_share_their_prompt() {
    let house = house(4096);
    let engine = house.engine(4, 4);
    let prompt = 3 * crate::kv::BLOCK_LEN + 5;
    let generations = (0..3).map(|_| house.generation(&house.pool, (4, prompt), 6)).collect();
    let space = Some(Fingerprint::builder("test").finish());
    let (tell, told) = channel();
    let terms = SubmitOptions { space, ..SubmitOptions::default() };
    let ticket = engine.submit(generations, terms, move |notice| {
        if let Notice::Ended { choice, result } = notice {
            tell.send((choice, result)).unwrap();
        }
        Flow::Continue
    });
    let ticket = ticket.unwrap();
    let alone = house.alone(4, prompt, 6);
    for _ in 0..3 {
        let (choice, answer) = told.recv_timeout(LONG).unwrap();
        let answer = answer.unwrap();
        assert_eq!(answer.tokens, alone.tokens);
        let cached = if choice == 0 { 0 } else { 3 * crate::kv::BLOCK_LEN };
        assert_eq!(answer.usage.cached_tokens, cached, "choice {choice}");
    }
    drop(ticket);
}

#[test]
fn a_mean_is_that_of_all_positions_however_it_was_cut() {
    let house = house(4096);
    let engine = house.engine(2, 2);
    let tokens: Vec<u32> = (0..50).collect();
    let session = || {
        let mut session = Session::new(house.decoder.clone(), &house.pool, Plan::empty()).unwrap();
        session.push_prompt(&tokens).unwrap();
        session
    };
    let read = Mean::of(vec![session()], Site::Final).unwrap();
    let (tell, told) = channel();
    let ticket = engine
        .read(vec![read], SubmitOptions::default(), move |_, result| tell.send(result).unwrap());
    let mean = told.recv_timeout(LONG).unwrap().unwrap().remove(0);
    drop(ticket);
    let all = session().capture(&[Site::Final]).unwrap()[&Site::Final].to_vec2::<f32>().unwrap();
    for (i, value) in mean.iter().enumerate() {
        let expected = all.iter().map(|row| f64::from(row[i])).sum::<f64>() / 50.0;
        assert!((f64::from(*value) - expected).abs() < 1e-6);
    }
    let (read, last) = Last::of(vec![session()], Site::Final).unwrap();
    assert_eq!(read.run(last).unwrap(), [all[49].clone()]);
    assert!(Mean::of(vec![session()], Site::ResidPost(99)).is_err());
    assert!(Mean::of(Vec::new(), Site::Final).is_err());
}

/// What a learner wants of an answer: its log-likelihood, and the sum of `final` over its tokens.
#[derive(Default)]
struct Evidence {
    prompt: usize,
    tokens: Vec<u32>,
    log_likelihood: f64,
    finals: Vec<f32>,
}

impl Reducer for Evidence {
    type Output = (f64, Vec<f32>);

    fn take(&mut self, _: usize, from: usize, output: &mut RowOutput) -> Result<()> {
        let places = (from + 1..).zip(output.logits().zip(output.finals()));
        for (place, (logits, last)) in places.filter(|(place, _)| *place >= self.prompt) {
            let Some(token) = self.tokens.get(place) else { continue };
            self.log_likelihood += Step::of(*token, logits, 0).logprob;
            self.finals.resize(last.len(), 0.0);
            self.finals.iter_mut().zip(last).for_each(|(sum, x)| *sum += x);
        }
        Ok(())
    }

    fn finish(self) -> Result<(f64, Vec<f32>)> {
        Ok((self.log_likelihood, self.finals))
    }
}

#[test]
fn an_answer_is_scored_beside_others_as_it_is_alone() {
    let house = house(4096);
    let evidence = |who: usize| {
        let answer = house.alone(who, 40, 30);
        let mut session = house.generation(&house.pool, (who, 40), 30).session().fork();
        session.push(&answer.tokens).unwrap();
        let tokens = session.tokens().to_vec();
        let want = Outputs {
            logits: LogitsAt::All,
            reading: WithFinal::LogitsAndFinal,
            ..Outputs::default()
        };
        let reducer = Evidence { prompt: 40, tokens, ..Evidence::default() };
        (Read::new(vec![session], want).unwrap(), reducer)
    };
    let engine = house.engine(4, 8);
    let beside = house.ask(&engine, 2, 9, 300);
    beside.begin();
    let (tell, told) = channel();
    let reads = (0..3).map(evidence).collect();
    let ticket = engine.read(reads, SubmitOptions::default(), move |index, result| {
        tell.send((index, result.unwrap())).unwrap();
    });
    for _ in 0..3 {
        let (who, (log_likelihood, finals)) = told.recv_timeout(LONG).unwrap();
        let (read, reducer) = evidence(who);
        assert!(log_likelihood < 0.0 && finals.len() == tiny::WIDTH, "{who}");
        assert_eq!((log_likelihood, finals), read.run(reducer).unwrap(), "{who}");
    }
    assert_eq!(beside.end().unwrap().tokens, house.alone(2, 9, 300).tokens);
    drop(ticket);
}

#[test]
fn reads_share_rounds_and_are_cancelled_with_their_ticket() {
    let house = house(4096);
    let engine = house.engine(4, 8);
    let read = |len: u32| {
        let mut session = Session::new(house.decoder.clone(), &house.pool, Plan::empty()).unwrap();
        session.push_prompt(&(0..len).map(|i| i % 60).collect::<Vec<u32>>()).unwrap();
        Mean::of(vec![session], Site::Final).unwrap()
    };
    let (tell, told) = channel();
    let report = move |index, _| tell.send(index).unwrap();
    let ticket =
        engine.read((0..4).map(|_| read(4)).collect(), SubmitOptions::default(), report).unwrap();
    let mut done: Vec<usize> = (0..4).map(|_| told.recv_timeout(LONG).unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3]);
    let load = engine.load();
    assert_eq!((load.rounds, load.rows), (1, 4));
    drop(ticket);
    let (go, first) = house.hold(&engine, 2);
    let (tell, told) = channel::<usize>();
    let report = move |index, _| tell.send(index).unwrap();
    drop(engine.read(vec![read(900)], SubmitOptions::default(), report).unwrap());
    drop(go);
    first.end().unwrap();
    assert!(told.recv_timeout(LONG).is_err(), "a cancelled read was reported");
    engine.close(LONG);
    assert!(house.is_empty());
}

#[test]
fn a_read_that_fails_does_not_take_the_others_with_it() {
    let house = house(4096);
    let engine = house.engine(3, 3);
    let nan = crate::hook::hook_fn([Site::ResidPost(0)], |_, x, _| {
        let stream = (x * f64::NAN).map_err(Error::tensor("nan"))?;
        Ok(Edit::Replace { stream, positions: 1 })
    });
    let read = |plan| {
        let mut session = Session::new(house.decoder.clone(), &house.pool, plan).unwrap();
        session.push_prompt(&[1, 2, 3]).unwrap();
        Mean::of(vec![session], Site::Final).unwrap()
    };
    let (tell, told) = channel();
    let reads = vec![read(Plan::of(nan)), read(Plan::empty())];
    let ticket = engine.read(reads, SubmitOptions::default(), move |index, result| {
        tell.send((index, result)).unwrap();
    });
    let good = house.ask(&engine, 1, 9, 5);
    assert_eq!(good.end().unwrap().tokens, house.alone(1, 9, 5).tokens);
    let mut told: Vec<_> = (0..2).map(|_| told.recv_timeout(LONG).unwrap()).collect();
    told.sort_by_key(|(index, _)| *index);
    let (plain, mean) = read(Plan::empty());
    assert!(told[0].1.is_err());
    assert_eq!(*told[1].1.as_ref().unwrap(), plain.run(mean).unwrap());
    drop(ticket);
}

#[test]
fn a_prompt_that_fails_does_not_take_the_others_with_it() {
    let house = house(4096);
    let engine = house.engine(3, 3);
    let nan = crate::hook::hook_fn([Site::ResidPost(0)], |_, x, _| {
        let stream = (x * f64::NAN).map_err(Error::tensor("nan"))?;
        Ok(Edit::Replace { stream, positions: 1 })
    });
    let mut session = Session::new(house.decoder.clone(), &house.pool, Plan::of(nan)).unwrap();
    session.push_prompt(&[1, 2, 3]).unwrap();
    let request = Request { max_tokens: Some(5), ..Request::default() };
    let tokenizer = tiny::tokenizer().unwrap();
    let bad = Generation::new(session, tokenizer, request).unwrap();
    let (tell, told) = channel();
    let ticket = engine.submit(vec![bad], SubmitOptions::default(), move |notice| {
        if let Notice::Ended { result, .. } = notice {
            tell.send(result).unwrap();
        }
        Flow::Continue
    });
    let good = house.ask(&engine, 1, 9, 5);
    assert_eq!(good.end().unwrap().tokens, house.alone(1, 9, 5).tokens);
    assert!(told.recv_timeout(LONG).unwrap().is_err());
    drop(ticket);
}

#[test]
fn texts_that_do_not_fit_together_take_turns_and_answers_give_way() {
    let house = house(12 * crate::kv::BLOCK_LEN);
    let engine = house.engine(6, 6);
    let long = house.ask(&engine, 1, 10, 8 * crate::kv::BLOCK_LEN);
    long.begin();
    let texts: Vec<Vec<u32>> =
        (0..4).map(|who| (0..80).map(|i| ((i * 7 + who) % 60) as u32).collect()).collect();
    let read = |tokens: &Vec<u32>| {
        let mut session = Session::new(house.decoder.clone(), &house.pool, Plan::empty()).unwrap();
        session.push_prompt(tokens).unwrap();
        Mean::of(vec![session], Site::Final).unwrap()
    };
    let (tell, told) = channel();
    let reads = texts.iter().map(read).collect();
    let ticket = engine.read(reads, SubmitOptions::default(), move |index, result| {
        tell.send((index, result)).unwrap();
    });
    for _ in 0..4 {
        let (choice, result) = told.recv_timeout(LONG).unwrap();
        assert!(result.is_ok(), "{choice}: {result:?}");
    }
    let answer = long.end().unwrap();
    assert_eq!(answer.tokens, house.alone(1, 10, 8 * crate::kv::BLOCK_LEN).tokens);
    drop(ticket);
    engine.close(LONG);
    assert!(house.is_empty());
}

#[test]
fn an_answer_that_outgrows_the_pool_ends_as_one_that_outgrows_the_context() {
    let house = house(4 * crate::kv::BLOCK_LEN);
    let engine = house.engine(2, 2);
    let answer = house.ask(&engine, 1, 10, 1000).end().unwrap();
    assert_eq!(answer.finish, Finish::ContextFull);
    assert_eq!(answer.tokens.len(), 4 * crate::kv::BLOCK_LEN - 10 + 1);
}
