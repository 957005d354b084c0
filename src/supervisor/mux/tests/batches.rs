//! How many requests the child is given in one write.

use tokio::runtime::Builder;
use tokio::spawn;
use tokio::task::yield_now;

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
    let writer = spawn(batches(Arc::clone(&mux)));
    yield_now().await;
    let ask = |_| {
        let mux = Arc::clone(&mux);
        spawn(async move { submit(&mux).unwrap() })
    };
    let clients: Vec<_> = (0..CLIENTS).map(ask).collect();
    let sizes = writer.await.unwrap();
    for client in clients {
        client.await.unwrap();
    }
    sizes
}

/// The first waits for nobody; the writer, which a worker would run behind each of the others, waits for them all.
#[test]
fn who_asks_alone_is_written_at_once_and_who_asks_together_together() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.unwrap();
    let sizes = runtime.block_on(async { spawn(ask_all_at_once()).await.unwrap() });
    assert_eq!(sizes, [1, CLIENTS - 1]);
}
