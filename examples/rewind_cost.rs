//! What watching and rewinding cost: time, tokens, and the wait for the first byte.
//!
//! ```sh
//! cargo run --release -p trimtab-examples --example rewind_cost -- 15
//! ```
//!
//! The number is how many rounds. Further words choose parts: `watch`, `beside`, `planted`, `scorer`, `first`, `rewind`.
//! Every time is a ratio to the same answers without a guard, run just before and just after in the same process.

#[path = "rewind/cost/back.rs"]
mod back;
#[path = "rewind/cost/clock.rs"]
mod clock;
#[path = "rewind/cost/guards.rs"]
mod guards;

use clock::{Middle, Timing, middle, time};
use guards::Planted;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use trimtab_runtime::Model;
use trimtab_runtime::generate::{Generation, Request};
use trimtab_runtime::logits::Bias;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::sample::SamplingParams;
use trimtab_runtime::text::Message;
use trimtab_steering::Result;
use trimtab_steering::monitor::guard::Stream;
use trimtab_steering::monitor::policy::{BuiltIn, Policy};
use trimtab_steering::monitor::scorer::{Calibration, Form, Judge, Judging, Wording};
use trimtab_steering::monitor::{Cadence, Guard, Rules, Watch};

const QUESTIONS: &str = include_str!("data/toy/imperatives.txt");
/// Where the scorer's calibration is kept.
const CALIBRATIONS: &str = "target";

/// Which guard the answer of an index gets, if any.
type Guards<'a> = Box<dyn Fn(usize) -> Result<Option<Guard>> + 'a>;

/// Something that is measured beside answers without a guard.
struct Variant<'a> {
    name: String,
    guards: Guards<'a>,
}

impl<'a> Variant<'a> {
    fn of(name: &str, guards: impl Fn(usize) -> Result<Guard> + 'a) -> Variant<'a> {
        let guards = move |index| guards(index).map(Some);
        Variant { name: name.to_owned(), guards: Box::new(guards) }
    }
}

/// The ratios of a variant, and what its answers took.
struct Measured {
    decode: Vec<f64>,
    total: Vec<f64>,
    last: Timing,
}

struct Bench {
    model: Model,
    rounds: usize,
    ban: Arc<Bias>,
}

impl Bench {
    fn new(rounds: usize) -> Result<Bench> {
        let model = Model::open("smollm2-135m-instruct")?;
        let tokenizer = model.tokenizer()?.clone();
        let ids = 0..tokenizer.vocab_size() as u32;
        let ends = ids.filter(|id| tokenizer.is_end_of_generation(*id));
        let ban = Arc::new(Bias::new(ends.map(|id| (id, f32::NEG_INFINITY)))?);
        Ok(Bench { model, rounds, ban })
    }

    /// So many answers of so many tokens, each to a question of its own.
    fn answers(&self, (rows, tokens): (usize, usize), guards: &Guards) -> Result<Vec<Generation>> {
        let tokenizer = self.model.tokenizer()?;
        let answer = |(index, question): (usize, &str)| {
            let mut session = self.model.session(Plan::empty())?;
            session.push_prompt(&self.model.chat_prompt(&[Message::new("user", question)])?)?;
            let sampling =
                SamplingParams { temperature: 0.8, top_p: 0.95, ..SamplingParams::default() };
            let request = Request {
                sampling: sampling.check()?,
                seed: index as u64,
                max_tokens: Some(tokens),
                processors: vec![self.ban.clone()],
                ..Request::default()
            };
            let generation = Generation::new(session, tokenizer.clone(), request)?;
            Ok(match guards(index)? {
                Some(guard) => generation.watched_by(guard),
                None => generation,
            })
        };
        QUESTIONS.lines().take(rows).enumerate().map(answer).collect()
    }

    /// Every variant between two runs without a guard, round after round.
    fn measure(&self, shape: (usize, usize), variants: &[Variant]) -> Result<Vec<Measured>> {
        let plain: Guards = Box::new(|_| Ok(None));
        let run = |guards: &Guards| Ok(time(self.answers(shape, guards)?)?) as Result<Timing>;
        let mut all: Vec<Measured> = Vec::new();
        run(&plain)?;
        for _ in 0..self.rounds {
            let mut before = run(&plain)?;
            for (index, variant) in variants.iter().enumerate() {
                let one = run(&variant.guards)?;
                let after = run(&plain)?;
                let ratio = |of: fn(&Timing) -> Duration| {
                    let beside = (of(&before) + of(&after)).as_secs_f64() / 2.0;
                    of(&one).as_secs_f64() / beside
                };
                let (decode, total) = (ratio(|t| t.decode), ratio(|t| t.total));
                if all.len() <= index {
                    all.push(Measured { decode: vec![], total: vec![], last: one.clone() });
                }
                if let Some(measured) = all.get_mut(index) {
                    measured.decode.push(decode);
                    measured.total.push(total);
                    measured.last = one;
                }
                before = after;
            }
        }
        Ok(all)
    }

