//! One keep-alive connection of HTTP/1.1, as little of it as a load source needs.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The least room for one read; ten thousand idle connections must not be megabytes each.
const READ_SIZE: usize = 4096;
const MOST_HEADERS: usize = 32;

/// What stands before a body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// The body is an event stream.
    pub(crate) events: bool,
    /// `Mcp-Session-Id`
    pub(crate) session: Option<String>,
    framing: Framing,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked,
}

/// A connection and the answer that was read from it last.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was read and not yet taken.
    raw: Vec<u8>,
    body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true)?;
        let (raw, body) = (Vec::new(), Vec::new());
        Ok(Self { stream, raw, body })
    }

    /// Sends a request and reads its answer whole.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Head> {
        let head = self.begin(request).await?;
        self.body.clear();
        match head.framing {
            Framing::Length(length) => {
                while self.raw.len() < length {
                    self.read(length - self.raw.len()).await?;
                }
                std::mem::swap(&mut self.raw, &mut self.body);
            }
            Framing::Chunked => while self.chunk().await? {},
        }
        ensure!(self.raw.is_empty(), "more than one answer to one request");
        Ok(head)
    }

    /// Sends a request and reads the head of its answer only.
    pub(crate) async fn begin(&mut self, request: &[u8]) -> anyhow::Result<Head> {
        self.stream.write_all(request).await.context("write")?;
        self.raw.clear();
        loop {
            self.read(READ_SIZE).await?;
            if let Some((head, length)) = parse(&self.raw)? {
                self.raw.drain(..length);
                return Ok(head);
            }
        }
    }

    /// The body that was read by [`Self::exchange`], or as much of it as [`Self::chunk`] has read.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Adds one chunk to the body; `false` at its end.
    pub(crate) async fn chunk(&mut self) -> anyhow::Result<bool> {
        let (start, size) = loop {
            if let Some(end) = memchr::memmem::find(&self.raw, b"\r\n") {
                let line = std::str::from_utf8(self.raw.get(..end).unwrap_or_default())?;
                break (
                    end + 2,
                    usize::from_str_radix(line, 16).context("the size of a chunk")?,
                );
            }
            self.read(READ_SIZE).await?;
        };
        let end = start + size;
        while self.raw.len() < end + 2 {
            self.read((end + 2 - self.raw.len()).max(READ_SIZE)).await?;
        }
        self.body
            .extend_from_slice(self.raw.get(start..end).unwrap_or_default());
        self.raw.drain(..end + 2);
        Ok(size > 0)
    }

    async fn read(&mut self, room: usize) -> anyhow::Result<()> {
        self.raw.reserve(room);
        if self.stream.read_buf(&mut self.raw).await.context("read")? == 0 {
            bail!("the connection was closed within an answer");
        }
        Ok(())
    }
}

/// The head and its length, once it is complete.
fn parse(raw: &[u8]) -> anyhow::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(raw)? else {
        return Ok(None);
    };
    let mut head = Head {
        status: response.code.unwrap_or_default(),
        events: false,
        session: None,
        framing: Framing::Length(0),
    };
    for header in response.headers {
        let value = std::str::from_utf8(header.value)?;
        if header.name.eq_ignore_ascii_case("content-length") {
            head.framing = Framing::Length(value.parse()?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("content-type") {
            head.events = value.starts_with("text/event-stream");
        } else if header.name.eq_ignore_ascii_case("mcp-session-id") {
            head.session = Some(value.to_owned());
        }
    }
    Ok(Some((head, length)))
}
