//! Keys and values kept as f16: half the memory, results close to f32's, and every promise of exactness as it was.

use trimtab_runtime::fingerprint::Fingerprint;
use trimtab_runtime::kv::{BLOCK_LEN, KvType};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_tests::rig::{Rig, push};

fn prompt() -> Vec<u32> {
    (0..150).map(|i| (i * 7 + 3) % 62).collect()
}

fn rig(kind: KvType) -> Rig {
    Rig::with_type(2048, kind)
}

fn plan() -> Plan {
    Plan::of(push(Site::ResidPost(0), 1))
}

/// The prompt's logits in passes of `chunk` tokens, and the session after them.
fn run(rig: &Rig, chunk: usize) -> (Vec<f32>, Session) {
    let mut session = rig.session(&prompt(), plan()).unwrap();
    session.set_chunk(chunk);
    let logits = session.run().unwrap().logits.concat();
    (logits, session)
}

#[test]
fn logits_are_close_to_those_of_f32() {
    let (exact, _) = run(&rig(KvType::F32), 512);
    let (halved, _) = run(&rig(KvType::F16), 512);
    let largest = exact.iter().fold(0f32, |m, x| m.max(x.abs()));
    let gap = exact.iter().zip(&halved).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert_ne!(exact, halved, "nothing was rounded");
    // Eleven bits are a relative error of 5e-4 in a key or value; sums over keys average it.
    assert!(gap < 1e-3 * largest, "{gap} of {largest}");
}

#[test]
fn chunks_rewinds_and_forks_keep_the_bits() {
    let rig = rig(KvType::F16);
    let (whole, mut session) = run(&rig, 512);
    for chunk in [1, 7, 100] {
        assert_eq!(run(&rig, chunk).0, whole, "chunks of {chunk}");
    }
    let here = session.checkpoint();
    let onwards = session.advance(&[5, 6, 7]).unwrap().logits;
    session.rollback(&here).unwrap();
    let mut fork = session.fork();
    assert_ne!(fork.advance(&[9, 9]).unwrap().logits, onwards);
    assert_eq!(session.advance(&[5, 6, 7]).unwrap().logits, onwards);
}

#[test]
fn a_shared_prefix_keeps_the_bits() {
    let rig = rig(KvType::F16);
    let space = Fingerprint::builder("test").finish();
    let (whole, session) = run(&rig, 512);
    session.publish_prefix(&space);
    let mut warm = rig.session(&prompt(), plan()).unwrap();
    assert_eq!(warm.adopt_prefix(&space).unwrap(), 149 / BLOCK_LEN * BLOCK_LEN);
    assert_eq!(warm.run().unwrap().logits.concat(), whole);
}

#[test]
fn a_token_takes_half_the_memory() {
    let rig = rig(KvType::F16);
    let spec = rig.decoder.spec();
    assert_eq!(rig.pool.kv_type(), KvType::F16);
    assert_eq!(2 * spec.kv_bytes_per_token(KvType::F16), spec.kv_bytes_per_token(KvType::F32));
}
