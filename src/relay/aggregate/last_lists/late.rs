//! The list requests that a server answers late, and the clients that were shown lists without its own because of them.
//!
//! All of it is of one principal: what one token asks for neither keeps another from being shown a list, nor has
//! another told that lists have changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LastLists;
use crate::relay::aggregate::Kind;
use crate::types::PrincipalId;

/// The late requests of each principal that has any.
#[derive(Debug, Default)]
pub(super) struct LateRequests(BTreeMap<PrincipalId, LatePrincipal>);

#[derive(Debug, Default)]
struct LatePrincipal {
    unanswered: usize,
    /// The lists that it was shown without this server's.
    left_out: Vec<Kind>,
}

impl LateRequests {
    pub(super) fn begin(&mut self, principal: PrincipalId) {
        self.0.entry(principal).or_default().unanswered += 1;
    }

    pub(super) fn has(&self, principal: PrincipalId) -> bool {
        self.0.contains_key(&principal)
    }

    /// Notes that a list was left out; `false` where no request of the principal is late any more.
    pub(super) fn leave_out(&mut self, principal: PrincipalId, kind: Kind) -> bool {
        let Some(late) = self.0.get_mut(&principal) else {
            return false;
        };
        if !late.left_out.contains(&kind) {
            late.left_out.push(kind);
        }
        true
    }

    /// Ends one request; gives the lists that the principal should ask for again, which is after the last one.
    ///
    /// A list that came and was not kept, because it is too large or is an error, is not among them: it would be late the
    /// next time too, and be announced without end.
    fn end(&mut self, principal: PrincipalId, kind: Kind, is_kept: bool) -> Vec<Kind> {
        let Some(late) = self.0.get_mut(&principal) else {
            return Vec::new();
        };
        late.unanswered = late.unanswered.saturating_sub(1);
        if !is_kept {
            late.left_out.retain(|left_out| *left_out != kind);
        }
        if late.unanswered > 0 {
            return Vec::new();
        }
        let over = self.0.remove(&principal);
        over.map(|late| late.left_out).unwrap_or_default()
    }
}

/// A request that is not answered for longer than one waits.
#[derive(Debug)]
pub(in crate::relay::aggregate) struct LateRequest {
    lists: Arc<LastLists>,
    principal: PrincipalId,
    kind: Kind,
    is_over: bool,
}

impl LateRequest {
    pub(super) fn new(lists: Arc<LastLists>, principal: PrincipalId, kind: Kind) -> Self {
        lists.inner().late.begin(principal);
        Self {
            lists,
            principal,
            kind,
            is_over: false,
        }
    }

    /// Ends it; gives the lists that its principal should ask for again.
    pub(in crate::relay::aggregate) fn end(mut self, is_kept: bool) -> Vec<Kind> {
        self.is_over = true;
        let late = &mut self.lists.inner().late;
        late.end(self.principal, self.kind, is_kept)
    }
}

impl Drop for LateRequest {
    fn drop(&mut self) {
        if !self.is_over {
            let late = &mut self.lists.inner().late;
            let _nobody_is_left = late.end(self.principal, self.kind, false);
        }
    }
}
