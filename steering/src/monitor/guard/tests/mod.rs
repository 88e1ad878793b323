//! The guard on the tiny model, with scripted perceivers.

mod ends;

use super::*;
use crate::monitor::detect::Detector;
use crate::monitor::guidance::{Asides, Level};
use crate::monitor::policy::{BuiltIn, Caps, Policy, State};
use crate::monitor::record::RetryOutcome;
use crate::monitor::sharpness::{Sharpness, Sink};
use crate::monitor::watch::{Cadence, Duty, Then};
use crate::monitor::{Action, Lexical};
use trimtab_runtime::Model;
use trimtab_runtime::generate::{
    Answer, Event, Finish, Flow, Generation, Request, RetryBudget, complete, run,
};
use trimtab_runtime::logits::{Bias, LogitsProcessor, Penalties};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::{Draw, Purpose, Sampling, SamplingParams};
use trimtab_runtime::testing::tiny;

const PROMPT: [u32; 5] = [3, 1, 4, 1, 5];

fn model() -> Model {
    tiny::model(8192).unwrap()
}

fn request(tokens: usize, temperature: f32) -> Request {
    let no_end = Bias::new([(tiny::END, f32::NEG_INFINITY)]).unwrap();
    let penalties = Penalties { repeat: 1.5, presence: 1.0, frequency: 1.0 }.check().unwrap();
    let processors: Vec<Arc<dyn LogitsProcessor>> = vec![Arc::new(no_end), Arc::new(penalties)];
    let sampling = match temperature {
        0.0 => Sampling::Greedy,
        t => SamplingParams { temperature: t, ..SamplingParams::default() }.check().unwrap(),
    };
    let retries = RetryBudget { rewinds: 10, discarded: 4096 };
    Request {
        max_tokens: Some(tokens),
        processors,
        sampling,
        seed: 5,
        retries,
        ..Request::default()
    }
}

fn generation(model: &Model, request: Request) -> Generation {
    let mut session = model.session(Plan::empty()).unwrap();
    session.push_prompt(&PROMPT).unwrap();
    Generation::new(session, model.tokenizer().unwrap().clone(), request).unwrap()
}

fn plain(tokens: usize, temperature: f32) -> Answer {
    complete(generation(&model(), request(tokens, temperature))).unwrap()
}

/// A perceiver that is a function of the answer's length and attempt.
struct Script<F>(F);

impl<F: FnMut(&AnswerView) -> Action + Send> Detector for Script<F> {
    fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection> {
        let action = (self.0)(answer);
        Ok(Detection::Found(Finding::new(action, 1.0, 0.5)))
    }
    fn rewind(&mut self, _: usize) {}
}

fn watch(script: impl FnMut(&AnswerView) -> Action + Send + 'static) -> Watch {
    Watch::new("script", Script(script))
}

/// What a client sees of an answer, and everything that was taken back.
struct Seen {
    answer: Answer,
    text: String,
    retracted: Vec<usize>,
    record: Record,
}

fn guarded(watches: Vec<Watch>, rules: Rules, request: Request) -> Seen {
    let (guard, records) = Guard::new(watches, rules).unwrap();
    let mut one = [generation(&model(), request).watched_by(guard)];
    let (mut text, mut retracted) = (String::new(), Vec::new());
    run(&mut one, &mut |_, event| {
        match event {
            Event::Text { text: more, .. } => text.push_str(&more),
            Event::Retracted { from } => {
                retracted.push(from);
                text.truncate(from);
            }
            _ => {}
        }
        Flow::Continue
    })
    .unwrap();
    let [one] = one;
    Seen { answer: one.into_answer().unwrap(), text, retracted, record: records.read() }
}

fn hit_at(at: usize, times: u32) -> impl FnMut(&AnswerView) -> Action + Send {
    move |answer| {
        let due = answer.tokens.len() == at && answer.attempt < times;
        if due { Action::Rollback } else { Action::Continue }
    }
}

