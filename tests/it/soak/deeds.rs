//! What a caller asks of a server, and what it then expects.

use fastrand::Rng;
use serde_json::{Value, json};

/// A request for one thing, marked so that its answer can be told from all others.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) tool: &'static str,
    pub(super) arguments: Value,
    /// The text that an answer by the server has; `None` where the server says something of its own.
    pub(super) says: Option<String>,
    /// The mark, which nobody else may see.
    pub(super) mark: String,
}

/// How every mark of one caller starts; only that caller may ever see it.
pub(super) fn mark_of(caller: usize) -> String {
    format!("~c{caller}.")
}

/// Whether a text holds the mark of another caller.
pub(super) fn is_foreign(text: &str, caller: usize) -> bool {
    let own = format!("{caller}.");
    let mut marks = text.split("~c").skip(1);
    marks.any(|mark| !mark.starts_with(&own))
}

impl Deed {
    /// The harmless one.
    pub(super) fn echo(mark: String) -> Self {
        Self {
            tool: "echo",
            arguments: json!({"text": mark, "nonce": mark}),
            says: Some(mark.clone()),
            mark,
        }
    }

    /// Any one that leaves the server alive.
    pub(super) fn any(rng: &mut Rng, mark: String) -> Self {
        let waits = rng.u64(0..80);
        let (order, marked) = match rng.u32(0..1000) {
            0..794 => return Self::echo(mark),
            794..800 => return Self::burst(rng, mark),
            800..880 => (json!({"do": "sleep", "ms": waits}), true),
            880..900 => (json!({"do": "late_reply", "ms": waits}), true),
            900..915 => (json!({"do": "dup_reply"}), true),
            915..925 => (json!({"do": "string_id"}), true),
            925..950 => (
                json!({"do": "progress", "count": 3, "interval_ms": 10, "note": mark}),
                false,
            ),
            950..960 => (json!({"do": "garbage", "lines": 20}), false),
            960..970 => (json!({"do": "stderr", "bytes": 20_000}), false),
            970..980 => (json!({"do": "list_changed", "of": "tools"}), false),
            980..990 => (json!({"do": "huge", "bytes": 100_000}), false),
            990..994 => (
                json!({"do": "bigline", "bytes": 1_200_000, "id": "first"}),
                false,
            ),
            994..996 => (
                json!({"do": "bigline", "bytes": 1_200_000, "id": "none"}),
                false,
            ),
            996..998 => (json!({"do": "wrong_id"}), true),
            _ => (json!({"do": "nothing"}), false),
        };
        Self::gremlin(order, mark, marked)
    }

    /// Hundreds of notifications and the answer, all in one write.
    pub(super) fn burst(rng: &mut Rng, mark: String) -> Self {
        // Log messages of a shared server are for all clients of a token; progress is for its own call.
        let (of, text) = [("progress", &*mark), ("log", "")][rng.usize(0..2)];
        let order = json!({"do": "burst", "of": of, "count": rng.u32(300..2000), "text": text});
        Self::gremlin(order, mark, true)
    }

    /// One that takes a while, or for ever.
    pub(super) fn long(rng: &mut Rng, mark: String) -> Self {
        let waits = rng.u64(50..1500);
        let (order, marked) = match rng.u32(0..10) {
            0..5 => (json!({"do": "sleep", "ms": waits}), true),
            5..8 => (json!({"do": "late_reply", "ms": waits}), true),
            8..9 => (json!({"do": "nothing"}), false),
            _ => return Self::burst(rng, mark),
        };
        Self::gremlin(order, mark, marked)
    }

    /// One that is answered after this time.
    pub(super) fn sleep(ms: u64, mark: String) -> Self {
        Self::gremlin(json!({"do": "sleep", "ms": ms}), mark, true)
    }

    /// An order to a gremlin, whose answer is the mark where it says what it is told.
    pub(super) fn gremlin(mut order: Value, mark: String, marked: bool) -> Self {
        order["nonce"] = mark.clone().into();
        if marked {
            order["say"] = mark.clone().into();
        }
        Self {
            tool: "gremlin",
            arguments: order,
            says: marked.then(|| mark.clone()),
            mark,
        }
    }
}

#[test]
fn a_foreign_mark_is_seen_among_own_ones() {
    assert!(!is_foreign("nothing, ~c7.1 and ~c7.22", 7));
    assert!(is_foreign("~c7.1 and ~c77.1", 7));
    assert!(is_foreign("~c1.7", 7));
}
