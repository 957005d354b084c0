//! All servers are asked at once, and none of them is waited for in vain twice.
//!
//! A server that is ready has [`PATIENCE`]; one that merely sleeps, or starts for the first time, has
//! `hold_ms`. Who does not answer in time, fails, or waits to be restarted, is shown as it last was, or
//! left out; and as long as an answer is owed, the next list does not wait at all. So the worst that one
//! server can do to a list of all is to delay one list once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::Kind;
use super::ask::Asker;
use super::cursor::More;
use super::join::has;
use super::last_lists::{Gap, Page, Shown};
use super::merge::{Part, merge};
use crate::protocol::Era;
use crate::relay::upstream::Upstream;
use crate::supervisor::{Handshake, ServerHandle, State, Status};

/// How long a server that is ready is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// The reason why a list cannot be had from its server.
#[derive(Debug)]
pub(super) struct Reason {
    /// A sentence that goes on after "it".
    pub(super) text: String,
    /// A request is late, so that the list may be had later.
    pub(super) late: Option<LateCause>,
}

/// The request that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LateCause {
    /// The one for this list.
    Own,
    /// An earlier one of the same principal.
    Earlier,
}

impl<T: Into<String>> From<T> for Reason {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            late: None,
        }
    }
}

/// The page of a list that all servers have together: the first, or the one where the parts of an
/// earlier one ended. Never fails.
pub(super) async fn list(
    asker: &Asker<'_>,
    kind: Kind,
    servers: &[&Arc<Upstream>],
    more: Option<&[More<'_>]>,
    era: Era,
) -> String {
    let mut asked = Vec::with_capacity(servers.len());
    for server in servers
        .iter()
        .filter(|server| !server.handle.config().disabled)
    {
        match more {
            None => asked.push(part(asker, kind, server, None)),
            Some(more) => {
                let own = more.iter().find(|more| more.server == server.handle.id());
                asked.extend(own.map(|own| part(asker, kind, server, Some(own))));
            }
        }
    }
    let shown = join_all(asked).await;
    let whole = shown.iter().all(|(_, is_left_out)| !is_left_out);
    let parts: Vec<_> = shown.into_iter().filter_map(|(part, _)| part).collect();
    merge(kind, &parts, era, whole)
}

/// What one server adds to a list, and whether it was left out.
async fn part<'a>(
    asker: &Asker<'_>,
    kind: Kind,
    server: &'a Arc<Upstream>,
    more: Option<&More<'_>>,
) -> (Option<Part<'a>>, bool) {
    let Upstream {
        handle, last_lists, ..
    } = &**server;
    let cursor = more.map(|more| more.cursor.as_str());
    let trail = more.map(|more| more.trail.clone()).unwrap_or_default();
    let read = |page: &Page| Part::read(kind, handle.id(), &page.line, page.result);
    let gap = |shown, reason| Gap {
        list: kind.method(),
        shown,
        reason,
    };
    let is_unborn = server.hub.is_unborn();
    let asked = ask(asker, kind, server, cursor).await;
    let asked = asked.and_then(|page| {
        let part = page.as_ref().map(read).transpose();
        let part = part.map_err(|no_list| no_list.to_string())?;
        if let (Some(page), Some(part)) = (page, &part) {
            last_lists.remember(asker.memory, kind, cursor, page, part.next());
        }
        Ok(part)
    });
    let reason = match asked {
        Ok(None) => {
            last_lists.note(handle.id(), kind, None);
            return (None, false);
        }
        Ok(Some(part)) => {
            let (part, endless) = part.after(&trail);
            match endless {
                Some(endless) => {
                    let gap = gap(Shown::Beginning, endless.to_string());
                    last_lists.note(handle.id(), kind, Some(gap));
                }
                // Whether a list ends is seen at its last page only.
                None if part.next().is_some() && last_lists.is_cut_short(kind) => {}
                None => last_lists.note(handle.id(), kind, None),
            }
            return (Some(part), false);
        }
        Err(reason) => reason,
    };
    let known = last_lists
        .last_known(kind, cursor)
        .filter(|_| !is_stopped(&handle.status()));
    let known = known.and_then(|page| read(&page).ok());
    let shown = match known {
        Some(_) => Shown::LastKnown,
        None => Shown::Nothing,
    };
    last_lists.note(handle.id(), kind, Some(gap(shown, reason.text)));
    if is_unborn {
        server.hub.was_missing();
    }
    let principal = asker.principal.id;
    if let Some(late) = reason.late.filter(|_| known.is_none())
        && !last_lists.leave_out(principal, kind)
        // It came after it had been waited for, and before this was noted.
        && (late == LateCause::Earlier || last_lists.last_known(kind, cursor).is_some())
    {
        server.hub.announce_list(kind.announced(), principal);
    }
    let is_left_out = known.is_none();
    let known = known.map(|part| part.after(&trail).0.out_of_date());
    (known, is_left_out)
}

