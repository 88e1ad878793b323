//! Attention beside candle's, alone and in company, on every unit.
#![allow(unsafe_code)] // a tile's rows are written into a buffer of its own

use super::host::attend;
use super::scratch::Room;
use super::tile::{Job, Tile, Unit};
use super::*;
use crate::decoder::rope::{RopeScaling, RopeSpec, RopeStyle, RopeTable};
use crate::kernels::blocks::BLOCK_LEN;
use crate::kernels::blocks::store;
use crate::kernels::qk_norm_rope::{HeadNorms, prepare};
use crate::kernels::simd::Task;
use crate::kernels::threads::Parts;
use candle_core::{DType, Device};
use half::f16;
use std::sync::Arc;

fn wave(rows: usize, columns: usize, pace: f32) -> Tensor {
    let values = (0..rows * columns).map(|i| (i as f32 * pace).sin()).collect::<Vec<f32>>();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn rules(heads: usize, kv_heads: usize, dim: usize) -> Attention {
    let shape = HeadShape { heads, kv_heads, dim };
    Attention { shape, scale: 0.4, softcap: None, window: None }
}

/// A pool whose every slot holds NaN: reading one before it is written would show.
fn pool(shape: HeadShape, blocks: usize, dtype: DType) -> Tensor {
    let size = (blocks, 2, shape.kv_heads, shape.dim * BLOCK_LEN);
    let pool = Tensor::full(f32::NAN, size, &Device::Cpu).unwrap();
    pool.to_dtype(dtype).unwrap().force_contiguous().unwrap()
}

/// Blocks of a pool of `2·count`, scattered.
fn scattered(count: usize) -> Arc<[u32]> {
    (0..count).map(|i| (i * 2 + 1) as u32).rev().collect()
}

/// A pool with 308 positions of one sequence and 9 of another, and the spans that end them.
fn scene(rules: &Attention, dtype: DType) -> (Tensor, Vec<Span>) {
    let shape = rules.shape;
    let pool = pool(shape, 40, dtype);
    let blocks: [Arc<[u32]>; 2] = [scattered(20), Arc::from([4u32])];
    for (i, (blocks, len)) in blocks.iter().zip([308, 10]).enumerate() {
        let span = Span { rows: 0..len, start: 0, blocks: blocks.clone() };
        store(&pool, &wave(len, shape.row(), 0.3 + i as f32), shape, &[span]).unwrap();
    }
    let [first, second] = blocks;
    let spans = vec![
        Span { rows: 0..58, start: 250, blocks: first },
        Span { rows: 58..59, start: 9, blocks: second },
    ];
    (pool, spans)
}

fn gap(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn agrees_with_candle_over_scattered_blocks() {
    let shapes = [
        (6, 2, 20),
        (3, 3, 64),
        (4, 2, 48),
        (9, 3, 64),
        (4, 1, 256),
        (8, 1, 128),
        (7, 1, 16),
        (26, 2, 24),
    ];
    for (heads, kv_heads, dim) in shapes {
        for (window, softcap) in [(None, None), (Some(3), None), (Some(150), Some(2.0))] {
            let rules = Attention { window, softcap, ..rules(heads, kv_heads, dim) };
            let qkv = wave(59, rules.shape.row(), 0.7);
            for dtype in [DType::F32, DType::F16] {
                let (pool, spans) = scene(&rules, dtype);
                let ours = rules.forward(&qkv, &pool, &spans).unwrap();
                let theirs = rules.forward_with_candle(&qkv, &pool, &spans).unwrap();
                let gap = gap(&ours, &theirs);
                assert!(gap < 1e-5, "{heads}/{kv_heads}·{dim} {window:?} {softcap:?}: {gap}");
            }
        }
    }
}

#[test]
fn a_query_has_the_same_bits_alone_and_in_a_tile() {
    for (heads, window) in [(6, None), (6, Some(18)), (2, Some(140)), (26, None)] {
        let rules = Attention { window, ..rules(heads, 2, 24) };
        for dtype in [DType::F32, DType::F16] {
            let (pool, spans) = scene(&rules, dtype);
            let qkv = wave(59, rules.shape.row(), 0.7);
            let together = rules.forward(&qkv, &pool, &spans).unwrap().to_vec2::<f32>().unwrap();
            for (row, expected) in together.iter().take(58).enumerate() {
                let one = qkv.narrow(0, row, 1).unwrap();
                let span = Span { rows: 0..1, start: 250 + row, blocks: spans[0].blocks.clone() };
                let alone = rules.forward(&one, &pool, &[span]).unwrap();
                assert_eq!(&flat(&alone), expected, "row {row}");
            }
        }
    }
}

#[test]
fn nan_in_the_first_chunk_stays() {
    let rules = rules(6, 2, 24);
    let pool = pool(rules.shape, 13, DType::F32);
    let blocks: Arc<[u32]> = (0..13).collect();
    // 128 positions of NaN, a chunk of them, then 72 of numbers.
    let nan = Tensor::full(f32::NAN, (128, rules.shape.row()), &Device::Cpu).unwrap();
    let first = Span { rows: 0..128, start: 0, blocks: blocks.clone() };
    store(&pool, &nan, rules.shape, &[first]).unwrap();
    let qkv = wave(72, rules.shape.row(), 0.7);
    let rest = [Span { rows: 0..72, start: 128, blocks }];
    store(&pool, &qkv, rules.shape, &rest).unwrap();
    let seen = flat(&rules.forward(&qkv, &pool, &rest).unwrap());
    assert!(seen.iter().all(|v| v.is_nan()));
}

#[test]
fn an_infinity_reaches_only_queries_that_see_it() {
    let rules = rules(6, 2, 20);
    let (pool, spans) = scene(&rules, DType::F32);
    let shape = rules.shape;
    let clean = flat(&rules.forward(&wave(59, shape.row(), 0.7), &pool, &spans).unwrap());
    let broken = Span { rows: 0..1, start: 280, blocks: spans[0].blocks.clone() };
    let infinite = Tensor::full(f32::INFINITY, (1, shape.row()), &Device::Cpu).unwrap();
    store(&pool, &infinite, shape, &[broken]).unwrap();
    let spoilt = flat(&rules.forward(&wave(59, shape.row(), 0.7), &pool, &spans).unwrap());
    let border = (280 - 250) * shape.q();
    assert_eq!(clean[..border], spoilt[..border]);
    assert!(spoilt[border..58 * shape.q()].iter().all(|x| !x.is_finite()));
    assert_eq!(clean[58 * shape.q()..], spoilt[58 * shape.q()..]);
}

struct OnUnit<'a> {
    rules: &'a Attention,
    unit: Unit,
    pool: &'a Tensor,
    spans: &'a [Span],
}

impl OnUnit<'_> {
    /// Every span's rows on one unit; lanes are tried with and without fused multiply-add.
    fn rows(&self, qkv: &[f32]) -> Vec<f32> {
        let mut out = vec![0f32; qkv.len() / self.rules.shape.row() * self.rules.shape.q()];
        let (rules, unit) = (self.rules, self.unit);
        match self.pool.dtype() {
            DType::F16 => {
                let pool = &self.pool.flatten_all().unwrap().to_vec1::<f16>().unwrap();
                attend(Job { rules, unit, qkv, pool }, self.spans, &mut out);
            }
            _ => attend(Job { rules, unit, qkv, pool: &flat(self.pool) }, self.spans, &mut out),
        }
        out
    }
}

