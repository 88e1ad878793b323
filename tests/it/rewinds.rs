//! What a rewind costs and what it leaves: nothing kept is run twice, and nothing of what was taken back stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use trimtab_runtime::Result;
use trimtab_runtime::engine::{Engine, EngineOptions, Notice, SubmitOptions};
use trimtab_runtime::generate::{Answer, Finish, Flow, Generation, Request, complete, run};
use trimtab_runtime::logits::{Bias, Context, LogitsProcessor, Penalties};
use trimtab_runtime::monitor::{AnswerView, Heard, Monitor, Senses, Stage, StopReason, Verdict};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::{History, Session};
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;
use trimtab_tests::rig::{Rig, counting_hook, push};

const PROMPT: [u32; 6] = [3, 1, 4, 1, 5, 9];

fn request(tokens: usize) -> Request {
    let no_end = Bias::new([(tiny::END, f32::NEG_INFINITY)]).unwrap();
    // Without it the tiny model repeats itself.
    let penalties = Penalties { repeat: 1.5, presence: 1.0, frequency: 1.0 }.check().unwrap();
    let processors: Vec<Arc<dyn LogitsProcessor>> = vec![Arc::new(no_end), Arc::new(penalties)];
    Request { max_tokens: Some(tokens), processors, ..Request::default() }
}

fn generation(rig: &Rig, plan: Plan, tokens: usize) -> Generation {
    let session = rig.session(&PROMPT, plan).unwrap();
    Generation::new(session, tiny::tokenizer().unwrap(), request(tokens)).unwrap()
}

fn plain(tokens: usize) -> Answer {
    complete(generation(&Rig::tiny(1024), Plan::empty(), tokens)).unwrap()
}

/// A monitor that is a function.
struct Script<F>(F);

impl<F: FnMut(&AnswerView) -> Verdict + Send> Monitor for Script<F> {
    fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
        Ok((self.0)(answer))
    }
    fn rewind(&mut self, _: usize) {}
}

fn go_on(answer: &AnswerView) -> Verdict {
    Verdict::Continue { release: answer.text.len(), ask_after: 1 }
}

/// Rewinds once, from one length to another, as the given verdict says.
fn once(at: usize, verdict: impl Fn() -> Verdict + Send + 'static) -> impl Monitor {
    let mut done = false;
    Script(move |answer: &AnswerView| {
        if answer.tokens.len() == at && !done {
            done = true;
            return verdict();
        }
        go_on(answer)
    })
}

#[test]
fn a_rewind_runs_nothing_kept_again_and_greedy_text_comes_back() {
    for plan in [Plan::empty(), Plan::of(counting_hook(Site::MlpOut(0)))] {
        let rig = Rig::tiny(1024);
        let straight = complete(generation(&rig, plan.clone(), 40)).unwrap();
        for (at, from) in [(20, 12), (1, 0), (33, 32), (10, 10), (9, 0)] {
            let plan = plan.clone();
            let watched =
                generation(&rig, plan, 40).watched_by(once(at, move || Verdict::retry(from)));
            let answer = complete(watched).unwrap();
            assert_eq!(answer.tokens, straight.tokens, "{at} to {from}");
            assert_eq!(answer.steps, straight.steps, "the stored activation gives the same logits");
            // The prompt, every kept token but the last, and what was discarded but for its last token.
            let discarded = (at - from).saturating_sub(1);
            let expected = PROMPT.len() + 39 + discarded;
            assert_eq!(answer.usage.forward_tokens, expected, "{at} to {from}");
            assert_eq!(answer.usage.discarded_tokens, at - from);
        }
    }
}

