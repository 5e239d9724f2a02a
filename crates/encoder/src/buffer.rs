//! Memory for numbers, placed so that kernels are not slowed down by where it happens to lie.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

/// What a buffer holds.
///
/// # Safety
/// It has four bytes, which may be any.
pub(crate) unsafe trait Word: Copy + Default + Send + Sync + 'static {}

// SAFETY: every four bytes are a number, or not a number.
unsafe impl Word for f32 {}
// SAFETY: every four bytes are a whole number.
unsafe impl Word for i32 {}
// SAFETY: every byte is a whole number.
unsafe impl Word for [u8; 4] {}
// SAFETY: as above.
unsafe impl Word for [i8; 4] {}

/// A slice that begins where a cache line begins, so that no vector lies in two lines. A large one asks for huge
/// pages: with pages of 4 KiB products are slower, and by how much changes from process to process.
pub(crate) struct Buffer<T = f32> {
    start: NonNull<T>,
    len: usize,
    /// All of it is initialised, as zero at first.
    capacity: usize,
    memory: Option<(NonNull<u8>, Layout)>,
}

// SAFETY: a buffer owns its memory, as a `Vec` does.
unsafe impl<T: Word> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Word> Sync for Buffer<T> {}

const CACHE_LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

impl<T> Buffer<T> {
    pub(crate) const fn new() -> Self {
        Self { start: NonNull::dangling(), len: 0, capacity: 0, memory: None }
    }
}

impl<T: Word> Buffer<T> {
    /// So many zeros. Pages that are never written to take no memory.
    pub(crate) fn zeros(len: usize) -> Self {
        if len == 0 {
            return Self::new();
        }
        let bytes = len * size_of::<T>();
        let huge = bytes >= HUGE_PAGE;
        let align = if huge { HUGE_PAGE } else { CACHE_LINE };
        // Aligned memory would be written to in order to be zero; this begins at the first aligned place of zeroed memory.
        let size = bytes.next_multiple_of(align) + align;
        let layout = Layout::from_size_align(size, align_of::<T>()).expect("memory for numbers fits the address space");
        // SAFETY: the size is not 0.
        let memory = unsafe { NonNull::new(alloc_zeroed(layout)) }.unwrap_or_else(|| handle_alloc_error(layout));
        let offset = memory.as_ptr().align_offset(align).min(align);
        // SAFETY: the offset is at most the `align` bytes that the memory is larger than needed.
        let start = unsafe { memory.add(offset) };
        #[cfg(target_os = "linux")]
        if huge {
            // SAFETY: the range lies in this memory, and the advice changes no content. Without it all still works.
            unsafe { libc::madvise(start.as_ptr().cast(), size - align, libc::MADV_HUGEPAGE) };
        }
        Self { start: start.cast(), len, capacity: len, memory: Some((memory, layout)) }
    }

    /// Makes it so long. Memory is only taken when it becomes longer than ever; what it holds is then lost. One that has grown
    /// has room for half as much again, so that batches which are each a little longer than the last do not each have pages
    /// zeroed anew.
    pub(crate) fn resize(&mut self, len: usize) {
        if len > self.capacity {
            let capacity = len.max(self.capacity + self.capacity / 2);
            *self = Self::new();
            *self = Self::zeros(capacity);
        }
        self.len = len;
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some((memory, layout)) = self.memory {
            // SAFETY: the memory was allocated with this layout, and nobody else has it.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` is at most `capacity`, which is initialised and owned.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut buffer = Self::zeros(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} numbers", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_cache_line_with_zeros_and_keeps_its_memory() {
        for len in [1, 17, 4096, HUGE_PAGE / 4 + 3] {
            let mut buffer: Buffer = Buffer::zeros(len);
            assert_eq!(buffer.as_ptr().align_offset(CACHE_LINE), 0);
            assert!(buffer.len() == len && buffer.iter().all(|v| *v == 0.0));
            buffer.fill(2.0);
            let copy = buffer.clone();
            let place = buffer.as_ptr();
            buffer.resize(len / 2);
            buffer.resize(len);
            assert_eq!(buffer.as_ptr(), place);
            assert_eq!(buffer[..], copy[..]);
            buffer.resize(2 * len);
            assert!(buffer.iter().all(|v| *v == 0.0));
            buffer.resize(2 * len + 1);
            let place = buffer.as_ptr();
            buffer.resize(2 * len + len);
            assert_eq!(buffer.as_ptr(), place);
        }
        assert!(Buffer::<f32>::new().is_empty() && Buffer::<f32>::zeros(0).is_empty());
    }
}
