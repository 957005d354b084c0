//! Waiting for what is true, not for time to pass.

use std::time::Duration;

use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(10);

/// Waits until the condition holds; panics with `what` when the deadline passes.
pub(crate) async fn wait_until(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    wait_for(what, deadline, async || holds().then_some(())).await;
}

/// Waits until there is a value, and gives it; panics with `what` when the deadline passes.
pub(crate) async fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            Instant::now() < end,
            "waited {deadline:?} in vain for {what}"
        );
        tokio::time::sleep(POLL).await;
    }
}

/// The same for places that cannot await, such as `Drop`; says whether the condition came to hold.
pub(crate) fn blocks_until(deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(POLL);
    }
}
