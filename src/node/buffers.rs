//! Buffers of chunks, used again: a fresh MiB costs the kernel as much as to decrypt it, since each
//! of its pages is cleared and mapped anew.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::opening::CHUNK;
use crate::seal::layout;
use crate::types::limits;

/// What a whole chunk takes while it is opened, with what seals it.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a constant of a MiB"
)]
const FULL: usize = layout::sealed_bytes(CHUNK) as usize;

/// Buffers that nobody uses.
pub(super) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
    most: usize,
}

/// Bytes of a chunk. Its buffer goes back when it is dropped.
pub(super) struct Chunk {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// Of a mount that keeps so many bytes: an eighth of that, and a few in any case.
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Mutex::default(),
            most: (bytes_max / 8 / FULL).clamp(4, limits::NODE_BUFFERS_MAX),
        })
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer with room for so many bytes.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Chunk {
        let large = bytes > FULL / 2 && bytes <= FULL;
        let used = large.then(|| self.free().pop()).flatten();
        let room = if large { FULL } else { bytes };
        Chunk {
            bytes: used.unwrap_or_else(|| Vec::with_capacity(room)),
            home: Arc::clone(self),
        }
    }

    /// Gives all back that nobody uses.
    pub(super) fn clear(&self) {
        self.free().clear();
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() == FULL {
            bytes.clear();
            let mut free = self.home.free();
            if free.len() < self.home.most {
                free.push(bytes);
            }
        }
    }
}

impl Deref for Chunk {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_s_buffer_comes_back_empty_and_others_do_not() {
        let buffers = Buffers::new(0);
        let mut chunk = buffers.take(FULL);
        chunk.extend_from_slice(&[7; 100]);
        let place = chunk.as_ptr();
        drop(chunk);
        let again = buffers.take(FULL - 5);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        for bytes in [0, 1, FULL / 2, FULL + 1] {
            let other = buffers.take(bytes);
            assert!(other.capacity() >= bytes);
            drop(other);
            assert_eq!(buffers.free().len(), 0, "{bytes}");
        }
    }

    #[test]
    fn so_many_are_kept_and_none_after_clearing() {
        let most = limits::NODE_BUFFERS_MAX;
        let buffers = Buffers::new(usize::MAX);
        let all: Vec<Chunk> = (0..most + 3).map(|_| buffers.take(FULL)).collect();
        drop(all);
        assert_eq!(buffers.free().len(), most);
        buffers.clear();
        assert_eq!(buffers.free().len(), 0);
    }
}
