//! Sealed texts: to whom they open, and which keys open them.

use proptest::prelude::*;

use super::*;

fn sealer() -> Sealer {
    Sealer::load(&StateDir::in_memory()).unwrap()
}

const BINDING: [&[u8]; 2] = [b"alice", b"files"];
const STATE: Purpose = Purpose::RequestState;

#[test]
fn a_sealed_text_is_opened_for_the_same_purpose_and_binding_only() {
    let sealer = sealer();
    for content in [&b""[..], b"call 4", &[0xff; 4096]] {
        let text = sealer.seal(STATE, &BINDING, content).unwrap();
        let visible = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        assert!(text.bytes().all(visible), "{text}");
        assert_eq!(sealer.open(STATE, &BINDING, &text), Ok(content.to_vec()));
        let others: [&[&[u8]]; 5] = [
            &[],
            &[b"bob", b"files"],
            &[b"alice", b"file"],
            // The same bytes, cut elsewhere.
            &[b"alicef", b"iles"],
            &[b"alice", b"files", b""],
        ];
        for other in others {
            assert_eq!(sealer.open(STATE, other, &text), Err(OpenError::Foreign));
        }
        let elsewhere = sealer.open(Purpose::SessionId, &BINDING, &text);
        assert_eq!(elsewhere, Err(OpenError::Foreign));
    }
}

/// RE02: who holds a sealed text cannot read what is in it.
#[test]
fn a_sealed_text_shows_nothing_of_its_content() {
    let sealer = sealer();
    let content = b"the state of the server";
    let seal = || {
        let text = sealer.seal(STATE, &BINDING, content).unwrap();
        URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    let (one, other) = (seal(), seal());
    let shows = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|at| at == part);
    for part in content.chunks(4) {
        assert!(!shows(&one, part), "{one:?}");
    }
    // Equal contents do not show that they are equal.
    let same = one.iter().zip(&other).filter(|(one, other)| one == other);
    assert!(same.count() < one.len() / 4);
}

#[test]
fn what_no_sealer_made_is_not_opened() {
    let sealer = sealer();
    let short = URL_SAFE_NO_PAD.encode([0; RANDOM + 15]);
    for text in ["", "abc!", "=?base64?eA==?=", "\u{e9}", &short] {
        let opened = sealer.open(STATE, &BINDING, text);
        assert_eq!(opened, Err(OpenError::Unreadable), "{text}");
    }
    let made_up = URL_SAFE_NO_PAD.encode([0; RANDOM + 16]);
    let opened = sealer.open(STATE, &BINDING, &made_up);
    assert_eq!(opened, Err(OpenError::Foreign));
}

/// RA13: what was sealed before a restart opens after it, and after one rotation of the keys.
#[test]
fn the_keys_outlive_the_process_and_can_be_rotated() {
    let home = tempfile::tempdir().unwrap();
    let load = || Sealer::load(&StateDir::open(home.path())).unwrap();
    let text = load().seal(STATE, &BINDING, b"content").unwrap();
    let opened = || load().open(STATE, &BINDING, &text);
    assert_eq!(opened(), Ok(b"content".to_vec()));

    let state = StateDir::open(home.path());
    let rotate = |digit: &str| {
        let old = state.read(keys::FILE).unwrap().unwrap();
        let new = [digit.repeat(64).as_bytes(), b"\n", &old].concat();
        state.write(keys::FILE, &new).unwrap();
    };
    rotate("a");
    assert_eq!(opened(), Ok(b"content".to_vec()));
    let newer = load().seal(STATE, &BINDING, b"newer").unwrap();
    rotate("b");
    assert_eq!(opened(), Err(OpenError::Foreign), "the third line is over");
    assert_eq!(load().open(STATE, &BINDING, &newer), Ok(b"newer".to_vec()));
}

#[test]
fn a_file_that_holds_no_key_is_left_alone_and_another_key_is_used() {
    let state = StateDir::in_memory();
    for text in [&b""[..], b"\n", b"abc", b"\xff", &[b'a'; 63], &[b'a'; 66]] {
        state.write(keys::FILE, text).unwrap();
        let sealer = Sealer::load(&state).unwrap();
        let sealed = sealer.seal(STATE, &BINDING, b"content").unwrap();
        assert!(sealer.open(STATE, &BINDING, &sealed).is_ok());
        let other = Sealer::load(&state).unwrap();
        assert!(other.open(STATE, &BINDING, &sealed).is_err(), "{text:?}");
        assert_eq!(state.read(keys::FILE).unwrap().unwrap(), text);
    }
}

#[test]
fn the_key_is_in_no_debug_text() {
    assert_eq!(format!("{:?}", sealer()), "Sealer { .. }");
}

proptest! {
    #[test]
    fn no_changed_text_is_opened(
        content in any::<Vec<u8>>(),
        at in any::<prop::sample::Index>(),
        to in prop::sample::select(&b"ABCDEFabcdef0123-_"[..]),
    ) {
        let sealer = sealer();
        let sealed = sealer.seal(STATE, &BINDING, &content).unwrap();
        prop_assert_eq!(sealer.open(STATE, &BINDING, &sealed), Ok(content));
        let mut changed = sealed.clone().into_bytes();
        let at = at.index(changed.len());
        changed[at] = to;
        let changed = String::from_utf8(changed).expect("ASCII");
        prop_assert!(changed == sealed || sealer.open(STATE, &BINDING, &changed).is_err());
    }
}
