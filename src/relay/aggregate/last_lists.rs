//! What is kept of one server for the lists of all: its last lists, and what is wrong with it.
//!
//! A list that was true a minute ago is better than a hole: clients take a tool that is not listed for
//! gone, and a server that was restarted tells its lists anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Kind;
use crate::protocol::Span;
use crate::types::ServerId;

/// Pages of one list that are kept.
const MAX_PAGES: usize = 64;
/// The most that is kept of all lists of one process, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// One page of a list, as the server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The whole response.
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
    /// Requests that the server was not waited for any longer, and has not answered yet.
    late: usize,
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
}

impl Inner {
    fn bytes(&self) -> usize {
        let pages = self.lists.iter().flat_map(|list| &list.pages);
        pages.map(KeptPage::bytes).sum()
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

    /// Keeps a page that the server has answered with, if there is room. Later pages belong to the first: they go when
    /// it changes. A page of a cursor that no page leads to is not kept: clients can make up as many as they like.
    pub(super) fn remember(
        &self,
        kind: Kind,
        cursor: Option<&str>,
        page: Page,
        next: Option<&str>,
    ) {
        let mut inner = self.inner();
        let pages = &mut inner.list(kind).pages;
        let result = |page: &Page| page.line.slice(page.result.start..page.result.end);
        let known = pages
            .iter()
            .position(|known| known.cursor.as_deref() == cursor);
        match (cursor, known) {
            (Some(_), Some(at)) => drop(pages.remove(at)),
            (Some(_), None) => {
                let leads_here = |known: &KeptPage| known.next.as_deref() == cursor;
                if !pages.iter().any(leads_here) {
                    return;
                }
            }
            (None, Some(at))
                if pages
                    .get(at)
                    .is_some_and(|known| result(&known.page) == result(&page)) =>
            {
                return;
            }
            (None, _) => pages.clear(),
        }
        let kept = KeptPage {
            cursor: cursor.map(str::to_owned),
            page,
            next: next.map(str::to_owned),
        };
        let has_room = pages.len() < MAX_PAGES;
        if has_room && inner.bytes() + kept.bytes() <= MAX_BYTES {
            inner.list(kind).pages.push(kept);
        }
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

    /// Notes that the server is not waited for any longer, until the request is over: by then the value
    /// is dropped.
    pub(super) fn late(self: &Arc<Self>) -> Late {
        self.inner().late += 1;
        Late(Arc::clone(self))
    }

    /// Whether any request is not answered for longer than one waits.
    pub(super) fn is_late(&self) -> bool {
        self.inner().late > 0
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

/// A request that is not answered for longer than one waits.
#[derive(Debug)]
pub(super) struct Late(Arc<LastLists>);

impl Drop for Late {
    fn drop(&mut self) {
        self.0.inner().late -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page {
            line: format!("id:{text}").into(),
            result: Span {
                start: 3,
                end: 3 + text.len(),
            },
        }
    }

    #[test]
    fn later_pages_stay_as_long_as_the_first_is_the_same() {
        let kept = LastLists::default();
        let known = |cursor| kept.last_known(Kind::Tools, cursor);
        kept.remember(Kind::Tools, None, page("a"), Some(""));
        kept.remember(Kind::Tools, Some(""), page("b"), None);
        assert_eq!(known(None), Some(page("a")));
        assert_eq!(known(Some("")), Some(page("b")));
        assert_eq!(kept.last_known(Kind::Prompts, None), None);
        kept.remember(Kind::Tools, Some(""), page("c"), None);
        kept.remember(Kind::Tools, None, page("a"), Some(""));
        assert_eq!(known(Some("")), Some(page("c")));
        kept.remember(Kind::Tools, None, page("d"), None);
        assert_eq!((known(None), known(Some(""))), (Some(page("d")), None));
    }

    /// RD03: pages of cursors that no page leads to are not kept, and of the others only so many.
    #[test]
    fn no_list_grows_without_end() {
        let kept = LastLists::default();
        let number = || kept.inner().list(Kind::Tools).pages.len();
        kept.remember(Kind::Tools, None, page("a"), Some("0"));
        for cursor in ["1", "2", ""] {
            kept.remember(Kind::Tools, Some(cursor), page("a"), Some("3"));
        }
        assert_eq!(number(), 1, "a client has made them up");
        for number in 0..1000 {
            let (cursor, next) = (number.to_string(), (number + 1).to_string());
            kept.remember(Kind::Tools, Some(&cursor), page("a"), Some(&next));
        }
        assert_eq!(number(), MAX_PAGES);
    }

    /// RD03: all lists of a server have one bound in bytes.
    #[test]
    fn what_is_kept_of_a_server_is_bounded_in_bytes() {
        let kept = LastLists::default();
        let large = "x".repeat(MAX_BYTES / 3);
        for kind in Kind::ALL {
            for number in 0..3 {
                let cursor = (number > 0).then(|| number.to_string());
                let next = (number + 1).to_string();
                kept.remember(kind, cursor.as_deref(), page(&large), Some(&next));
            }
        }
        assert!(kept.inner().bytes() <= MAX_BYTES);
        assert!(kept.last_known(Kind::Tools, Some("1")).is_some());
        assert!(kept.last_known(Kind::Tools, Some("2")).is_none());
        assert!(kept.last_known(Kind::Prompts, None).is_none());
        // A list that grows over the bound is not shown as it once was.
        kept.remember(Kind::Tools, None, page(&"x".repeat(MAX_BYTES)), None);
        assert_eq!(kept.last_known(Kind::Tools, None), None);
    }

    #[test]
    fn gaps_are_told_until_they_are_closed() {
        let kept = LastLists::default();
        let server = "a".parse().unwrap();
        let gap = Gap {
            list: "prompts/list",
            shown: Shown::Nothing,
            reason: "it hides".to_owned(),
        };
        kept.note(&server, Kind::Prompts, Some(gap.clone()));
        kept.note(&server, Kind::Tools, None);
        assert_eq!(kept.gaps(), [gap]);
        kept.note(&server, Kind::Prompts, None);
        assert_eq!(kept.gaps(), []);
    }

    #[test]
    fn a_server_is_late_until_all_that_it_owes_is_over() {
        let kept = Arc::new(LastLists::default());
        let (first, second) = (kept.late(), kept.late());
        drop(first);
        assert!(kept.is_late());
        drop(second);
        assert!(!kept.is_late());
    }
}
