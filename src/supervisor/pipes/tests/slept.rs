//! A gateway that slept in the middle of a write.

use tokio::time::advance;

use super::*;

/// F62: a child that could not read because everything slept gets the whole of its time when all is awake.
#[tokio::test(start_paused = true)]
async fn a_sleep_of_the_gateway_is_no_stall_of_the_child() {
    let mux = open_mux();
    let (_, mut outcome) = submit(&mux, 20, None);
    let (stdin, _child) = duplex(5);
    let started = Instant::now();
    let sleep = async {
        tokio::task::yield_now().await;
        advance(10_000 * MS).await;
    };
    let close = CancellationToken::new();
    let (end, ()) = tokio::join!(write(stdin, &mux, &close), sleep);
    assert_eq!(end, WriteEnd::Stalled);
    assert_eq!(started.elapsed(), 10_000 * MS + STALL);
    assert!(outcome.try_recv().is_err());
}
