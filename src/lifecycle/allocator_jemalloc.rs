//! How much freed memory jemalloc keeps, which `main` has made the allocator.
//!
//! A message is a dozen blocks of up to 8 KiB that live for as long as it is under way. glibc keeps the last few of each
//! size up to 1 KiB at hand and searches its heaps for every other, which was a tenth of what a call costs; jemalloc has
//! them at hand up to 32 KiB. What was freed and is not used again goes back to the system within ten seconds
//! (`dirty_decay_ms`, jemalloc(3)). By itself jemalloc looks at the time only when something is allocated, so an idle
//! gateway would keep what it has: a thread of jemalloc's own does it.

use tikv_jemalloc_ctl::{background_thread, max_background_threads};

/// Has a thread give back what is free for ten seconds; to be called before there are threads.
///
/// A guard does without: it allocates next to nothing, and must have no threads when it forks.
pub(super) fn keep_little(_cores: usize) {
    // A setting that is not taken is as it was: more memory is kept, and nothing else is different.
    let _taken = max_background_threads::write(1).and_then(|()| background_thread::write(true));
}

/// Nothing is left to be done: see above.
pub(super) fn give_back() {}
