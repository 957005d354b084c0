//! What holds once must hold every time.
//!
//! How often is a matter of patience: `HMG_CYCLES=1000 cargo nextest run many_times::` does each of these a
//! thousand times, which takes some minutes. `HMG_SEED` repeats a run whose moments were drawn at random.

mod gateway_killed;
mod last_answers;
mod restarts;

use super::*;

/// How often, unless the environment says otherwise.
fn cycles(usually: u64) -> u64 {
    let given = std::env::var("HMG_CYCLES").ok();
    given.map_or(usually, |text| {
        text.parse()
            .unwrap_or_else(|fault| panic!("HMG_CYCLES {text:?}: {fault}, expected a number"))
    })
}
