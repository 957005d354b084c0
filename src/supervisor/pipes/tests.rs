//! The pipes against children of memory and a clock that only waiting moves.

mod both;
mod former;
mod later;
mod refused;
mod slept;

use std::sync::Mutex;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::*;
use crate::fault::{Fault, FaultKind};
use crate::protocol::Span;
use crate::supervisor::fixture::{self, Heard};
use crate::supervisor::machine::Gate;
use crate::supervisor::mux::{Load, Observer, Origin, Outcome, Submission};
use crate::types::PrincipalId;

const FIRST: Incarnation = Incarnation(1);
const SECOND: Incarnation = Incarnation(2);
const MS: Duration = Duration::from_millis(1);
const STALL: Duration = Duration::from_secs(1);

fn open_mux() -> Arc<Mux> {
    let mux = Mux::new(fixture::config().requests, Gate::Open);
    mux.begin(FIRST);
    Arc::new(mux)
}

/// A client's request in a frame of this length, newline included.
fn submit(
    mux: &Mux,
    len: usize,
    observer: Option<Arc<dyn Observer>>,
) -> (u64, oneshot::Receiver<Outcome>) {
    let id = mux.mint();
    let mut frame = format!("{{\"id\":{id}}}");
    frame.push_str(&" ".repeat(len - frame.len() - 1));
    let submission = Submission {
        origin: Some(Origin {
            principal: PrincipalId(1),
            session: None,
            client_id: id.to_string().into(),
        }),
        observer,
        ..Submission::own()
    };
    let outcome = mux.submit(id, (frame + "\n").into(), submission);
    (id, outcome.expect("let in"))
}

async fn write(stdin: DuplexStream, mux: &Arc<Mux>, close: &CancellationToken) -> WriteEnd {
    write_frames(stdin, Arc::clone(mux), FIRST, STALL, close.clone()).await
}

#[track_caller]
fn fault(outcome: &mut oneshot::Receiver<Outcome>) -> Fault {
    outcome
        .try_recv()
        .expect("an outcome")
        .expect_err("a fault")
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_read_is_given_up_and_gets_nothing_twice() {
    let mux = open_mux();
    let (_, mut whole) = submit(&mux, 20, None);
    let (_, mut begun) = submit(&mux, 20, None);
    let (_, mut untouched) = submit(&mux, 20, None);
    let (stdin, mut child) = duplex(30);
    let started = Instant::now();
    let end = write(stdin, &mux, &CancellationToken::new()).await;
    assert_eq!((end, started.elapsed()), (WriteEnd::Stalled, STALL));
    assert_eq!(
        mux.load(),
        Load {
            in_flight: 2,
            queued: 1
        }
    );
    mux.lose(FIRST);
    assert_eq!(fault(&mut whole).kind, FaultKind::ServerLost);
    assert_eq!(fault(&mut begun).kind, FaultKind::ServerLost);
    assert!(untouched.try_recv().is_err(), "the next child gets it");
    let mut seen = Vec::new();
    child.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen.len(), 30);
    let mut batch = Vec::new();
    mux.next_batch(SECOND, &mut batch).await;
    assert!(batch[0].bytes.starts_with(b"{\"id\":3}"), "{batch:?}");
    assert_eq!(batch.len(), 1);
}

