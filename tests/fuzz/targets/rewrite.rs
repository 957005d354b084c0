//! What is changed in a message: afterwards it is JSON, what was to change is as asked for, and everything else
//! stands as it was written.
//!
//! Input: a byte that says what is done, and a message.

use host_mcp_gateway::protocol::members::{Object, cut, elements, entries};
use host_mcp_gateway::protocol::request::{Rewriting, framed};
use host_mcp_gateway::protocol::splice::{Edit, MetaSlot, Patch, patched, splice};
use host_mcp_gateway::protocol::trace_context::TraceContext;
use host_mcp_gateway::protocol::{Span, scan};

use super::reference::{self, Kind, Value};

const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const STATE: &str = r#"a="b\"#;
const CLAIM: &str = "io.modelcontextprotocol/protocolVersion";
const MINTED: &str = "18446744073709551615";

pub(crate) fn run(data: &[u8]) {
    let Some((&how, text)) = data.split_first() else {
        return;
    };
    let Ok(message) = reference::read(text) else {
        return;
    };
    each_value(&message, &mut |value| members(value, text, how));
    edits(&message, text, how);
    request(&message, text, how);
}

fn each_value(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    for part in value.parts() {
        each_value(part, look);
    }
}

fn span(value: &Value) -> Span {
    Span {
        start: value.start,
        end: value.end,
    }
}