#[test]
fn a_guard_that_never_fires_changes_no_bit() {
    for temperature in [0.0, 0.9] {
        let straight = plain(90, temperature);
        for stream in [Stream::Hold, Stream::Retract] {
            let sharp = RewindTo::Sharpness(Sharpness::new(0.1, Sink::Excluded, 2).unwrap());
            for rewind in [RewindTo::Clean, RewindTo::Fixed { window: 3 }, sharp] {
                let rules = Rules { stream, rewind, ..Rules::default() };
                let seen =
                    guarded(vec![watch(|_| Action::Continue)], rules, request(90, temperature));
                let Answer { text, tokens, steps, finish, usage, .. } = seen.answer;
                assert_eq!((&text, &tokens), (&straight.text, &straight.tokens));
                assert_eq!((&steps, &finish), (&straight.steps, &straight.finish));
                assert_eq!(usage, straight.usage, "nothing is run twice");
                assert_eq!((seen.text, seen.record.outcome), (text, Outcome::Clean));
                assert_eq!(seen.record.checks.len(), 90);
            }
        }
    }
}

#[test]
fn a_rewind_without_guidance_gives_the_same_greedy_text() {
    let seen = guarded(vec![watch(hit_at(50, 1))], Rules::default(), request(90, 0.0));
    let straight = plain(90, 0.0);
    assert_eq!((&seen.answer.tokens, &seen.answer.steps), (&straight.tokens, &straight.steps));
    assert_eq!((seen.text.as_str(), seen.record.outcome), (&*straight.text, Outcome::Recovered));
    assert!(seen.retracted.is_empty());
    let [one] = seen.record.interventions.as_slice() else { panic!("{:?}", seen.record) };
    // The first 32 tokens were a clean boundary.
    assert_eq!((one.from, one.at, one.attempt, one.rule), (32, 50, 1, "clean"));
    assert_eq!(
        (one.span.as_slice(), one.sequel),
        (&straight.tokens[32..50], RetryOutcome::Recovered)
    );
    assert_eq!(one.text, straight.text[32..50]);
    // The newest token of a discarded span was never run.
    let expected = straight.usage.forward_tokens + 18 - 1;
    assert_eq!(seen.answer.usage.forward_tokens, expected);
}

#[test]
fn an_aside_stays_out_of_the_answer_and_out_of_what_is_judged() {
    let model = model();
    let policy = Policy::built_in(BuiltIn::Default).unwrap();
    let asides =
        Arc::new(Asides::plain(&model, policy.catalogue()).unwrap_or_else(|_| short(&model)));
    let aside = asides.tokens(None, Level::Guide).len();
    let judged: Arc<Mutex<Vec<Vec<u32>>>> = Arc::default();
    let sees = judged.clone();
    let script = move |answer: &AnswerView| {
        sees.lock().unwrap().push(answer.tokens.to_vec());
        hit_at(50, 1)(answer)
    };
    let rules = Rules { guidance: Guidance::Text(asides), ..Rules::default() };
    let seen = guarded(vec![watch(script)], rules, request(90, 0.0));
    let straight = plain(90, 0.0);
    assert_eq!(seen.answer.tokens[..32], straight.tokens[..32]);
    assert_ne!(seen.answer.tokens, straight.tokens);
    assert_eq!(seen.answer.text.chars().count(), 90, "one character is one token here");
    assert_eq!(seen.answer.usage.hidden_tokens, aside);
    assert_eq!(seen.record.interventions[0].guidance, "text:general:1");
    let judged = judged.lock().unwrap();
    let last = judged.last().unwrap();
    assert_eq!(*last, seen.answer.tokens, "judged without the aside");
}

/// A catalogue that fits the tiny model, which spells every character.
fn short(model: &Model) -> Asides {
    let text = "name = \"short\"\nextends = \"default\"\n".to_owned()
        + &["S", "A", "E", "general"]
            .map(|axis| {
                format!("[guidance.{axis}]\n1 = \"mind\"\n2 = \"mind it\"\n3 = \"decline\"\n")
            })
            .concat();
    Asides::plain(model, Policy::parse(&text).unwrap().catalogue()).unwrap()
}

