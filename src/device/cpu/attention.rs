//! Head splitting, rotary positions and attention.

use super::math::softmax;
use super::product::{Columns, Matrix, MatrixMut};
use super::tensor::CpuTensor;
use super::threads::Threads;
use crate::device::{DeviceError, HeadLayout, Heads, Result, RopeTable};

/// Queries that one task attends with: enough to fill a product, few enough that the scores stay in cache.
const QUERY_BLOCK: usize = 64;

pub(super) fn split_heads(qkv: &CpuTensor, layout: HeadLayout) -> Result<Heads<CpuTensor>> {
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
        let mut values = Vec::with_capacity(heads * tokens * head_dim);
        for head in first_head..first_head + heads {
            for token in 0..tokens {
                values.extend_from_slice(&qkv.values()[token * width + head * head_dim..][..head_dim]);
            }
        }
        CpuTensor::new(values, &[heads, tokens, head_dim])
    };
    Ok(Heads {
        queries: gather(0, num_heads),
        keys: gather(num_heads, num_kv_heads),
        values: gather(num_heads + num_kv_heads, num_kv_heads),
    })
}

pub(super) fn rope(x: &CpuTensor, table: &RopeTable<CpuTensor>, threads: &Threads) -> Result<CpuTensor> {
    let (_, tokens, head_dim) = x.heads("rope")?;
    let half = head_dim / 2;
    table.cos.expect_shape("rope", "cos", &[tokens, half])?;
    table.sin.expect_shape("rope", "sin", &[tokens, half])?;
    let mut rotated = x.values().to_vec();
    let operations = 8 * rotated.len();
    threads.for_each_chunk(&mut rotated, tokens * head_dim, operations, |_, head| {
        for (token, values) in head.chunks_exact_mut(head_dim).enumerate() {
            let cos = &table.cos.values()[token * half..][..half];
            let sin = &table.sin.values()[token * half..][..half];
            let (first, second) = values.split_at_mut(half);
            for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*first, *second) = (*first * cos - *second * sin, *second * cos + *first * sin);
            }
        }
    });
    Ok(CpuTensor::new(rotated, x.shape()))
}

pub(super) fn attention(
    (queries, keys, values): (&CpuTensor, &CpuTensor, &CpuTensor),
    valid_keys: usize,
    mask: Option<&CpuTensor>,
    scale: f32,
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
    let mut merged = vec![0.0; query_count * width];
    if query_count == 0 {
        return Ok(CpuTensor::new(merged, &[query_count, width]));
    }
    let blocks = query_count.div_ceil(QUERY_BLOCK);
    let operations = 2 * num_heads * query_count * valid_keys * head_dim;
    let columns: Vec<Columns> = merged
        .chunks_mut(QUERY_BLOCK * width)
        .map(|rows| {
            let count = rows.len() / width;
            Columns::new(rows, count, width)
        })
        .collect();
    threads.for_each(num_heads * blocks, operations, |task| {
        let (head, block) = (task / blocks, task % blocks);
        let first_query = block * QUERY_BLOCK;
        let count = QUERY_BLOCK.min(query_count - first_query);
        let kv_head = head / (num_heads / num_kv_heads);
        let query_values = &queries.values()[(head * query_count + first_query) * head_dim..];
        let kv_start = kv_head * capacity * head_dim;
        let mut scores = vec![0.0; count * valid_keys];
        MatrixMut::new(&mut scores, count, valid_keys).assign_product_transposed(
            Matrix::new(query_values, count, head_dim),
            Matrix::new(&keys.values()[kv_start..], valid_keys, head_dim),
            scale,
        );
        for (row, scores) in scores.chunks_exact_mut(valid_keys.max(1)).enumerate() {
            if let Some(mask) = mask {
                let mask = &mask.values()[(first_query + row) * valid_keys..];
                scores
                    .iter_mut()
                    .zip(mask)
                    .for_each(|(score, mask)| *score += mask);
            }
            softmax(scores);
        }
        // SAFETY: every task has a head's columns of a block's rows for itself.
        unsafe { columns[block].block(head * head_dim, head_dim) }.assign_product(
            Matrix::new(&scores, count, valid_keys),
            Matrix::new(&values.values()[kv_start..], valid_keys, head_dim),
        );
    });
    Ok(CpuTensor::new(merged, &[query_count, width]))
}
