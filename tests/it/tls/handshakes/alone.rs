//! The deadline of a handshake, by the clock.

use tokio::time::Instant;

use super::*;

/// H007: a handshake that stalls is closed at the deadline, in total and not per read, and holds up nobody.
#[tokio::test]
async fn a_handshake_that_stalls_is_closed_at_the_deadline() {
    let certificates = Certificates::new();
    let gateway = short_deadline(&certificates);
    let begun = Instant::now();
    let hello = client_hello(TLS1_2, None);
    let mut silent = RawSocket::connect(gateway.address()).await;
    let mut halfway = RawSocket::connect(gateway.address()).await;
    halfway.send(&hello[..hello.len() / 2]).await;
    // The gateway's turn is over and the client's never comes.
    let mut unfinished = RawSocket::connect(gateway.address()).await;
    unfinished.send(&hello).await;
    let mut trickling = RawSocket::connect(gateway.address()).await;
    let trickle = async {
        let mut tick = tokio::time::interval(FIRST_BYTE / 8);
        for byte in &hello[..16] {
            tick.tick().await;
            trickling.send([*byte]).await;
        }
        trickling.rest(SOON).await
    };
    let (silent, halfway, unfinished, trickling, ()) = tokio::join!(
        silent.rest(SOON),
        halfway.rest(SOON),
        unfinished.rest(SOON),
        trickle,
        async {
            is_well(&gateway, &certificates).await;
            assert!(begun.elapsed() < FIRST_BYTE, "somebody was held up");
        },
    );
    let took = begun.elapsed();
    assert!(took >= FIRST_BYTE && took < FIRST_BYTE * 4, "{took:?}");
    assert_eq!((silent, halfway, trickling), (vec![], vec![], vec![]));
    assert_eq!(unfinished.first(), Some(&22), "a ServerHello");
    counted(&gateway, &certificates, "overdue", 4).await;
}
