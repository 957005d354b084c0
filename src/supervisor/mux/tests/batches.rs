//! How many requests the child is given in one write.

use tokio::runtime::Builder;
use tokio::task::{JoinSet, yield_now};

use super::*;

/// As many as may be in flight.
const CLIENTS: usize = 4;

/// How many frames each batch had, until all clients were written.
async fn batches(mux: Arc<Mux>) -> Vec<usize> {
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < CLIENTS {
        let mut batch = Vec::new();
        mux.next_batch(FIRST, &mut batch).await;
        sizes.push(batch.len());
    }
    sizes
}

async fn ask_all_at_once() -> Vec<usize> {
    let mux = Arc::new(mux(Gate::Open));
    let (mut writer, mut clients) = (JoinSet::new(), JoinSet::new());
    writer.spawn(batches(Arc::clone(&mux)));
    yield_now().await;
    for _ in 0..CLIENTS {
        let mux = Arc::clone(&mux);
        clients.spawn(async move { submit(&mux).unwrap() });
    }
    let sizes = writer.join_next().await.unwrap().unwrap();
    clients.join_all().await;
    sizes
}

/// The first waits for nobody; the writer, which a worker would run behind each of the others, waits for them all.
#[test]
fn who_asks_alone_is_written_at_once_and_who_asks_together_together() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.unwrap();
    let mut on_the_worker = JoinSet::new();
    on_the_worker.spawn_on(ask_all_at_once(), runtime.handle());
    let sizes = runtime.block_on(on_the_worker.join_next());
    let sizes = sizes.unwrap().unwrap();
    assert_eq!(sizes, [1, CLIENTS - 1]);
}