#[test]
fn every_unit_gives_the_bits_of_the_safe_reference() {
    for (heads, kv_heads, dim) in [(9, 3, 64), (6, 2, 20), (7, 1, 80), (12, 1, 128), (5, 5, 16)] {
        for window in [None, Some(5), Some(200)] {
            let rules = Attention { window, ..rules(heads, kv_heads, dim) };
            for dtype in [DType::F32, DType::F16] {
                let (pool, spans) = scene(&rules, dtype);
                let qkv = flat(&wave(59, rules.shape.row(), 0.7));
                let on =
                    |unit| OnUnit { rules: &rules, unit, pool: &pool, spans: &spans }.rows(&qkv);
                assert_eq!(on(Unit::best()), on(Unit::Lanes), "{heads}/{kv_heads}·{dim}");
            }
        }
    }
}

/// One tile without fused multiply-add, as a CPU without it runs it.
fn unfused(rules: &Attention, pool: &[f32], qkv: &[f32], tile: &Tile) -> Vec<f32> {
    let job = Job { rules, unit: Unit::Lanes, qkv, pool };
    let mut room = scratch::take();
    let Room { panel, sum, .. } = &mut *room;
    job.pack(tile, panel);
    sum.clear(tile.rows() * rules.shape.dim);
    for chunk in tile.chunks(rules) {
        job.visit::<false>(tile, chunk, (tile, chunk + 1), &mut room);
        let Room { sum, chunk: new, .. } = &mut *room;
        job.join::<false>(tile, chunk, sum, new);
    }
    let mut out = vec![0f32; rules.shape.q() * tile.queries.end];
    // SAFETY: nothing else has the buffer.
    unsafe { job.write(tile, &room.sum, &Parts::of(&mut out)) };
    out
}

