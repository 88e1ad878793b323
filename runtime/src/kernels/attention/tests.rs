//! Attention beside candle's, alone and in company, on every unit.

use super::super::blocks::store;
use super::*;
use crate::kv::BLOCK_LEN;
use candle_core::{DType, Device};
use std::sync::Arc;

fn wave(rows: usize, columns: usize, pace: f32) -> Tensor {
    let values = (0..rows * columns).map(|i| (i as f32 * pace).sin()).collect::<Vec<f32>>();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn rules(window: Option<usize>, softcap: Option<f32>) -> Attention {
    let shape = HeadShape { heads: 6, kv_heads: 2, dim: 20 };
    Attention { shape, scale: 0.4, softcap, window }
}

/// A pool with 45 positions in blocks 3, 0, 5 and 9 in blocks 1, and the spans that continue them.
fn scene(rules: &Attention) -> (Tensor, Vec<Span>) {
    let shape = rules.shape;
    let size = (6, 2, shape.kv_heads, shape.dim * BLOCK_LEN);
    // Slots nobody has written hold NaN: reading one would show.
    let pool = Tensor::full(f32::NAN, size, &Device::Cpu).unwrap().contiguous().unwrap();
    let blocks: [Arc<[u32]>; 2] = [Arc::from([3u32, 0, 5]), Arc::from([1u32])];
    for (i, (blocks, len)) in blocks.iter().zip([48, 12]).enumerate() {
        let span = Span { rows: 0..len, start: 0, blocks: blocks.clone() };
        store(&pool, &wave(len, shape.row(), 0.3 + i as f32), shape, &[span]).unwrap();
    }
    let [first, second] = blocks;
    let spans = vec![
        Span { rows: 0..37, start: 8, blocks: first },
        Span { rows: 37..38, start: 9, blocks: second },
    ];
    (pool, spans)
}

#[test]
fn agrees_with_candle_over_scattered_blocks() {
    for (window, softcap) in [(None, None), (Some(3), None), (Some(20), Some(2.0))] {
        let rules = rules(window, softcap);
        let (pool, spans) = scene(&rules);
        let qkv = wave(38, rules.shape.row(), 0.7);
        let ours = rules.forward(&qkv, &pool, &spans).unwrap();
        let theirs = rules.forward_with_candle(&qkv, &pool, &spans).unwrap();
        let gap = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
        assert!(gap.to_scalar::<f32>().unwrap() < 1e-5, "{window:?} {softcap:?}");
    }
    assert_eq!(DType::F32.size_in_bytes(), 4);
}

#[test]
fn a_query_has_the_same_bits_alone_and_in_a_bunch() {
    let rules = rules(Some(18), None);
    let (pool, spans) = scene(&rules);
    let qkv = wave(38, rules.shape.row(), 0.7);
    let together = rules.forward(&qkv, &pool, &spans).unwrap().to_vec2::<f32>().unwrap();
    for (row, expected) in together.iter().take(37).enumerate() {
        let one = qkv.narrow(0, row, 1).unwrap();
        let span = Span { rows: 0..1, start: 8 + row, blocks: spans[0].blocks.clone() };
        let alone = rules.forward(&one, &pool, &[span]).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(&alone[0], expected, "row {row}");
    }
}
