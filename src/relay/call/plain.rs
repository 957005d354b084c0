//! The session of the plain endpoints that a request names: the event stream of the same client.

use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::Span;
use crate::protocol::splice::{Edit, splice};
use crate::relay::hub::{Hub, Sink};
use crate::relay::queue::Queue;
use crate::supervisor::Observer;
use crate::types::PrincipalId;

/// The session that a message was sent in.
#[derive(Clone, Debug)]
pub(in crate::relay) struct InSession {
    pub(in crate::relay) id: Arc<str>,
    pub(in crate::relay) queue: Arc<Queue>,
}

impl InSession {
    /// Hears the progress of a request whose client calls it by this token.
    pub(super) fn observer(
        &self,
        token: Bytes,
        hub: &Arc<Hub>,
        principal: PrincipalId,
    ) -> Arc<dyn Observer> {
        Arc::new(Progress {
            token,
            queue: Arc::clone(&self.queue),
            hub: Arc::clone(hub),
            principal,
        })
    }
}

#[derive(Debug)]
struct Progress {
    /// The client's own token as it was written.
    token: Bytes,
    queue: Arc<Queue>,
    hub: Arc<Hub>,
    principal: PrincipalId,
}

impl Observer for Progress {
    fn progress(&self, line: &Bytes, token: Span) {
        let edit = Edit {
            span: token,
            with: &self.token,
        };
        let taken = self.queue.offer(splice(line, &mut [edit]).into());
        let sink: Arc<dyn Sink> = Arc::clone(&self.queue) as _;
        self.hub.offered(&sink, self.principal, taken);
    }
}