#[test]
fn guidance_runs_only_itself_and_another_plan_one_token_more() {
    let rig = Rig::tiny(1024);
    let guided = |plan: Option<Plan>, guidance: Vec<u32>| {
        let retry = move || Verdict::Retry {
            from: 12,
            plan: plan.clone().map(|plan| (plan, History::Keep)),
            guidance: guidance.clone(),
            ban: Vec::new(),
        };
        complete(generation(&rig, Plan::empty(), 40).watched_by(once(20, retry))).unwrap()
    };
    let least = PROMPT.len() + 39 + 7;
    let aside = guided(None, vec![50, 51, 52]);
    assert_eq!((aside.usage.forward_tokens, aside.usage.hidden_tokens), (least + 3, 3));
    let straight = plain(40);
    assert_eq!(aside.tokens[..12], straight.tokens[..12]);
    assert_ne!(aside.tokens, straight.tokens);
    assert_eq!(aside.text.chars().count(), 40);
    let plan = Plan::of(push(Site::ResidPost(0), 9));
    let steered = guided(Some(plan.clone()), Vec::new());
    assert_eq!(steered.usage.forward_tokens, least + 1);
    assert_eq!(steered.fired, [1 + 27], "the last kept token and what came of it");
    // As a session would that kept the cache and ran the last kept token under the new plan.
    let mut session = rig.session(&PROMPT, Plan::empty()).unwrap();
    session.push(&straight.tokens[..11]).unwrap();
    session.run().unwrap();
    session.replan(plan, History::Keep).unwrap();
    let mut logits = session.advance(&straight.tokens[11..12]).unwrap().logits.remove(0);
    let context = Context { tokens: session.tokens(), prompt_len: PROMPT.len() };
    request(1).processors.iter().for_each(|p| p.process(&context, &mut logits).unwrap());
    let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
    assert_eq!(steered.tokens[12], best as u32);
}

#[test]
fn a_second_retry_at_the_same_place_drops_the_first_ones_guidance() {
    let rig = Rig::tiny(1024);
    let twice = |first: Vec<u32>| {
        let mut script = vec![vec![60, 2], first];
        let watch = Script(move |answer: &AnswerView| match script.len() {
            0 => go_on(answer),
            _ if answer.tokens.len() < 16 => go_on(answer),
            _ => {
                let guidance = script.pop().unwrap();
                Verdict::Retry { from: 11, plan: None, guidance, ban: Vec::new() }
            }
        });
        complete(generation(&rig, Plan::empty(), 40).watched_by(watch)).unwrap()
    };
    assert_eq!(twice(vec![50, 51, 52]).tokens, twice(vec![7]).tokens);
}

#[test]
fn a_banned_token_is_not_chosen_once() {
    let straight = plain(40);
    let banned = straight.tokens[12];
    let rig = Rig::tiny(1024);
    let retry = move || Verdict::Retry {
        from: 12,
        plan: None,
        guidance: Vec::new(),
        ban: vec![banned, u32::MAX],
    };
    let answer = complete(generation(&rig, Plan::empty(), 40).watched_by(once(20, retry))).unwrap();
    assert_eq!(answer.tokens[..12], straight.tokens[..12]);
    assert_ne!(answer.tokens[12], banned);
}

#[test]
fn a_refusal_is_text_behind_what_is_kept() {
    let rig = Rig::tiny(1024);
    for keep in [0, 9] {
        let reason =
            || StopReason::Refused { why: "guard_exhausted".into(), reply: "I cannot.".into() };
        let watch = Script(move |answer: &AnswerView| match answer.tokens.len() {
            20 => Verdict::Stop { keep, reason: reason() },
            _ => Verdict::Continue { release: 0, ask_after: 1 },
        });
        let mut shown = String::new();
        let mut one = [generation(&rig, Plan::empty(), 40).watched_by(watch)];
        run(&mut one, &mut |_, event| {
            if let trimtab_runtime::generate::Event::Text { text, .. } = event {
                shown.push_str(&text);
            }
            Flow::Continue
        })
        .unwrap();
        let [one] = one;
        let answer = one.into_answer().unwrap();
        let kept = &plain(40).text[..keep];
        let expected = if keep == 0 { "I cannot.".into() } else { format!("{kept}\n\nI cannot.") };
        assert_eq!((&answer.text, &shown), (&expected, &expected));
        assert_eq!(answer.finish, Finish::Monitor("guard_exhausted".into()));
        assert_eq!(answer.tokens.len(), keep, "one character is one token here");
    }
}

