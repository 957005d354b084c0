//! What the gateway asks a child on its own, and what the child says to it.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::oneshot;

use super::{Hub, Life, State};
use crate::fault::{Fault, FaultKind};
use crate::protocol::Era;
use crate::protocol::message::Ending;
use crate::protocol::splice::into_frame;
use crate::supervisor::{self, Outcome, Owner, RequestRecord, ServerHandle, Submission};
use crate::types::PrincipalId;

/// The longest text of a child's error that is shown, in characters.
const MAX_SHOWN: usize = 200;

impl Hub {
    /// The child and its present life, if it can be told something.
    ///
    /// A child that is only being started is none yet: its first message must be the handshake. One that
    /// has done the handshake is, though the supervisor may not have noted that it is ready.
    pub(super) fn alive(&self, state: &State) -> Option<(&ServerHandle, Life)> {
        let (handle, life) = (self.handle.get()?, state.life?);
        let status = handle.status();
        let alive = match status.state {
            supervisor::State::Ready | supervisor::State::Unhealthy => true,
            supervisor::State::Starting => status.incarnation == life.incarnation,
            supervisor::State::Stopped
            | supervisor::State::Backoff
            | supervisor::State::Stopping
            | supervisor::State::Failed => false,
        };
        alive.then_some((handle, life))
    }

    /// Tells a legacy child about a resource; gives where its answer arrives, or why it was not told. `None` where there
    /// is none to tell.
    ///
    /// Called under the lock, so that the child is told in the order of the wishes.
    pub(super) fn tell_of_resource(
        &self,
        state: &State,
        method: &str,
        uri: &str,
        principal: PrincipalId,
        record: Arc<dyn RequestRecord>,
    ) -> Option<Result<oneshot::Receiver<Outcome>, Fault>> {
        let (handle, life) = self.alive(state)?;
        if life.era == Era::Modern {
            return None;
        }
        let params = serde_json::json!({ "uri": uri }).to_string();
        let submission = Submission {
            record: Some(record),
            ..Submission::own_for(Owner::Principal(principal))
        };
        Some(ask(
            handle,
            handle.mux().mint(),
            method,
            &params,
            submission,
        ))
    }
}

/// Sends a request of the gateway's own; `params` is a JSON object.
pub(super) fn ask(
    handle: &ServerHandle,
    id: u64,
    method: &str,
    params: &str,
    submission: Submission,
) -> Result<oneshot::Receiver<Outcome>, Fault> {
    let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
    let frame = into_frame(message.into_bytes()).into();
    handle.mux().submit(id, frame, submission)
}

/// Waits for the answer to a request of the gateway's own; an error of the child's is a fault. Cancel safe.
pub(super) async fn answered(
    method: &str,
    receiver: oneshot::Receiver<Outcome>,
) -> Result<(), Fault> {
    let outcome = receiver.await;
    verdict(
        method,
        &outcome.unwrap_or_else(|_closed| Err(withdrawn(method))),
    )
}

/// What became of a request of the gateway's own; an error of the child's is a fault.
pub(super) fn verdict(method: &str, outcome: &Outcome) -> Result<(), Fault> {
    let answer = outcome.as_ref().map_err(Fault::clone)?;
    match answer.ending {
        Ending::Result | Ending::InputRequired | Ending::ToolError => Ok(()),
        Ending::Error(error) => Err(refused(method, error.of(&answer.line))),
    }
}

/// The child's error, as the fault of the one who wanted it.
fn refused(method: &str, error: &[u8]) -> Fault {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct ErrorObject {
        code: i64,
        message: String,
    }
    let ErrorObject { code, message } = serde_json::from_slice(error).unwrap_or_default();
    let kind = match code {
        -32_601 => FaultKind::MethodNotFound,
        -32_600 => FaultKind::InvalidRequest,
        -32_602 => FaultKind::InvalidParams,
        _ => FaultKind::InternalError,
    };
    let shown: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SHOWN)
        .collect();
    Fault::new(
        kind,
        format!("the server answered {method} with error {code}: {shown}"),
    )
}

fn withdrawn(method: &str) -> Fault {
    Fault::new(
        FaultKind::RequestCancelled,
        format!("{method} was withdrawn before the server answered it"),
    )
}
