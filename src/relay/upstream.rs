//! One running server, and what the relay keeps beside its handle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Span as TraceSpan;

use super::aggregate::{Kind, LastLists, list_frame};
use super::bridge::tool_headers::ToolHeaders;
use super::calls::Calls;
use super::config::ClientFeatures;
use super::hub::Hub;
use super::instances::InstanceKey;
use crate::fault::{Delivered, Fault};
use crate::instruments::ServerInstruments;
use crate::supervisor::{Handshake, Origin, ServerHandle, Submission};
use crate::types::{Incarnation, PrincipalId, ServerId};

/// Pages of a list of tools that are read.
const MAX_PAGES: usize = 64;
/// How long a page may stay unanswered.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// One server.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) handle: ServerHandle,
    pub(super) hub: Arc<Hub>,
    pub(super) calls: Arc<Calls>,
    pub(super) instruments: ServerInstruments,
    /// What is kept of it for the lists of all servers.
    pub(super) last_lists: Arc<LastLists>,
    /// One place for calls in the course of which the server may ask: they are made one by one.
    pub(super) turnstile: Option<Arc<Semaphore>>,
    /// Whose the child is.
    pub(super) key: InstanceKey,
    /// The server is no more: streams of it that never end by themselves end now.
    pub(super) ended: CancellationToken,
    tools: Mutex<Option<KnownTools>>,
}

/// The headers that each tool wants, by its name.
pub(super) type Tools = Arc<HashMap<String, ToolHeaders>>;

#[derive(Clone, Debug)]
struct KnownTools {
    incarnation: Incarnation,
    /// How often the child had said by then that its tools have changed.
    changes: u64,
    tools: Tools,
}

/// What must be there before the server is: it hears it from its first word.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) hub: Arc<Hub>,
    calls: Arc<Calls>,
    instruments: ServerInstruments,
    features: ClientFeatures,
    key: InstanceKey,
    ended: CancellationToken,
}

impl Parts {
    pub(super) fn new(
        server: &ServerId,
        instruments: ServerInstruments,
        features: ClientFeatures,
        key: InstanceKey,
        ended: CancellationToken,
    ) -> Self {
        let calls = Arc::new(Calls::new(server.clone()));
        Self {
            hub: Hub::new(server.clone(), Arc::clone(&calls), instruments.clone()),
            calls,
            instruments,
            features,
            key,
            ended,
        }
    }

    pub(super) fn attach(self, handle: ServerHandle) -> Upstream {
        let Self {
            hub,
            calls,
            instruments,
            features,
            key,
            ended,
        } = self;
        hub.attach(handle.clone());
        calls.attach(handle.clone());
        Upstream {
            handle,
            hub,
            calls,
            instruments,
            last_lists: Arc::default(),
            turnstile: (features == ClientFeatures::Serialize).then(|| Arc::new(Semaphore::new(1))),
            key,
            ended,
            tools: Mutex::default(),
        }
    }
}

impl Upstream {
    /// It is one session's own.
    pub(super) fn is_owned(&self) -> bool {
        matches!(self.key, InstanceKey::Session(_))
    }

    /// All clients share it.
    pub(super) fn is_shared(&self) -> bool {
        self.key == InstanceKey::Shared
    }

    /// The headers that the server's tools want of a modern request; read from its list of tools, and
    /// again when it says that the list has changed.
    ///
    /// A server that does not give the list has no such headers: its tools can be called all the same.
    pub(super) async fn tool_headers(&self, principal: PrincipalId) -> Result<Tools, Fault> {
        let handshake = self.handle.wait_for_handshake().await?;
        let incarnation = self.handle.status().incarnation;
        let changes = self.calls.tool_changes();
        let known = self
            .tools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(known) = known
            && (known.incarnation, known.changes) == (incarnation, changes)
        {
            return Ok(known.tools);
        }
        let tools = match self.read_tools(&handshake, principal).await {
            Ok(tools) => Arc::new(tools),
            // The call itself would fare no better.
            Err(fault) if fault.delivered == Some(Delivered::No) => return Err(fault),
            Err(fault) => {
                let id = self.handle.id();
                tracing::warn!(server_id = %id, reason = %fault, "the server gives no list of its tools: their headers are not checked");
                Tools::default()
            }
        };
        *self.tools.lock().unwrap_or_else(PoisonError::into_inner) = Some(KnownTools {
            incarnation,
            changes,
            tools: Arc::clone(&tools),
        });
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
            timeout: Some(LIST_TIMEOUT),
            ..Submission::own()
        };
        let (minted, span) = (id.to_string(), TraceSpan::none());
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
