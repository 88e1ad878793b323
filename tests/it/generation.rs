//! The token loop on the tiny model: seeds, stop strings, monitors that rewind and insert, groups.

use trimtab_runtime::Result;
use trimtab_runtime::generate::{
    Answer, Event, Finish, Flow, Generation, Request, RetryBudget, complete, run, run_group,
};
use trimtab_runtime::group_sampling::{Candidate, GroupSampler};
use trimtab_runtime::logits::{Bias, Penalties};
use trimtab_runtime::monitor::{AnswerView, Monitor, Stage, StopReason, Verdict};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Sampling, SamplingParams, Step};
use trimtab_runtime::session::History;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::{copies, tiny};
use trimtab_runtime::text::TextStream;
use trimtab_tests::rig::{Rig, counting_hook, push};

const PROMPT: [u32; 6] = [3, 1, 4, 1, 5, 9];

fn sampled() -> Sampling {
    SamplingParams { temperature: 0.8, top_p: 0.95, ..SamplingParams::default() }.check().unwrap()
}

fn request(seed: u64, tokens: usize) -> Request {
    let no_end = Bias::new([(tiny::END, f32::NEG_INFINITY)]).unwrap();
    Request {
        sampling: sampled(),
        seed,
        max_tokens: Some(tokens),
        processors: vec![std::sync::Arc::new(no_end)],
        ..Request::default()
    }
}

fn generation(rig: &Rig, plan: Plan, request: Request) -> Generation {
    let session = rig.session(&PROMPT, plan).unwrap();
    Generation::new(session, tiny::tokenizer().unwrap(), request).unwrap()
}

fn answer(seed: u64, tokens: usize) -> Answer {
    complete(generation(&Rig::tiny(1024), Plan::empty(), request(seed, tokens))).unwrap()
}

#[test]
fn a_seed_decides_and_batch_mates_do_not() {
    assert_eq!(answer(7, 40), answer(7, 40));
    assert_ne!(answer(7, 40).tokens, answer(8, 40).tokens);
    let rig = Rig::tiny(4096);
    let mut all: Vec<Generation> = (0..9)
        .map(|i| {
            let plan =
                if i % 2 == 0 { Plan::empty() } else { Plan::of(counting_hook(Site::Embed)) };
            let tokens = if i == 4 { 40 } else { 5 + 7 * i };
            generation(&rig, plan, request(if i == 4 { 7 } else { 100 + i as u64 }, tokens))
        })
        .collect();
    run(&mut all, &mut |_, _| Flow::Continue).unwrap();
    let fifth = all.swap_remove(4).into_answer().unwrap();
    assert_eq!(fifth, answer(7, 40));
}

/// What texts and the tokens that begin in them add up to.
#[derive(Default)]
struct Shown {
    text: String,
    /// The byte at which each begins, and how it was chosen.
    tokens: Vec<(usize, Option<Step>)>,
}

impl Shown {
    fn take(&mut self, event: Event) {
        match event {
            Event::Text { text, first, tokens } => {
                assert_eq!(first, self.tokens.len(), "tokens are numbered on");
                assert!(tokens.iter().all(|token| token.begin < text.len()));
                let begins = tokens.into_iter().map(|t| (self.text.len() + t.begin, t.step));
                self.tokens.extend(begins);
                self.text.push_str(&text);
            }
            Event::Retracted { from } => {
                self.text.truncate(from);
                self.tokens.retain(|(begin, _)| *begin < from);
            }
            _ => {}
        }
    }

    /// That these are the tokens of an answer, each at the end of the one before it.
    fn check(self, answer: &Answer) {
        assert_eq!(self.text, answer.text);
        let steps: Vec<_> = self.tokens.iter().map(|(_, step)| step.clone()).collect();
        assert_eq!(steps, answer.steps);
        let mut stream = TextStream::new(tiny::tokenizer().unwrap());
        for token in &answer.tokens {
            stream.push(*token);
        }
        let begins = (0..answer.tokens.len()).map(|n| stream.text_len_at(n));
        assert!(begins.eq(self.tokens.into_iter().map(|(begin, _)| begin)));
    }
}

