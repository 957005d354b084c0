//! What a reader sees, whatever becomes of its connection.

mod memory;

use futures_util::{FutureExt, StreamExt};

use super::*;
use crate::memory_budget::MemoryBudget;

const BOUNDS: Bounds = Bounds {
    queue_events: 3,
    queue_bytes: 100,
    kept_events: 4,
    kept_bytes: 100,
};

fn streams(primes: bool) -> Arc<Streams> {
    let memory = MemoryBudget::new(usize::MAX).process_account();
    let budget = ReplayBudget::new(usize::MAX, memory);
    Arc::new(Streams::new(BOUNDS, primes, budget))
}

fn text(message: &'static str) -> Bytes {
    Bytes::from_static(message.as_bytes())
}

/// What a reader gets without waiting, as `id message`, and `end` where the stream is over.
fn seen(reader: &mut Reader) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match reader.next().now_or_never() {
            None => return seen,
            Some(None) => {
                seen.push("end".to_owned());
                return seen;
            }
            Some(Some(Event { id, retry, message })) => {
                let message = String::from_utf8(message.to_vec()).unwrap();
                let retry = retry.map_or("", |_| " retry");
                seen.push(format!("{} {message}{retry}", id.unwrap()));
            }
        }
    }
}

#[test]
fn a_stream_opens_with_its_id_and_ends_after_its_last_message() {
    let streams = streams(true);
    let stream = streams.begin();
    let mut reader = streams.read(stream).unwrap();
    assert_eq!(seen(&mut reader), ["1-0  retry"]);
    assert!(streams.push(stream, text("a")) && streams.push(stream, text("b")));
    streams.end(stream);
    assert_eq!(seen(&mut reader), ["1-1 a", "1-2 b", "end"]);
}

#[test]
fn a_reader_that_comes_back_gets_the_rest_of_its_stream_and_nothing_of_others() {
    let streams = streams(false);
    let (one, other) = (streams.begin(), streams.begin());
    let mut reader = streams.read(one).unwrap();
    assert!(streams.push(one, text("a")) && streams.push(one, text("b")));
    assert_eq!(seen(&mut reader), ["1-1 a", "1-2 b"]);
    drop(reader);
    assert!(streams.push(other, text("x")) && streams.push(one, text("c")));
    let mut resumed = streams.resume("1-1").unwrap();
    assert!(streams.push(one, text("d")));
    streams.end(one);
    assert_eq!(seen(&mut resumed), ["1-2 b", "1-3 c", "1-4 d", "end"]);
    drop(resumed);
    assert_eq!(seen(&mut streams.resume("1-3").unwrap()), ["1-4 d", "end"]);
    assert_eq!(seen(&mut streams.resume("1-4").unwrap()), ["end"]);
}

#[test]
fn what_was_given_up_or_never_was_is_not_resumed() {
    let streams = streams(false);
    let stream = streams.begin();
    for message in ["a", "b", "c", "d", "e", "f"] {
        streams.push(stream, text(message));
    }
    assert_eq!(streams.resume("1-1").unwrap_err(), NotKept::GivenUp);
    assert_eq!(seen(&mut streams.resume("1-2").unwrap()).len(), 4);
    for unknown in [
        "1-7",
        "7-0",
        "",
        "1",
        "1-",
        "-1",
        "1-+1",
        "1-x",
        "1-99999999999999999999",
    ] {
        assert_eq!(
            streams.resume(unknown).unwrap_err(),
            NotKept::Unknown,
            "{unknown}"
        );
    }
}

#[test]
fn a_slow_reader_is_cut_off_and_loses_nothing_that_is_kept() {
    let streams = streams(false);
    let (slow, other) = (streams.begin(), streams.begin());
    let (mut reader, mut apart) = (streams.read(slow).unwrap(), streams.read(other).unwrap());
    let taken: Vec<_> = ["a", "b", "c", "d"]
        .map(|message| streams.push(slow, text(message)))
        .into();
    assert_eq!(taken, [true, true, true, false]);
    assert_eq!(seen(&mut reader), ["end"]);
    assert!(streams.push(other, text("x")));
    assert_eq!(seen(&mut apart), ["2-1 x"], "the others read on");
    assert_eq!(
        seen(&mut streams.resume("1-1").unwrap()),
        ["1-2 b", "1-3 c", "1-4 d"]
    );
}

#[test]
fn a_message_over_the_bound_reaches_a_reader_who_waits_for_it() {
    const LONG: &str = concat!(
        "an answer that is longer than all that may wait for one reader, ",
        "and longer than all that is kept for readers that come back"
    );
    assert!(LONG.len() > BOUNDS.queue_bytes && LONG.len() > BOUNDS.kept_bytes);
    let streams = streams(false);
    let call = streams.begin();
    let mut reader = streams.read(call).unwrap();
    assert!(streams.push(call, text(LONG)));
    streams.end(call);
    assert_eq!(seen(&mut reader), [format!("1-1 {LONG}"), "end".to_owned()]);
}