/// The members of one value, looked for, told one by one, taken out and put in.
fn members(value: &Value, text: &[u8], how: u8) {
    const NAMES: [&str; 3] = ["id", "_meta", "a"];
    let read = Object::read(text, span(value), NAMES);
    assert_eq!(read.is_some(), value.is_object());
    let listed = elements(text, span(value));
    let expected = match &value.kind {
        Kind::Array(elements) => Some(elements.iter().map(span).collect::<Vec<_>>()),
        Kind::Object(_) | Kind::Plain => None,
    };
    assert_eq!(listed, expected);
    let Some(object) = read else {
        assert_eq!(entries(text, span(value)), None);
        return;
    };
    let named: Option<Vec<(String, Span)>> = value
        .members()
        .iter()
        .map(|member| Some((member.name.clone()?, span(&member.value))))
        .collect();
    assert_eq!(entries(text, span(value)), named);
    assert_eq!(object.span, span(value));
    assert_eq!(object.empty, value.members().is_empty());
    assert_eq!(
        object.ambiguous,
        NAMES.iter().any(|name| value.count(name) > 1)
    );
    for (name, found) in NAMES.iter().zip(object.values) {
        assert_eq!(found, value.member(name).map(span), "{name}");
    }
    if object.ambiguous {
        return;
    }
    // Some of them are taken out, and what is left is what a reader would have without them.
    let taken = |index: usize| how >> index & 1 == 1;
    let values = object.values.iter().enumerate();
    let values = values.filter_map(|(index, value)| value.filter(|_| taken(index)));
    let found = cut(text, values);
    let gone = |name: &Option<String>| {
        let name = name.as_deref();
        (0..NAMES.len()).any(|index| taken(index) && name == Some(NAMES[index]))
    };
    let patches: Vec<_> = found.spans.iter().copied().map(Patch::cut).collect();
    let left = patched(text, &patches);
    let left = reference::read(&left)
        .expect("JSON without members")
        .minified(&left);
    let without = rebuilt(text, value, |members| {
        let kept = members.iter().filter(|member| !gone(&member.name));
        kept.map(|member| written(member, text)).collect()
    });
    assert_eq!(left, without);
    let any = value.members().iter().any(|member| gone(&member.name));
    assert_eq!(
        found.all,
        any && value.members().iter().all(|member| gone(&member.name))
    );
    // One is put in before the others.
    let with = patched(text, &[object.insertion(r#""new":[]"#.to_owned())]);
    let with = reference::read(&with)
        .expect("JSON with a member")
        .minified(&with);
    let expected = rebuilt(text, value, |members| {
        let others = members.iter().map(|member| written(member, text));
        std::iter::once(r#""new":[]"#.into())
            .chain(others)
            .collect()
    });
    assert_eq!(with, expected);
}

fn written(member: &reference::Member, text: &[u8]) -> Vec<u8> {
    [
        &text[member.key.0..member.key.1],
        b":",
        member.value.written(text),
    ]
    .concat()
}

/// The whole text, minified, with these members in the one object.
fn rebuilt(
    text: &[u8],
    object: &Value,
    members: impl Fn(&[reference::Member]) -> Vec<Vec<u8>>,
) -> Vec<u8> {
    let inside = members(object.members()).join(&b","[..]);
    let (before, after) = (&text[..object.start], &text[object.end..]);
    let text = [before, b"{", &inside, b"}", after].concat();
    reference::read(&text)
        .expect("JSON by construction")
        .minified(&text)
}

/// Any values that do not overlap are replaced at once; all else stays, byte for byte.
fn edits(message: &Value, text: &[u8], how: u8) {
    let mut picked = Vec::new();
    let mut state = u32::from(how);
    pick(message, &mut state, &mut picked);
    let mut made: Vec<_> = picked
        .iter()
        .rev()
        .map(|&span| Edit {
            span,
            with: b"\"\\n new\"",
        })
        .collect();
    let after = splice(text, &mut made);
    reference::read(&after).expect("a value for a value");
    let mut expected = Vec::new();
    let mut from = 0;
    for span in picked {
        expected.extend_from_slice(&text[from..span.start]);
        expected.extend_from_slice(b"\"\\n new\"");
        from = span.end;
    }
    expected.extend_from_slice(&text[from..]);
    assert_eq!(after, expected);
}

fn pick(value: &Value, state: &mut u32, picked: &mut Vec<Span>) {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    if *state >> 30 == 0 {
        picked.push(span(value));
        return;
    }
    for part in value.parts() {
        pick(part, state, picked);
    }
}

/// A request on its way to the child.
fn request(message: &Value, text: &[u8], how: u8) {
    let Ok(envelope) = scan(text) else { return };
    if envelope.id.is_none() {
        return;
    }
    let params = message.member("params");
    let meta = params.and_then(|params| params.member("_meta"));
    let has_place = params.is_none_or(Value::is_object) && meta.is_none_or(Value::is_object);
    assert_eq!(MetaSlot::of(&envelope, text).is_some(), has_place);
    let context = TraceContext::parse(CONTEXT, (how & 2 != 0).then_some(STATE));
    let context = context.filter(|_| how & 1 != 0);
    let is_modern = meta.is_some_and(|meta| meta.member(CLAIM).is_some());
    let claims = (how & 4 != 0 && !is_modern).then(|| vec![format!(r#""{CLAIM}":"x""#)]);
    let rewriting = Rewriting {
        id: MINTED,
        context: context.as_ref(),
        claims: claims.clone(),
    };
    let Ok(frame) = framed(text, &envelope, rewriting) else {
        assert!(!has_place && claims.is_some());
        return;
    };
    let line = frame.strip_suffix(b"\n").expect("a newline");
    assert!(!line.iter().any(|byte| b"\r\n".contains(byte)));
    let after = reference::read(line).expect("a frame is JSON");
    let scanned = scan(line).expect("a frame is a message");
    assert_eq!(scanned.id.map(|id| id.of(line)), Some(MINTED.as_bytes()));
    // Once the new members are taken out and the old values put back, it is the message that came.
    let mut back = vec![(after.member("id"), message.member("id"))];
    let meta_after = after
        .member("params")
        .and_then(|params| params.member("_meta"));
    let mut added = Vec::new();
    let mut told = |name: &str, value: Option<String>| {
        let old = meta.and_then(|meta| meta.member(name));
        let new = meta_after.and_then(|meta| meta.member(name));
        let written = new.map(|new| new.written(line));
        if let (Some(new), Some(value)) = (written, &value) {
            assert_eq!(new, value.as_bytes(), "{name}");
        }
        match (old, new) {
            (Some(_), Some(_)) if value.is_some() => back.push((new, old)),
            (None, Some(new)) => added.push(span(new)),
            (Some(_), None) => panic!("{name} is lost"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        new.is_some()
    };
    if meta.is_some_and(|meta| meta.member("progressToken").is_some()) {
        assert!(told("progressToken", Some(MINTED.to_owned())));
    }
    let tells = has_place && context.is_some() && (params.is_some() || claims.is_some());
    let parent = context
        .as_ref()
        .map(|context| format!("\"{}\"", context.traceparent()));
    assert!(told("traceparent", parent) || !tells);
    let state = context
        .as_ref()
        .map(|context| context.tracestate().unwrap_or_default());
    let state = state.map(|state| serde_json::json!(state).to_string());
    told("tracestate", state);
    assert!(told(CLAIM, claims.as_ref().map(|_| "\"x\"".to_owned())) || claims.is_none());
    undo(&back, &added, (message, text), (&after, line));
}

/// Takes back what a frame has of the gateway's own, and compares with the message that came.
fn undo(
    back: &[(Option<&Value>, Option<&Value>)],
    added: &[Span],
    (message, text): (&Value, &[u8]),
    (after, line): (&Value, &[u8]),
) {
    let mut patches: Vec<Patch> = back
        .iter()
        .filter_map(|(new, old)| {
            let with = String::from_utf8_lossy(old.as_ref()?.written(text)).into_owned();
            let span = span(new.as_ref()?);
            Some(Patch { span, with })
        })
        .collect();
    let object = |message: &Value, name: &str| message.member(name).is_some();
    let meta = |message: &Value| Some(object(message.member("params")?, "_meta"));
    let whole = if object(after, "params") && !object(message, "params") {
        after.member("params")
    } else if meta(after) != meta(message) {
        after
            .member("params")
            .and_then(|params| params.member("_meta"))
    } else {
        None
    };
    let spans = match whole {
        Some(whole) => cut(line, [span(whole)]).spans,
        None => cut(line, added.iter().copied()).spans,
    };
    patches.extend(spans.into_iter().map(Patch::cut));
    let restored = patched(line, &patches);
    let one_line: Vec<u8> = text
        .iter()
        .map(|byte| if b"\r\n".contains(byte) { b' ' } else { *byte })
        .collect();
    // White space beside what was put in goes with it; everything else has to be there to the byte.
    let restored_value = reference::read(&restored).expect("JSON again");
    let original = reference::read(&one_line).expect("JSON on one line");
    assert_eq!(
        restored_value.minified(&restored),
        original.minified(&one_line)
    );
    assert_eq!(restored.len(), one_line.len(), "white space has changed");
}
