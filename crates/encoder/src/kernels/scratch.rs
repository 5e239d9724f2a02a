//! Memory that a thread works in and keeps for the next task, and memory that tasks share.

use crate::buffer::{Buffer, Word};

/// Numbers that a thread works in, of any value.
#[derive(Default)]
pub(crate) struct Scratch<T = f32>(Buffer<T>);

impl<T: Word> Scratch<T> {
    /// So many of them.
    pub(crate) fn take(&mut self, len: usize) -> &mut [T] {
        self.0.resize(len);
        &mut self.0
    }
}

/// A pointer that tasks share, each to write places of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: whoever takes the pointer out does so in an `unsafe` block that says why no two tasks write one place.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(values: &mut [f32]) -> Self {
        Self(values.as_mut_ptr())
    }

    pub(crate) fn get(self) -> *mut f32 {
        self.0
    }
}