/// RA01: progress and logs make room for responses, and a stream that lost only those is resumed.
#[test]
fn what_is_kept_of_progress_makes_room_for_responses() {
    let streams = streams(false);
    let (done, noisy) = (streams.begin(), streams.begin());
    streams.push(done, text("response"));
    streams.end(done);
    let reader = streams.read(noisy).unwrap();
    drop(reader);
    for _ in 0..20 {
        streams.append(noisy, (text("progress"), Priority::Droppable));
    }
    streams.push(noisy, text("its response"));
    streams.end(noisy);
    assert_eq!(
        seen(&mut streams.resume("1-0").unwrap()),
        ["1-1 response", "end"]
    );
    let resumed = seen(&mut streams.resume("2-3").unwrap());
    assert_eq!(
        resumed,
        ["2-19 progress", "2-20 progress", "2-21 its response", "end"]
    );
}

/// RA01: a call's messages are moved to its stream as its reader takes them, and a response is not cut off by them.
#[test]
fn a_writer_waits_for_its_reader_or_for_the_end_of_it() {
    let streams = streams(false);
    let stream = streams.begin();
    let has_room = || streams.room(stream).now_or_never().is_some();
    assert!(has_room(), "nobody reads");
    let mut reader = streams.read(stream).unwrap();
    for _ in 0..ROOM_EVENTS {
        assert!(has_room());
        streams.append(stream, (text("progress"), Priority::Droppable));
    }
    let mut waits = Box::pin(streams.room(stream));
    assert!((&mut waits).now_or_never().is_none());
    streams.append(stream, (text("response"), Priority::Required));
    assert_eq!(seen(&mut reader).len(), ROOM_EVENTS + 1);
    assert!(waits.now_or_never().is_some());
    streams.append(stream, (vec![b'x'; ROOM_BYTES].into(), Priority::Required));
    assert!(!has_room());
    drop(reader);
    assert!(has_room(), "the reader is gone");
}

/// RD10: what the sessions of one token keep together has a bound, and the one that keeps most gives way.
#[test]
fn sessions_of_one_token_keep_no_more_than_their_budget() {
    const BOUND: usize = 1000;
    let bounds = Bounds {
        kept_events: 1000,
        kept_bytes: 800,
        ..BOUNDS
    };
    let memory = MemoryBudget::new(usize::MAX).process_account();
    let budget = ReplayBudget::new(BOUND, memory);
    let session = || {
        let streams = Arc::new(Streams::new(bounds, false, Arc::clone(&budget)));
        budget.join(&streams);
        streams
    };
    let (small, large) = (session(), session());
    small.push(OWN, text("kept"));
    for _ in 0..100 {
        large.push(OWN, vec![b'x'; 50].into());
    }
    let sessions: Vec<_> = (0..50).map(|_| session()).collect();
    for streams in &sessions {
        for _ in 0..10 {
            streams.push(OWN, vec![b'x'; 50].into());
            let kept = sessions.iter().chain([&small, &large]);
            let kept: usize = kept.map(|streams| streams.kept_bytes()).sum();
            assert!(kept <= BOUND, "{kept} bytes");
        }
    }
    assert_eq!(seen(&mut small.read(OWN).unwrap()), ["0-1 kept"]);
    drop((sessions, large));
    assert!(small.push(OWN, vec![b'x'; 700].into()));
    assert!(small.kept_bytes() >= 700, "what is gone was given back");
}

#[test]
fn the_newest_reader_gets_what_comes_and_hands_on_when_it_goes() {
    let streams = streams(false);
    let (mut old, mut new) = (streams.read(OWN).unwrap(), streams.read(OWN).unwrap());
    streams.push(OWN, text("a"));
    assert_eq!(seen(&mut old), Vec::<String>::new());
    assert_eq!(seen(&mut new), ["0-1 a"]);
    drop(new);
    streams.push(OWN, text("b"));
    assert_eq!(seen(&mut old), ["0-2 b"]);
}

#[test]
fn what_came_before_the_first_reader_is_not_lost() {
    let streams = streams(false);
    streams.push(OWN, text("a"));
    assert!(!streams.is_read() && !streams.any_read());
    let mut reader = streams.read(OWN).unwrap();
    assert_eq!(seen(&mut reader), ["0-1 a"]);
    drop(reader);
    let mut next = streams.read(OWN).unwrap();
    assert_eq!(
        seen(&mut next),
        Vec::<String>::new(),
        "it was handed on once"
    );
}

#[test]
fn a_closed_session_ends_its_own_stream_and_those_of_requests_end_with_their_responses() {
    let streams = streams(false);
    let stream = streams.begin();
    let (mut own, mut one) = (streams.read(OWN).unwrap(), streams.read(stream).unwrap());
    assert_eq!(seen(&mut own).len() + seen(&mut one).len(), 0);
    streams.close();
    assert_eq!(seen(&mut own), ["end"]);
    assert!(!streams.push(OWN, text("a")));
    assert_eq!(seen(&mut one).len(), 0);
    assert!(streams.push(stream, text("a")));
    streams.end(stream);
    assert_eq!(seen(&mut one), ["1-1 a", "end"]);
}
