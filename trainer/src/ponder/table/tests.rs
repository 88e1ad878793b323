//! Row 10 of the mechanics as far as the table goes, and the reward by hand.

use super::*;
use crate::ponder::strength::{Backbone, Ladder, PonderParams};
use crate::testing::generator;

const SHAPE: TableShape = TableShape { steps: 2, width: 2, answers: 4 };

fn ladder(steps: usize) -> Ladder {
    let params = PonderParams { steps, gamma: 0.5, ..PonderParams::default() };
    params.check(Backbone { blocks: 30, width: 2 }).unwrap().ladder(2.0).unwrap()
}

/// An answer with its number as its token count.
fn answer(tokens: u32, grade: AnswerGrade) -> TableAnswer {
    TableAnswer { grade, tokens, end: AnswerEnd::Finished }
}

/// An item of 12 answers with token counts 1 to 12, the first `right` of which are right.
fn item(id: &str, right: u32) -> TableItem {
    let grade = |at| if at < right { AnswerGrade::Correct } else { AnswerGrade::Wrong };
    let answers = (0..12).map(|at| answer(at + 1, grade(at))).collect();
    TableItem { id: id.to_owned(), state: vec![0.5, -0.5], answers }
}

fn table() -> RewardTable {
    let rights = [("never", 0), ("rare", 1), ("some", 6), ("most", 11), ("always", 12)];
    RewardTable::new(SHAPE, rights.map(|(id, right)| item(id, right)).to_vec()).unwrap()
}

#[test]
fn rewards_are_by_hand() {
    let table = table();
    let rule = RewardRule::new(&table, &ladder(2)).unwrap();
    // At n = 0 the counts are 1, 2, 3 and 4.
    assert_eq!(rule.reference_tokens(), 2.5);
    let at_limit = TableAnswer { end: AnswerEnd::AtLimit, ..answer(5, AnswerGrade::Wrong) };
    let answers = [answer(10, AnswerGrade::Correct), at_limit];
    // s_1/s_2 is 0.1/0.15.
    let action = |n| ActionAnswers { n, answers: &answers };
    let found: Vec<f64> = rule.rewards(action(1), 0.05).unwrap().collect();
    let expected =
        [1.0 - 0.05 * 4.0 - 0.01 / 1.5, -0.05 * 2.0 - LIMIT_PENALTY - STRENGTH_PENALTY / 1.5];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    let mean = rule.mean(action(1), 0.05).unwrap();
    assert!((mean - (expected[0] + expected[1]) / 2.0).abs() < 1e-12);
    let whole = ActionAnswers { n: 0, answers: &answers[..1] };
    assert_eq!(rule.rewards(whole, 0.0).unwrap().collect::<Vec<_>>(), [1.0]);
    assert_eq!(rule.steering(2), Ok(STRENGTH_PENALTY));
    assert!(rule.rewards(action(3), 0.0).is_err());
    assert!(rule.mean(ActionAnswers { n: 0, answers: &[] }, 0.0).is_err());
    assert!(RewardRule::new(&table, &ladder(3)).is_err());
}

#[test]
fn m10_no_answer_is_drawn_twice_in_one_action() {
    let (table, mut uniform) = (table(), generator(5));
    let item = &table.items()[2];
    let mut counts = [0u32; 12];
    for _ in 0..3000 {
        for n in 0..3 {
            let drawn = table.draw(item, n, 3, &mut uniform).unwrap();
            let mut tokens: Vec<u32> = drawn.iter().map(|answer| answer.tokens).collect();
            tokens.sort_unstable();
            tokens.dedup();
            assert_eq!(tokens.len(), 3);
            for tokens in tokens {
                // Each is one of the strength's own four.
                assert_eq!((tokens as usize - 1) / 4, n);
                counts[tokens as usize - 1] += 1;
            }
        }
    }
    // Each of four is drawn with probability ¾: a deviation of 24 in 2250.
    assert!(counts.iter().all(|count| count.abs_diff(2250) < 110), "{counts:?}");
    assert!(matches!(table.draw(item, 0, 5, &mut uniform), Err(TrainerError::TooFew { .. })));
    assert!(matches!(table.draw(item, 3, 1, &mut uniform), Err(TrainerError::NoStrength { .. })));
}

#[test]
fn actions_are_drawn_independently() {
    let (table, mut uniform) = (table(), generator(6));
    let item = &table.items()[2];
    let mut shared = 0;
    for _ in 0..4000 {
        let first = table.draw(item, 0, 1, &mut uniform).unwrap();
        let second = table.draw(item, 0, 1, &mut uniform).unwrap();
        shared += u32::from(first == second);
    }
    assert!(shared.abs_diff(1000) < 120, "{shared}");
}

#[test]
fn learnable_items_pass_between_a_tenth_and_nine_tenths() {
    let table = table();
    // One of twelve is 0.083, eleven are 0.917.
    assert_eq!(table.learnable(), [2]);
    let shape = TableShape { steps: 0, width: 2, answers: 10 };
    let with =
        |right: u32| TableItem { answers: item("", right).answers[..10].to_vec(), ..item("", 0) };
    let edges = RewardTable::new(shape, (0..=10).map(with).collect()).unwrap();
    assert_eq!(edges.learnable(), (1..=9).collect::<Vec<_>>());
}

#[test]
fn statistics_are_means_over_items() {
    let found = TableStatistics::of(&table());
    assert_eq!((found.items, found.learnable), (5, 1));
    assert_eq!((found.never_right, found.always_right), (1, 1));
    assert_eq!(found.tokens, [2.5, 6.5, 10.5]);
    // Right at n = 0: 0, 1, 4, 4 and 4 of four.
    assert!((found.pass[0] - 0.65).abs() < 1e-12 && (found.finished[2] - 1.0).abs() < 1e-12);
    assert!(found.to_string().contains("n = 2: pass 0.350, tokens 10.5"), "{found}");
}

#[test]
fn tables_that_do_not_fit_are_refused_with_the_item() {
    let refused = |change: fn(&mut TableItem)| {
        let mut bad = item("bad", 3);
        change(&mut bad);
        RewardTable::new(SHAPE, vec![item("good", 3), bad]).unwrap_err().to_string()
    };
    assert_eq!(refused(|bad| bad.state.truncate(1)), "item bad: state has 1 values, expected 2");
    let short = refused(|bad| bad.answers.truncate(11));
    assert_eq!(short, "item bad: answers has 11 values, expected 12");
    assert_eq!(refused(|bad| bad.state[0] = f32::NAN), "item bad: state is not finite");
    assert!(matches!(RewardTable::new(SHAPE, vec![]), Err(TrainerError::TooFew { .. })));
    let none = TableShape { answers: 0, ..SHAPE };
    assert!(matches!(RewardTable::new(none, vec![item("", 1)]), Err(TrainerError::TooFew { .. })));
    let mut empty = item("", 1);
    empty.answers.iter_mut().for_each(|answer| answer.tokens = 0);
    let empty = RewardTable::new(SHAPE, vec![empty]).unwrap();
    assert!(matches!(RewardRule::new(&empty, &ladder(2)), Err(TrainerError::NotPositive { .. })));
}
