//! The three pipes of a child, each with a task of its own, so that none waits for another.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::actor::OVERSLEPT;
use super::faults;
use super::listener::Listener;
use super::mux::{Answer, Frame, Mux, Outcome, Owner, Progress};
use super::stderr::StderrRing;
use super::stdout::StdoutFault;
use crate::fault::Fault;
use crate::instruments::DropReason;
use crate::protocol::message::{InvalidMessage, minted, refusal};
use crate::protocol::{ChildMessage, Deviation, Envelope, Line, LineBuffer, Salvaged};
use crate::types::Incarnation;

/// After the process ended, its pipe may be held open by a process it left behind: what is still in it
/// is read until nothing comes for this long,
const DRAIN_IDLE: Duration = Duration::from_millis(100);
/// and never for longer than this (turborepo, nextest and others met both the hang and the truncation).
const DRAIN_CAP: Duration = Duration::from_secs(2);

/// How soon it is looked again whether those who hear the child have caught up with it.
const GIVE_WAY: Duration = Duration::from_millis(1);

/// Codes of JSON-RPC 2.0, 5.1, by which a child is told that its own request is none.
const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;

/// How much of stderr is read at a time.
const STDERR_READ: usize = 8 * 1024;

/// Why nothing more is written to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteEnd {
    /// We closed the pipe.
    Closed,
    /// The child closed it.
    Broken,
    /// The child did not read for too long.
    Stalled,
}

/// Writes what the mux has for this incarnation until `close` or the end of the pipe.
///
/// A frame is written whole or its incarnation is given up: the write itself is never cancelled by
/// anything but a stall or a stop.
pub(super) async fn write_frames(
    mut stdin: impl AsyncWrite + Unpin,
    mux: Arc<Mux>,
    incarnation: Incarnation,
    stall: Duration,
    close: CancellationToken,
) -> WriteEnd {
    let mut frames: Vec<Frame> = Vec::new();
    let mut joined: Vec<u8> = Vec::new();
    // One and the same for all batches: a new one would take a place in a list each time.
    let mut closed = pin!(close.cancelled());
    loop {
        tokio::select! {
            biased;
            () = &mut closed => return WriteEnd::Closed,
            () = mux.next_batch(incarnation, &mut frames) => {}
        }
        let batch: &[u8] = if let [only] = frames.as_slice() {
            &only.bytes
        } else {
            joined.clear();
            for frame in &frames {
                joined.extend_from_slice(&frame.bytes);
            }
            &joined
        };
        let (written, end) = write_all(&mut stdin, batch, stall, closed.as_mut()).await;
        if let Some(end) = end {
            put_back_unwritten(&mux, frames, written);
            return end;
        }
        frames.clear();
    }
}

/// Gives how much was written, and why it was not all.
async fn write_all(
    stdin: &mut (impl AsyncWrite + Unpin),
    batch: &[u8],
    stall: Duration,
    mut closed: Pin<&mut impl Future<Output = ()>>,
) -> (usize, Option<WriteEnd>) {
    let mut written = 0;
    while let Some(rest) = batch.get(written..).filter(|rest| !rest.is_empty()) {
        let began = Instant::now();
        let step = tokio::select! {
            biased;
            step = timeout(stall, stdin.write(rest)) => step,
            () = &mut closed => return (written, Some(WriteEnd::Closed)),
        };
        match step {
            Ok(Ok(count)) if count > 0 => written += count,
            Ok(_) => return (written, Some(WriteEnd::Broken)),
            // The gateway slept, and the child perhaps with it.
            Err(_elapsed) if began.elapsed() >= stall + OVERSLEPT => {}
            Err(_elapsed) => return (written, Some(WriteEnd::Stalled)),
        }
    }
    (written, None)
}

/// Frames that begin behind the last written byte have not reached the child.
fn put_back_unwritten(mux: &Mux, frames: Vec<Frame>, written: usize) {
    let mut begin = 0;
    let unwritten = frames.into_iter().filter(|frame| {
        let untouched = begin >= written;
        begin += frame.bytes.len();
        untouched
    });
    mux.put_back(unwritten.collect());
}

/// What the reader of a child's stdout needs.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) mux: Arc<Mux>,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) fault: Arc<StdoutFault>,
    pub(super) incarnation: Incarnation,
    pub(super) max_line_bytes: usize,
    /// Cancelled when the process has ended.
    pub(super) ended: CancellationToken,
}