    /// Guards that never fire.
    fn watch(&self) -> Result<()> {
        println!(
            "| watch, never fires | extra decode time, 1 row | 16 rows |\n| --- | --- | --- |"
        );
        let idle = |cadence| move |_| guards::guard(guards::idle(cadence), guards::rules());
        let variants = [
            Variant::of("scripted, every token", idle(Cadence::Tokens(1))),
            Variant::of("scripted, sentence", idle(Cadence::Sentence)),
            Variant::of("text, every token", |_| guards::guard(guards::text()?, guards::rules())),
            Variant::of("probe, every token", |_| {
                guards::guard(guards::probe(&self.model)?, guards::rules())
            }),
            Variant::of("sharpness armed, scripted", |_| {
                guards::guard(guards::idle(Cadence::Tokens(1)), guards::sharp(&self.model)?)
            }),
        ];
        let one = self.measure((1, 96), &variants)?;
        let sixteen = self.measure((16, 48), &variants)?;
        for ((variant, one), sixteen) in variants.iter().zip(one).zip(sixteen) {
            let (one, sixteen) = (extra(one.decode), extra(sixteen.decode));
            println!("| {} | {one} | {sixteen} |", variant.name);
        }
        Ok(())
    }

    /// Half of sixteen rows watched: what the other half notices, which decodes in the same passes.
    fn beside(&self) -> Result<()> {
        println!("| 8 rows watched beside 8 | speed of the other 8 |\n| --- | --- |");
        let half = |name: &str, watch: fn(&Model) -> Result<Watch>| {
            let guards = move |index: usize| {
                let odd =
                    (index % 2 == 1).then(|| guards::guard(watch(&self.model)?, guards::rules()));
                odd.transpose()
            };
            Variant { name: name.to_owned(), guards: Box::new(guards) }
        };
        let variants = [
            half("probe, every token", guards::probe),
            half("text, every token", |_| guards::text()),
        ];
        for (variant, measured) in variants.iter().zip(self.measure((16, 48), &variants)?) {
            let speed = middle(measured.decode.iter().map(|ratio| 1.0 / ratio).collect());
            println!("| {} | {} |", variant.name, plain(speed, 3));
        }
        Ok(())
    }

    /// Guards that fire at sentence ends at a set rate.
    fn planted(&self) -> Result<()> {
        println!(
            "| cadence | guidance | rate | extra time, 16 rows | rewinds an answer | discarded | hidden | run a token |\n\
             | --- | --- | --: | --- | --: | --: | --: | --: |"
        );
        let text = Rules { guidance: guards::guidance(&self.model)?, ..guards::rules() };
        let cadences = [
            ("token", Cadence::Tokens(1)),
            ("16 tokens", Cadence::Tokens(16)),
            ("sentence", Cadence::Sentence),
        ];
        let mut cases = Vec::new();
        for (every, cadence) in cadences {
            for (guided, rules) in [("none", guards::rules()), ("text", text.clone())] {
                // Guidance is another matter at each rewind, not at each check.
                let cases_of = if guided == "text" && every != "sentence" { 0 } else { 5 };
                for rate in [0.0, 0.05, 0.1, 0.2, 0.4].into_iter().take(cases_of) {
                    let rules = rules.clone();
                    let name = format!("{every} | {guided} | {rate}");
                    cases.push(Variant::of(&name, move |index| {
                        let perceiver = Planted { rate, seed: index as u64 };
                        let watch = Watch { cadence, ..Watch::new("planted", perceiver) };
                        guards::guard(watch, rules.clone())
                    }));
                }
            }
        }
        let rounds = Bench { rounds: self.rounds.div_ceil(3), ..Bench::new(1)? };
        for (case, measured) in cases.iter().zip(rounds.measure((16, 96), &cases)?) {
            let Timing { usage, rewinds, .. } = measured.last;
            let (answers, made) = (16.0, usage.completion_tokens as f64);
            let each = |count: usize| count as f64 / answers;
            println!(
                "| {} | {} | {:.2} | {:.1} | {:.1} | {:.2} |",
                case.name,
                extra(measured.total),
                f64::from(rewinds) / answers,
                each(usage.discarded_tokens),
                each(usage.hidden_tokens),
                (usage.discarded_tokens + usage.hidden_tokens) as f64 / made + 1.0,
            );
        }
        Ok(())
    }

