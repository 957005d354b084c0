//! How much freed memory glibc's allocator keeps, where jemalloc is not used: without that feature, and on other processors
//! than x86-64. The only `unsafe` of the gateway: no crate offers these calls as safe ones.
//!
//! By itself it keeps too much, for as long as the gateway runs (mallopt(3)). A large block comes straight from the
//! system and goes straight back, until the first one is freed: from then on "large" is anything above the largest
//! that was ever freed, up to 32 MiB. After one long answer every buffer comes from the heaps, between small blocks
//! that outlive it, and the holes that it leaves fit nothing: in an hour of calls, faults and long lines 9 MiB in use
//! were 28 MiB held after six minutes, and grew; with a fixed threshold 17. And what is free in the middle of a heap is
//! kept for ever, unless it is asked for.
//!
//! Where the threshold is fixed it gives back too much: above 128 KiB, the free end of a heap goes back with every
//! message that is longer, and the system has to clear the same pages for the next one, 36 of them an answer of 256 KiB.
//!
//! So a heap keeps its free end while there is work, and everything that is free goes back every ten seconds.

use std::ffi::c_int;

/// From this size on a block comes straight from the system. Messages of a few hundred KiB, which are copied several
/// times on their way, do not pay for that.
const LARGE: c_int = 1 << 20;

/// How much of their free ends all heaps together keep until it is given back: on two cores enough for a dozen messages
/// of 256 KiB on the way through each. With more cores there are more heaps, and each keeps less.
const KEPT: c_int = 16 << 20;

/// Heaps beyond one for each core: one for the main thread, one that short-lived threads share.
const OTHER_HEAPS: usize = 2;

/// Fixes what is a large block, how many heaps there are and what they keep; to be called before there are threads.
pub(super) fn keep_little(cores: usize) {
    let heaps = c_int::try_from(cores + OTHER_HEAPS).unwrap_or(c_int::MAX);
    let parameters = [
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, KEPT / heaps.max(1)),
        (libc::M_ARENA_MAX, heaps),
    ];
    for (parameter, value) in parameters {
        // One that is not taken is as it was: more memory is kept, and nothing else is different.
        #[expect(unsafe_code, reason = "no crate offers it as a safe call")]
        // SAFETY: `mallopt` takes two numbers by value, and sets a parameter of the allocator under the allocator's lock.
        // mallopt(3) calls it unsafe beside other threads that set up the allocator; there is no other thread yet.
        let _taken = unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives whole free pages in the heaps back to the system. The heaps are locked one after the other, for about a
/// millisecond in ten megabytes.
#[expect(unsafe_code, reason = "no crate offers it as a safe call")]
pub(super) fn give_back() {
    // SAFETY: `malloc_trim` takes a number by value, touches free memory only, and may be called from any thread
    // (malloc_trim(3): MT-Safe).
    let _returned = unsafe { libc::malloc_trim(0) };
}