impl Reader {
    /// Reads lines and hands them on until the pipe ends, or has been drained after the process ended.
    pub(super) async fn run(self, mut stdout: impl AsyncRead + Unpin) {
        let mut lines = LineBuffer::new(self.max_line_bytes);
        let mut draining = Draining::when(self.ended.clone());
        // It has written JSON: what is there of a line is a message that is on its way.
        let mut speaks = false;
        while draining.read(&mut stdout, lines.room()).await {
            while let Some(line) = lines.next_line() {
                speaks |= line.may_be_message();
                let batch = self.line(line);
                self.give_way().await;
                for message in batch {
                    self.batched(message);
                    self.give_way().await;
                    tokio::task::consume_budget().await;
                }
                // A server that floods its stdout with short lines has thousands of them in each read, and nothing else
                // waits between them: deadlines, orders and the end of the gateway run on the same event loop.
                tokio::task::consume_budget().await;
            }
            if !speaks {
                self.fault.begin(lines.begun());
            }
        }
        if lines.unfinished() > 0 {
            self.fault.end(lines.begun());
            self.listener
                .dropped(DropReason::UnfinishedLine, lines.unfinished());
        }
    }

    async fn give_way(&self) {
        let mut waited = Duration::ZERO;
        while self.listener.is_behind(waited) {
            let began = Instant::now();
            sleep(GIVE_WAY).await;
            waited = began.elapsed();
        }
    }

    /// Hands a line on; gives the messages that are to be handed on after it, where it is a batch.
    fn line(&self, line: Line) -> Vec<Bytes> {
        match line {
            Line::Whole(line) => self.message(line),
            Line::Oversize { ids, len } => {
                let max = self.max_line_bytes;
                let problem = format!("the request has {len} bytes, max_line_bytes is {max}");
                if !self.unreadable(ids, faults::reply_too_large(max), INVALID_REQUEST, &problem) {
                    self.listener.dropped(
                        DropReason::OversizeLine,
                        usize::try_from(len).unwrap_or(usize::MAX),
                    );
                }
                Vec::new()
            }
        }
    }

    /// Ends the call that a line meant to answer with this fault, and refuses the request that it meant to
    /// make; `false` where it answers nothing.
    fn unreadable(&self, ids: Salvaged, fault: Fault, code: i32, problem: &str) -> bool {
        let Salvaged { response, request } = ids;
        if let Some(id) = request {
            let refusal = refusal(&id, code, problem);
            // Where it cannot be written, too much waits for a child that does not read.
            self.mux
                .reply(self.incarnation, Owner::Server, refusal.into());
        }
        response.is_some_and(|id| self.answer(id, Err(fault)))
    }

    /// Hands an answer on; `false` where nobody waits for it.
    fn answer(&self, id: u64, outcome: Outcome) -> bool {
        let is_expected = self.mux.answer(id, outcome);
        if !is_expected {
            self.listener.unexpected_answer(self.incarnation, id);
        }
        is_expected
    }

    /// Ends the request of the gateway's own that the server has written back; `false` where none has this id.
    fn ends_own_request(&self, id: &[u8]) -> bool {
        minted(id).is_some_and(|id| self.mux.answer(id, Err(faults::bad_reply())))
    }

    /// A message of a batch, which is no batch itself.
    fn batched(&self, message: Bytes) {
        for part in self.message(message) {
            self.listener.dropped(DropReason::GarbageLine, part.len());
        }
    }

    /// Hands a message on; gives those that are to be handed on after it, where it is a batch.
    fn message(&self, line: Bytes) -> Vec<Bytes> {
        let (message, envelope) = ChildMessage::read(&line);
        match message {
            ChildMessage::Response {
                id,
                span,
                ending,
                deviation,
            } => {
                let len = line.len();
                // The line is given away, not shared: whoever has it may change it where it lies.
                let answer = Answer {
                    line,
                    id: span,
                    ending,
                };
                if !self.answer(id, Ok(answer)) {
                    self.listener.dropped(self.mux.unexpected(id), len);
                } else if let Some(deviation) = deviation {
                    self.tolerate(deviation);
                }
            }
            ChildMessage::BadResponse { id } => {
                if !self.answer(id, Err(faults::bad_reply())) {
                    self.listener.dropped(DropReason::GarbageLine, line.len());
                }
            }
            ChildMessage::Request { id, method }
                if self.fault.note_echo(&method) && self.ends_own_request(id.of(&line)) => {}
            ChildMessage::Request { id: _, method } => {
                let answer = self
                    .listener
                    .request(self.incarnation, &method, &line, &envelope);
                if answer
                    .is_some_and(|answer| !self.mux.reply(self.incarnation, Owner::Server, answer))
                {
                    self.listener.dropped(DropReason::UnreadRequest, line.len());
                }
            }
            ChildMessage::Notification { method } if method == "notifications/progress" => {
                self.progress(&line, &envelope);
            }
            ChildMessage::Notification { method } => {
                self.listener
                    .notification(self.incarnation, &method, &line, &envelope);
            }
            ChildMessage::Unreadable { ids, error } => {
                let code = match error {
                    InvalidMessage::Scan(_) => PARSE_ERROR,
                    _ => INVALID_REQUEST,
                };
                if self.unreadable(ids, faults::bad_reply(), code, &error.to_string()) {
                    self.note_mistake(&line);
                } else {
                    self.garbage(&line);
                }
            }
            ChildMessage::Deviant(deviation) => return self.deviant(deviation, line),
            ChildMessage::Garbage => self.garbage(&line),
        }
        Vec::new()
    }

