//! Heads, rotary positions, attention and its cache.

use pi0_node::device::{Device, HeadLayout, KeysValues, RopeTable};

use crate::common::values::values;
use crate::tested::{Tested, wide};

pub fn heads_are_split_queries_keys_values<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let (tokens, head_dim) = (2 * device.tile_size(), 3 * device.tile_size());
    let layout = HeadLayout {
        sequences: 2,
        num_heads: 2,
        num_kv_heads: 1,
        head_dim,
    };
    let width = 4 * head_dim;
    let qkv = values(2 * tokens * width, 9);
    let on_device = tested.upload(&qkv, &[2 * tokens, width]);
    let heads = device.split_heads(&on_device, layout).unwrap();
    let expected = |of_sequence: std::ops::Range<usize>| -> Vec<f64> {
        let mut split = Vec::new();
        for sequence in 0..2 {
            for head in of_sequence.clone() {
                for token in 0..tokens {
                    let start = (sequence * tokens + token) * width + head * head_dim;
                    split.extend(wide(&qkv[start..][..head_dim]));
                }
            }
        }
        split
    };
    tested.expect(
        "queries",
        Ok(heads.queries),
        &[4, tokens, head_dim],
        &expected(0..2),
    );
    tested.expect("keys", Ok(heads.keys), &[2, tokens, head_dim], &expected(2..3));
    tested.expect(
        "values",
        Ok(heads.values),
        &[2, tokens, head_dim],
        &expected(3..4),
    );
    let wide_head = HeadLayout {
        head_dim: 2 * head_dim,
        ..layout
    };
    tested.refuse("width", device.split_heads(&on_device, wide_head));
    let none = HeadLayout {
        sequences: 0,
        ..layout
    };
    tested.refuse("no sequence", device.split_heads(&on_device, none));
}

pub fn rope_rotates_the_first_half_of_a_head_against_the_second<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let (tokens, half) = (device.tile_size(), 2 * device.tile_size());
    let angles = values(tokens * half, 15);
    let both_halves = |f: fn(f32) -> f32| -> Vec<f32> {
        angles.chunks(half).flat_map(|row| row.repeat(2)).map(f).collect()
    };
    let shape = [tokens, 2 * half];
    let table = RopeTable {
        cos: tested.upload(&both_halves(f32::cos), &shape),
        sin: tested.upload(&both_halves(f32::sin), &shape),
    };
    let x = values(3 * tokens * 2 * half, 16);
    let rotated: Vec<f64> = x
        .chunks(2 * half)
        .enumerate()
        .flat_map(|(row, x)| {
            let angles = wide(&angles[row % tokens * half..][..half]);
            let (first, second) = (wide(&x[..half]), wide(&x[half..]));
            let turn = |sign: f64, own: &[f64], other: &[f64]| -> Vec<f64> {
                let pairs = own.iter().zip(other).zip(&angles);
                pairs
                    .map(|((own, other), angle)| own * angle.cos() + sign * other * angle.sin())
                    .collect()
            };
            [turn(-1.0, &first, &second), turn(1.0, &second, &first)].concat()
        })
        .collect();
    let on_device = tested.upload(&x, &[3, tokens, 2 * half]);
    tested.expect(
        "rotation",
        device.rope(&on_device, &table),
        &[3, tokens, 2 * half],
        &rotated,
    );
    let longer = tested.upload(&x[..4 * tokens * half], &[1, 2 * tokens, 2 * half]);
    tested.refuse("tokens", device.rope(&longer, &table));
    let matrix = tested.upload(&x[..2 * tokens * half], &shape);
    tested.refuse("a matrix", device.rope(&matrix, &table));
}

/// The definition of attention with grouped key heads, in f64.
#[derive(Clone, Copy)]
struct Attention {
    sequences: usize,
    /// Of a sequence, as the next.
    num_heads: usize,
    num_kv_heads: usize,
    queries: usize,
    keys: usize,
    head_dim: usize,
}

impl Attention {
    fn define(&self, q: &[f32], k: &[f32], v: &[f32], mask: Option<&[f32]>, scale: f64) -> Vec<f64> {
        let Self {
            sequences,
            num_heads,
            num_kv_heads,
            queries,
            keys,
            head_dim,
        } = *self;
        let mut merged = vec![0.0; sequences * queries * num_heads * head_dim];
        for head in 0..sequences * num_heads {
            let (sequence, column) = (head / num_heads, head % num_heads);
            let kv_head = head * num_kv_heads / num_heads;
            let row = |values: &[f32], index: usize| wide(&values[index * head_dim..][..head_dim]);
            for query in 0..queries {
                let q = row(q, head * queries + query);
                let scores: Vec<f64> = (0..keys)
                    .map(|key| {
                        let k = row(k, kv_head * keys + key);
                        let score: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
                        scale * score + mask.map_or(0.0, |mask| f64::from(mask[query * keys + key]))
                    })
                    .map(f64::exp)
                    .collect();
                let sum: f64 = scores.iter().sum();
                for (key, score) in scores.iter().enumerate() {
                    let v = row(v, kv_head * keys + key);
                    for (dim, v) in v.iter().enumerate() {
                        let row = sequence * queries + query;
                        merged[(row * num_heads + column) * head_dim + dim] += score / sum * v;
                    }
                }
            }
        }
        merged
    }
}