#[test]
fn events_add_up_to_the_answer() {
    let rig = Rig::tiny(1024);
    let (mut shown, mut tokens, mut done) = (Shown::default(), Vec::new(), None);
    let mut one = [generation(&rig, Plan::empty(), request(3, 30))];
    let before = copies::so_far();
    run(&mut one, &mut |_, event| {
        match event {
            Event::Text { .. } => shown.take(event),
            Event::Token(step) => tokens.push(step.token),
            Event::Done(finish) => done = Some(finish),
            other => panic!("{other:?}"),
        }
        Flow::Continue
    })
    .unwrap();
    assert_eq!(copies::so_far() - before, 30, "one copy per step");
    let [one] = one;
    let answer = one.into_answer().unwrap();
    assert_eq!((&tokens, done), (&answer.tokens, Some(Finish::Length)));
    shown.check(&answer);
    assert_eq!(answer.usage.prompt_tokens, PROMPT.len());
    assert_eq!(answer.text.chars().count(), 30);
    assert!(answer.steps.iter().all(|s| s.as_ref().is_some_and(|s| s.logprob <= 0.0)));
}

#[test]
fn a_stop_string_ends_the_answer_before_itself_and_is_never_shown() {
    let whole = answer(7, 40).text;
    let stop: String = whole.chars().skip(20).take(3).collect();
    let at = whole.find(&stop).unwrap();
    let rig = Rig::tiny(1024);
    let request = Request { stop: vec![stop.clone(), "never".into()], ..request(7, 40) };
    let mut shown = Shown::default();
    let mut one = [generation(&rig, Plan::empty(), request)];
    run(&mut one, &mut |_, event| {
        assert!(!matches!(event, Event::Retracted { .. }), "held text must not be shown");
        shown.take(event);
        Flow::Continue
    })
    .unwrap();
    let [one] = one;
    let answer = one.into_answer().unwrap();
    assert_eq!(answer.text, whole[..at]);
    shown.check(&answer);
    assert_eq!(answer.finish, Finish::StopString(stop));
}

#[test]
fn the_end_token_ends_and_cancelling_ends() {
    let rig = Rig::tiny(1024);
    let only_end = Bias::new((0..62).chain([63]).map(|t| (t, f32::NEG_INFINITY))).unwrap();
    let ending = Request { processors: vec![std::sync::Arc::new(only_end)], ..request(1, 9) };
    let ended = complete(generation(&rig, Plan::empty(), ending)).unwrap();
    assert_eq!((ended.finish, ended.text.as_str()), (Finish::EndToken(tiny::END), ""));
    let mut one = [generation(&rig, Plan::empty(), request(1, 30))];
    let mut tokens = 0;
    run(&mut one, &mut |_, event| {
        tokens += usize::from(matches!(event, Event::Token(_)));
        if tokens == 5 { Flow::Cancel } else { Flow::Continue }
    })
    .unwrap();
    let [one] = one;
    assert_eq!((one.into_answer().unwrap().finish, tokens), (Finish::Cancelled, 5));
}

#[test]
fn a_full_context_ends_the_answer() {
    let rig = Rig::tiny(2048);
    let session = rig.session(&[5; tiny::CONTEXT - 3], Plan::empty()).unwrap();
    let request = Request { max_tokens: None, ..request(1, 1) };
    let generation = Generation::new(session, tiny::tokenizer().unwrap(), request).unwrap();
    let answer = complete(generation).unwrap();
    // Three more fit as input; the token after them needs no place.
    assert_eq!((answer.finish, answer.tokens.len()), (Finish::ContextFull, 4));
}

#[test]
fn penalties_change_the_draw_and_rewinds_do_not_disturb_them() {
    let rig = Rig::tiny(1024);
    let strong = Penalties { repeat: 1.5, presence: 1.0, frequency: 1.0 }.check().unwrap();
    let mut processors = request(7, 40).processors;
    processors.push(std::sync::Arc::new(strong));
    let penalised = Request { processors, ..request(7, 40) };
    let straight = complete(generation(&rig, Plan::empty(), penalised.clone())).unwrap();
    assert_ne!(straight.tokens, answer(7, 40).tokens);
    // An attempt is part of a draw's key, so compare a greedy answer instead.
    let greedy = Request { sampling: Sampling::Greedy, ..penalised };
    let straight = complete(generation(&rig, Plan::empty(), greedy.clone())).unwrap();
    let watched = generation(&rig, Plan::empty(), greedy).watched_by(Rewinder::at(&[20, 33], 5));
    let rewound = complete(watched).unwrap();
    assert_eq!((rewound.tokens, rewound.text), (straight.tokens, straight.text));
    assert_eq!((rewound.rewinds, rewound.usage.discarded_tokens), (2, 10));
}

/// Rewinds by a few tokens, once at each of the given lengths.
struct Rewinder {
    at: Vec<usize>,
    by: usize,
    guidance: Vec<u32>,
    plan: Option<(Plan, History)>,
    told: Vec<usize>,
}

