//! How many requests the child is given in one write.

use std::sync::Mutex;

use tokio::task::{JoinSet, yield_now};

use super::*;

/// As many as may be in flight.
const CLIENTS: usize = 4;

/// How many frames each batch has, for as long as anybody asks.
async fn write(mux: Arc<Mux>, sizes: Arc<Mutex<Vec<usize>>>) {
    loop {
        let mut batch = Vec::new();
        mux.next_batch(FIRST, &mut batch).await;
        sizes.lock().unwrap().push(batch.len());
    }
}

/// The sizes of the batches by which so many clients are written that ask at once, on one event loop.
async fn asked_at_once_by(clients: usize) -> Vec<usize> {
    let (mux, sizes) = (Arc::new(mux(Gate::Open)), Arc::default());
    let (mut writer, mut asking) = (JoinSet::new(), JoinSet::new());
    writer.spawn(write(Arc::clone(&mux), Arc::clone(&sizes)));
    // It waits before anybody asks.
    yield_now().await;
    for _ in 0..clients {
        let mux = Arc::clone(&mux);
        asking.spawn(async move { submit(&mux).unwrap() });
    }
    asking.join_all().await;
    // The writer was woken by the first of them, and has had its turn behind the last.
    yield_now().await;
    sizes.lock().unwrap().clone()
}

#[tokio::test]
async fn who_asks_alone_is_written_alone_and_who_asks_together_together() {
    assert_eq!(asked_at_once_by(1).await, [1]);
    assert_eq!(asked_at_once_by(CLIENTS).await, [CLIENTS]);
}
