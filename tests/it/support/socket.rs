//! A bare TCP connection, for what no HTTP client would send.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The head of an HTTP/1.1 answer and where its body starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Head {
    /// A header's value, its name in lower case; `None` when it is absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.text.lines().skip(1);
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct RawSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RawSocket {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("a connection"))
    }

    /// Connects as a client of another loopback address: any of 127.0.0.0/8 on Linux, those that lo0 was
    /// given on macOS.
    pub(crate) async fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        let source = IpAddr::from(source);
        let bound = socket.bind(SocketAddr::new(source, 0));
        bound.unwrap_or_else(|error| panic!("{source} is no address of this machine: {error}"));
        Self::over(socket.connect(address).await.expect("a connection"))
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Connects with a receive buffer of this size, so that what is not read soon waits at the peer.
    pub(crate) async fn connect_narrow(address: SocketAddr, receive_buffer: u32) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(receive_buffer).unwrap();
        Self {
            stream: socket.connect(address).await.expect("a connection"),
            buffer: Vec::new(),
        }
    }

    /// Reads so many bytes, if as many come, and resets the connection: the peer is told nothing else.
    pub(crate) async fn reset_after(mut self, bytes: usize, deadline: Duration) {
        while self.buffer.len() < bytes && self.fill(deadline).await {}
        self.stream.set_zero_linger().unwrap();
    }

    /// Sends bytes; what the peer makes of a closed connection is its answer, not a fault here.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends bytes; false when the connection is closed.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Waits until there is something to read, or the end.
    pub(crate) async fn ready(&self) {
        self.stream.readable().await.expect("a socket");
    }

    /// Sends no more, and goes on reading.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer's head; `None` when the connection ends before a whole one came.
    pub(crate) async fn head(&mut self, deadline: Duration) -> Option<Head> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill(deadline).await {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let text = String::from_utf8(head).expect("a head in UTF-8");
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Some(Head {
            status: status.expect("a status line"),
            text,
        })
    }

    /// The next answer with its body, which must come with a `Content-Length`.
    pub(crate) async fn answer(&mut self, deadline: Duration) -> Option<(Head, Vec<u8>)> {
        let head = self.head(deadline).await?;
        let length = head
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            if !self.fill(deadline).await {
                return None;
            }
        }
        let body = self.buffer.drain(..length).collect();
        Some((head, body))
    }

    /// Everything up to and with this text; panics when the peer closes before it.
    pub(crate) async fn until(&mut self, text: &str, deadline: Duration) -> String {
        let mut looked_at = 0;
        loop {
            if let Some(begin) = find(&self.buffer[looked_at..], text.as_bytes()) {
                let end = looked_at + begin + text.len();
                let heard = self.buffer.drain(..end).collect();
                return String::from_utf8(heard).expect("UTF-8");
            }
            looked_at = self.buffer.len().saturating_sub(text.len());
            let more = self.fill(deadline).await;
            assert!(more, "closed before {text:?}");
        }
    }

    /// Everything until the peer closes; panics when it does not.
    pub(crate) async fn rest(&mut self, deadline: Duration) -> Vec<u8> {
        while self.fill(deadline).await {}
        std::mem::take(&mut self.buffer)
    }

    /// Reads some more; false at the end or when the peer reset the connection.
    async fn fill(&mut self, deadline: Duration) -> bool {
        let read = tokio::time::timeout(deadline, self.stream.read_buf(&mut self.buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing on the connection for {deadline:?}"));
        read.is_ok_and(|count| count > 0)
    }
}

/// A port of the loopback that refuses connections as long as this is held: it is bound, and nothing listens.
#[derive(Debug)]
pub(crate) struct RefusingPort(TcpSocket);

impl RefusingPort {
    pub(crate) fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

/// A port that nothing listens on, at the moment.
pub(crate) async fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
