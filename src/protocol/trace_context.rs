//! Who caused a message: W3C Trace Context, level 1, parsed strictly.
//!
//! The same two texts come in HTTP headers and, for MCP, as `params._meta.traceparent` and
//! `params._meta.tracestate` (SEP-414). They are written by anybody, so they are believed only as far as
//! they tie spans together: never for rights, and `baggage` is not read at all.

use std::fmt;

/// The longest `tracestate` that is passed on (W3C Trace Context §3.3.1.5 asks for at least 512).
const MAX_STATE_BYTES: usize = 512;

/// The most members that a `tracestate` may have (§3.3.1.1).
const MAX_STATE_MEMBERS: usize = 32;

/// A valid context of a caller's span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads a `traceparent` and the `tracestate` beside it; several `tracestate` headers are joined with
    /// `,` before.
    ///
    /// `None` if the `traceparent` is invalid: wrong length, an upper-case or non-hex digit, an id of
    /// zeros, version `ff`. An invalid `tracestate` alone is dropped (§3.3).
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (version, rest) = field::<1>(traceparent.as_bytes())?;
        let (trace_id, rest) = field::<16>(rest.strip_prefix(b"-")?)?;
        let (span_id, rest) = field::<8>(rest.strip_prefix(b"-")?)?;
        let (flags, rest) = field::<1>(rest.strip_prefix(b"-")?)?;
        // A later version may add fields after another dash; version 0 ends here (§3.2.4).
        let ends_well = match version {
            [0] => rest.is_empty(),
            [0xff] => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        if !ends_well || trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self {
            trace_id,
            span_id,
            sampled: flags.first().is_some_and(|flags| flags & 1 == 1),
            state: tracestate
                .filter(|state| is_legal_state(state))
                .map(Into::into),
        })
    }

    /// A context from its parts; `None` if an id is all zeros. An invalid `tracestate` is dropped.
    pub fn from_parts(
        trace_id: [u8; 16],
        span_id: [u8; 8],
        sampled: bool,
        tracestate: Option<&str>,
    ) -> Option<Self> {
        (trace_id != [0; 16] && span_id != [0; 8]).then(|| Self {
            trace_id,
            span_id,
            sampled,
            state: tracestate
                .filter(|state| is_legal_state(state))
                .map(Into::into),
        })
    }

    /// The id of the whole trace, never all zeros.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of the caller's span, never all zeros.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// Whether the caller records its own span.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The `traceparent`, in version 0: 55 ASCII characters, none that JSON or HTTP would escape.
    pub fn traceparent(&self) -> String {
        self.to_string()
    }

    /// The `tracestate`, if there is one: printable ASCII; in JSON, `"` and `\` in it want an escape.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

impl fmt::Display for TraceContext {
    /// The `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            u128::from_be_bytes(self.trace_id),
            u64::from_be_bytes(self.span_id),
            u8::from(self.sampled),
        )
    }
}

/// Reads `N` bytes in lower-case hex off the front of a text.
fn field<const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let (digits, rest) = text.split_at_checked(N * 2)?;
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some((bytes, rest))
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Whether a `tracestate` is a list as §3.3.1 defines it, with at least one member and within the bounds.
fn is_legal_state(state: &str) -> bool {
    if state.len() > MAX_STATE_BYTES {
        return false;
    }
    let mut keys: Vec<&str> = Vec::new();
    for member in state.split(',') {
        // Empty members are allowed and mean nothing.
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        let Some((key, value)) = member.split_once('=') else {
            return false;
        };
        if !is_legal_key(key) || !is_legal_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    !keys.is_empty() && keys.len() <= MAX_STATE_MEMBERS
}

/// `simple-key` or `tenant@system` (§3.3.1.3.1).
fn is_legal_key(key: &str) -> bool {
    let legal = |part: &str, first: fn(u8) -> bool, max: usize| {
        part.len() <= max
            && part.bytes().next().is_some_and(first)
            && part
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let letter = |b: u8| b.is_ascii_lowercase();
    match key.split_once('@') {
        None => legal(key, letter, 256),
        Some((tenant, system)) => {
            legal(
                tenant,
                |b| b.is_ascii_lowercase() || b.is_ascii_digit(),
                241,
            ) && legal(system, letter, 14)
        }
    }
}

/// Printable ASCII but `,` and `=`, not ending in a blank (§3.3.1.3.2).
fn is_legal_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && !value.ends_with(' ')
        && value
            .bytes()
            .all(|b| matches!(b, b' '..=b'~') && b != b',' && b != b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn state_of(state: &str) -> Option<String> {
        TraceContext::parse(PARENT, Some(state))?
            .tracestate()
            .map(str::to_owned)
    }

    #[test]
    fn a_valid_parent_is_read_and_written_as_it_came() {
        let context = TraceContext::parse(PARENT, None).expect("valid");
        assert!(context.is_sampled());
        assert_eq!(context.traceparent(), PARENT);
        assert_eq!(
            context.span_id(),
            [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]
        );
    }

    #[test]
    fn what_the_recommendation_forbids_is_refused() {
        let invalid = [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033311-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        ];
        for text in invalid {
            assert_eq!(TraceContext::parse(text, None), None, "{text:?}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = PARENT.replacen("00", "cc", 1) + "-what-the-future-brings";
        let context = TraceContext::parse(&later, None).expect("valid");
        assert_eq!(context.traceparent(), PARENT);
    }

    #[test]
    fn unknown_flags_are_not_passed_on() {
        let text = PARENT.replace("-01", "-ff");
        let context = TraceContext::parse(&text, None).expect("valid");
        assert_eq!(context.traceparent(), PARENT);
    }

    #[test]
    fn an_invalid_state_is_dropped_and_the_parent_kept() {
        for legal in [
            "a=1",
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "1a@sys=x y",
            "a=1, ,b=2",
        ] {
            assert_eq!(state_of(legal).as_deref(), Some(legal), "{legal:?}");
        }
        let too_long = format!("a={}", "x".repeat(600));
        let too_many: Vec<_> = (0..33).map(|i| format!("k{i}=v")).collect();
        let illegal = [
            "",
            ",",
            "a",
            "=1",
            "A=1",
            "a=",
            "a=1,a=2",
            "a=b=c",
            "a=é",
            "a=\u{7f}",
            "a@=1",
            "1a=1",
            "a@b@c=1",
            "a=1\r\nX: y",
            &too_long,
            &too_many.join(","),
        ];
        for text in illegal {
            assert_eq!(state_of(text), None, "{text:?}");
        }
        assert!(state_of(&too_many[..32].join(",")).is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(parent in any::<String>(), state in any::<String>()) {
            let _ = TraceContext::parse(&parent, Some(&state));
            let _ = TraceContext::parse(PARENT, Some(&state));
        }

        #[test]
        fn what_was_read_and_written_reads_the_same(
            parent in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,9})?",
            state in "([a-z0-9@_]{1,5}=[ -~]{0,9},?){0,4}",
        ) {
            if let Some(context) = TraceContext::parse(&parent, Some(&state)) {
                let again = TraceContext::parse(&context.traceparent(), context.tracestate());
                prop_assert_eq!(again, Some(context));
            }
        }
    }
}
