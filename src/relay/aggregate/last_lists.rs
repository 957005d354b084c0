//! What is kept of one server for the lists of all: its last lists, and what is wrong with it.
//!
//! A list that was true a minute ago is better than a hole: clients take a tool that is not listed for
//! gone, and a server that was restarted tells its lists anew. Only where memory runs out are they given up.

mod late;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use super::Kind;
use crate::memory_budget::{MemoryBudget, ReclaimableStore, SMALL, SteppedLease, piece_weight};
use crate::protocol::Span;
use crate::types::{PrincipalId, ServerId};
pub(super) use late::LateRequest;
use late::LateRequests;

/// Pages of one list that are kept.
const MAX_PAGES: usize = 64;
/// The most that is kept of all lists of one process, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// One page of a list, as the server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The whole response, with a lease of its own where it is large.
    pub(super) line: Bytes,
    /// Where the result stands in it.
    pub(super) result: Span,
}

/// What is shown of a list that the server could not be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// What it was when the server last answered.
    LastKnown,
    /// Nothing: it is left out.
    Nothing,
    /// Its first pages: the server says that it goes on, but it would never end.
    Beginning,
}

/// A list that is not as its server would tell it now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// The method of the list, such as `tools/list`.
    pub list: &'static str,
    /// What is shown instead.
    pub shown: Shown,
    /// Why.
    pub reason: String,
}

/// What is kept of one server.
#[derive(Debug, Default)]
pub(in crate::relay) struct LastLists(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lists: [List; Kind::ALL.len()],
    /// The memory of the pages.
    lease: SteppedLease,
    /// The memory budget knows of these lists.
    is_registered: bool,
    /// Requests that the server was not waited for any longer, and has not answered yet.
    late: LateRequests,
    /// Its first start was waited for in vain.
    in_vain: bool,
}

#[derive(Debug, Default)]
struct List {
    /// In the order in which they were read.
    pages: Vec<KeptPage>,
    gap: Option<Gap>,
}

#[derive(Debug)]
struct KeptPage {
    cursor: Option<String>,
    page: Page,
    /// The cursor of the page after it.
    next: Option<String>,
}

impl KeptPage {
    fn bytes(&self) -> usize {
        let cursors = [&self.cursor, &self.next];
        let cursors = cursors.into_iter().flatten().map(String::len);
        self.page.line.len() + cursors.sum::<usize>()
    }

    /// What it counts in the memory of the pages.
    fn weight(&self) -> usize {
        self.bytes() - self.page.line.len() + piece_weight(&self.page.line)
    }
}

impl Inner {
    fn bytes(&self) -> usize {
        let pages = self.lists.iter().flat_map(|list| &list.pages);
        pages.map(KeptPage::bytes).sum()
    }

    /// Forgets the pages of a list; gives the bytes of the large ones, which had leases of their own.
    fn clear(&mut self, kind: Kind) -> usize {
        let gone = std::mem::take(&mut self.list(kind).pages);
        let mut large = 0;
        for page in &gone {
            self.lease.remove(page.weight());
            let len = page.page.line.len();
            large += if len >= SMALL { len } else { 0 };
        }
        large
    }

    fn list(&mut self, kind: Kind) -> &mut List {
        let [tools, prompts, resources, templates] = &mut self.lists;
        match kind {
            Kind::Tools => tools,
            Kind::Prompts => prompts,
            Kind::Resources => resources,
            Kind::Templates => templates,
        }
    }
}

impl LastLists {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a page that the server has answered with, if there is room; `false` if not. Later pages belong to the first: they go when
    /// it changes. A page of a cursor that no page leads to is not kept: clients can make up as many as they like.
    pub(super) fn remember(
        self: &Arc<Self>,
        memory: &MemoryBudget,
        kind: Kind,
        cursor: Option<&str>,
        page: Page,
        next: Option<&str>,
    ) -> bool {
        self.register(memory);
        let mut inner = self.inner();
        let pages = &mut inner.list(kind).pages;
        let result = |page: &Page| page.line.slice(page.result.start..page.result.end);
        let known = pages
            .iter()
            .position(|known| known.cursor.as_deref() == cursor);
        match (cursor, known) {
            (Some(_), Some(at)) => {
                let gone = pages.remove(at);
                inner.lease.remove(gone.weight());
            }
            (Some(_), None) => {
                let leads_here = |known: &KeptPage| known.next.as_deref() == cursor;
                if !pages.iter().any(leads_here) {
                    return false;
                }
            }
            (None, Some(at))
                if pages
                    .get(at)
                    .is_some_and(|known| result(&known.page) == result(&page)) =>
            {
                return true;
            }
            (None, _) => {
                inner.clear(kind);
            }
        }
        let kept = KeptPage {
            cursor: cursor.map(str::to_owned),
            page,
            next: next.map(str::to_owned),
        };
        let has_room = inner.list(kind).pages.len() < MAX_PAGES;
        let (account, weight) = (memory.process_account(), kept.weight());
        let is_kept = has_room
            && inner.bytes() + kept.bytes() <= MAX_BYTES
            && inner.lease.try_add(&account, weight);
        if is_kept {
            inner.list(kind).pages.push(kept);
        }
        is_kept
    }