    /// The model as its own judge, without consequences.
    fn scorer(&self) -> Result<()> {
        let policy = Policy::built_in(BuiltIn::Default)?;
        let form = Arc::new(Form::new(&self.model, Wording::scorer(&policy))?);
        let calibration =
            Calibration::obtain(Path::new(CALIBRATIONS), &form, &policy, &mut |done, all| {
                eprint!("\rcalibrating: {done} of {all}");
            })?;
        eprintln!();
        let judge = Judge::new(form, &policy, calibration, Judging::default())?;
        println!(
            "| scorer | extra time, 1 row | 16 rows | tokens read a token |\n| --- | --- | --- | --: |"
        );
        let judge = &judge;
        let every = |name: &str, cadence| {
            Variant::of(name, move |index| {
                let question = QUESTIONS.lines().nth(index).unwrap_or_default();
                let scorer = judge.scorer(question, index as u64)?;
                guards::guard(guards::reporting(scorer, cadence), guards::rules())
            })
        };
        let variants = [
            every("sentence", Cadence::Sentence),
            every("16 tokens", Cadence::Tokens(16)),
            every("32 tokens", Cadence::Tokens(32)),
        ];
        let rounds = Bench { rounds: self.rounds.div_ceil(2), ..Bench::new(1)? };
        let one = rounds.measure((1, 96), &variants)?;
        let sixteen = rounds.measure((16, 96), &variants)?;
        for ((variant, one), sixteen) in variants.iter().zip(one).zip(sixteen) {
            let usage = sixteen.last.usage;
            let read = usage.monitor_tokens as f64 / usage.completion_tokens as f64;
            let (one, sixteen) = (extra(one.total), extra(sixteen.total));
            println!("| {} | {one} | {sixteen} | {read:.2} |", variant.name);
        }
        Ok(())
    }

    /// When the first text is shown.
    fn first(&self) -> Result<()> {
        println!(
            "| stream | cadence | first text, ms | behind so many tokens |\n| --- | --- | --- | --: |"
        );
        let with = |cadence, stream| {
            move |_: usize| {
                guards::guard(guards::idle(cadence), Rules { stream, ..guards::rules() }).map(Some)
            }
        };
        let plain_answers: Guards = Box::new(|_| Ok(None));
        let cases: [(&str, Guards); 5] = [
            ("no guard | –", plain_answers),
            ("hold | token", Box::new(with(Cadence::Tokens(1), Stream::Hold))),
            ("hold | sentence", Box::new(with(Cadence::Sentence, Stream::Hold))),
            ("retract | token", Box::new(with(Cadence::Tokens(1), Stream::Retract))),
            ("retract | sentence", Box::new(with(Cadence::Sentence, Stream::Retract))),
        ];
        let questions = 16;
        for (name, guards) in cases {
            let (mut waits, mut tokens) = (Vec::new(), Vec::new());
            for index in 0..questions {
                let mut all = self.answers((questions, 64), &guards)?;
                let timing = time(vec![all.swap_remove(index)])?;
                let Some((wait, behind)) = timing.text else { continue };
                waits.push(wait.as_secs_f64() * 1e3);
                tokens.push(behind as f64);
            }
            println!("| {name} | {} | {} |", plain(middle(waits), 1), plain(middle(tokens), 0));
        }
        Ok(())
    }
}

/// A median and its quarters as a gain over 1, in per cent.
fn extra(ratios: Vec<f64>) -> String {
    let Middle { low, median, high } = middle(ratios);
    let [low, median, high] = [low, median, high].map(|ratio| (ratio - 1.0) * 100.0);
    format!("{median:+.1} % ({low:+.1} to {high:+.1})")
}

fn plain(Middle { low, median, high }: Middle, digits: usize) -> String {
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).peekable();
    let rounds = args.next_if(|arg| arg.parse::<usize>().is_ok());
    let rounds = rounds.and_then(|n| n.parse().ok()).unwrap_or(15);
    let parts: Vec<String> = args.collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|one| one == part);
    let bench = Bench::new(rounds)?;
    println!(
        "Medians of {rounds} rounds, in brackets the quarters, on {} threads.",
        trimtab_runtime::device::threads()
    );
    type Part = fn(&Bench) -> Result<()>;
    let all: [(&str, Part); 6] = [
        ("watch", Bench::watch),
        ("beside", Bench::beside),
        ("planted", Bench::planted),
        ("scorer", Bench::scorer),
        ("first", Bench::first),
        ("rewind", |bench| back::back(&bench.model)),
    ];
    for (name, part) in all {
        if wanted(name) {
            println!();
            part(&bench)?;
        }
    }
    Ok(())
}