#[test]
fn a_refusal_is_not_overruled_by_another_monitor() {
    let rig = Rig::tiny(1024);
    let refuse = Script(|answer: &AnswerView| match answer.tokens.len() {
        20 => {
            let reason = StopReason::Refused { why: "no".into(), reply: "I cannot.".into() };
            Verdict::Stop { keep: 9, reason }
        }
        _ => go_on(answer),
    });
    let object = |verdict: fn() -> Verdict| {
        Script(move |answer: &AnswerView| match answer.stage {
            Stage::Ended => verdict(),
            Stage::Unfolding => Verdict::Continue { release: 0, ask_after: 1 },
        })
    };
    let kept = &plain(40).text;
    let stop = || Verdict::Stop { keep: 4, reason: StopReason::Other("also".into()) };
    for (verdict, keep) in [((|| Verdict::retry(2)) as fn() -> Verdict, 0), (stop, 0)] {
        let watched = generation(&rig, Plan::empty(), 40).watched_by(object(verdict));
        let answer = complete(watched.watched_by(Script(refuse.0))).unwrap();
        assert_eq!(answer.finish, Finish::Monitor("no".into()));
        let expected = if keep == 0 { "I cannot.".to_owned() } else { kept[..keep].to_owned() };
        assert_eq!((answer.text, answer.rewinds), (expected, 0));
    }
}

#[test]
fn far_places_are_reached_by_running_one_token() {
    let straight = plain(60);
    for plan in [Plan::empty(), Plan::of(counting_hook(Site::Final))] {
        let rig = Rig::tiny(1024);
        let straight_here = complete(generation(&rig, plan.clone(), 60)).unwrap();
        let watched = generation(&rig, plan, 60).watched_by(once(50, || Verdict::retry(5)));
        let answer = complete(watched).unwrap();
        assert_eq!(answer.tokens, straight_here.tokens);
        assert_eq!(answer.usage.forward_tokens, PROMPT.len() + 59 + 44 + 1, "one kept token");
        assert_eq!(answer.usage.completion_tokens, 60);
        assert_eq!(answer.fired, straight_here.fired, "hooks count what stays");
    }
    assert_eq!(straight.usage.forward_tokens, PROMPT.len() + 59);
}

/// Has the model read what was said so far, in so many sequences, every so many tokens.
struct Reader {
    session: Option<Session>,
    copies: usize,
    every: usize,
    read: Option<usize>,
    found: Arc<Mutex<Vec<Vec<f32>>>>,
}

impl Reader {
    fn new(rig: &Rig, copies: usize) -> (Reader, Arc<Mutex<Vec<Vec<f32>>>>) {
        let mut session = rig.session(&[8, 8, 8], Plan::empty()).unwrap();
        session.set_chunk(2);
        let found = Arc::new(Mutex::new(Vec::new()));
        let reader =
            Reader { session: Some(session), copies, every: 5, read: None, found: found.clone() };
        (reader, found)
    }
}

impl Monitor for Reader {
    fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
        let due = answer.tokens.len().is_multiple_of(self.every);
        if due && self.read != Some(answer.tokens.len()) {
            let mut session = self.session.take().expect("it came back");
            session.truncate(3)?;
            session.push(answer.tokens)?;
            self.read = Some(answer.tokens.len());
            let forks = (1..self.copies).map(|_| session.fork()).collect::<Vec<_>>();
            return Ok(Verdict::Ask(std::iter::once(session).chain(forks).collect()));
        }
        Ok(go_on(answer))
    }

    fn heard(&mut self, mut read: Vec<Heard>) -> Result<()> {
        assert!(read.iter().all(|one| one.session.pending() == 0));
        assert!(read.iter().all(|one| one.logits == read[0].logits));
        let Heard { session, logits } = read.swap_remove(0);
        self.session = Some(session);
        self.found.lock().unwrap().push(logits);
        Ok(())
    }

    fn rewind(&mut self, _: usize) {}

    fn give_way(&mut self) -> Result<()> {
        self.session.as_mut().map_or(Ok(()), |session| session.restart(session.len()))
    }
}

fn expected(rig: &Rig, tokens: &[u32]) -> Vec<Vec<f32>> {
    let read = |n: usize| {
        let mut session = rig.session(&[8, 8, 8], Plan::empty()).unwrap();
        session.advance(&tokens[..n]).unwrap().logits.remove(0)
    };
    (1..=tokens.len() / 5).map(|n| read(5 * n)).collect()
}