    /// Has the memory budget know of these lists, the first time that something is kept.
    fn register(self: &Arc<Self>, memory: &MemoryBudget) {
        let mut inner = self.inner();
        if std::mem::replace(&mut inner.is_registered, true) {
            return;
        }
        drop(inner);
        let store: Weak<dyn ReclaimableStore> = Arc::downgrade(self) as _;
        memory.register(store);
    }

    /// The page that the server has last answered with.
    pub(super) fn last_known(&self, kind: Kind, cursor: Option<&str>) -> Option<Page> {
        let mut inner = self.inner();
        let mut pages = inner.list(kind).pages.iter();
        let known = pages.find(|known| known.cursor.as_deref() == cursor);
        known.map(|known| known.page.clone())
    }

    /// Whether it is noted that only the beginning of a list is shown.
    pub(super) fn is_cut_short(&self, kind: Kind) -> bool {
        let mut inner = self.inner();
        let gap = &inner.list(kind).gap;
        gap.as_ref()
            .is_some_and(|gap| gap.shown == Shown::Beginning)
    }

    /// Notes how a list is shown, and logs it where that has changed.
    pub(super) fn note(&self, server: &ServerId, kind: Kind, gap: Option<Gap>) {
        let mut inner = self.inner();
        let before = std::mem::replace(&mut inner.list(kind).gap, gap.clone());
        drop(inner);
        let list = kind.method();
        match (before.map(|gap| gap.shown), gap) {
            (Some(_), None) => {
                tracing::info!(server_id = %server, list, "the server's list is shown again");
            }
            (before, Some(gap)) if before != Some(gap.shown) => {
                let reason = gap.reason;
                match gap.shown {
                    Shown::LastKnown => {
                        tracing::warn!(server_id = %server, list, reason, "the server's list is shown as it last was");
                    }
                    Shown::Nothing => {
                        tracing::warn!(server_id = %server, list, reason, "the server's list is left out");
                    }
                    Shown::Beginning => {
                        tracing::warn!(server_id = %server, list, reason, "the server's list is cut short");
                    }
                }
            }
            _ => {}
        }
    }

    /// The lists that are not as the server would tell them now.
    pub(in crate::relay) fn gaps(&self) -> Vec<Gap> {
        let inner = self.inner();
        inner
            .lists
            .iter()
            .filter_map(|list| list.gap.clone())
            .collect()
    }

    /// Notes that the server is not waited for any longer, until the value is dropped.
    pub(super) fn late(self: &Arc<Self>, principal: PrincipalId, kind: Kind) -> LateRequest {
        LateRequest::new(Arc::clone(self), principal, kind)
    }

    /// Whether any request of a principal is not answered for longer than one waits.
    pub(super) fn is_late(&self, principal: PrincipalId) -> bool {
        self.inner().late.has(principal)
    }

    /// Notes that a principal was shown a list without this server's, because a request is late: it is told when that is
    /// over. `false` where it is over by now.
    pub(super) fn leave_out(&self, principal: PrincipalId, kind: Kind) -> bool {
        self.inner().late.leave_out(principal, kind)
    }

    /// Notes whether the server's first start was waited for in vain.
    pub(super) fn set_in_vain(&self, in_vain: bool) {
        self.inner().in_vain = in_vain;
    }

    /// Whether it was: then nobody waits for it a second time.
    pub(super) fn is_in_vain(&self) -> bool {
        self.inner().in_vain
    }
}

impl ReclaimableStore for LastLists {
    /// Lists belong to no principal.
    fn reclaim(&self, bytes: usize, owner: Option<PrincipalId>) -> usize {
        let Some(mut inner) = self.0.try_lock().ok().filter(|_| owner.is_none()) else {
            return 0;
        };
        let before = inner.lease.leased();
        let mut released = 0;
        for kind in Kind::ALL {
            if released + before.saturating_sub(inner.lease.leased()) < bytes {
                released += inner.clear(kind);
            }
        }
        released + before.saturating_sub(inner.lease.leased())
    }
}

#[cfg(test)]
mod tests;
