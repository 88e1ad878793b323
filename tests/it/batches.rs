//! Invariants 5 and 6: a row's bits do not depend on its batch-mates.

use proptest::prelude::*;
use trimtab_runtime::decoder::{LogitsAt, Outputs};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;
use trimtab_tests::rig::{Rig, counting_hook, push};

/// A plan by number, from none to several kinds at one site.
fn plan(kind: u8) -> Plan {
    match kind {
        0 => Plan::empty(),
        1 => Plan::of(push(Site::ResidPost(1), 1)),
        2 => Plan::of(push(Site::ResidPost(1), 2)).then(counting_hook(Site::ResidPost(1))),
        3 => Plan::of(counting_hook(Site::Embed)).then(push(Site::AttnOut(2), 3)),
        _ => Plan::of(push(Site::Final, 4)).then(push(Site::Final, 5)),
    }
}

/// One value per position and coordinate.
type Rows = Vec<Vec<f32>>;

/// Logits and one captured site of every row.
fn run(rig: &Rig, sessions: &mut [Session]) -> Vec<(Rows, Rows)> {
    let want = || Outputs {
        logits: LogitsAt::All,
        captures: vec![Site::ResidPost(1)],
        ..Outputs::default()
    };
    let mut rows: Vec<_> = sessions.iter_mut().map(|s| s.row(want())).collect();
    let mut output = rig.decoder.forward(&mut rows).unwrap();
    let logits = output.to_host().unwrap();
    logits
        .into_iter()
        .enumerate()
        .map(|(i, readout)| {
            let captured = output.take_captures(i).remove(&Site::ResidPost(1)).unwrap();
            (readout.logits, captured.to_vec2::<f32>().unwrap())
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn rows_of_any_length_and_plan_are_what_they_are_alone(
        rows in prop::collection::vec((0..5u8, 1..40usize, 0..30usize), 1..8)
    ) {
        let rig = Rig::tiny(4096);
        let start = |&(kind, time, history): &(u8, usize, usize)| {
            let token = |i: usize| ((i * 11 + time) % 62) as u32;
            let tokens: Vec<u32> = (0..history + 1).map(token).collect();
            let mut session = rig.session(&tokens, plan(kind)).unwrap();
            session.run().unwrap();
            session.push(&(0..time).map(token).collect::<Vec<u32>>()).unwrap();
            session
        };
        let mut together: Vec<Session> = rows.iter().map(start).collect();
        let together = run(&rig, &mut together);
        for (row, in_batch) in rows.iter().zip(together) {
            let alone = run(&rig, &mut [start(row)]).remove(0);
            prop_assert_eq!(alone, in_batch);
        }
    }
}

#[test]
fn a_failed_pass_leaves_every_cache_as_it_was() {
    // 3 blocks of 16: the first row fits, the second does not.
    let rig = Rig::tiny(48);
    let mut small = rig.session(&[1; 20], Plan::empty()).unwrap();
    let mut large = rig.session(&[2; 30], Plan::empty()).unwrap();
    let full = {
        let mut rows = [small.row(Outputs::default()), large.row(Outputs::default())];
        rig.decoder.forward(&mut rows).unwrap_err()
    };
    assert_eq!(full.to_string(), "key-value pool is full (3 blocks of 16 tokens)");
    assert_eq!((small.pending(), large.pending()), (20, 30));
    drop(large);
    let alone = Rig::tiny(64).session(&[1; 20], Plan::empty()).unwrap().run().unwrap();
    assert_eq!(small.run().unwrap().logits, alone.logits);
    assert_eq!(tiny::LAYERS, 3);
}

#[test]
fn a_fork_after_a_failed_pass_does_not_write_into_its_origin() {
    // 6 blocks: the first row reserves 4 before the second finds the pool full.
    let rig = Rig::tiny(96);
    let mut one = rig.session(&[1; 50], Plan::empty()).unwrap();
    let mut large = rig.session(&[2; 60], Plan::empty()).unwrap();
    let failed =
        rig.decoder.forward(&mut [one.row(Outputs::default()), large.row(Outputs::default())]);
    assert!(failed.is_err());
    assert_eq!(rig.pool.usage().free, 6, "a failed pass gives back what it reserved");
    drop(large);
    let mut fork = one.fork();
    one.push(&[3; 5]).unwrap();
    fork.push(&[4; 5]).unwrap();
    let small = Rig::tiny(96);
    let expected = small.session(&[1; 50], Plan::empty()).unwrap().advance(&[3; 5]).unwrap();
    let first = one.run().unwrap();
    drop(fork);
    assert_eq!(first.logits, expected.logits);
}