    /// A message that is read once it was set right.
    #[cold]
    fn deviant(&self, deviation: Deviation, line: Bytes) -> Vec<Bytes> {
        let len = line.len();
        let mut messages = deviation.undo(line);
        if messages.is_empty() {
            self.listener.dropped(DropReason::GarbageLine, len);
            return messages;
        }
        self.tolerate(deviation);
        if deviation == Deviation::Batch {
            return messages;
        }
        messages
            .pop()
            .map_or(messages, |message| self.message(message))
    }

    fn tolerate(&self, deviation: Deviation) {
        let first = self.fault.tolerate(deviation);
        self.listener.tolerated(deviation, first);
    }

    fn garbage(&self, line: &Bytes) {
        self.listener.dropped(DropReason::GarbageLine, line.len());
        self.note_mistake(line);
    }

    /// Keeps a line that is no message for operators.
    fn note_mistake(&self, line: &[u8]) {
        if let Some(mistake) = self.fault.look_at(line) {
            self.listener.misframed(mistake);
        }
    }

    fn progress(&self, line: &Bytes, envelope: &Envelope) {
        let token = envelope.params.and_then(|params| params.progress_token);
        let id = token.and_then(|span| minted(span.of(line)));
        match (token, id.map(|id| self.mux.progress(id))) {
            (Some(token), Some(Progress::Heard(observer))) => observer.progress(line, token),
            (Some(_), Some(Progress::Unheard)) => {}
            (None, _) | (_, None | Some(Progress::Unknown)) => {
                self.listener
                    .dropped(DropReason::UnknownProgress, line.len());
            }
        }
    }
}

/// Reads stderr to its end, so that a child never blocks on it, and keeps its newest lines; after the
/// process `ended`, what is still in the pipe.
pub(super) async fn drain_stderr(
    mut stderr: impl AsyncRead + Unpin,
    ring: Arc<StderrRing>,
    ended: CancellationToken,
) {
    let mut chunk = Vec::with_capacity(STDERR_READ);
    let mut draining = Draining::when(ended);
    while draining.read(&mut stderr, &mut chunk).await {
        ring.take(&chunk);
        chunk.clear();
        // As with stdout: a chunk may be thousands of lines.
        tokio::task::yield_now().await;
    }
    ring.flush();
}

/// Reading from a pipe that a process left behind may hold open.
struct Draining {
    /// Ends when the process has; one and the same for all reads, each of which a new one would cost a place in a list.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When the reading ends at the latest.
    until: Option<Instant>,
}

impl Draining {
    /// `ended` is cancelled when the process has ended.
    fn when(ended: CancellationToken) -> Self {
        Self {
            ended: Box::pin(ended.cancelled_owned()),
            until: None,
        }
    }

    /// Reads what there is next; `false` at the end of the pipe or of the drain.
    async fn read(&mut self, pipe: &mut (impl AsyncRead + Unpin), into: &mut impl BufMut) -> bool {
        if self.until.is_none() {
            tokio::select! {
                biased;
                read = pipe.read_buf(into) => return matches!(read, Ok(count) if count > 0),
                () = &mut self.ended => {}
            }
        }
        let cap = *self.until.get_or_insert_with(|| Instant::now() + DRAIN_CAP);
        if Instant::now() >= cap {
            return false;
        }
        let until = cap.min(Instant::now() + DRAIN_IDLE);
        matches!(timeout_at(until, pipe.read_buf(into)).await, Ok(Ok(count)) if count > 0)
    }
}

#[cfg(test)]
mod tests;