/// Where the child stopped reading decides which frames it can have seen something of.
#[tokio::test(start_paused = true)]
async fn a_frame_of_which_one_byte_was_written_was_written() {
    for (read, begun) in [(1, 1), (19, 1), (20, 1), (21, 2), (40, 2), (41, 3), (59, 3)] {
        let mux = open_mux();
        let _outcomes: Vec<_> = (0..3).map(|_| submit(&mux, 20, None)).collect();
        let (stdin, _child) = duplex(read);
        let end = write(stdin, &mux, &CancellationToken::new()).await;
        assert_eq!(end, WriteEnd::Stalled);
        let load = Load {
            in_flight: begun,
            queued: 3 - begun,
        };
        assert_eq!(mux.load(), load, "{read} bytes were read");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_reads_slowly_is_not_given_up() {
    let mux = open_mux();
    for _ in 0..4 {
        let _outcome = submit(&mux, 25, None);
    }
    let (stdin, mut child) = duplex(5);
    let close = CancellationToken::new();
    let reading = async {
        let mut seen = [0; 100];
        for chunk in seen.chunks_mut(5) {
            sleep(999 * MS).await;
            child.read_exact(chunk).await.unwrap();
        }
        close.cancel();
        seen
    };
    let (end, seen) = tokio::join!(write(stdin, &mux, &close), reading);
    assert_eq!(end, WriteEnd::Closed);
    assert_eq!(memchr::memchr_iter(b'\n', &seen).count(), 4);
    assert_eq!(
        mux.load(),
        Load {
            in_flight: 4,
            queued: 0
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_blocked_can_be_closed() {
    let mux = open_mux();
    let _begun = submit(&mux, 20, None);
    let _untouched = submit(&mux, 20, None);
    let (stdin, _child) = duplex(5);
    let close = CancellationToken::new();
    let started = Instant::now();
    let stop = async {
        sleep(10 * MS).await;
        close.cancel();
    };
    let (end, ()) = tokio::join!(write(stdin, &mux, &close), stop);
    assert_eq!((end, started.elapsed()), (WriteEnd::Closed, 10 * MS));
    assert_eq!(
        mux.load(),
        Load {
            in_flight: 1,
            queued: 1
        }
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_closed_pipe_did_not_take_waits_for_the_next_child() {
    let mux = open_mux();
    let _outcome = submit(&mux, 20, None);
    let (stdin, child) = duplex(64);
    drop(child);
    let end = write(stdin, &mux, &CancellationToken::new()).await;
    assert_eq!(end, WriteEnd::Broken);
    assert_eq!(
        mux.load(),
        Load {
            in_flight: 0,
            queued: 1
        }
    );
}

/// A reader, what it reports, and the child's end of the pipe.
struct Reading {
    mux: Arc<Mux>,
    heard: Arc<Heard>,
    ended: CancellationToken,
    child: DuplexStream,
    run: Pin<Box<dyn Future<Output = ()>>>,
}

fn reading() -> Reading {
    let (mux, heard) = (open_mux(), Arc::new(Heard::default()));
    let (child, stdout) = duplex(64 * 1024);
    let ended = CancellationToken::new();
    let reader = Reader {
        mux: Arc::clone(&mux),
        listener: Arc::clone(&heard) as Arc<dyn Listener>,
        fault: Arc::default(),
        incarnation: FIRST,
        max_line_bytes: 100,
        ended: ended.clone(),
    };
    let run = Box::pin(reader.run(stdout));
    Reading {
        mux,
        heard,
        ended,
        child,
        run,
    }
}

/// Four requests (1 to 4) that were written.
async fn four_written(mux: &Mux) -> Vec<oneshot::Receiver<Outcome>> {
    let outcomes = (0..4).map(|_| submit(mux, 20, None).1).collect();
    mux.next_batch(FIRST, &mut Vec::new()).await;
    outcomes
}

#[tokio::test(start_paused = true)]
async fn every_line_finds_its_place_or_is_counted() {
    let Reading {
        mux,
        heard,
        ended: _,
        mut child,
        run,
    } = reading();
    let mut outcomes = four_written(&mux).await;
    let long = "x".repeat(100);
    let lines = [
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":99,"result":{}}"#.to_owned(),
        format!(r#"{{"id":2,"result":"{long}"}}"#),
        format!(r#"{{"method":"a","x":"{long}"}}"#),
        r#"{"id":3,"result":{}"#.to_owned(),
        "INFO: ready to serve".to_owned(),
        r#"{"jsonrpc":"2.0","method":"notifications/message"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":"a","method":"roots/list"}"#.to_owned(),
        "\r".to_owned(),
        r#"{"jsonrpc":"2.0","id":"4","error":{"code":1,"message":""}}"#.to_owned(),
        r#"{"unfinished"#.to_owned(),
    ];
    child.write_all(lines.join("\n").as_bytes()).await.unwrap();
    drop(child);
    run.await;
    assert!(outcomes[0].try_recv().unwrap().is_ok());
    assert_eq!(fault(&mut outcomes[1]).kind, FaultKind::ReplyTooLarge);
    assert_eq!(fault(&mut outcomes[2]).kind, FaultKind::BadReply);
    assert!(outcomes[3].try_recv().unwrap().unwrap().is_error());
    let expected = [
        format!("dropped late_reply {}", lines[1].len()),
        format!("dropped unknown_reply {}", lines[2].len()),
        format!("dropped oversize_line {}", lines[4].len()),
        "misframed ManyLines".to_owned(),
        format!("dropped garbage_line {}", lines[6].len()),
        "notification notifications/message".to_owned(),
        "request roots/list \"a\"".to_owned(),
        "dropped garbage_line 0".to_owned(),
        "tolerated id_as_string".to_owned(),
        format!("dropped unfinished_line {}", lines[11].len()),
    ];
    assert_eq!(heard.take(), expected);
    let mut batch = Vec::new();
    mux.next_batch(FIRST, &mut batch).await;
    assert_eq!(
        batch[0].bytes,
        "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{}}\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_others_hold_open_is_read_until_it_is_silent() {
    let Reading {
        mux,
        heard: _,
        ended,
        mut child,
        run,
    } = reading();
    let mut outcomes = four_written(&mux).await;
    child
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n")
        .await
        .unwrap();
    ended.cancel();
    let started = Instant::now();
    let late = async {
        sleep(90 * MS).await;
        child
            .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = run => {}
        () = late => {}
    }
    assert_eq!(started.elapsed(), 190 * MS, "100 ms after the last byte");
    for outcome in &mut outcomes[..2] {
        assert!(outcome.try_recv().unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_is_never_silent_is_cut_off() {
    let Reading {
        mux: _,
        heard,
        ended,
        mut child,
        run,
    } = reading();
    ended.cancel();
    let started = Instant::now();
    let noise = async {
        loop {
            child.write_all(b"noise").await.unwrap();
            // No divisor of the cap: two timers of one moment fire in any order.
            sleep(30 * MS).await;
        }
    };
    tokio::select! {
        () = run => {}
        () = noise => {}
    }
    assert_eq!(started.elapsed(), 2000 * MS);
    let counted = [format!("dropped unfinished_line {}", 67 * 5)];
    assert_eq!(heard.take(), counted, "over the cap, and cut off");
}

/// Writes down the lines that it hears.
#[derive(Debug, Default)]
struct Lines(Mutex<Vec<Bytes>>);

impl Observer for Lines {
    fn progress(&self, line: &Bytes, token: Span) {
        self.0
            .lock()
            .unwrap()
            .push(line.slice(token.start..token.end));
    }
}

#[tokio::test(start_paused = true)]
async fn progress_before_the_answer_is_heard_and_after_it_is_not() {
    let Reading {
        mux,
        heard,
        ended: _,
        mut child,
        run,
    } = reading();
    let lines = Arc::new(Lines::default());
    let (_, mut outcome) = submit(&mux, 20, Some(Arc::clone(&lines) as _));
    mux.next_batch(FIRST, &mut Vec::new()).await;
    let progress = |token| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token}}}}}\n"
        )
    };
    let late = progress("1");
    let all = [
        progress("1"),
        progress("\"1\""),
        progress("7"),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n".to_owned(),
        late.clone(),
    ];
    child.write_all(all.concat().as_bytes()).await.unwrap();
    drop(child);
    run.await;
    assert_eq!(*lines.0.lock().unwrap(), ["1", "\"1\""]);
    assert!(outcome.try_recv().unwrap().is_ok());
    let unknown = format!("dropped unknown_progress {}", late.len() - 1);
    assert_eq!(heard.take(), [unknown.clone(), unknown]);
}
