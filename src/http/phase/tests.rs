//! Each phase of a connection, and how slowly a peer may read.

use super::*;
use tokio::io::AsyncWriteExt;
use tokio::io::duplex;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

fn clock() -> Arc<Clock> {
    Clock::new(&LimitsConfig {
        first_byte: SECOND,
        headers: 2 * SECOND,
        idle: 3 * SECOND,
        body: 4 * SECOND,
        ..crate::http::fixture::config().limits
    })
}

/// The deadline as seconds from now.
fn left(clock: &Clock) -> Option<(Duration, Overdue)> {
    let (at, overdue) = clock.deadline()?;
    Some((at - Instant::now(), overdue))
}

/// H001, H002 and H005, of the clock.
#[tokio::test(start_paused = true)]
async fn each_phase_has_its_own_deadline() {
    let clock = clock();
    assert_eq!(left(&clock), Some((SECOND, Overdue::FirstByte)));
    clock.bytes_arrived();
    advance(SECOND).await;
    clock.bytes_arrived();
    assert_eq!(
        left(&clock),
        Some((SECOND, Overdue::Headers)),
        "in total, not per read"
    );
    clock.request_parsed();
    clock.bytes_arrived();
    assert_eq!(left(&clock), None, "a body is not the connection's matter");
    clock.response_ended();
    assert_eq!(left(&clock), Some((3 * SECOND, Overdue::Idle)));
    clock.bytes_arrived();
    assert_eq!(left(&clock), Some((2 * SECOND, Overdue::Headers)));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_not_taken_has_a_deadline_until_something_is() {
    let clock = clock();
    clock.request_parsed();
    let (ours, mut theirs) = duplex(4);
    let mut ours = Watched::new(ours, Arc::clone(&clock));
    ours.write_all(b"full").await.unwrap();
    assert_eq!(left(&clock), None);
    let mut blocked = Box::pin(ours.write_all(b"more"));
    assert!(futures_util::poll!(&mut blocked).is_pending());
    advance(SECOND).await;
    assert!(futures_util::poll!(&mut blocked).is_pending());
    assert_eq!(
        left(&clock),
        Some((3 * SECOND, Overdue::Write)),
        "still the same wait"
    );
    tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut [0; 4])
        .await
        .unwrap();
    blocked.await.unwrap();
    assert_eq!(left(&clock), None);
}

/// RD10: a peer that takes a little now and then does not keep a response for ever.
#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_has_the_deadline_of_a_write_on_the_average() {
    for (pace, is_cut) in [(MIN_PACE / 4, true), (MIN_PACE * 2, false)] {
        let clock = clock();
        clock.request_parsed();
        let chunk = usize::try_from(pace / 4).unwrap();
        let (ours, mut theirs) = duplex(chunk);
        let mut ours = Watched::new(ours, Arc::clone(&clock));
        let body = vec![b'x'; chunk * 100];
        let mut writing = Box::pin(ours.write_all(&body));
        let (began, mut taken) = (Instant::now(), vec![0; chunk]);
        let mut overdue = None;
        while futures_util::poll!(&mut writing).is_pending() && overdue.is_none() {
            advance(SECOND / 4).await;
            overdue = clock.deadline().filter(|(at, _)| *at <= Instant::now());
            tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut taken)
                .await
                .unwrap();
        }
        assert_eq!(overdue.is_some(), is_cut, "{pace} bytes a second");
        assert!(!is_cut || began.elapsed() == 4 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_until_a_flush_has_the_deadline_of_a_write() {
    let clock = clock();
    clock.request_parsed();
    let (ours, mut theirs) = duplex(4);
    let ours = tokio::io::BufWriter::new(ours);
    let mut ours = Watched::new(ours, Arc::clone(&clock));
    ours.write_all(b"too long").await.unwrap();
    assert_eq!(left(&clock), None);
    let mut blocked = Box::pin(ours.flush());
    assert!(futures_util::poll!(&mut blocked).is_pending());
    assert_eq!(left(&clock), Some((4 * SECOND, Overdue::Write)));
    let mut taken = [0; 8];
    let taking = tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut taken);
    let (flushed, _) = tokio::join!(blocked, taking);
    flushed.unwrap();
    assert_eq!(left(&clock), None);
}

#[tokio::test(start_paused = true)]
async fn the_drop_of_a_response_ends_the_serving() {
    let clock = clock();
    clock.request_parsed();
    drop(LastByte::new(Arc::clone(&clock)));
    assert_eq!(left(&clock), Some((3 * SECOND, Overdue::Idle)));
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_the_peer_has_a_moment_to_end_too() {
    let clock = clock();
    let (ours, mut theirs) = duplex(64);
    let mut ours = Watched::new(ours, Arc::clone(&clock));
    let mut ending = Box::pin(ours.shutdown());
    assert!(futures_util::poll!(&mut ending).is_pending());
    theirs.write_all(b"still sending").await.unwrap();
    assert!(futures_util::poll!(&mut ending).is_pending());
    assert_eq!(left(&clock), Some((LINGER, Overdue::Linger)));
    drop(theirs);
    ending.await.unwrap();
}
