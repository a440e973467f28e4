//! Head splitting, rotary positions and attention.

use super::f32_kernel::PackedRows;
use super::math::softmax;
use super::panels::{PackedColumns, pack_panel, pack_transposed_panel};
use super::product::{MatrixMut, PANEL, Tiles};
use super::tensor::{Buffers, CpuTensor, with_scratch};
use super::threads::Threads;
use crate::device::{DeviceError, HeadLayout, Heads, Result, RopeTable};

/// Queries that one task attends with: few enough that the scores stay in cache, and whole tiles of a product.
const QUERY_BLOCK: usize = 60;

pub(super) fn split_heads(
    qkv: &CpuTensor,
    layout: HeadLayout,
    buffers: &Buffers,
) -> Result<Heads<CpuTensor>> {
    let (tokens, width) = qkv.matrix("split_heads")?;
    let HeadLayout {
        num_heads,
        num_kv_heads,
        head_dim,
    } = layout;
    if width != (num_heads + 2 * num_kv_heads) * head_dim {
        return Err(DeviceError::shape(
            "split_heads",
            format!("{:?} does not divide into {layout:?}", qkv.shape()),
        ));
    }
    let gather = |first_head: usize, heads: usize| {
        let mut gathered = buffers.tensor(&[heads, tokens, head_dim])?;
        let mut rows = gathered.values_mut().chunks_exact_mut(head_dim.max(1));
        for head in first_head..first_head + heads {
            for (token, row) in rows.by_ref().take(tokens).enumerate() {
                row.copy_from_slice(&qkv.values()[token * width + head * head_dim..][..head_dim]);
            }
        }
        Ok(gathered)
    };
    Ok(Heads {
        queries: gather(0, num_heads)?,
        keys: gather(num_heads, num_kv_heads)?,
        values: gather(num_heads + num_kv_heads, num_kv_heads)?,
    })
}

pub(super) fn rope(
    x: &CpuTensor,
    table: &RopeTable<CpuTensor>,
    buffers: &Buffers,
    threads: &Threads,
) -> Result<CpuTensor> {
    let (_, tokens, head_dim) = x.heads("rope")?;
    let half = head_dim / 2;
    table.cos.expect_shape("rope", "cos", &[tokens, half])?;
    table.sin.expect_shape("rope", "sin", &[tokens, half])?;
    let mut rotated = buffers.tensor(x.shape())?;
    rotated.values_mut().copy_from_slice(x.values());
    let operations = 8 * x.values().len();
    let head_length = (tokens * head_dim).max(1);
    threads.for_each_chunk(rotated.values_mut(), head_length, operations, |_, head| {
        for (token, values) in head.chunks_exact_mut(head_dim).enumerate() {
            let cos = &table.cos.values()[token * half..][..half];
            let sin = &table.sin.values()[token * half..][..half];
            let (first, second) = values.split_at_mut(half);
            for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*first, *second) = (*first * cos - *second * sin, *second * cos + *first * sin);
            }
        }
    });
    Ok(rotated)
}