#[test]
fn always_firing_ends_within_every_cap_and_fails_closed() {
    let caps = |rewinds, discarded| Caps { rewinds, discarded, ..Caps::default() };
    // A span is as long as it takes to be looked at: 5 tokens of an answer whose first 4 are let be.
    for (caps, temperature, rewinds) in [
        (caps(4, 256), 0.9, 4),
        (caps(0, 256), 0.9, 0),
        (caps(10, 12), 0.9, 2),
        (caps(10, 4096), 0.0, 10),
    ] {
        let watch = Watch { min_tokens: 5, ..watch(|_| Action::Rollback) };
        let rules = Rules { caps, ..Rules::default() };
        let Seen { answer, text, record, .. } =
            guarded(vec![watch], rules, request(90, temperature));
        assert_eq!(answer.finish, Finish::Monitor("guard_exhausted".into()));
        assert_eq!((text.as_str(), answer.text.as_str()), ("I can't help with that.", &*text));
        assert_eq!((answer.tokens.len(), record.outcome), (0, Outcome::Exhausted));
        assert_eq!((record.rewinds().count(), answer.rewinds), (rewinds, rewinds as u32));
        assert_eq!((record.hits, record.checks.len()), (rewinds + 1, rewinds + 1));
        assert_eq!(answer.usage.discarded_tokens, 5 * rewinds);
        assert_eq!(record.interventions.len(), rewinds + 1, "the end is on record too");
        assert_eq!(record.interventions.last().unwrap().sequel, RetryOutcome::Exhausted);
    }
}

#[test]
fn a_span_that_comes_back_is_banned_and_the_third_time_ends_it() {
    // Greedy and unguided: the first retry repeats the span, the second may not begin with its first token.
    let watch = Watch { min_tokens: 6, ..watch(|_| Action::Rollback) };
    let seen = guarded(vec![watch], Rules::default(), request(90, 0.0));
    let all: Vec<&super::super::record::GuardAction> = seen.record.interventions.iter().collect();
    assert_eq!(all[0].hash, all[1].hash);
    assert!(all[0].ban.is_empty());
    assert_eq!(all[1].ban, [all[0].span[0]]);
    assert!(all[2].span[0] != all[0].span[0] && all[2].ban.contains(&all[2].span[0]));
    // Where bans are left out by chance the same span comes a third time: a hash that does not change.
    let mut ledger = Ledger::default();
    let counts: Vec<u32> = (0..3).map(|_| ledger.reject(0, &[1, 2], "same")).collect();
    assert_eq!((counts, ledger.rejections(0, "same")), (vec![1, 2, 3], 3));
    assert_eq!(ledger.rejections(7, "same"), 0, "elsewhere it is another mistake");
}

#[test]
fn means_that_are_exhausted_may_end_the_answer_or_let_it_be() {
    let run = |on_exhausted| {
        let caps = Caps { rewinds: 1, ..Caps::default() };
        let rules = Rules { caps, on_exhausted, refusal: "No.".into(), ..Rules::default() };
        guarded(vec![watch(hit_at(40, 9))], rules, request(60, 0.0))
    };
    let straight = plain(60, 0.0);
    let stopped = run(OnExhausted::Stop);
    assert_eq!(stopped.text, straight.text[..32]);
    assert_eq!(stopped.answer.finish, Finish::Monitor("guard_exhausted".into()));
    let kept = run(OnExhausted::Keep);
    assert_eq!((kept.text, kept.answer.finish), (straight.text.clone(), Finish::Length));
    assert_eq!(
        (kept.record.outcome, kept.record.why.as_deref()),
        (Outcome::Flagged, Some("guard_exhausted"))
    );
    let refused = run(OnExhausted::Refuse);
    assert_eq!(refused.text, format!("{}\n\nNo.", &straight.text[..32]));
}

#[test]
fn patience_waits_for_hits_in_a_row() {
    let at = |wanted: &'static [usize]| {
        watch(move |answer: &AnswerView| {
            let hit = wanted.contains(&answer.tokens.len()) && answer.attempt == 0;
            if hit { Action::Rollback } else { Action::Continue }
        })
    };
    let patient = |wanted| Watch { patience: 3, ..at(wanted) };
    let seen = guarded(vec![patient(&[10, 11, 13, 14])], Rules::default(), request(60, 0.0));
    assert_eq!((seen.record.hits, seen.record.interventions.len()), (4, 0));
    assert_eq!(seen.text, plain(60, 0.0).text);
    let seen = guarded(vec![patient(&[10, 11, 12])], Rules::default(), request(60, 0.0));
    assert_eq!(seen.record.interventions[0].at, 12);
    // Hits that the answer's end leaves unresolved are told.
    let seen = guarded(vec![patient(&[59, 60])], Rules::default(), request(60, 0.0));
    assert_eq!((seen.record.outcome, seen.text), (Outcome::Flagged, plain(60, 0.0).text));
}