#[test]
fn the_portable_path_agrees_with_the_units() {
    let rules = rules(6, 2, 20);
    let (pool, spans) = scene(&rules, DType::F32);
    let qkv = wave(59, rules.shape.row(), 0.7);
    let expected = flat(&rules.forward(&qkv, &pool, &spans).unwrap());
    let (pool, qkv) = (flat(&pool), flat(&qkv));
    for query in 0..14 {
        let tile = Tile { span: &spans[0], queries: 4 * query..4 * query + 4, heads: 3..6 };
        let out = unfused(&rules, &pool, &qkv, &tile);
        for row in tile.queries.clone() {
            let own = row * 120 + 60..row * 120 + 120;
            for (a, b) in out[own.clone()].iter().zip(&expected[own]) {
                assert!((a - b).abs() < 1e-6, "row {row}: {a} {b}");
            }
        }
    }
}

struct Softmax<'a>(&'a mut [[f32; 16]], &'a mut (f32, f32));

impl Task for Softmax<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        *self.1 = tile::weigh::<FMA>(None, self.0, &(3..19));
    }
}

#[test]
fn weights_are_relative_to_the_largest_score_that_is_seen() {
    for fused in [false, true] {
        let mut scores = [[f32::NAN; 16], [f32::NAN; 16], [f32::NAN; 16]];
        scores.as_flattened_mut()[3..19].iter_mut().enumerate().for_each(|(i, s)| *s = i as f32);
        let mut found = (0.0, 0.0);
        let task = Softmax(&mut scores, &mut found);
        if fused {
            task.run::<true>()
        } else {
            task.run::<false>()
        }
        assert_eq!(found.0, 15.0);
        let exact: f64 = (0..16).map(|i| f64::from(i - 15).exp()).sum();
        assert!((f64::from(found.1) - exact).abs() < 1e-6);
        assert_eq!(scores[0][..3], [0.0; 3]);
        assert_eq!(scores[1][3..], [0.0; 13]);
    }
}

/// A sequence of 300 rows with head norms and rotation.
struct Host {
    rules: Attention,
    norms: HeadNorms,
    table: RopeTable,
    qkv: Tensor,
}

impl Host {
    fn new() -> Host {
        let rules = Attention { window: Some(170), ..rules(6, 2, 20) };
        let spec = RopeSpec {
            base: 100.0,
            rotary_dim: 12,
            style: RopeStyle::Halves,
            scaling: RopeScaling::None,
        };
        let table = RopeTable::new(&spec, 320, &Device::Cpu).unwrap();
        let norms = HeadNorms { query: vec![1.25; 20], key: vec![0.75; 20], eps: 1e-5 };
        let qkv = wave(300, rules.shape.row(), 0.37);
        Host { rules, norms, table, qkv }
    }

