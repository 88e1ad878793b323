//! Invariant 8 and the block counts: prefixes are shared exactly where they are equal, blocks are never lost.

use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::hook::Positions;
use trimtab_runtime::kv::BLOCK_LEN;
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::{History, Session};
use trimtab_runtime::site::Site;
use trimtab_tests::rig::{Rig, counting_hook, push};

fn space(owner: &str) -> Fingerprint {
    Fingerprint::builder("test").text(owner).finish()
}

fn prompt() -> Vec<u32> {
    (0..50).map(|i| (i * 5 + 1) % 62).collect()
}

/// Runs the prompt under one plan, publishes it, and says how much a session under another plan adopts.
fn adopted(rig: &Rig, first: Plan, second: Plan) -> (usize, Session) {
    let mut one = rig.session(&prompt(), first).unwrap();
    one.run().unwrap();
    one.publish_prefix(&space("a"));
    let mut two = rig.session(&prompt(), second).unwrap();
    let saved = two.adopt_prefix(&space("a")).unwrap();
    (saved, two)
}

#[test]
fn an_equal_prefix_is_shared_and_gives_the_same_bits() {
    let rig = Rig::tiny(1024);
    let plan = || Plan::of(push(Site::ResidPost(0), 1));
    let cold = rig.session(&prompt(), plan()).unwrap().run().unwrap().logits;
    let (saved, mut warm) = adopted(&rig, plan(), plan());
    // The last token stays pending, and blocks are whole.
    assert_eq!(saved, 49 / BLOCK_LEN * BLOCK_LEN);
    assert_eq!(warm.run().unwrap().logits, cold);
    let used = rig.pool.usage();
    assert_eq!(used.indexed, 50 / BLOCK_LEN);
    drop(warm);
    rig.pool.forget_prefixes();
    assert_eq!(rig.pool.usage().free, used.blocks);
}

#[test]
fn another_plan_shares_only_what_it_cannot_touch() {
    let rig = Rig::tiny(1024);
    let at = |site| Plan::of(push(site, 1));
    assert_eq!(adopted(&rig, Plan::empty(), at(Site::ResidPost(0))).0, 0);
    let rig = Rig::tiny(1024);
    assert_eq!(adopted(&rig, at(Site::ResidPost(0)), Plan::of(push(Site::ResidPost(0), 2))).0, 0);
    // Edits after the last key-value projection, or of generated positions, leave the prompt's keys alone.
    for plan in [
        at(Site::Final),
        at(Site::ResidPost(2)),
        Plan::of(push(Site::Embed, 1).at(Positions::Generated)),
    ] {
        let rig = Rig::tiny(1024);
        let cold = rig.session(&prompt(), plan.clone()).unwrap().run().unwrap().logits;
        let (saved, mut warm) = adopted(&rig, Plan::empty(), plan);
        assert_eq!(saved, 48);
        assert_eq!(warm.run().unwrap().logits, cold);
    }
}

#[test]
fn owners_hooks_and_mixed_histories_do_not_share() {
    let rig = Rig::tiny(1024);
    let mut one = rig.session(&prompt(), Plan::empty()).unwrap();
    one.run().unwrap();
    one.publish_prefix(&space("alice"));
    let mut two = rig.session(&prompt(), Plan::empty()).unwrap();
    assert_eq!(two.adopt_prefix(&space("bob")).unwrap(), 0);
    let hooked = Plan::of(counting_hook(Site::Embed));
    assert_eq!(adopted(&rig, hooked.clone(), hooked).0, 0);

    let rig = Rig::tiny(1024);
    let mut mixed = rig.session(&prompt(), Plan::of(push(Site::Embed, 1))).unwrap();
    mixed.run().unwrap();
    mixed.replan(Plan::empty(), History::Keep).unwrap();
    mixed.advance(&[1; 20]).unwrap();
    mixed.publish_prefix(&space("a"));
    assert_eq!(rig.pool.usage().indexed, 0);
}