#[test]
fn all_watches_must_agree_where_that_is_asked() {
    let always = |from: usize| {
        watch(move |answer: &AnswerView| match answer.tokens.len() >= from && answer.attempt == 0 {
            true => Action::Rollback,
            false => Action::Continue,
        })
    };
    let at = |combine| {
        let rules = Rules { combine, ..Rules::default() };
        guarded(vec![always(10), always(20)], rules, request(60, 0.0)).record.interventions[0].at
    };
    assert_eq!((at(Combine::Any), at(Combine::All)), (10, 20));
}

#[test]
fn what_cannot_be_told_ends_the_answer_or_flags_it() {
    let blind = |duty| Watch { cadence: Cadence::Sentence, duty, ..watch(|_| Action::Unknown) };
    let seen = guarded(vec![blind(Duty::Mandatory)], Rules::default(), request(200, 0.0));
    assert_eq!(seen.answer.finish, Finish::Monitor("guard_exhausted".into()));
    assert_eq!(seen.text, "I can't help with that.");
    let at: Vec<usize> = seen.record.checks.iter().map(|check| check.at).collect();
    assert!(at.len() == 3 && at.last().is_some_and(|at| *at <= 64), "{at:?}");
    let seen = guarded(vec![blind(Duty::Advisory)], Rules::default(), request(200, 0.0));
    assert_eq!((seen.record.outcome, &seen.text), (Outcome::Flagged, &plain(200, 0.0).text));
    assert!(seen.record.held <= 64, "{}", seen.record.held);
    // One check is enough where no watch looks again.
    let seen = guarded(vec![blind(Duty::Mandatory)], Rules::default(), request(5, 0.0));
    assert_eq!(seen.text, "I can't help with that.");
    // A perceiver that fails has not seen that all is well.
    struct Broken;
    impl Detector for Broken {
        fn detect(&mut self, _: &AnswerView) -> trimtab_runtime::Result<Detection> {
            Err(trimtab_runtime::Error::Misuse("broken"))
        }
        fn rewind(&mut self, _: usize) {}
    }
    let broken = Watch { duty: Duty::Mandatory, ..Watch::new("broken", Broken) };
    let seen = guarded(vec![broken], Rules::default(), request(60, 0.0));
    assert_eq!((seen.record.checks.len(), seen.record.outcome), (3, Outcome::Exhausted));
    assert_eq!(seen.record.checks[0].note.as_deref(), Some("broken"));
}

#[test]
fn a_watch_may_stop_or_only_tell() {
    let stop = Watch { then: Then::Stop, ..watch(hit_at(40, 1)) };
    let seen = guarded(vec![stop], Rules::default(), request(60, 0.0));
    assert_eq!(seen.answer.finish, Finish::Monitor("stopped: script".into()));
    assert_eq!(
        (seen.text.as_str(), seen.record.outcome),
        (&plain(60, 0.0).text[..32], Outcome::Stopped)
    );
    let report = Watch { then: Then::Report, ..watch(hit_at(40, 1)) };
    let seen = guarded(vec![report], Rules::default(), request(60, 0.0));
    assert_eq!((seen.text, seen.record.outcome), (plain(60, 0.0).text, Outcome::Flagged));
    assert_eq!((seen.record.hits, seen.record.held), (1, 0), "it holds nothing back");
}

/// A number for everything that may be tried, the same every time.
fn number(seed: u64, purpose: usize, of: &AnswerView) -> f64 {
    Draw {
        seed,
        choice: purpose as u32,
        purpose: Purpose::Token,
        attempt: of.attempt,
        position: of.tokens.len(),
    }
    .uniform()
}

