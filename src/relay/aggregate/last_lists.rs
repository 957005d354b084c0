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
    /// In the order in which they were read, each with its cursor.
    pages: Vec<(Option<String>, Page)>,
    gap: Option<Gap>,
}

impl Inner {
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

    /// Keeps a page that the server has answered with. Later pages belong to the first: they go when it
    /// changes.
    pub(super) fn remember(&self, kind: Kind, cursor: Option<&str>, page: Page) {
        let mut inner = self.inner();
        let pages = &mut inner.list(kind).pages;
        let result = |page: &Page| page.line.slice(page.result.start..page.result.end);
        match pages
            .iter_mut()
            .find(|(known, _)| known.as_deref() == cursor)
        {
            Some((_, known)) if cursor.is_some() || result(known) == result(&page) => *known = page,
            known => {
                if known.is_some() {
                    pages.clear();
                }
                if pages.len() < MAX_PAGES {
                    pages.push((cursor.map(str::to_owned), page));
                }
            }
        }
    }

    /// The page that the server has last answered with.
    pub(super) fn last_known(&self, kind: Kind, cursor: Option<&str>) -> Option<Page> {
        let mut inner = self.inner();
        let pages = &inner.list(kind).pages;
        let known = pages.iter().find(|(known, _)| known.as_deref() == cursor);
        known.map(|(_, page)| page.clone())
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
        kept.remember(Kind::Tools, None, page("a"));
        kept.remember(Kind::Tools, Some(""), page("b"));
        assert_eq!(known(None), Some(page("a")));
        assert_eq!(known(Some("")), Some(page("b")));
        assert_eq!(kept.last_known(Kind::Prompts, None), None);
        kept.remember(Kind::Tools, Some(""), page("c"));
        kept.remember(Kind::Tools, None, page("a"));
        assert_eq!(known(Some("")), Some(page("c")));
        kept.remember(Kind::Tools, None, page("d"));
        assert_eq!((known(None), known(Some(""))), (Some(page("d")), None));
    }

    #[test]
    fn no_list_grows_without_end() {
        let kept = LastLists::default();
        for number in 0..1000 {
            kept.remember(Kind::Tools, Some(&number.to_string()), page("a"));
        }
        assert_eq!(kept.inner().list(Kind::Tools).pages.len(), MAX_PAGES);
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