    fn step<'a>(&'a self, positions: &'a [u32], spans: &'a [Span]) -> HeadStep<'a> {
        HeadStep { norms: Some(&self.norms), table: &self.table, positions, spans }
    }

    /// The rows in passes of these sizes.
    fn in_passes(&self, sizes: &[usize], dtype: DType) -> Vec<f32> {
        let shape = self.rules.shape;
        let pool = pool(shape, 40, dtype);
        let (blocks, mut out, mut start) = (scattered(20), Vec::new(), 0);
        for size in sizes.iter().cycle() {
            let rows = 0..(*size).min(300 - start);
            if rows.is_empty() {
                return out;
            }
            let positions: Vec<u32> = rows.clone().map(|i| (start + i) as u32).collect();
            let mut qkv = flat(&self.qkv.narrow(0, start, rows.len()).unwrap());
            let mut mixed = vec![0f32; rows.len() * shape.q()];
            start += rows.len();
            let spans = [Span { start: start - rows.len(), rows, blocks: blocks.clone() }];
            self.rules.on_host(self.step(&positions, &spans), &pool, &mut qkv, &mut mixed).unwrap();
            out.extend(mixed);
        }
        out
    }
}

#[test]
fn the_host_step_is_the_three_steps_over_tensors() {
    let host = Host::new();
    let shape = host.rules.shape;
    let positions: Vec<u32> = (0..300).collect();
    let spans = [Span { rows: 0..300, start: 0, blocks: scattered(20) }];
    for dtype in [DType::F32, DType::F16] {
        let ours = host.in_passes(&[300], dtype);
        let pool = pool(shape, 40, dtype);
        let qkv = prepare(&host.qkv, shape, Some(&host.norms), &host.table, &positions).unwrap();
        store(&pool, &qkv, shape, &spans).unwrap();
        let theirs = host.rules.forward(&qkv, &pool, &spans).unwrap();
        assert_eq!(ours, flat(&theirs));
        let candles = host.rules.forward_with_candle(&qkv, &pool, &spans).unwrap();
        assert!(gap(&theirs, &candles) < 1e-5);
    }
}

#[test]
fn passes_of_any_size_give_the_same_bits() {
    let host = Host::new();
    for dtype in [DType::F32, DType::F16] {
        let whole = host.in_passes(&[300], dtype);
        for sizes in [&[1][..], &[7], &[128, 1, 40], &[33, 2]] {
            assert_eq!(host.in_passes(sizes, dtype), whole, "{sizes:?} {dtype:?}");
        }
    }
    let (exact, rounded) = (host.in_passes(&[300], DType::F32), host.in_passes(&[300], DType::F16));
    let most = exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Values up to 1 with eleven bits.
    assert!(most > 0.0 && most < 2e-3, "{most}");
}

#[test]
fn a_step_that_fits_nothing_is_refused() {
    let host = Host::new();
    let shape = host.rules.shape;
    let pool = pool(shape, 4, DType::F32);
    let refused = |start: usize, blocks: &[u32], twice: usize| {
        let span = |i: usize| Span { rows: i..i + 1, start, blocks: Arc::from(blocks) };
        let spans: Vec<Span> = (0..twice).map(span).collect();
        let positions = vec![start as u32; twice];
        let (mut qkv, mut out) = (vec![0.0; twice * shape.row()], vec![0.0; twice * shape.q()]);
        host.rules.on_host(host.step(&positions, &spans), &pool, &mut qkv, &mut out).is_err()
    };
    assert!(!refused(0, &[3], 1));
    assert!(refused(0, &[4], 1), "a block behind the pool");
    assert!(refused(16, &[3], 1), "a position without its block");
    assert!(refused(0, &[3], 2), "a block two sequences would write");
    assert!(refused(320, &[0, 1, 2, 3], 1), "a position behind the rotary table");
}