/// Somebody has decided that it does not run: its lists are gone with it.
fn is_stopped(status: &Status) -> bool {
    status.state == State::Stopped && !status.asleep
}

/// For how long a server is waited for, by its state alone.
fn patience(handle: &ServerHandle) -> Result<Duration, Reason> {
    let status = handle.status();
    if status.awaits_first_start {
        // It sleeps, or starts for the first time, maybe in the life after one that the era probe has ended.
        return Ok(handle.config().requests.hold);
    }
    let reason = match status.state {
        State::Ready | State::Unhealthy => return Ok(PATIENCE),
        State::Starting => "is being started again",
        State::Backoff => "waits to be started again",
        State::Stopping => "is being stopped",
        State::Stopped => "is stopped",
        State::Failed => "has failed and was given up",
    };
    Err(reason.into())
}

/// The handshake of a server, waited for where it sleeps or starts for the first time.
pub(super) async fn handshake(server: &Arc<Upstream>) -> Option<Arc<Handshake>> {
    let Upstream {
        handle, last_lists, ..
    } = &**server;
    if let Some(known) = handle.handshake() {
        return Some(known);
    }
    let patience = patience(handle).ok().filter(|_| !last_lists.is_in_vain())?;
    first_handshake(server, Instant::now() + patience)
        .await
        .ok()
}

async fn first_handshake(
    server: &Arc<Upstream>,
    deadline: Instant,
) -> Result<Arc<Handshake>, Reason> {
    let Upstream {
        handle, last_lists, ..
    } = &**server;
    let shaken = timeout_at(deadline, handle.wait_for_handshake()).await;
    let failed = match shaken {
        Ok(Ok(handshake)) => {
            last_lists.set_in_vain(false);
            return Ok(handshake);
        }
        Ok(Err(fault)) => fault.message.into(),
        Err(_elapsed) => "did not become ready within hold_ms".into(),
    };
    last_lists.set_in_vain(true);
    Err(failed)
}

/// Asks a server for a page of a list. `None` is the list of a server that has no such lists.
async fn ask(
    asker: &Asker<'_>,
    kind: Kind,
    server: &Arc<Upstream>,
    cursor: Option<&str>,
) -> Result<Option<Page>, Reason> {
    let Upstream {
        handle, last_lists, ..
    } = &**server;
    let patience = patience(handle)?;
    let status = handle.status();
    let state = status.state;
    let known = last_lists.last_known(kind, cursor);
    if known.is_some() && status.awaits_first_start {
        // It sleeps, or is being woken: what it said is as good as what it would say, and nobody needs to wait.
        return Ok(known);
    }
    if known.is_some() && state == State::Unhealthy {
        return Err("has missed its last probe".into());
    }
    if last_lists.is_late(asker.principal.id) {
        return Err(Reason {
            text: "still owes the answer to an earlier request".to_owned(),
            late: Some(LateCause::Earlier),
        });
    }
    let deadline = Instant::now() + patience;
    let handshake = match handle.handshake() {
        Some(handshake) => handshake,
        None if last_lists.is_in_vain() => {
            return Err("did not become ready when it was waited for".into());
        }
        None => first_handshake(server, deadline).await?,
    };
    if !has(kind, &handshake) {
        return Ok(None);
    }
    let deadline = deadline.max(Instant::now() + PATIENCE);
    asker
        .request(kind, server, cursor, &handshake, deadline)
        .await
}