impl Rewinder {
    fn at(at: &[usize], by: usize) -> Self {
        Rewinder { at: at.to_vec(), by, guidance: Vec::new(), plan: None, told: Vec::new() }
    }
}

impl Monitor for Rewinder {
    fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
        if let Some(due) = self.at.iter().position(|n| *n == answer.tokens.len()) {
            let from = self.at.remove(due) - self.by;
            let (plan, guidance) = (self.plan.clone(), self.guidance.clone());
            return Ok(Verdict::Retry { from, plan, guidance, ban: Vec::new() });
        }
        // Nothing is shown before the end.
        let release = if answer.stage == Stage::Ended { answer.text.len() } else { 0 };
        Ok(Verdict::Continue { release, ask_after: 1 })
    }

    fn rewind(&mut self, tokens: usize) {
        self.told.push(tokens);
    }
}

#[test]
fn a_retry_under_another_plan_with_guidance_goes_another_way() {
    let rig = Rig::tiny(1024);
    let straight = answer(7, 40);
    let mut rewinder = Rewinder::at(&[20], 8);
    rewinder.guidance = vec![50, 51];
    rewinder.plan = Some((Plan::of(push(Site::ResidPost(0), 9)), History::Keep));
    let plan = Plan::of(counting_hook(Site::MlpOut(0)));
    let mut events = Vec::new();
    let mut one = [generation(&rig, plan, request(7, 40)).watched_by(rewinder)];
    run(&mut one, &mut |_, e| {
        events.push(e);
        Flow::Continue
    })
    .unwrap();
    let [one] = one;
    let answer = one.into_answer().unwrap();
    assert!(events.contains(&Event::Rewound { from: 12, attempt: 1 }));
    assert_eq!(answer.tokens.len(), 40);
    assert_ne!(answer.tokens[12..], straight.tokens[12..]);
    // Guidance is fed and never shown: the text is that of the answer's tokens alone.
    assert_eq!(answer.text.chars().count(), 40);
    assert_eq!(answer.fired, [2 + 27], "nothing kept is run again");
}

#[test]
fn a_monitor_that_always_objects_ends_within_its_budget() {
    struct Never;
    impl Monitor for Never {
        fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
            let from = answer.tokens.len().saturating_sub(3);
            Ok(Verdict::retry(from))
        }
        fn rewind(&mut self, _: usize) {}
    }
    let rig = Rig::tiny(1024);
    let budget = RetryBudget { rewinds: 7, discarded: 100 };
    let stubborn = Request { retries: budget, ..request(1, 30) };
    let answer = complete(generation(&rig, Plan::empty(), stubborn).watched_by(Never)).unwrap();
    assert_eq!((answer.finish, answer.rewinds), (Finish::RetriesExhausted, 7));
    assert_eq!(answer.text, "", "what was not released is dropped");
}

#[test]
fn text_that_was_shown_is_taken_back_in_the_open() {
    struct Late;
    impl Monitor for Late {
        fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
            if answer.tokens.len() == 10 && answer.attempt == 0 {
                return Ok(Verdict::retry(4));
            }
            Ok(Verdict::Continue { release: answer.text.len(), ask_after: 1 })
        }
        fn rewind(&mut self, _: usize) {}
    }
    let rig = Rig::tiny(1024);
    let mut shown = Shown::default();
    let mut one = [generation(&rig, Plan::empty(), request(7, 30)).watched_by(Late)];
    run(&mut one, &mut |_, event| {
        shown.take(event);
        Flow::Continue
    })
    .unwrap();
    let [one] = one;
    shown.check(&one.into_answer().unwrap());
}