/// Sequences, heads, heads of keys, queries, keys and width of a head.
type AttentionCase = (usize, usize, usize, usize, usize, usize);

/// As many keys as a card takes at once, or fewer.
pub fn attention_weighs_few_keys_by_masked_softmax<D: Device>(tested: Tested<D>) {
    let cases = [(1, 6, 2, 1, 1, 18), (3, 2, 2, 40, 40, 24), (2, 4, 1, 9, 30, 16)];
    attend_as_defined(&tested, &cases);
}

pub fn attention_weighs_keys_by_masked_softmax_within_each_sequence<D: Device>(tested: Tested<D>) {
    attend_as_defined(&tested, &[(1, 4, 1, 70, 83, 16), (1, 3, 3, 130, 130, 8)]);
}

fn attend_as_defined<D: Device>(tested: &Tested<D>, cases: &[AttentionCase]) {
    for &(sequences, num_heads, num_kv_heads, queries, keys, head_dim) in cases {
        let device = &tested.device;
        let tiled = |size: usize| size.next_multiple_of(device.tile_size());
        let shape = Attention {
            sequences,
            num_heads,
            num_kv_heads,
            queries: tiled(queries),
            keys: tiled(keys),
            head_dim: tiled(head_dim),
        };
        let Attention {
            queries,
            keys,
            head_dim,
            ..
        } = shape;
        let q_shape = [sequences * num_heads, queries, head_dim];
        let kv_shape = [sequences * num_kv_heads, keys, head_dim];
        let q = values(q_shape.iter().product(), 11);
        let k = values(kv_shape.iter().product(), 12);
        let v = values(kv_shape.iter().product(), 13);
        let hidden = |index: usize| index % keys % 3 == 1;
        let mask: Vec<f32> = (0..queries * keys)
            .map(|index| if hidden(index) { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        let queries_tensor = tested.upload(&q, &q_shape);
        let attended = KeysValues {
            keys: tested.upload(&k, &kv_shape),
            values: tested.upload(&v, &kv_shape),
        };
        let uploaded_mask = tested.upload(&mask, &[queries, keys]);
        let merged_shape = [sequences * queries, num_heads * head_dim];
        for (mask, on_device) in [(None, None), (Some(&mask[..]), Some(&uploaded_mask))] {
            let merged = device.attention(&queries_tensor, &attended, sequences, on_device, 0.25);
            let expected = shape.define(&q, &k, &v, mask, 0.25);
            tested.expect("attention", merged, &merged_shape, &expected);
        }
        let attend =
            |attended, sequences, mask| device.attention(&queries_tensor, attended, sequences, mask, 0.25);
        tested.refuse("no sequence", attend(&attended, 0, None));
        let flat = KeysValues {
            keys: attended.keys.clone(),
            values: tested.upload(&v, &[v.len() / head_dim, head_dim]),
        };
        tested.refuse("values", attend(&flat, sequences, None));
        let short = tested.upload(&mask[..keys], &[1, keys]);
        if queries > 1 {
            tested.refuse("mask", attend(&attended, sequences, Some(&short)));
        }
    }
}

pub fn a_cache_keeps_what_is_written_where_it_is_written<D: Device>(tested: Tested<D>) {
    let device = &tested.device;
    let tile = device.tile_size();
    let zeros = || device.zeros(&[2, 3 * tile, tile]).unwrap();
    let mut cache = KeysValues {
        keys: zeros(),
        values: zeros(),
    };
    let count = 2 * 2 * tile * tile;
    let (keys, of_values) = (values(count, 21), values(count, 22));
    let shape = [2, 2 * tile, tile];
    let tokens = KeysValues {
        keys: tested.upload(&keys, &shape),
        values: tested.upload(&of_values, &shape),
    };
    device.write_tokens(&mut cache, tile, &tokens).unwrap();
    for (what, cache, written) in [
        ("keys", &cache.keys, &keys),
        ("values", &cache.values, &of_values),
    ] {
        let expected: Vec<f64> = written
            .chunks(count / 2)
            .flat_map(|head| [vec![0.0; tile * tile], wide(head)].concat())
            .collect();
        tested.expect(what, Ok(cache.clone()), &[2, 3 * tile, tile], &expected);
    }
    tested.refuse(
        "beyond the end",
        device.write_tokens(&mut cache, 2 * tile, &tokens),
    );
    let one_head = tested.upload(&keys[..tile * tile], &[1, tile, tile]);
    let one_head = KeysValues {
        keys: one_head.clone(),
        values: one_head,
    };
    tested.refuse("heads", device.write_tokens(&mut cache, 0, &one_head));
}