fn random(seed: u64) -> impl FnMut(&AnswerView) -> Action + Send {
    move |answer| match number(seed, 1, answer) {
        x if x < 0.04 => Action::Rollback,
        x if x < 0.08 => Action::Unknown,
        x if x < 0.12 => Action::Watch,
        _ => Action::Continue,
    }
}

fn rules_of(seed: u64, stream: Stream) -> Rules {
    let sharp = RewindTo::Sharpness(Sharpness::new(0.1, Sink::Excluded, 2).unwrap());
    let rewind = match seed % 4 {
        0 => RewindTo::Clean,
        1 => RewindTo::Fixed { window: 1 + (seed % 7) as usize },
        2 => RewindTo::Drawn { seed },
        _ => sharp,
    };
    let on_exhausted = match seed % 3 {
        0 => OnExhausted::Keep,
        1 => OnExhausted::Stop,
        _ => OnExhausted::Refuse,
    };
    Rules { rewind, on_exhausted, refusal: "No.".into(), stream, ..Rules::default() }
}

fn watches_of(seed: u64) -> Vec<Watch> {
    let first = Watch { patience: 1 + (seed % 3) as usize, ..watch(random(seed)) };
    let second = Watch {
        cadence: if seed.is_multiple_of(2) { Cadence::Sentence } else { Cadence::Tokens(4) },
        // Only a refusal goes with a watch that must be able to tell.
        duty: if seed % 3 == 2 { Duty::Mandatory } else { Duty::Advisory },
        min_tokens: 8,
        ..watch(random(seed + 1))
    };
    vec![first, second]
}

#[test]
fn held_text_is_never_taken_back_and_retractions_add_up() {
    let model = model();
    for batch in 0..125 {
        let mut all = Vec::new();
        for seed in batch * 8..batch * 8 + 8 {
            let stream = if seed % 8 < 4 { Stream::Hold } else { Stream::Retract };
            let (guard, _) = Guard::new(watches_of(seed), rules_of(seed, stream)).unwrap();
            let request = Request { seed, ..request(70, 0.9) };
            all.push(generation(&model, request).watched_by(guard));
        }
        let mut texts = vec![String::new(); 8];
        run(&mut all, &mut |who, event| {
            match event {
                Event::Text { text: more, .. } => texts[who].push_str(&more),
                Event::Retracted { from } => {
                    assert!(
                        who >= 4,
                        "held text was taken back, pattern {}",
                        batch * 8 + who as u64
                    );
                    texts[who].truncate(from);
                }
                _ => {}
            }
            Flow::Continue
        })
        .unwrap();
        for (one, text) in all.into_iter().zip(texts) {
            let answer = one.into_answer().unwrap();
            assert_eq!(answer.text, text);
            assert!(answer.rewinds <= 4 && answer.usage.discarded_tokens <= 256);
        }
    }
}

#[test]
fn guarded_conversations_together_are_what_each_is_alone() {
    let solo = |seed| guarded(watches_of(seed), rules_of(seed, Stream::Hold), request(70, 0.9));
    let model = model();
    let mut both: Vec<Generation> = [2, 7]
        .map(|seed| {
            let (guard, _) = Guard::new(watches_of(seed), rules_of(seed, Stream::Hold)).unwrap();
            generation(&model, request(70, 0.9)).watched_by(guard)
        })
        .into();
    run(&mut both, &mut |_, _| Flow::Continue).unwrap();
    for (one, seed) in both.into_iter().zip([2, 7]) {
        assert_eq!(one.into_answer().unwrap(), solo(seed).answer, "{seed}");
    }
}

#[test]
fn in_the_open_the_second_rewind_goes_further_back() {
    let from = |stream| {
        let rules = Rules { stream, ..Rules::default() };
        let seen = guarded(vec![watch(hit_at(70, 2))], rules, request(90, 0.0));
        seen.record.rewinds().map(|one| one.from).collect::<Vec<_>>()
    };
    assert_eq!(from(Stream::Hold), [64, 64]);
    assert_eq!(from(Stream::Retract), [64, 32]);
}

