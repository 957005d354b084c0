//! Sessions, streams, and the wall between principals (H085 to H092).
//!
//! H085 is shown in `mcp_sessions` and, for the streams of the plain endpoints, in `notices`.

mod alone;
mod ends;
mod ids;
mod streams;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::mcp::{self, Session, request, tool_call};
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const REVISION: &str = "2025-11-25";

/// A gateway with a gremlin and two people.
fn two_people() -> Gateway {
    Gateway::builder()
        .people()
        .server(Server::gremlin("s1"))
        .start()
}

async fn open(client: &Client) -> Session {
    Session::open(client, "/s1/mcp", REVISION).await
}

fn ping() -> Value {
    request("ping", "ping", &json!({}))
}
