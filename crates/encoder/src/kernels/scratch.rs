//! Memory that a thread works in and keeps for the next task.

/// Numbers that begin where a cache line begins, so that no vector lies in two lines.
#[derive(Default)]
pub(crate) struct Scratch(Vec<f32>);

impl Scratch {
    /// So many numbers, of any value. Memory is only taken when they are more than ever before.
    pub(crate) fn take(&mut self, len: usize) -> &mut [f32] {
        /// Numbers in a cache line.
        const LINE: usize = 64 / size_of::<f32>();
        if self.0.len() < len + LINE {
            self.0.resize(len + LINE, 0.0);
        }
        let start = self.0.as_ptr().align_offset(64).min(LINE);
        &mut self.0[start..start + len]
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