#[test]
fn inserted_tokens_are_shown_and_the_model_goes_on_after_them() {
    struct Insert(Option<usize>);
    impl Monitor for Insert {
        fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
            if self.0.is_some_and(|at| answer.tokens.len() >= at) {
                self.0 = None;
                return Ok(Verdict::Insert(vec![0, 1, 2]));
            }
            if answer.tokens.len() > 20 {
                let reason = StopReason::Other("enough".into());
                return Ok(Verdict::Stop { keep: 12, reason });
            }
            Ok(Verdict::Continue { release: answer.text.len(), ask_after: 2 })
        }
        fn rewind(&mut self, _: usize) {}
    }
    let rig = Rig::tiny(1024);
    let watched = generation(&rig, Plan::empty(), request(7, 40)).watched_by(Insert(Some(5)));
    let inserted = complete(watched).unwrap();
    let straight = answer(7, 40);
    assert_eq!(inserted.tokens[..5], straight.tokens[..5]);
    assert_eq!(inserted.tokens[5..8], [0, 1, 2]);
    assert!(inserted.steps[5].is_none() && inserted.steps[8].is_some());
    assert_eq!(inserted.finish, Finish::Monitor("enough".into()));
    assert_eq!(inserted.text.len(), 12);
    // What follows is what the model says after exactly these tokens.
    let session = rig.session(&PROMPT, Plan::empty()).unwrap();
    let mut session = session;
    session.push(&inserted.tokens[..8]).unwrap();
    let logits = session.run().unwrap().logits.remove(0);
    let masked: Vec<f32> = logits
        .iter()
        .enumerate()
        .map(|(i, l)| if i == tiny::END as usize { f32::NEG_INFINITY } else { *l })
        .collect();
    let draw = trimtab_runtime::sample::Draw {
        seed: 7,
        choice: 0,
        purpose: trimtab_runtime::sample::Purpose::Token,
        attempt: 0,
        position: session.len(),
    };
    assert_eq!(sampled().choose(&masked, &draw).unwrap(), inserted.tokens[8]);
}

#[test]
fn a_group_sampler_chooses_for_answers_in_lockstep() {
    /// The token that both rows together like best.
    struct Agree;
    impl GroupSampler for Agree {
        fn choose(&mut self, rows: &[Candidate]) -> Result<Vec<u32>> {
            let sum = |t: usize| rows.iter().map(|r| r.logits[t]).sum::<f32>();
            let best = (0..62).max_by(|a, b| sum(*a).total_cmp(&sum(*b))).unwrap() as u32;
            Ok(vec![best; rows.len()])
        }
    }
    let rig = Rig::tiny(1024);
    let steered = Plan::of(push(Site::ResidPost(1), 4));
    let long = {
        let session = rig.session(&[9; 600], steered).unwrap();
        Generation::new(session, tiny::tokenizer().unwrap(), request(1, 12)).unwrap()
    };
    let mut arms = [generation(&rig, Plan::empty(), request(1, 12)), long];
    run_group(&mut arms, &mut Agree, &mut |_, _| Flow::Continue).unwrap();
    let [a, b] = arms.map(|arm| arm.into_answer().unwrap());
    assert_eq!(a.tokens, b.tokens);
    assert_eq!(a.tokens.len(), 12);
}

/// Gives each answer the token it would get alone, and notes what it hears.
#[derive(Default)]
struct Own(Vec<String>);

impl GroupSampler for Own {
    fn choose(&mut self, rows: &[Candidate]) -> Result<Vec<u32>> {
        rows.iter().map(Candidate::own_choice).collect()
    }

    fn rewind(&mut self, index: usize, tokens: usize) {
        self.0.push(format!("{index} goes back to {tokens}"));
    }

    fn end(&mut self, index: usize) {
        self.0.push(format!("{index} ends"));
    }
}

#[test]
fn a_group_hears_of_rewinds_and_loses_only_what_fails() {
    let rig = Rig::tiny(2048);
    let watched =
        || generation(&rig, Plan::empty(), request(1, 10)).watched_by(Rewinder::at(&[6], 4));
    let steered = || generation(&rig, Plan::of(push(Site::ResidPost(1), 4)), request(1, 14));
    let nan = trimtab_runtime::hook::hook_fn([Site::ResidPost(0)], |_, x, _| {
        let stream = (x * f64::NAN).map_err(trimtab_runtime::Error::tensor("nan"))?;
        Ok(trimtab_runtime::hook::Edit::Replace { stream, positions: 1 })
    });
    let failing = generation(&rig, Plan::of(nan), request(1, 10));
    let mut sampler = Own::default();
    let mut group = [watched(), failing, steered()];
    run_group(&mut group, &mut sampler, &mut |_, _| Flow::Continue).unwrap();
    let [a, b, c] = group.map(Generation::into_answer);
    assert_eq!(sampler.0, ["1 ends", "0 goes back to 2", "0 ends", "2 ends"]);
    assert!(b.is_err());
    for (found, alone) in [(a.unwrap(), watched()), (c.unwrap(), steered())] {
        let alone = complete(alone).unwrap();
        assert_eq!((found.tokens, found.rewinds), (alone.tokens, alone.rewinds));
    }
}

