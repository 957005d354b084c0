//! A legacy client among the hearers.

use std::sync::Arc;

use super::{ClientSubscriptions, Hearer, Hub, Lists, Mark, Sink};
use crate::fault::Fault;
use crate::protocol::Level;
use crate::supervisor::Owner;
use crate::types::PrincipalId;

/// A legacy client's ear: hears every changed list, the updates that it wants, and the logs that can be
/// attributed to its principal. Dropping it leaves, and tells the child of what nobody wants any more.
#[derive(Debug)]
#[must_use = "dropping it leaves"]
pub(in crate::relay) struct Ear {
    hub: Arc<Hub>,
    key: u64,
}

impl Hub {
    /// Has a legacy client hear what it may hear from now on.
    pub(in crate::relay) fn join(
        self: &Arc<Self>,
        principal: PrincipalId,
        sink: Arc<dyn Sink>,
    ) -> Ear {
        let key = self.enter(Hearer {
            principal,
            sink,
            lists: Lists::ALL,
            resources: ClientSubscriptions::of(principal),
            mark: Mark::Legacy { level: None },
        });
        // What others have set may be too little for it.
        drop(self.tell_level(Owner::Principal(principal)));
        Ear {
            hub: Arc::clone(self),
            key,
        }
    }
}

impl Ear {
    /// Notes that it wants updates of a resource; `true` where nobody wanted them before. Refused where it, or its
    /// token, wants too many.
    ///
    /// A legacy child is told by the client's own request, a modern one by [`Hub::renew`].
    pub(in crate::relay) fn wants(&self, uri: &str) -> Result<bool, Fault> {
        let first = self.hub.state().want(self.key, uri)?;
        self.hub.wishes_changed();
        Ok(first)
    }

    /// Notes that it wants none any more; `true` where nobody does.
    pub(in crate::relay) fn forgets(&self, uri: &str) -> bool {
        let last = self.hub.state().forget(self.key, uri);
        self.hub.wishes_changed();
        last
    }

    /// By which its hub knows it.
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// It is at this hub.
    pub(in crate::relay) fn is_at(&self, hub: &Hub) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.hub), hub)
    }

    /// Has it hear logs from this level on; the child is told by [`Hub::level_changed`].
    pub(in crate::relay) fn set_level(&self, wanted: Level) {
        let mut state = self.hub.state();
        if let Some(hearer) = state.hearers.get_mut(&self.key) {
            hearer.mark = Mark::Legacy {
                level: Some(wanted),
            };
        }
    }

    /// From which level on it hears logs; `None` where it never said so, and hears all.
    pub(in crate::relay) fn level(&self) -> Option<Level> {
        let state = self.hub.state();
        state.hearers.get(&self.key)?.level()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.hub.leave(self.key);
    }
}

impl Hearer {
    /// From which level on a legacy client said that it hears logs.
    pub(super) fn level(&self) -> Option<Level> {
        match self.mark {
            Mark::Legacy { level } => level,
            Mark::Modern { .. } => None,
        }
    }
}
