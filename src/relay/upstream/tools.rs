//! The headers that the tools of a server want of a modern request (MCP 2026-07-28, `x-mcp-header`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::Upstream;
use crate::fault::{Delivered, Fault};
use crate::relay::aggregate::{Kind, list_frame};
use crate::relay::bridge::tool_headers::ToolHeaders;
use crate::spans::MessageSpan;
use crate::supervisor::{Handshake, Origin, Submission};
use crate::types::{Incarnation, PrincipalId};

/// Pages of a list of tools that are read.
const MAX_PAGES: usize = 64;
/// The longest that a page may stay unanswered, and the share of a request's own time that it may take:
/// whoever waits for the list waits with a call in hand.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
const PAGE_SHARE: u32 = 4;
/// The share of a request's own time that the whole list may take.
const LIST_SHARE: u32 = 2;

/// The headers that each tool wants, by its name.
pub(super) type Tools = Arc<HashMap<String, ToolHeaders>>;

/// What is known of a server's tools.
#[derive(Debug)]
pub(super) struct ToolList {
    known: Mutex<Option<Known>>,
    /// One reads the list at a time; the others wait for what that one brings.
    turn: Semaphore,
}

#[derive(Clone, Debug)]
struct Known {
    age: Age,
    tools: Tools,
}

/// To which list it belongs: this child's, after so many words of it that its tools have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Age {
    incarnation: Incarnation,
    changes: u64,
}

impl Default for ToolList {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }
}

impl ToolList {
    fn known(&self, age: Age) -> Option<Tools> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref().filter(|known| known.age == age)?;
        Some(Arc::clone(&known.tools))
    }

    fn learn(&self, age: Age, tools: &Tools) {
        let tools = Arc::clone(tools);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known { age, tools });
    }
}

impl Upstream {
    /// The headers that the server's tools want of a modern request; read from its list of tools, and
    /// again when it says that the list has changed.
    ///
    /// A server that does not give the list, or not in time, has no such headers: its tools can be called
    /// all the same, and the call has time left.
    pub(in crate::relay) async fn tool_headers(
        &self,
        principal: PrincipalId,
    ) -> Result<Tools, Fault> {
        let handshake = self.handle.wait_for_handshake().await?;
        let age = Age {
            incarnation: self.handle.status().incarnation,
            changes: self.calls.tool_changes(),
        };
        if let Some(tools) = self.tools.known(age) {
            return Ok(tools);
        }
        let until = Instant::now() + self.handle.config().requests.timeout / LIST_SHARE;
        let read = async {
            let _turn = self.tools.turn.acquire().await;
            match self.tools.known(age) {
                Some(tools) => Ok(tools),
                None => self.learn_tools(&handshake, principal, age).await,
            }
        };
        timeout_at(until, read)
            .await
            .unwrap_or_else(|_elapsed| Ok(Tools::default()))
    }

    async fn learn_tools(
        &self,
        handshake: &Handshake,
        principal: PrincipalId,
        age: Age,
    ) -> Result<Tools, Fault> {
        let tools = match self.read_tools(handshake, principal).await {
            Ok(tools) => Arc::new(tools),
            // The call itself would fare no better.
            Err(fault) if fault.delivered == Some(Delivered::No) => return Err(fault),
            Err(fault) => {
                let id = self.handle.id();
                tracing::warn!(server_id = %id, reason = %fault, "the server gives no list of its tools: their headers are not checked");
                Tools::default()
            }
        };
        self.tools.learn(age, &tools);
        Ok(tools)
    }

    async fn read_tools(
        &self,
        handshake: &Handshake,
        principal: PrincipalId,
    ) -> Result<HashMap<String, ToolHeaders>, Fault> {
        let mut tools = HashMap::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = self
                .list_tools(handshake, principal, cursor.as_deref())
                .await?;
            tools.extend(ToolHeaders::from_list(&page));
            cursor = next_cursor(&page);
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// One page of the list of tools, as the JSON text of the result; empty where the server has none.
    async fn list_tools(
        &self,
        handshake: &Handshake,
        principal: PrincipalId,
        cursor: Option<&str>,
    ) -> Result<Vec<u8>, Fault> {
        let mux = self.handle.mux();
        let id = mux.mint();
        // A request of the client's, for all that concerns the server: it waits where its call would.
        let submission = Submission {
            origin: Some(Origin {
                principal,
                session: None,
                client_id: Bytes::from_static(b"\"tools\""),
            }),
            timeout: Some(PAGE_TIMEOUT.min(self.handle.config().requests.timeout / PAGE_SHARE)),
            ..Submission::own()
        };
        let (minted, span) = (id.to_string(), MessageSpan::none());
        let frame = list_frame(Kind::Tools, &minted, cursor, handshake.era, &span);
        let receiver = mux.submit(id, frame, submission)?;
        let Ok(outcome) = receiver.await else {
            return Ok(Vec::new());
        };
        let line = outcome?.line;
        let envelope = crate::protocol::scan(&line).unwrap_or_default();
        Ok(envelope
            .result
            .map(|span| span.of(&line).to_vec())
            .unwrap_or_default())
    }
}

fn next_cursor(page: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        next_cursor: Option<String>,
    }
    serde_json::from_slice::<Page>(page).ok()?.next_cursor
}
