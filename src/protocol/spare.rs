//! Memory for long lines, used again.
//!
//! A block of megabytes comes from the system with pages that do not exist yet, and goes straight back: an answer of
//! 8 MiB cost 2,050 page faults, nearly as much time as everything else that was done for it. So the memory of a long
//! answer that was written to its client waits here for the next long line, of whichever server, for ten to twenty
//! seconds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

/// What is long: below it, memory comes from the allocator's heaps, which keep it as well.
const LONG: usize = 1 << 20;

/// How much memory waits at most.
const MOST: usize = 48 << 20;

static SPARE: Mutex<Spare> = Mutex::new(Spare(Vec::new()));

/// Pieces of memory that nobody uses, the one that was used last at the end.
struct Spare(Vec<Piece>);

struct Piece {
    memory: Vec<u8>,
    /// It was there at the last look already.
    is_old: bool,
}

impl Spare {
    fn keep(&mut self, memory: Vec<u8>) {
        let kept: usize = self.0.iter().map(|piece| piece.memory.capacity()).sum();
        if kept + memory.capacity() <= MOST {
            self.0.push(Piece {
                memory,
                is_old: false,
            });
        }
    }

    /// An empty piece with room for this much.
    fn take(&mut self, room: usize) -> Option<Vec<u8>> {
        let fits = |piece: &Piece| piece.memory.capacity() >= room;
        let place = self.0.iter().rposition(fits)?;
        Some(self.0.remove(place).memory)
    }

    /// What nobody wanted since the last look.
    fn old(&mut self) -> Vec<Piece> {
        let old = self.0.extract_if(.., |piece| piece.is_old).collect();
        for piece in &mut self.0 {
            piece.is_old = true;
        }
        old
    }
}

fn spare() -> MutexGuard<'static, Spare> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes room for this much more behind what is in a buffer: where that takes a long one, in memory that waits.
pub(super) fn reserve(buffer: &mut Vec<u8>, more: usize) {
    let grows = buffer.capacity() - buffer.len() < more;
    if grows && buffer.capacity() >= LONG / 2 {
        let least = buffer.capacity().max(buffer.len() + more);
        if let Some(mut memory) = spare().take(least) {
            memory.extend_from_slice(buffer);
            *buffer = memory;
        }
    }
    buffer.reserve(more);
}

/// A text whose memory is used again when nobody holds it any more, if it is long.
pub(super) fn used_again(text: BytesMut) -> Bytes {
    if text.capacity() < LONG {
        return text.freeze();
    }
    Bytes::from_owner(Text(text))
}

/// Gives back to the system what was not wanted for as long as it is since the last call.
pub fn give_back() {
    // Freed when the lock is not held any more.
    let _old = spare().old();
}

struct Text(BytesMut);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let memory = emptied(std::mem::take(&mut self.0));
        if memory.capacity() >= LONG {
            spare().keep(memory);
        }
    }
}

/// The memory of a text, which is copied only where somebody else holds it.
fn emptied(mut text: BytesMut) -> Vec<u8> {
    text.clear();
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_where_it_is_large_enough() {
        let mut spare = Spare(Vec::new());
        spare.keep(Vec::with_capacity(3 * LONG));
        spare.keep(Vec::with_capacity(2 * LONG));
        assert!(spare.take(3 * LONG + 1).is_none());
        let found = spare.take(2 * LONG + 1).expect("the first");
        assert_eq!((found.len(), found.capacity()), (0, 3 * LONG));
        assert!(spare.take(LONG).is_some());
        assert!(spare.take(0).is_none());
    }

    #[test]
    fn it_waits_for_one_look_and_is_gone_at_the_second() {
        let mut spare = Spare(Vec::new());
        spare.keep(Vec::with_capacity(LONG));
        assert!(spare.old().is_empty());
        spare.keep(Vec::with_capacity(2 * LONG));
        let capacities = |old: Vec<Piece>| -> Vec<_> {
            old.iter().map(|piece| piece.memory.capacity()).collect()
        };
        assert_eq!(capacities(spare.old()), [LONG]);
        assert_eq!(capacities(spare.old()), [2 * LONG]);
        assert!(spare.old().is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut spare = Spare(Vec::new());
        for _ in 0..100 {
            spare.keep(Vec::with_capacity(MOST / 4));
        }
        assert_eq!(spare.0.len(), 4);
    }

    #[test]
    fn a_buffer_keeps_what_is_in_it_whether_or_not_memory_waits() {
        let text: Vec<u8> = (0..=255).cycle().take(LONG).collect();
        for _ in 0..3 {
            let mut buffer = text.clone();
            reserve(&mut buffer, LONG);
            assert!(buffer.capacity() >= 2 * LONG);
            assert!(buffer == text);
            let mut long = BytesMut::from(&buffer[..]);
            long.reserve(2 * LONG);
            assert!(used_again(long) == text);
        }
    }

    #[test]
    fn the_memory_of_a_text_is_not_copied() {
        let memory = Vec::with_capacity(2 * LONG);
        let place = memory.as_ptr();
        let mut text = Bytes::from([memory, vec![b'x'; LONG]].concat());
        let there = text.as_ptr();
        assert_ne!(there, place);
        let _head = text.split_to(0);
        let back = emptied(text.try_into_mut().expect("nobody else's"));
        assert_eq!((back.as_ptr(), back.len()), (there, 0));
        assert!(back.capacity() >= LONG);
    }
}