#[test]
fn forks_share_blocks_until_one_writes() {
    let rig = Rig::tiny(1024);
    let used = |rig: &Rig| rig.pool.usage().blocks - rig.pool.usage().free;
    let mut one = rig.session(&prompt(), Plan::empty()).unwrap();
    one.run().unwrap();
    assert_eq!(used(&rig), 4);
    let mut two = one.fork();
    assert_eq!(used(&rig), 4, "a fork takes no block");
    let expected = {
        let tokens: Vec<u32> = prompt().into_iter().chain([7]).collect();
        rig.session(&tokens, Plan::empty()).unwrap().run().unwrap().logits
    };
    two.advance(&[9]).unwrap();
    assert_eq!(used(&rig), 5, "the shared partial block is copied before it is written");
    assert_eq!(one.advance(&[7]).unwrap().logits, expected, "the fork's write is not seen here");
    drop(two);
    assert_eq!(used(&rig), 4);
}

#[test]
fn a_block_shared_after_a_rewind_is_copied_before_it_is_written() {
    let rig = Rig::tiny(1024);
    let mut session = rig.session(&prompt(), Plan::empty()).unwrap();
    let start = session.checkpoint();
    session.advance(&[1; 14]).unwrap();
    session.publish_prefix(&space("a"));
    session.rollback(&start).unwrap();
    // 50 tokens end inside the fourth block, which the index still holds with the old tail.
    session.advance(&[2; 14]).unwrap();
    let mut other = rig.session(&prompt(), Plan::empty()).unwrap();
    other.push(&[1; 14]).unwrap();
    let cold = Rig::tiny(256);
    let mut fresh = cold.session(&prompt(), Plan::empty()).unwrap();
    let expected = fresh.advance(&[1; 14]).unwrap().logits;
    other.adopt_prefix(&space("a")).unwrap();
    assert_eq!(other.run().unwrap().logits, expected);
}

#[test]
fn old_prefixes_give_way_when_the_pool_is_full() {
    let rig = Rig::tiny(4 * BLOCK_LEN);
    for first in 0..6u32 {
        let mut session = rig.session(&[first; 50], Plan::empty()).unwrap();
        session.run().unwrap();
        session.publish_prefix(&space("a"));
    }
    let usage = rig.pool.usage();
    assert!(
        usage.indexed <= usage.blocks && usage.indexed + usage.free == usage.blocks,
        "{usage:?}"
    );
}

#[test]
fn the_end_of_the_prompt_inside_a_block_is_part_of_its_key() {
    for positions in [Positions::Prompt, Positions::Generated] {
        let rig = Rig::tiny(1024);
        let plan = || Plan::of(push(Site::Embed, 1).at(positions.clone()));
        let mut first = rig.session(&prompt(), plan()).unwrap();
        first.advance(&[7; 20]).unwrap();
        first.publish_prefix(&space("a"));
        // The next turn: the same tokens, all of them prompt.
        let tokens: Vec<u32> = prompt().into_iter().chain([7; 40]).collect();
        let cold = Rig::tiny(1024);
        let expected = cold.session(&tokens, plan()).unwrap().run().unwrap().logits;
        let mut second = rig.session(&tokens, plan()).unwrap();
        // Blocks before the border are shared; the one it lies in is not.
        assert_eq!(second.adopt_prefix(&space("a")).unwrap(), 48, "{positions:?}");
        assert_eq!(second.run().unwrap().logits, expected, "{positions:?}");
    }
}

#[test]
fn a_session_whose_generated_tokens_became_prompt_does_not_publish_them_as_such() {
    let rig = Rig::tiny(1024);
    let generated = Plan::of(push(Site::Embed, 1).at(Positions::Generated));
    let mut session = rig.session(&prompt(), generated).unwrap();
    session.advance(&[7; 30]).unwrap();
    session.push_prompt(&[8; 10]).unwrap();
    session.run().unwrap();
    session.publish_prefix(&space("a"));
    assert_eq!(rig.pool.usage().indexed, 0);
}

#[test]
fn counts_do_not_depend_on_the_cache() {
    let rig = Rig::tiny(1024);
    let plan = || Plan::of(push(Site::Embed, 1).at(Positions::Prompt));
    let (saved, mut warm) = adopted(&rig, plan(), plan());
    warm.run().unwrap();
    assert_eq!((saved, warm.fired()), (48, [50].as_slice()));
}
