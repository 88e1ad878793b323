//! What watching and rewinding cost: time, tokens, and the wait for the first byte.
//!
//! ```sh
//! cargo run --release -p trimtab-experiments --bin rewind_cost -- 15 1
//! ```
//!
//! The numbers are rounds and threads. Further words choose parts: `watch`, `beside`, `planted`, `scorer`, `first`, `rewind`.
//! Every time is a ratio to the same answers without a guard, run just before and just after in the same process.

#[path = "rewind/cost/back.rs"]
mod back;
#[path = "rewind/cost/clock.rs"]
mod clock;
#[path = "rewind/cost/guards.rs"]
mod guards;
#[path = "rewind/cost/middle.rs"]
mod middle;

use clock::{Timing, Until, time};
use guards::Planted;
use middle::{Middle, middle};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use trimtab_runtime::Model;
use trimtab_runtime::device;
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

const QUESTIONS: &str = include_str!("rewind/toy/imperatives.txt");
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

/// Times of a variant and of the answers without a guard around it, in seconds, and what its answers took.
struct Measured {
    decode: Beside,
    total: Beside,
    last: Timing,
}

/// Times, and those of the same without a guard just before and after.
#[derive(Default)]
struct Beside {
    own: Vec<f64>,
    plain: Vec<[f64; 2]>,
}

impl Beside {
    fn add(&mut self, own: Duration, plain: [Duration; 2]) {
        self.own.push(own.as_secs_f64());
        self.plain.push(plain.map(|time| time.as_secs_f64()));
    }

    fn ratios(&self) -> Vec<f64> {
        self.own.iter().zip(&self.plain).map(|(own, [a, b])| 2.0 * own / (a + b)).collect()
    }

    /// The shortest over the shortest: what others on the machine slowed down is in neither.
    fn minima(&self) -> f64 {
        let least = |all: &mut dyn Iterator<Item = f64>| all.fold(f64::INFINITY, f64::min);
        least(&mut self.own.iter().copied()) / least(&mut self.plain.iter().flatten().copied())
    }
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
    fn measure(
        &self,
        shape: (usize, usize),
        rounds: usize,
        variants: &[Variant],
    ) -> Result<Vec<Measured>> {
        let plain: Guards = Box::new(|_| Ok(None));
        let run =
            |guards: &Guards| Ok(time(self.answers(shape, guards)?, Until::End)?) as Result<Timing>;
        let mut all: Vec<Measured> = Vec::new();
        run(&plain)?;
        for _ in 0..rounds {
            let mut before = run(&plain)?;
            for (index, variant) in variants.iter().enumerate() {
                let one = run(&variant.guards)?;
                let after = run(&plain)?;
                if all.len() <= index {
                    let (decode, total) = (Beside::default(), Beside::default());
                    all.push(Measured { decode, total, last: one.clone() });
                }
                if let Some(measured) = all.get_mut(index) {
                    measured.decode.add(one.decode, [before.decode, after.decode]);
                    measured.total.add(one.total, [before.total, after.total]);
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
        let one = self.measure((1, 48), self.rounds, &variants)?;
        let sixteen = self.measure((16, 24), self.rounds, &variants)?;
        for ((variant, one), sixteen) in variants.iter().zip(one).zip(sixteen) {
            let (one, sixteen) = (extra(&one.decode), extra(&sixteen.decode));
            println!("| {} | {one} | {sixteen} |", variant.name);
        }
        Ok(())
    }

    /// Half of sixteen rows watched: what the other half notices, which decodes in the same passes.
    fn beside(&self) -> Result<()> {
        println!(
            "| 8 rows watched beside 8 | speed of the other 8 | by minima |\n| --- | --- | --: |"
        );
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
        for (variant, measured) in
            variants.iter().zip(self.measure((16, 24), self.rounds, &variants)?)
        {
            let speed = middle(measured.decode.ratios().iter().map(|ratio| 1.0 / ratio).collect());
            let least = 1.0 / measured.decode.minima();
            println!("| {} | {} | {least:.3} |", variant.name, plain(speed, 3));
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
        let none = guards::rules();
        // Sentence ends are looked at whatever the cadence, so that it changes the looks and not the rewinds.
        let kinds: [(&str, Cadence, &Rules, &[f64]); 4] = [
            ("token | none", Cadence::Tokens(1), &none, &[0.0, 0.2]),
            ("16 tokens | none", Cadence::Tokens(16), &none, &[0.0, 0.2]),
            ("sentence | none", Cadence::Sentence, &none, &[0.0, 0.05, 0.1, 0.2, 0.4]),
            ("sentence | text", Cadence::Sentence, &text, &[0.05, 0.1, 0.2, 0.4]),
        ];
        let case = |(name, cadence, rules, rate): (&str, Cadence, &Rules, f64)| {
            let rules = rules.clone();
            Variant::of(&format!("{name} | {rate}"), move |index| {
                let perceiver = Planted { rate, seed: index as u64 };
                let watch = Watch { cadence, ..Watch::new("planted", perceiver) };
                guards::guard(watch, rules.clone())
            })
        };
        let cases = kinds.into_iter().flat_map(|(name, cadence, rules, rates)| {
            rates.iter().map(move |rate| (name, cadence, rules, *rate))
        });
        let cases: Vec<Variant> = cases.map(case).collect();
        let rounds = self.rounds.div_ceil(3);
        for (case, measured) in cases.iter().zip(self.measure((16, 64), rounds, &cases)?) {
            let Timing { usage, rewinds, .. } = measured.last;
            let (answers, made) = (16.0, usage.completion_tokens as f64);
            let each = |count: usize| count as f64 / answers;
            println!(
                "| {} | {} | {:.2} | {:.1} | {:.1} | {:.2} |",
                case.name,
                extra(&measured.total),
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
        let rounds = self.rounds.div_ceil(2);
        let one = self.measure((1, 96), rounds, &variants)?;
        let sixteen = self.measure((16, 96), rounds, &variants)?;
        for ((variant, one), sixteen) in variants.iter().zip(one).zip(sixteen) {
            let usage = sixteen.last.usage;
            let read = usage.monitor_tokens as f64 / usage.completion_tokens as f64;
            let (one, sixteen) = (extra(&one.total), extra(&sixteen.total));
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
                let mut all = self.answers((index + 1, 64), &guards)?;
                let timing = time(all.split_off(index), Until::FirstText)?;
                let Some((wait, behind)) = timing.text else { continue };
                waits.push(wait.as_secs_f64() * 1e3);
                tokens.push(behind as f64);
            }
            println!("| {name} | {} | {} |", plain(middle(waits), 1), plain(middle(tokens), 0));
        }
        Ok(())
    }
}

/// A median and its quarters as a gain over 1, in per cent, and the same by minima.
fn extra(times: &Beside) -> String {
    let Middle { low, median, high } = middle(times.ratios());
    let [low, median, high, least] =
        [low, median, high, times.minima()].map(|ratio| (ratio - 1.0) * 100.0);
    format!("{median:+.1} % ({low:+.1} to {high:+.1}), {least:+.1} %")
}

fn plain(Middle { low, median, high }: Middle, digits: usize) -> String {
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}

fn main() -> Result<()> {
    let (numbers, parts): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.parse::<usize>().is_ok());
    let numbers: Vec<usize> = numbers.iter().filter_map(|n| n.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(15);
    device::set_threads(numbers.get(1).copied().unwrap_or(1))?;
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|one| one == part);
    let bench = Bench::new(rounds)?;
    println!(
        "Medians of {rounds} rounds, in brackets the quarters, then the ratio of minima; {} threads.",
        device::threads()
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