#[test]
fn a_long_prompt_is_reported_and_can_be_cancelled() {
    let rig = Rig::tiny(2048);
    let start = || {
        let mut session = rig.session(&[7; 100], Plan::empty()).unwrap();
        session.set_chunk(30);
        Generation::new(session, tiny::tokenizer().unwrap(), request(1, 3)).unwrap()
    };
    let mut parts = Vec::new();
    run(&mut [start()], &mut |_, event| {
        if let Event::Prefilled { tokens } = event {
            parts.push(tokens);
        }
        Flow::Continue
    })
    .unwrap();
    assert_eq!(parts, [30, 60, 90]);
    let mut one = [start()];
    run(&mut one, &mut |_, _| Flow::Cancel).unwrap();
    let [one] = one;
    let (answer, session) = one.into_parts().unwrap();
    assert_eq!((answer.finish, session.pending()), (Finish::Cancelled, 70));
}

/// Fails at its n-th token.
fn failing(at: usize) -> Plan {
    let mut seen = 0;
    Plan::of(trimtab_runtime::hook::hook_fn([Site::ResidMid(1)], move |_, stream, pass| {
        seen += pass.tokens.len();
        if seen < at {
            return Ok(trimtab_runtime::hook::Edit::Keep);
        }
        let stream = (stream * f64::NAN).map_err(trimtab_runtime::Error::tensor("nan"))?;
        Ok(trimtab_runtime::hook::Edit::Replace { stream, positions: pass.tokens.len() })
    }))
}

#[test]
fn what_fails_ends_alone() {
    let rig = Rig::tiny(4096);
    let hooked = || Plan::of(counting_hook(Site::Embed));
    let alone = complete(generation(&rig, hooked(), request(7, 30))).unwrap();
    let mut all = vec![
        generation(&rig, hooked(), request(7, 30)),
        generation(&rig, failing(PROMPT.len() + 9), request(1, 30)),
        generation(&rig, Plan::empty(), request(8, 30)),
    ];
    run(&mut all, &mut |_, _| Flow::Continue).unwrap();
    let failed = all.remove(1).into_answer().unwrap_err();
    assert_eq!(failed.to_string(), "resid_mid.1 is not finite at position 14");
    assert_eq!(all.remove(0).into_answer().unwrap(), alone);
    assert_eq!(all.remove(0).into_answer().unwrap(), answer(8, 30));
}

#[test]
fn two_retries_around_a_change_of_plan() {
    /// Retries at 12 tokens under another plan, then further back without naming one.
    struct Twice(History);
    impl Monitor for Twice {
        fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
            let release = answer.text.len();
            Ok(match (answer.attempt, answer.tokens.len()) {
                (0, 12) => {
                    let plan = Some((Plan::of(push(Site::ResidPost(0), 9)), self.0));
                    Verdict::Retry { from: 8, plan, guidance: vec![50, 51], ban: Vec::new() }
                }
                (1, 14) => {
                    Verdict::Retry { from: 5, plan: None, guidance: vec![40], ban: Vec::new() }
                }
                _ => Verdict::Continue { release, ask_after: 1 },
            })
        }
        fn rewind(&mut self, _: usize) {}
    }
    let rig = Rig::tiny(1024);
    for history in [History::Keep, History::Recompute] {
        let watched = generation(&rig, Plan::empty(), request(7, 30)).watched_by(Twice(history));
        let answer = complete(watched).unwrap();
        assert_eq!((answer.tokens.len(), answer.rewinds), (30, 2), "{history:?}");
        assert_eq!(answer.tokens[..5], self::answer(7, 30).tokens[..5]);
        // The second plan is still in force, and the first guidance is gone.
        let expected = match history {
            History::Keep => 1 + 24,
            History::Recompute => PROMPT.len() as u64 + 5 + 1 + 24,
        };
        assert_eq!(answer.fired, [expected], "{history:?}");
    }
}

#[test]
fn a_stop_string_does_not_show_what_another_monitor_holds() {
    struct Hold;
    impl Monitor for Hold {
        fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
            if answer.stage == Stage::Ended {
                let reason = StopReason::Other("refused".into());
                return Ok(Verdict::Stop { keep: 4, reason });
            }
            Ok(Verdict::Continue { release: 0, ask_after: usize::MAX })
        }
        fn rewind(&mut self, _: usize) {}
    }
    let whole = answer(7, 40).text;
    let stop: String = whole.chars().skip(20).take(3).collect();
    let rig = Rig::tiny(1024);
    let request = Request { stop: vec![stop], ..request(7, 40) };
    let answer = complete(generation(&rig, Plan::empty(), request).watched_by(Hold)).unwrap();
    assert_eq!(answer.finish, Finish::Monitor("refused".into()));
    assert_eq!((answer.text.as_str(), answer.tokens.len()), ("", 0));
}
