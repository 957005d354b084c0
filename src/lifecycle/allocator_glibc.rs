//! How much freed memory glibc's allocator keeps. The only `unsafe` of the gateway: no crate offers these calls as
//! safe ones.
//!
//! By itself it keeps too much, for as long as the gateway runs (mallopt(3)): what is free in the middle of a heap is
//! kept for ever, unless it is asked for. And where it gives back by itself it gives back too much: above 128 KiB,
//! the free end of a heap goes back with every message that is longer, and the next one has the system clear the same
//! pages again. An answer of 8 MiB cost 2,050 page faults, nearly as much time as everything else that was done for it.
//!
//! So a heap keeps its free end while there is work, and everything that is free goes back every ten seconds.

use std::ffi::c_int;
use std::thread;
use std::time::Duration;

use tokio::time::sleep;

/// From this size on a block comes straight from the system and goes straight back. Set, or it would follow the largest
/// block that was ever freed.
const LARGE: c_int = 16 << 20;

/// How much of their free ends all heaps together keep until it is given back: on two cores enough for two messages of
/// 8 MiB on the way through one heap. With more cores there are more heaps, and each keeps less.
const KEPT: c_int = 96 << 20;

/// Heaps beyond one for each worker: one for the main thread, one that short-lived threads share.
const OTHER_HEAPS: usize = 2;

/// How often whole free pages in the heaps are given back. Each time the heaps are locked one after the other, for about
/// a millisecond in ten megabytes. Once a minute what was held went up and down by twice as much, and an hour of it
/// could not be told from a leak.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(10);

/// Fixes what is a large block, how many heaps there are and what they keep; to be called before there are threads.
pub(super) fn keep_little(workers: usize) {
    let heaps = c_int::try_from(workers + OTHER_HEAPS).unwrap_or(c_int::MAX);
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

/// Gives free pages back to the system, again and again; never ends.
pub(super) async fn give_back() {
    loop {
        sleep(GIVE_BACK_EVERY).await;
        // Not on a worker, where connections would wait for it. Without a thread it is for the next time.
        let thread = thread::Builder::new().name("memory".to_owned());
        let _ = thread.spawn(trim);
    }
}

#[expect(unsafe_code, reason = "no crate offers it as a safe call")]
fn trim() {
    // SAFETY: `malloc_trim` takes a number by value, touches free memory only, and may be called from any thread
    // (malloc_trim(3): MT-Safe).
    let _returned = unsafe { libc::malloc_trim(0) };
}
