//! The runs: a short one for every day, and one that lasts as long as told.

use std::time::Duration;

use super::{Plan, run};

fn told(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, expected a whole number"))
    })
}

/// F64: callers and faults drawn by chance leave nothing lost, crossed, hung or left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_and_faults_drawn_by_chance_leave_an_even_balance() {
    let lasts = Duration::from_secs(20);
    run(Plan { lasts, seed: 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "lasts as long as HMG_SOAK_SECONDS says; `tests/soak` runs it"]
async fn for_as_long_as_told() {
    let lasts = Duration::from_secs(told("HMG_SOAK_SECONDS", 60));
    let seed = told("HMG_SOAK_SEED", 1);
    run(Plan { lasts, seed }).await;
}
