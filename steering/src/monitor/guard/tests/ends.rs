//! Where answers end and where they are cut: what was not told, what is told late, and what costs too much.

use super::*;

#[test]
fn a_watch_that_cannot_tell_at_the_very_end_lets_nothing_out() {
    let last = |answer: &AnswerView| match answer.tokens.len() {
        60 => Action::Unknown,
        _ => Action::Continue,
    };
    let must = Watch { duty: Duty::Mandatory, ..watch(last) };
    let seen = guarded(vec![must], Rules::default(), request(60, 0.0));
    let clean = &plain(60, 0.0).text[..32];
    assert_eq!(seen.text, format!("{clean}\n\nI can't help with that."));
    assert_eq!((seen.record.outcome, seen.answer.tokens.len()), (Outcome::Exhausted, 32));
    let may = guarded(vec![watch(last)], Rules::default(), request(60, 0.0));
    assert_eq!((may.record.outcome, may.text), (Outcome::Flagged, plain(60, 0.0).text));
    // And an answer that goes on over its mandatory watch is no answer to ask for.
    let must = Watch { duty: Duty::Mandatory, ..watch(last) };
    let rules = Rules { on_exhausted: OnExhausted::Keep, ..Rules::default() };
    let refused = Guard::new(vec![must], rules).map(|_| ()).unwrap_err().to_string();
    assert!(refused.starts_with("on_exhausted lets an answer go on"), "{refused}");
}

#[test]
fn watches_of_different_pace_meet_at_boundaries() {
    let pace = |min_tokens| Watch {
        min_tokens,
        cadence: Cadence::Sentence,
        ..watch(|_| Action::Continue)
    };
    let rare = Watch { cadence: Cadence::Tokens(25), ..watch(|_| Action::Continue) };
    let seen = guarded(vec![pace(8), pace(40), rare], Rules::default(), request(200, 0.0));
    assert_eq!((seen.record.outcome, &seen.text), (Outcome::Clean, &plain(200, 0.0).text));
    assert!(seen.record.held <= 48, "{} tokens held back", seen.record.held);
    // A place that stays unclean is not looked at again at every token.
    let deaf =
        Watch { cadence: Cadence::Tokens(25), duty: Duty::Mandatory, ..watch(|_| Action::Unknown) };
    let seen = guarded(vec![deaf], Rules::default(), request(200, 0.0));
    let at: Vec<usize> = seen.record.checks.iter().map(|check| check.at).collect();
    assert_eq!(at, [25, 32, 48]);
}

#[test]
fn what_is_judged_late_is_shown_late() {
    struct Late;
    impl Detector for Late {
        fn detect(&mut self, answer: &AnswerView) -> trimtab_runtime::Result<Detection> {
            // Told at 33 tokens that the 32nd is wrong.
            let hit = answer.tokens.len() == 33 && answer.attempt == 0;
            let action = if hit { Action::Rollback } else { Action::Continue };
            Ok(Detection::Found(Finding::new(action, 1.0, 1.0)))
        }
        fn rewind(&mut self, _: usize) {}
        fn lag(&self) -> usize {
            1
        }
    }
    let seen = guarded(vec![Watch::new("late", Late)], Rules::default(), request(60, 0.0));
    assert_eq!(seen.record.interventions[0].from, 31, "the token that is wrong goes too");
}

#[test]
fn a_perceiver_that_reads_too_much_is_no_longer_asked() {
    struct Glutton(usize);
    impl Detector for Glutton {
        fn detect(&mut self, _: &AnswerView) -> trimtab_runtime::Result<Detection> {
            self.0 += 20;
            Ok(Detection::Found(Finding::new(Action::Continue, 0.0, -1.0)))
        }
        fn rewind(&mut self, _: usize) {}
        fn spent(&self) -> usize {
            self.0
        }
    }
    // 20 a token against 4 a token and 64: at the fifth.
    let must = Watch { duty: Duty::Mandatory, ..Watch::new("glutton", Glutton(0)) };
    let seen = guarded(vec![must], Rules::default(), request(60, 0.0));
    assert_eq!((seen.record.checks.len(), seen.text.as_str()), (5, "I can't help with that."));
    let seen = guarded(vec![Watch::new("glutton", Glutton(0))], Rules::default(), request(60, 0.0));
    assert_eq!((seen.record.checks.len(), seen.record.outcome), (5, Outcome::Flagged));
    assert_eq!(seen.record.why.as_deref(), Some("perceiver_tokens"));
    // The others go on watching, and nothing waits for it.
    let both = vec![Watch::new("glutton", Glutton(0)), watch(hit_at(40, 1))];
    let seen = guarded(both, Rules::default(), request(60, 0.0));
    let rewinds: Vec<(usize, usize)> = seen.record.rewinds().map(|r| (r.watch, r.at)).collect();
    assert_eq!((rewinds, seen.record.outcome), (vec![(1, 40)], Outcome::Flagged));
    assert_eq!(seen.text, plain(60, 0.0).text);
    assert!(seen.record.held <= 32);
}

#[test]
fn a_watch_that_reports_ends_nothing_whatever_its_duty() {
    let then = Then::Report;
    let blind = Watch { then, duty: Duty::Mandatory, ..watch(|_| Action::Unknown) };
    let seen = guarded(vec![blind], Rules::default(), request(60, 0.0));
    assert_eq!((seen.record.outcome, seen.text), (Outcome::Flagged, plain(60, 0.0).text));
}

#[test]
fn a_stop_that_was_overruled_leaves_no_hole() {
    // The stop text cuts the answer, then the guard takes more of it back: what is kept is whole again.
    let straight = plain(60, 0.0);
    let stop: String = straight.text.chars().skip(40).take(3).collect();
    let at = straight.text.find(&stop).unwrap();
    let hit = |answer: &AnswerView| match (answer.stage, answer.attempt) {
        (Stage::Ended, 0) => Action::Rollback,
        _ => Action::Continue,
    };
    let last = Watch { cadence: Cadence::Tokens(64), ..watch(hit) };
    let request = Request { stop: vec![stop], ..request(60, 0.0) };
    let seen = guarded(vec![last], Rules::default(), request);
    assert_eq!(seen.record.interventions.len(), 1);
    assert_eq!(seen.answer.text, straight.text[..at]);
}

#[test]
fn a_short_second_answer_is_recovered_at_its_end() {
    // Rewound at 50 to the beginning's boundary, then ended by a stop text before it gets that far again.
    let straight = plain(60, 0.0).text;
    let stop: String = straight.chars().skip(44).take(3).collect();
    let at = straight.find(&stop).unwrap();
    let hit = |answer: &AnswerView| match (answer.tokens.len(), answer.attempt) {
        (41, 0) => Action::Rollback,
        _ => Action::Continue,
    };
    let request = Request { stop: vec![stop], ..request(60, 0.0) };
    let seen = guarded(vec![watch(hit)], Rules::default(), request);
    assert_eq!(seen.text, straight[..at]);
    let [one] = seen.record.interventions.as_slice() else { panic!("{:?}", seen.record) };
    assert_eq!((one.sequel, seen.record.outcome), (RetryOutcome::Recovered, Outcome::Recovered));
}