pub(super) fn attention(
    (queries, keys, values): (&CpuTensor, &CpuTensor, &CpuTensor),
    valid_keys: usize,
    mask: Option<&CpuTensor>,
    scale: f32,
    buffers: &Buffers,
    threads: &Threads,
) -> Result<CpuTensor> {
    const OPERATION: &str = "attention";
    let (num_heads, query_count, head_dim) = queries.heads(OPERATION)?;
    let (num_kv_heads, capacity, _) = keys.heads(OPERATION)?;
    let kv_shape = [num_kv_heads, capacity, head_dim];
    keys.expect_shape(OPERATION, "keys", &kv_shape)?;
    values.expect_shape(OPERATION, "values", &kv_shape)?;
    if num_kv_heads == 0 || !num_heads.is_multiple_of(num_kv_heads) || valid_keys > capacity {
        return Err(DeviceError::shape(
            OPERATION,
            format!(
                "queries {:?} with {valid_keys} valid of keys {kv_shape:?}",
                queries.shape()
            ),
        ));
    }
    if let Some(mask) = mask {
        mask.expect_shape(OPERATION, "mask", &[query_count, valid_keys])?;
    }
    let width = num_heads * head_dim;
    let mut merged = buffers.tensor(&[query_count, width])?;
    if valid_keys == 0 {
        merged.values_mut().fill(0.0);
        return Ok(merged);
    }
    let of_kv_head = |kv_head: usize| {
        let start = kv_head * capacity * head_dim;
        start..start + valid_keys * head_dim
    };
    let key_panels = valid_keys.div_ceil(PANEL);
    let mut packed_keys = buffers.tensor(&[num_kv_heads, key_panels * head_dim * PANEL])?;
    let length = packed_keys.values().len();
    threads.for_each_chunk(
        packed_keys.values_mut(),
        head_dim * PANEL,
        length,
        |panel, values| {
            let keys = &keys.values()[of_kv_head(panel / key_panels)];
            pack_transposed_panel(keys, head_dim, panel % key_panels * PANEL, values);
        },
    );
    let value_panels = head_dim.div_ceil(PANEL);
    let mut packed_values = buffers.tensor(&[num_kv_heads, value_panels * valid_keys * PANEL])?;
    let length = packed_values.values().len();
    threads.for_each_chunk(
        packed_values.values_mut(),
        valid_keys * PANEL,
        length,
        |panel, packed| {
            let values = &values.values()[of_kv_head(panel / value_panels)];
            pack_panel(values, head_dim, panel % value_panels * PANEL, packed);
        },
    );

    let blocks = query_count.div_ceil(QUERY_BLOCK);
    let operations = 2 * num_heads * query_count * valid_keys * head_dim;
    let tiles = Tiles::new(merged.values_mut(), query_count, width);
    threads.for_each(num_heads * blocks, operations, |task| {
        let (head, block) = (task / blocks, task % blocks);
        let first_query = block * QUERY_BLOCK;
        let count = QUERY_BLOCK.min(query_count - first_query);
        let kv_head = head / (num_heads / num_kv_heads);
        let of_head = |packed: &'_ CpuTensor| packed.shape()[1] * kv_head..packed.shape()[1] * (kv_head + 1);
        let keys = PackedColumns::new(&packed_keys.values()[of_head(&packed_keys)], head_dim, valid_keys);
        let values = PackedColumns::new(
            &packed_values.values()[of_head(&packed_values)],
            valid_keys,
            head_dim,
        );
        let query_values = &queries.values()[(head * query_count + first_query) * head_dim..];
        let packed_length = PackedRows::length(count, head_dim.max(valid_keys));
        with_scratch(count * valid_keys + packed_length, |scratch| {
            let (scores, packed) = scratch.split_at_mut(count * valid_keys);
            MatrixMut::new(scores, count, valid_keys).assign_product(
                PackedRows::pack(query_values, count, head_dim, packed, threads),
                &keys,
                0,
                |scores, _| scores.iter_mut().for_each(|score| *score *= scale),
            );
            for (row, scores) in scores.chunks_exact_mut(valid_keys).enumerate() {
                if let Some(mask) = mask {
                    let mask = &mask.values()[(first_query + row) * valid_keys..];
                    scores
                        .iter_mut()
                        .zip(mask)
                        .for_each(|(score, mask)| *score += mask);
                }
                softmax(scores);
            }
            let columns = head * head_dim..(head + 1) * head_dim;
            // SAFETY: every task has a head's columns of a block's rows for itself.
            unsafe { tiles.tile(first_query..first_query + count, columns) }.assign_product(
                PackedRows::pack(scores, count, valid_keys, packed, threads),
                &values,
                0,
                |_, _| (),
            );
        });
    });
    Ok(merged)
}
