//! Word, position and segment embeddings: their sum, and their gradients.

use rayon::prelude::*;

use super::ROW_CHUNK;
use crate::profile::timer;

/// The three tables, `[rows, H]` each.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub words: &'a [f32],
    pub positions: &'a [f32],
    pub types: &'a [f32],
    pub hidden: usize,
}

/// Each token's position in its own sequence.
pub(crate) fn positions(offsets: &[usize], to: &mut Vec<usize>) {
    to.clear();
    for bounds in offsets.windows(2) {
        to.extend(0..bounds[1] - bounds[0]);
    }
}

/// `out[t] = words[id] + positions[position] + types[0]`, `[T, H]`.
pub(crate) fn forward(tables: Tables<'_>, ids: &[u32], positions: &[usize], out: &mut [f32]) {
    let _timer = timer("embedding", 3 * out.len());
    let h = tables.hidden;
    out.par_chunks_mut(ROW_CHUNK * h).zip(ids.par_chunks(ROW_CHUNK)).zip(positions.par_chunks(ROW_CHUNK)).for_each(
        |((out, ids), positions)| {
            for ((out, &id), &position) in out.chunks_exact_mut(h).zip(ids).zip(positions) {
                let word = &tables.words[id as usize * h..][..h];
                let position = &tables.positions[position * h..][..h];
                for (((out, w), p), t) in out.iter_mut().zip(word).zip(position).zip(tables.types) {
                    *out = w + t + p;
                }
            }
        },
    );
}

/// Adds the gradient `d` `[T, H]` to the rows of `d_table` that `rows` names, in order, but to row `skip`.
pub(crate) fn scatter(
    d: &[f32],
    rows: impl Iterator<Item = usize>,
    skip: Option<usize>,
    hidden: usize,
    d_table: &mut [f32],
) {
    let _timer = timer("embedding, back", 3 * d.len());
    for (d, row) in d.chunks_exact(hidden).zip(rows).filter(|(_, row)| Some(*row) != skip) {
        for (to, d) in d_table[row * hidden..][..hidden].iter_mut().zip(d) {
            *to += d;
        }
    }
}