#[test]
fn words_are_taken_back_from_where_they_begin() {
    let straight = plain(60, 0.0).text;
    let word: String = straight.chars().skip(20).take(3).collect();
    let at = straight.find(&word).unwrap();
    let words = Lexical::new(std::slice::from_ref(&word), &[]).unwrap();
    let seen = guarded(vec![Watch::new("text", words)], Rules::default(), request(60, 0.0));
    assert!(!seen.text.contains(&word), "{} in {}", word, seen.text);
    assert!(seen.text.starts_with(&straight[..at.min(32)]) || at < 32);
    let [first, ..] = seen.record.interventions.as_slice() else { panic!("{:?}", seen.record) };
    assert_eq!((first.from, first.at), (0, at + 3));
    // Fixed, back to where the word began at least; and nothing that could become the word was shown.
    let words = Lexical::new(std::slice::from_ref(&word), &[]).unwrap();
    let rules = Rules { rewind: RewindTo::Fixed { window: 1 }, ..Rules::default() };
    let seen = guarded(vec![Watch::new("text", words)], rules, request(60, 0.0));
    assert!(!seen.text.contains(&word));
    assert_eq!(seen.record.interventions[0].from, at);
}

/// Objects to an answer's last word once nothing can follow it.
struct LastWord;

impl Detector for LastWord {
    fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection> {
        let over = answer.stage == Stage::Ended && answer.attempt == 0;
        let action = if over { Action::Rollback } else { Action::Continue };
        Ok(Detection::Found(Finding::new(action, 1.0, 0.5)))
    }
    fn rewind(&mut self, _: usize) {}
    fn undecided(&self, text: &str) -> usize {
        text.len().min(1)
    }
}

#[test]
fn what_was_undecided_is_looked_at_again_at_the_end() {
    let seen = guarded(vec![Watch::new("last", LastWord)], Rules::default(), request(12, 0.0));
    assert_eq!((seen.answer.rewinds, seen.record.hits), (1, 1));
    assert_eq!(seen.answer.tokens, plain(12, 0.0).tokens);
    assert_eq!(seen.record.outcome, Outcome::Recovered);
}

#[test]
fn terms_that_make_no_sense_are_refused_by_name() {
    let refused = |watches: Vec<Watch>, rules: Rules| {
        Guard::new(watches, rules).map(|_| ()).unwrap_err().to_string()
    };
    let one = || vec![watch(|_| Action::Continue)];
    assert!(refused(Vec::new(), Rules::default()).starts_with("watch has 0"));
    let many = (0..5).flat_map(|_| one()).collect();
    assert!(refused(many, Rules::default()).starts_with("watch has 5"));
    let with = |change: &dyn Fn(&mut Watch)| {
        let mut all = one();
        all.iter_mut().for_each(change);
        refused(all, Rules::default())
    };
    assert!(with(&|w| w.patience = 0).starts_with("patience is 0"));
    assert!(with(&|w| w.cadence = Cadence::Tokens(65)).starts_with("cadence is 65"));
    assert!(with(&|w| w.min_tokens = 65).starts_with("min_tokens is 65"));
    let rules = |rules| refused(one(), rules);
    let fixed = RewindTo::Fixed { window: 0 };
    assert!(rules(Rules { rewind: fixed, ..Rules::default() }).starts_with("window is 0"));
    let caps = Caps { rewinds: 11, ..Caps::default() };
    assert!(rules(Rules { caps, ..Rules::default() }).starts_with("max is 11"));
    let empty = Rules { refusal: " ".into(), ..Rules::default() };
    assert!(rules(empty).starts_with("refusal is empty"));
}

#[test]
fn the_violated_principle_chooses_the_note() {
    let model = model();
    let script = |answer: &AnswerView| hit_at(40, 1)(answer);
    struct Judge<F>(F);
    impl<F: FnMut(&AnswerView) -> Action + Send> Detector for Judge<F> {
        fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection> {
            let state = Some(State([0, -1, 0]));
            Ok(Detection::Found(Finding { state, ..Finding::new((self.0)(answer), 1.0, 1.0) }))
        }
        fn rewind(&mut self, _: usize) {}
    }
    let rules = Rules { guidance: Guidance::Text(Arc::new(short(&model))), ..Rules::default() };
    let seen = guarded(vec![Watch::new("judge", Judge(script))], rules, request(60, 0.0));
    assert_eq!(seen.record.interventions[0].guidance, "text:A:1");
}
