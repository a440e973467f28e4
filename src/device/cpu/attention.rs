//! Head splitting, rotary positions and attention.

use std::ops::Range;

use super::division::Division;
use super::kernel::{Kernel, PANEL};
use super::math::softmax;
use super::packed_rows::PackedRows;
use super::panels::{PackedColumns, pack_panel, pack_transposed_panel};
use super::product::{MatrixMut, Product, SharedMatrix};
use super::tensor::{Buffers, CpuTensor, with_scratch};
use super::threads::Threads;
use crate::device::vectorised::vectorised;
use crate::device::{DeviceError, HeadLayout, Heads, KeysValues, Result, RopeTable};

/// Queries that are computed at once, or what makes whole tiles of a product: few enough that the scores stay in cache.
const QUERY_BLOCK: usize = 60;
/// Elementary operations that reading, perhaps converting, and storing a value take.
const OPERATIONS_A_MOVED_VALUE: usize = 16;

pub(super) fn split_heads(
    qkv: &CpuTensor,
    layout: HeadLayout,
    buffers: &Buffers,
    threads: &Threads,
) -> Result<Heads<CpuTensor>> {
    let (rows, width) = qkv.matrix("split_heads")?;
    let HeadLayout {
        sequences,
        num_heads,
        num_kv_heads,
        head_dim,
    } = layout;
    let divides = sequences > 0 && rows.is_multiple_of(sequences);
    if !divides || width != (num_heads + 2 * num_kv_heads) * head_dim {
        return Err(DeviceError::shape(
            "split_heads",
            format!("{:?} does not divide into {layout:?}", qkv.shape()),
        ));
    }
    let tokens = rows / sequences;
    let gather = |first_head: usize, heads: usize| -> Result<CpuTensor> {
        let mut gathered = buffers.tensor(&[sequences * heads, tokens, head_dim])?;
        let values = gathered.values_mut();
        let operations = OPERATIONS_A_MOVED_VALUE * values.len();
        threads.for_each_chunk(values, (tokens * head_dim).max(1), operations, |index, head| {
            let (sequence, head_index) = (index / heads, first_head + index % heads);
            for (token, row) in head.chunks_exact_mut(head_dim).enumerate() {
                let start = (sequence * tokens + token) * width + head_index * head_dim;
                row.copy_from_slice(&qkv.values()[start..][..head_dim]);
            }
        });
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
    table.cos.expect_shape("rope", "cos", &[tokens, head_dim])?;
    table.sin.expect_shape("rope", "sin", &[tokens, head_dim])?;
    let mut rotated = buffers.tensor(x.shape())?;
    rotated.values_mut().copy_from_slice(x.values());
    let operations = OPERATIONS_A_MOVED_VALUE * x.values().len();
    let head_length = (tokens * head_dim).max(1);
    threads.for_each_chunk(rotated.values_mut(), head_length, operations, |_, head| {
        vectorised!({
            for (token, values) in head.chunks_exact_mut(head_dim).enumerate() {
                let cos = &table.cos.values()[token * head_dim..][..half];
                let sin = &table.sin.values()[token * head_dim..][..half];
                let (first, second) = values.split_at_mut(half);
                for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*first, *second) = (*first * cos - *second * sin, *second * cos + *first * sin);
                }
            }
        });
    });
    Ok(rotated)
}

