//! The soak: callers of every kind, and faults drawn by chance, on twenty servers for as long as told.
//!
//! Every request is accounted for: it got its own answer, or an error of the catalogue, and in time; anything
//! else is a finding, and one finding fails the run. `tests/soak SECONDS [SEED]` runs it on the release build.
//! A seed draws the same requests and the same faults again, though not at the same microseconds.

mod alone;
mod book;
mod callers;
mod chaos;
mod deeds;
mod exchange;
mod footprints;
mod rude;
mod scene;
mod terminals;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use scene::Scene;

/// How long, and which draw.
#[derive(Clone, Copy, Debug)]
struct Plan {
    lasts: Duration,
    seed: u64,
}

/// Runs a plan to its end, prints the balance, and panics with every finding.
async fn run(plan: Plan) {
    let scene = Arc::new(Scene::open(plan).await);
    let mut tasks = JoinSet::new();
    callers::enter(&scene, &mut tasks);
    rude::enter(&scene, &mut tasks);
    tasks.spawn(chaos::reign(Arc::clone(&scene)));
    tasks.spawn(terminals::open_and_close(Arc::clone(&scene)));
    let watching = Arc::clone(&scene);
    let samples = tokio::spawn(async move { footprints::watch(&watching).await });
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a caller that does not panic");
    }
    let samples = samples.await.expect("the samples");
    let scene = Arc::into_inner(scene).expect("nobody else is in the scene");
    scene.close(&samples).await;
}
