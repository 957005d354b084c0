//! The floor: the barest relay that is still right, to compare a gateway with.
//!
//! Ids are replaced on the way to the child and put back on the way out, nothing else: no authentication, no sessions,
//! no limits, no deadlines, no restart. One task writes to the child, one reads. It takes ids apart with serde, not
//! with the gateway's own scan, so that a faster gateway does not move its own measure.

use std::collections::HashMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// Lines that are written at once.
const BATCH: usize = 256;
const READ_SIZE: usize = 64 * 1024;

/// Who waits for an answer, and the id that it has to carry.
type Waiting = HashMap<u64, (oneshot::Sender<Vec<u8>>, Box<str>)>;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

struct Relay {
    to_child: mpsc::Sender<Vec<u8>>,
    waiting: Mutex<Waiting>,
    next: AtomicU64,
}

/// Relays `POST /rpc` on this port of loopback to a child, on so many threads, until it is killed.
pub(crate) fn run(port: u16, threads: usize, child: &[OsString]) -> anyhow::Result<()> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(threads).enable_all().build()?;
    runtime.block_on(serve(port, child))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the floor has no guard around its child"
)]
async fn serve(port: u16, child: &[OsString]) -> anyhow::Result<()> {
    let (program, arguments) = child.split_first().context("no child was named")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = child.stdin.take().context("the child has no stdin")?;
    let stdout = child.stdout.take().context("the child has no stdout")?;
    let (to_child, lines) = mpsc::channel(1024);
    let relay = Arc::new(Relay {
        to_child,
        waiting: Mutex::default(),
        next: AtomicU64::new(1),
    });
    let app = Router::new()
        .route("/rpc", post(call))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::clone(&relay));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let listener = listener.tap_io(|stream| {
        // Without it an answer waits for the acknowledgement of the one before; it still arrives.
        stream.set_nodelay(true).unwrap_or_default();
    });
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(write_lines(stdin, lines));
    tasks.spawn(read_lines(stdout, relay));
    tasks.spawn(async move { Ok(axum::serve(listener, app).await?) });
    // Whichever ends first ends all.
    tasks.join_next().await.context("no task")??
}

async fn call(State(relay): State<Arc<Relay>>, body: Bytes) -> Response {
    match relay.call(&body).await {
        Some(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

impl Relay {
    async fn call(&self, body: &[u8]) -> Option<Vec<u8>> {
        let id = serde_json::from_slice::<Message<'_>>(body).ok()?.id?.get();
        let own = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut line = with_id(body, id, &own.to_string())?;
        line.push(b'\n');
        self.waiting().insert(own, (sender, id.into()));
        self.to_child.send(line).await.ok()?;
        receiver.await.ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, line: &[u8]) -> Option<()> {
        let id = serde_json::from_slice::<Message<'_>>(line).ok()?.id?.get();
        let (sender, theirs) = self.waiting().remove(&id.parse().ok()?)?;
        sender.send(with_id(line, id, &theirs)?).ok()
    }
}

/// The message with another id; `id` is a part of it. There is room for a newline.
fn with_id(message: &[u8], id: &str, new: &str) -> Option<Vec<u8>> {
    let at = id.as_ptr().addr() - message.as_ptr().addr();
    let mut out = Vec::with_capacity(message.len() + new.len() + 1);
    out.extend_from_slice(message.get(..at)?);
    out.extend_from_slice(new.as_bytes());
    out.extend_from_slice(message.get(at + id.len()..)?);
    Some(out)
}

async fn write_lines(
    mut stdin: ChildStdin,
    mut lines: mpsc::Receiver<Vec<u8>>,
) -> anyhow::Result<()> {
    let (mut batch, mut out) = (Vec::with_capacity(BATCH), Vec::new());
    while lines.recv_many(&mut batch, BATCH).await > 0 {
        for line in batch.drain(..) {
            out.extend_from_slice(&line);
        }
        stdin.write_all(&out).await?;
        out.clear();
        out.shrink_to(1024 * 1024);
    }
    Ok(())
}

async fn read_lines(mut stdout: ChildStdout, relay: Arc<Relay>) -> anyhow::Result<()> {
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let scanned = buffer.len();
        buffer.reserve(READ_SIZE);
        if stdout.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', buffer.get(scanned..).unwrap_or_default()) {
            let end = scanned + end;
            relay.answered(buffer.get(start..end).unwrap_or_default());
            start = end + 1;
        }
        buffer.drain(..start);
    }
}