pub(super) fn attention(
    queries: &CpuTensor,
    KeysValues { keys, values }: &KeysValues<CpuTensor>,
    sequences: usize,
    mask: Option<&CpuTensor>,
    scale: f32,
    (kernel, buffers, threads): (&'static Kernel, &Buffers, &Threads),
) -> Result<CpuTensor> {
    const OPERATION: &str = "attention";
    let (num_heads, query_count, head_dim) = queries.heads(OPERATION)?;
    let (num_kv_heads, key_count, _) = keys.heads(OPERATION)?;
    let kv_shape = [num_kv_heads, key_count, head_dim];
    keys.expect_shape(OPERATION, "keys", &kv_shape)?;
    values.expect_shape(OPERATION, "values", &kv_shape)?;
    let divide = num_kv_heads > 0 && num_heads.is_multiple_of(num_kv_heads);
    if !divide || sequences == 0 || !num_kv_heads.is_multiple_of(sequences) {
        return Err(DeviceError::shape(
            OPERATION,
            format!(
                "queries {:?} with keys {kv_shape:?} in {sequences} sequences",
                queries.shape()
            ),
        ));
    }
    if let Some(mask) = mask {
        mask.expect_shape(OPERATION, "mask", &[query_count, key_count])?;
    }
    let heads_of_a_sequence = num_heads / sequences;
    let width = heads_of_a_sequence * head_dim;
    let mut merged = buffers.tensor(&[sequences * query_count, width])?;
    if key_count == 0 {
        merged.values_mut().fill(0.0);
        return Ok(merged);
    }
    let packed_keys = packed_heads(
        keys,
        (head_dim, key_count),
        |matrix, start, panel| pack_transposed_panel(kernel, matrix, head_dim, start, panel),
        (kernel, buffers, threads),
    )?;
    let packed_values = packed_heads(
        values,
        (key_count, head_dim),
        |matrix, start, panel| pack_panel(kernel, matrix, head_dim, start, panel),
        (kernel, buffers, threads),
    )?;

    let operations = 2 * num_heads * query_count * key_count * head_dim;
    let shared = SharedMatrix::new(merged.values_mut(), sequences * query_count, width);
    let attend = |head: usize, block: Range<usize>| {
        let kv_head = head / (num_heads / num_kv_heads);
        let length = PackedColumns::length(kernel, head_dim, key_count);
        let keys = &packed_keys.values()[kv_head * length..][..length];
        let keys = PackedColumns::new(kernel, keys, head_dim, key_count);
        let length = PackedColumns::length(kernel, key_count, head_dim);
        let values = &packed_values.values()[kv_head * length..][..length];
        let values = PackedColumns::new(kernel, values, key_count, head_dim);
        let count = block.len();
        let query_values = &queries.values()[(head * query_count + block.start) * head_dim..];
        let packed_length = PackedRows::length(kernel, count, head_dim.max(key_count));
        with_scratch(count * key_count + packed_length, |scratch| {
            let (scores, packed) = scratch.split_at_mut(count * key_count);
            let rows = PackedRows::pack(kernel, (query_values, count, head_dim), packed, threads);
            let products = Product::new(
                rows,
                &keys,
                #[inline(always)]
                |y: &mut [f32], [products]: [&[f32]; 1], row: usize, column: usize| {
                    for (y, product) in y.iter_mut().zip(products) {
                        *y = product * scale;
                    }
                    if let Some(mask) = mask {
                        let mask = &mask.values()[(block.start + row) * key_count + column..];
                        y.iter_mut().zip(mask).for_each(|(y, mask)| *y += mask);
                    }
                },
            );
            products.fill(MatrixMut::new(scores, count, key_count), 0, 0);
            scores.chunks_exact_mut(key_count).for_each(softmax);
            let rows = PackedRows::pack(kernel, (scores, count, key_count), packed, threads);
            let first_row = head / heads_of_a_sequence * query_count + block.start;
            let first_column = head % heads_of_a_sequence * head_dim;
            // SAFETY: every call has a head's columns of a block's rows for itself.
            let attended = unsafe {
                shared.part(
                    first_row..first_row + count,
                    first_column..first_column + head_dim,
                )
            };
            let products = Product::new(
                rows,
                &values,
                #[inline(always)]
                |y: &mut [f32], [products]: [&[f32]; 1], _: usize, _: usize| y.copy_from_slice(products),
            );
            products.fill(attended, 0, 0);
        });
    };
    let division = Division::new(query_count, 1, num_heads, threads.count());
    let query_block = QUERY_BLOCK.next_multiple_of(kernel.order.tile_rows);
    threads.for_each(division.tasks(), operations, |task| {
        for (rows, heads) in division.rectangles(task) {
            for head in heads {
                for start in rows.clone().step_by(query_block) {
                    attend(head, start..rows.end.min(start + query_block));
                }
            }
        }
    });
    Ok(merged)
}

/// The matrices of `[heads, tokens, head_dim]`, each `[inner, columns]` in panels that `pack` fills from a
/// column on: `[heads, panels · inner / group · PANEL]`.
fn packed_heads(
    matrices: &CpuTensor,
    (inner, columns): (usize, usize),
    pack: impl Fn(&[f32], usize, &mut [f32]) + Sync,
    (kernel, buffers, threads): (&Kernel, &Buffers, &Threads),
) -> Result<CpuTensor> {
    let (heads, tokens, head_dim) = matrices.heads("attention")?;
    let panels = columns.div_ceil(PANEL);
    let mut packed = buffers.tensor(&[heads, PackedColumns::length(kernel, inner, columns)])?;
    let operations = OPERATIONS_A_MOVED_VALUE * packed.values().len();
    let panel_length = PackedColumns::panel_length(kernel, inner).max(1);
    threads.for_each_chunk(packed.values_mut(), panel_length, operations, |panel, packed| {
        let matrix = &matrices.values()[panel / panels * tokens * head_dim..][..tokens * head_dim];
        pack(matrix, panel % panels * PANEL, packed);
    });
    Ok(packed)
}

/// Writes `[heads, tokens, head_dim]` into a cache `[heads, capacity, head_dim]`, from token `start` on.
pub(super) fn write_tokens(cache: &mut CpuTensor, start: usize, tokens: &CpuTensor) -> Result<()> {
    const OPERATION: &str = "write_tokens";
    let (heads, capacity, head_dim) = cache.heads(OPERATION)?;
    let (_, count, _) = tokens.heads(OPERATION)?;
    tokens.expect_shape(OPERATION, "tokens", &[heads, count, head_dim])?;
    if start + count > capacity {
        return Err(DeviceError::shape(
            OPERATION,
            format!("{count} tokens from {start} on do not fit into {capacity}"),
        ));
    }
    let destination = cache.values_mut();
    for (head, values) in tokens
        .values()
        .chunks_exact((count * head_dim).max(1))
        .enumerate()
    {
        destination[(head * capacity + start) * head_dim..][..count * head_dim].copy_from_slice(values);
    }
    Ok(())
}
