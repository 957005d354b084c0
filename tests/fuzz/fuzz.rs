//! The fuzzer around the targets; `HMG_FUZZ_TARGET` says which, `tests/fuzz/run` sets it.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

mod reference;
mod targets;

/// The target that was asked for.
static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("HMG_FUZZ_TARGET").expect("HMG_FUZZ_TARGET names a target");
        let mut named = targets::ALL.iter().filter(|target| target.0 == name);
        named.next().expect("a target of that name").1
    });
    target(data);
});