#[test]
fn what_a_monitor_has_the_model_read_changes_nobodys_tokens() {
    let straight = plain(23);
    for copies in [1, 4] {
        let rig = Rig::tiny(4096);
        let (reader, found) = Reader::new(&rig, copies);
        let mut all = vec![
            generation(&rig, Plan::empty(), 23),
            generation(&rig, Plan::empty(), 23).watched_by(reader),
            generation(&rig, Plan::of(counting_hook(Site::Embed)), 40),
        ];
        run(&mut all, &mut |_, _| Flow::Continue).unwrap();
        let mut all = all.into_iter().map(|one| one.into_answer().unwrap());
        assert_eq!(all.next().unwrap(), straight);
        let watched = all.next().unwrap();
        assert_eq!((&watched.tokens, &watched.text), (&straight.tokens, &straight.text));
        // Every fifth token, and the end of 23 is none of them.
        assert_eq!(*found.lock().unwrap(), expected(&rig, &straight.tokens));
        assert!(watched.usage.monitor_tokens >= copies * 5);
        assert_eq!(watched.usage.forward_tokens, PROMPT.len() + 22);
        let hooked = generation(&rig, Plan::of(counting_hook(Site::Embed)), 40);
        assert_eq!(all.next().unwrap(), complete(hooked).unwrap());
    }
}

#[test]
fn an_engine_short_of_blocks_makes_monitors_give_way_too() {
    let rig = Rig::tiny(256);
    let straight = plain(60);
    let engine = Engine::start(
        rig.decoder.clone(),
        rig.pool.clone(),
        EngineOptions { parallel: 6, ..EngineOptions::default() },
    )
    .unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let tickets: Vec<_> = (0..6)
        .map(|_| {
            let (reader, _) = Reader::new(&rig, 2);
            let job = generation(&rig, Plan::empty(), 60).watched_by(reader);
            let tell = tell.clone();
            engine
                .submit(vec![job], SubmitOptions::default(), move |notice| {
                    if let Notice::Ended { result, .. } = notice {
                        tell.send(result).unwrap();
                    }
                    Flow::Continue
                })
                .unwrap()
        })
        .collect();
    for _ in &tickets {
        assert_eq!(told.recv().unwrap().unwrap().tokens, straight.tokens);
    }
    assert!(engine.load().preempted > 0);
}

#[test]
fn monitors_sense_what_a_capture_sees() {
    type Found = Arc<Mutex<Vec<(BTreeMap<Site, Vec<f32>>, Vec<f32>)>>>;
    struct Sense(Found);
    impl Monitor for Sense {
        fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
            let sensed = answer.sensed.unwrap();
            if answer.stage == Stage::Unfolding {
                let heads = &sensed.attention[&1];
                self.0.lock().unwrap().push((sensed.activations.clone(), heads[0].clone()));
            }
            if answer.tokens.len() == 15 && answer.attempt == 0 {
                return Ok(Verdict::retry(10));
            }
            Ok(go_on(answer))
        }
        fn rewind(&mut self, tokens: usize) {
            self.0.lock().unwrap().truncate(tokens);
        }
        fn senses(&self) -> Senses {
            Senses { sites: vec![Site::ResidPost(0), Site::Embed], attention: vec![1] }
        }
    }
    let rig = Rig::tiny(1024);
    let found: Found = Arc::default();
    let steered = Plan::of(push(Site::ResidPost(0), 9));
    let answer =
        complete(generation(&rig, steered.clone(), 20).watched_by(Sense(found.clone()))).unwrap();
    let mut session = rig.session(&PROMPT, steered).unwrap();
    session.push(&answer.tokens[..19]).unwrap();
    let seen = session.capture(&[Site::ResidPost(0), Site::Embed]).unwrap();
    let found = found.lock().unwrap();
    assert_eq!(found.len(), 20);
    for (token, (activations, attention)) in found.iter().enumerate() {
        let position = PROMPT.len() - 1 + token;
        for (site, values) in activations {
            let expected = seen[site].get(position).unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(*values, expected, "{site} at {position}");
        }
        assert_eq!(attention.len(), position + 1);
        let sum: f32 = attention.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
}
