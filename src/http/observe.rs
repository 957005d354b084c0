//! What the edge tells whoever measures it.

use std::time::Duration;

use super::admission::Check;

/// Receives what is worth counting at the edge. Every method is called in one place and must return
/// at once.
pub trait Observer: Send + Sync {
    /// A connection was accepted.
    fn connection_opened(&self) {}

    /// An accepted connection has ended.
    fn connection_closed(&self) {}

    /// A connection was closed for being over a cap.
    fn connection_refused(&self) {}

    /// A request was not let in.
    fn request_refused(&self, _check: Check) {}

    /// A request was let in.
    fn request_started(&self) {}

    /// A request that was let in got its response (for an event stream: its head), or was dropped
    /// before that because its client went away.
    fn request_ended(&self, _request: &Observed) {}

    /// An event stream was opened.
    fn stream_opened(&self) {}

    /// An event stream has ended.
    fn stream_closed(&self) {}
}

/// One request, in words from closed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The method, or `_OTHER` where it is none of the standard ones.
    pub method: &'static str,
    /// The path template of the route, where one matched.
    pub route: Option<&'static str>,
    /// The status of the response; `None` where the client went away first.
    pub status: Option<u16>,
    /// From the parsed head to the response's head.
    pub elapsed: Duration,
}

/// Measures nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unobserved;

impl Observer for Unobserved {}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Body;
    use axum::routing::{get, post};
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    use super::*;
    use crate::http::connection::Peer;
    use crate::http::fixture;
    use crate::http::gate::{Gate, Guard};

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Notes {
        fn note(&self, text: impl Into<String>) {
            self.0.lock().unwrap().push(text.into());
        }
    }

    impl Observer for Notes {
        fn request_refused(&self, check: Check) {
            self.note(check.as_str());
        }

        fn request_started(&self) {
            self.note("started");
        }

        fn request_ended(&self, request: &Observed) {
            self.note(format!("{} {:?}", request.method, request.status));
        }
    }

    #[tokio::test]
    async fn every_request_is_told_of_once_however_it_ends() {
        let notes = Arc::new(Notes::default());
        let observer = Arc::<Notes>::clone(&notes);
        let guard = Guard::new(&fixture::config(), CancellationToken::new(), observer);
        let router = Router::new()
            .route("/fine", get(|| async { "fine" }))
            .route("/wait", post(std::future::pending::<()>));
        let gate = Gate::new(Arc::new(guard), router);
        let ask = |method: &str, path: &str, token: &str| {
            let peer: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
            let request = http::Request::builder().method(method).uri(path);
            let request = request.header("host", "localhost").extension(Peer(peer));
            let request = request.header("authorization", format!("Bearer {token}"));
            gate.clone().oneshot(request.body(Body::empty()).unwrap())
        };
        ask("GET", "/fine", "T1").await.unwrap();
        ask("GET", "/fine", "no").await.unwrap();
        ask("GETT", "/fine", "T1").await.unwrap();
        let mut waiting = ask("POST", "/wait", "T1");
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(waiting);
        let expected = [
            "started",
            "GET Some(200)",
            "token",
            "started",
            "_OTHER Some(405)",
            "started",
            "POST None",
        ];
        assert_eq!(*notes.0.lock().unwrap(), expected);
    }
}
