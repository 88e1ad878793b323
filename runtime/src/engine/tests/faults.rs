//! Panics in code that a caller gave, and the death of the engine's thread.

use super::*;

/// What panics in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Hook,
    Monitor,
    Processor,
    Sink,
}

const FAULT: &str = "a fault of its own";

/// A monitor or a logits processor that panics at the third token.
#[derive(Debug)]
struct AtTheThird;

impl Monitor for AtTheThird {
    fn watch(&mut self, answer: &AnswerView) -> Result<Verdict> {
        assert!(answer.tokens.len() < 3, "{FAULT}");
        Ok(Verdict::Continue { release: answer.text.len(), ask_after: 1 })
    }

    fn rewind(&mut self, _: usize) {}
}

impl LogitsProcessor for AtTheThird {
    fn process(&self, context: &Context, _: &mut [f32]) -> Result<()> {
        assert!(context.generated().len() < 3, "{FAULT}");
        Ok(())
    }
}

impl House {
    /// An answer that panics after its third token, at the end of a prompt of 9 tokens.
    fn broken(&self, engine: &Engine, fault: Fault) -> Told {
        let hook = hook_fn([Site::ResidPost(1)], |_, _, pass| {
            assert!(pass.start < 11, "{FAULT}");
            Ok(Edit::Keep)
        });
        let plan = if fault == Fault::Hook { Plan::of(hook) } else { Plan::empty() };
        let processors: Vec<Arc<dyn LogitsProcessor>> =
            if fault == Fault::Processor { vec![Arc::new(AtTheThird)] } else { Vec::new() };
        let mut generation = self.generation_of(plan, &self.pool, (0, 9), (12, processors));
        if fault == Fault::Monitor {
            generation = generation.watched_by(AtTheThird);
        }
        let (tell, notices) = channel();
        let mut tokens = 0;
        let ticket = engine.submit(vec![generation], SubmitOptions::default(), move |notice| {
            let token = matches!(&notice, Notice::Event { event: Event::Token(_), .. });
            tokens += usize::from(token);
            assert!(!(token && tokens == 3 && fault == Fault::Sink), "{FAULT}");
            tell.send(notice).map_or(Flow::Cancel, |()| Flow::Continue)
        });
        Told { notices, _ticket: ticket.unwrap() }
    }
}

#[test]
fn a_panic_ends_its_own_answer_and_none_of_the_seven_beside_it() {
    let faults = [
        (Fault::Hook, "hook"),
        (Fault::Monitor, "monitor"),
        (Fault::Processor, "logits processor"),
        (Fault::Sink, "sink"),
    ];
    for (fault, name) in faults {
        let house = house(4096);
        let engine = house.engine(9, 9);
        let (go, held) = house.hold(&engine, 2);
        let broken = house.broken(&engine, fault);
        let others: Vec<Told> =
            (1..8).map(|who| house.ask(&engine, who, 5 + 3 * who, 12)).collect();
        drop(go);
        let error = broken.end().unwrap_err();
        let Error::Panicked { what, message } = &error else { panic!("{fault:?}: {error}") };
        assert_eq!((*what, message.as_str()), (name, FAULT));
        for (who, told) in (1..).zip(others) {
            assert_eq!(told.end().unwrap(), house.alone(who, 5 + 3 * who, 12), "{fault:?} {who}");
        }
        held.end().unwrap();
        house.ask(&engine, 2, 4, 3).end().unwrap();
        assert!(!engine.has_ended());
        assert_eq!(engine.load().present, 0);
        engine.close(LONG);
        assert!(house.is_empty(), "{fault:?} keeps blocks");
    }
}

#[test]
fn a_sink_that_panics_at_its_first_or_last_notice_leaves_the_engine_running() {
    let house = house(4096);
    let engine = house.engine(2, 2);
    type Bad = fn(&Notice) -> bool;
    let bad: [Bad; 2] =
        [|n| matches!(n, Notice::Admitted { .. }), |n| matches!(n, Notice::Ended { .. })];
    for bad in bad {
        let generation = house.generation(&house.pool, (1, 4), 4);
        let ticket = engine.submit(vec![generation], SubmitOptions::default(), move |notice| {
            assert!(!bad(&notice), "{FAULT}");
            Flow::Continue
        });
        while engine.load().present > 0 {
            std::thread::yield_now();
        }
        drop(ticket);
        house.ask(&engine, 2, 4, 3).end().unwrap();
    }
    engine.close(LONG);
    assert!(house.is_empty());
}

/// Ends the thread it is dropped on: nothing that the engine calls can.
struct Deadly;

impl Drop for Deadly {
    fn drop(&mut self) {
        panic!("{FAULT}");
    }
}

#[test]
fn an_engine_whose_thread_died_takes_nothing_and_holds_no_place() {
    let house = house(4096);
    let engine = house.engine(2, 2);
    let generation = house.generation(&house.pool, (1, 4), 4);
    let deadly = Deadly;
    let ticket = engine.submit(vec![generation], SubmitOptions::default(), move |_| {
        let _held = &deadly;
        Flow::Continue
    });
    while !engine.is_draining() {
        std::thread::yield_now();
    }
    assert!(house.try_ask(&engine, SubmitOptions::default(), (2, 4), 3).is_err());
    drop(ticket);
    while engine.load().present > 0 {
        std::thread::yield_now();
    }
}
