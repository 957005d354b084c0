//! Where a connection is served: at the home of the server that it first asks for.
//!
//! It is known before a byte is taken: the first ones are looked at where they lie (`MSG_PEEK`, recv(2)), and those that
//! come encrypted where TLS holds them once it has opened them. That decides about a thread and about nothing else. Who
//! may enter is for the gate, and what the same connection asks of another server later on works as well.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::config::LimitsConfig;
use super::connection::Ends;
use super::phase::Overdue;
use crate::shards::{Shard, Shards};

/// So much is looked at: a method, and the id of a server between two slashes.
const LOOK: usize = 96;

/// The home of the server with an id, where there is one.
pub(super) type HomeOf = Arc<dyn Fn(&str) -> Option<Shard> + Send + Sync>;

/// The shards that connections are served at.
#[derive(Clone)]
pub(super) struct Homes {
    pub(super) shards: Shards,
    pub(super) of: HomeOf,
}

impl Homes {
    /// Any shard: for what asks for no server, or does not show it.
    pub(super) fn any(&self) -> Shard {
        self.shards.next()
    }

    /// Waits for the first bytes of a connection, and looks at them.
    pub(super) async fn look(&self, socket: &TcpStream) -> io::Result<Option<Shard>> {
        let mut look = [0; LOOK];
        let count = socket.peek(&mut look).await?;
        Ok(self.home(look.get(..count).unwrap_or_default()))
    }

    /// The same, where they came encrypted.
    pub(super) async fn look_within(
        &self,
        stream: &mut TlsStream<TcpStream>,
    ) -> io::Result<Option<Shard>> {
        let head = stream.fill_buf().await?;
        Ok(self.home(head.get(..LOOK).unwrap_or(head)))
    }

    fn home(&self, head: &[u8]) -> Option<Shard> {
        server_of(head).and_then(|server| (self.of)(server))
    }

    /// The shard of a connection that is looked at, for `limits.first_byte` at most. `None` where it is over: nothing
    /// came in time, or everything is cut.
    pub(super) async fn find(
        &self,
        look: impl Future<Output = io::Result<Option<Shard>>>,
        peer: SocketAddr,
        limits: &LimitsConfig,
        ends: &Ends,
    ) -> Option<Shard> {
        let home = tokio::select! {
            biased;
            () = ends.cut.cancelled() => return None,
            // Whoever serves it ends it.
            () = ends.drain.cancelled() => None,
            looked = timeout(limits.first_byte, look) => match looked {
                // What went wrong is seen again by whoever reads.
                Ok(looked) => looked.ok().flatten(),
                Err(_elapsed) => {
                    let overdue = Overdue::FirstByte;
                    tracing::debug!(%peer, ?overdue, "connection closed for being slow");
                    return None;
                }
            },
        };
        Some(home.unwrap_or_else(|| self.any()))
    }
}

/// The first segment of the path in a request line, where another one follows: `/{server_id}/…`.
fn server_of(head: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(head).ok()?;
    let (_method, rest) = line.split_once(' ')?;
    let (target, _) = rest.split_once(' ').unwrap_or((rest, ""));
    let (server, _) = target.strip_prefix('/')?.split_once('/')?;
    Some(server)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture::{self, Running};
    use crate::shards::Threads;

    #[test]
    fn the_server_stands_between_the_first_two_slashes() {
        let longest = format!("DELETE /{}/mcp", "s".repeat(63));
        for (head, server) in [
            ("POST /s1/rpc HTTP/1.1\r\nhost: x\r\n", Some("s1")),
            ("GET /a.b-c/mcp?x=/y/ HTTP/1.1", Some("a.b-c")),
            (longest.as_str(), longest.get(8..71)),
            ("POST //rpc HTTP/1.1", Some("")),
            ("GET /health HTTP/1.1\r\naccept: */*", None),
            ("POST http://h/s1/rpc HTTP/1.1", None),
            ("POST /s1", None),
            ("POST", None),
            ("\u{16}\u{3}\u{1}", None),
            ("", None),
        ] {
            let head = head.as_bytes();
            let seen = head.get(..LOOK).unwrap_or(head);
            assert_eq!(server_of(seen), server, "{head:?}");
        }
        assert_eq!(server_of(b"POST /\xff/rpc"), None);
    }

    #[tokio::test]
    async fn a_connection_is_served_at_the_home_of_what_it_asks_for_first() {
        let threads = Threads::start(2).unwrap();
        let door = fixture::door_with_home(&threads, "s1");
        let running = Running::behind(door, fixture::thread_names()).await;
        let ask = async |path: &str| {
            let mut wire = running.connect().await;
            wire.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
                .await;
            let name = body(&wire.response().await);
            // What it asks for later on is served where it is.
            wire.send("GET /s2/mcp HTTP/1.1\r\nhost: x\r\n\r\n").await;
            assert_eq!(body(&wire.response().await), name);
            name
        };
        for _ in 0..3 {
            assert_eq!(ask("/s1/rpc").await, "shard-0");
        }
        // Strangers take turns.
        let mut others = vec![ask("/health").await, ask("/s2/rpc").await];
        others.sort();
        assert_eq!(others, ["shard-0", "shard-1"]);
        running.drain.cancel();
        running.ended().await;
    }

    /// The body of a response.
    fn body(response: &str) -> String {
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        body.to_owned()
    }
}
