//! What is no JSON, or JSON that is too much (H054 to H060).

use super::*;

/// A call of `echo` with these params, which may be anything.
fn call(params: &[u8]) -> Vec<u8> {
    let start = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"#;
    [&start[..], params, b"}"].concat()
}

/// A call of `echo` with a text that is these bytes.
fn call_with_text(text: &[u8]) -> Vec<u8> {
    let params = [
        &br#"{"name":"echo","arguments":{"text":"CANARY "#[..],
        text,
        br#""}}"#,
    ];
    call(&params.concat())
}

fn not_json(bodies: impl IntoIterator<Item = Vec<u8>>) -> Vec<(Vec<u8>, i64)> {
    bodies.into_iter().map(|body| (body, NOT_JSON)).collect()
}

/// H054: nothing that JSON does not know is guessed at, and nothing of it wakes or reaches the server.
#[tokio::test]
async fn what_is_no_json_is_refused_as_such() {
    const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"CANARY"}"#;
    let doors = Doors::open().await;
    let bodies = [
        "",
        " \t\r\n ",
        "{",
        "nul",
        "undefined",
        r#"{"jsonrpc":"2.0","id":1,"method":"CANARY",}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"CANARY" /* a comment */}"#,
        "// a comment\n{}",
        r#"{"jsonrpc":"2.0","id":1,"method":"CANARY","params":{"a":NaN}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"CANARY","params":{"a":-Infinity}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"CANARY","params":{"a":01}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"CANARY","params":{"a":+1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"CANARY","params":{"a":.5}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"CANARY","params":[1 2]}"#,
        "{'jsonrpc':'2.0','id':1,'method':'CANARY'}",
        "{jsonrpc:\"2.0\",id:1,method:\"CANARY\"}",
        &PING.repeat(2),
        &format!("{PING}\n{PING}"),
        &format!("{PING}]"),
    ];
    let bodies = bodies.map(|body| body.as_bytes().to_vec());
    doors.refuse(&not_json(bodies)).await;
}

/// H055: a byte order mark is let through once, at the start, and the server never sees it.
#[tokio::test]
async fn a_byte_order_mark_is_ignored_at_the_start_and_nowhere_else() {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let doors = Doors::open().await;
    let message = echo_with("7", "");
    for door in [Door::Rpc, Door::Legacy, Door::Modern] {
        let body = [MARK, &claiming(door, &message)].concat();
        let (answer, frame) = doors.forward(door, &body).await;
        assert_eq!(answer.status, 200, "{door:?}: {}", answer.text());
        assert!(!holds(&frame, MARK), "{door:?}: {frame:?}");
    }
    // The one of a wrapper stands before the wrapper.
    let wrapped = [MARK, br#"{"server_id":"s1","payload":"#, &message, b"}"].concat();
    let answer = doors.client.post("/rpc", wrapped).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(doors.gateway.journal("s1").count("\u{feff}"), 0);

    let bodies = [
        [MARK, MARK, &message].concat(),
        [b" ", MARK, &message].concat(),
        [&message, MARK].concat(),
        MARK.to_vec(),
    ];
    doors.refuse(&not_json(bodies)).await;
}

/// H056: UTF-8 it is, whatever else would decode to the same text.
#[tokio::test]
async fn what_is_not_utf8_is_refused() {
    let doors = Doors::open().await;
    let text = String::from_utf8(call_with_text(b"")).unwrap();
    let utf16 = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
        let units = text.encode_utf16().flat_map(bytes);
        mark.iter().copied().chain(units).collect::<Vec<u8>>()
    };
    let utf32 = text.chars().flat_map(|c| u32::from(c).to_le_bytes());
    let bodies = [
        utf16(b"", u16::to_le_bytes),
        utf16(b"", u16::to_be_bytes),
        utf16(b"\xff\xfe", u16::to_le_bytes),
        utf16(b"\xfe\xff", u16::to_be_bytes),
        utf32.collect(),
        // `/`, `"` and NUL in more bytes than they need.
        call_with_text(b"\xc0\xaf"),
        call_with_text(b"\xe0\x80\xa2"),
        call_with_text(b"\xc0\x80"),
        call_with_text(b"\xf8\x88\x80\x80\x80"),
        // A continuation without a start, a start without its continuation, Latin-1.
        call_with_text(b"\x80"),
        call_with_text(b"\xe2\x82"),
        call_with_text(b"caf\xe9"),
        // Halves of a surrogate pair as three bytes each (CESU-8), and beyond Unicode.
        call_with_text(b"\xed\xa0\xbd\xed\xb8\x80"),
        call_with_text(b"\xf4\x90\x80\x80"),
        b"\xff".to_vec(),
    ];
    doors.refuse(&not_json(bodies)).await;
}

/// H057: a control character in a string has to be escaped (RFC 8259, 7).
#[tokio::test]
async fn a_raw_control_character_in_a_string_is_refused() {
    let doors = Doors::open().await;
    let in_text = (0u8..0x20).map(|byte| call_with_text(&[byte]));
    let in_key = [0u8, b'\n', 0x1f].map(|byte| {
        let params = [
            &br#"{"name":"echo","arguments":{"te"#[..],
            &[byte],
            br#"xt":"hi"}}"#,
        ];
        call(&params.concat())
    });
    doors.refuse(&not_json(in_text.chain(in_key))).await;
    // DEL and the controls of Latin-1 are no control characters of JSON.
    let (answer, frame) = doors
        .forward(Door::Rpc, &call_with_text("\u{7f}\u{85}\u{9f}".as_bytes()))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(holds(&frame, "\u{7f}\u{85}\u{9f}".as_bytes()));
}

/// H058: NUL names nothing, and is text like any other elsewhere.
#[tokio::test]
async fn an_escaped_nul_is_let_through_in_arguments_and_refused_in_names() {
    let doors = Doors::open().await;
    doors
        .refuse(&[
            (
                br#"{"jsonrpc":"2.0","id":1,"method":"tools\u0000/call"}"#.to_vec(),
                NO_MESSAGE,
            ),
            (
                br#"{"jsonrpc":"2.0","method":"notifications/x\u0000"}"#.to_vec(),
                NO_MESSAGE,
            ),
            (call(br#"{"name":"echo\u0000","arguments":{}}"#), NO_MESSAGE),
            (call(br#"{"name":"\u0000"}"#), NO_MESSAGE),
        ])
        .await;
    let member = r#","\u0000":"a\u0000b""#;
    for door in Door::ALL {
        let body = claiming(door, &echo_with("7", member));
        let (answer, frame) = doors.forward(door, &body).await;
        assert_eq!(answer.status, 200, "{door:?}: {}", answer.text());
        assert!(holds(&frame, member.as_bytes()), "{door:?}");
    }
}

/// H059: half a surrogate pair crosses byte for byte where it is the server's to read, and is refused where
/// it would name something. It never becomes U+FFFD.
#[tokio::test]
async fn half_a_surrogate_pair_crosses_in_arguments_and_is_refused_in_names() {
    let doors = Doors::open().await;
    doors
        .refuse(&[
            (
                br#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#.to_vec(),
                NO_MESSAGE,
            ),
            (
                br#"{"jsonrpc":"2.0","id":"\udc00","method":"ping"}"#.to_vec(),
                NO_MESSAGE,
            ),
            (call(br#"{"name":"\ud83d"}"#), NO_MESSAGE),
            (
                call(br#"{"name":"echo","_meta":{"progressToken":"\ud800"}}"#),
                NO_MESSAGE,
            ),
        ])
        .await;
    let member = r#","\ud800":"\udc00 \ud83d\ude00""#;
    for door in Door::ALL {
        let body = claiming(door, &echo_with("7", member));
        let (answer, frame) = doors.forward(door, &body).await;
        assert_eq!(answer.status, 200, "{door:?}: {}", answer.text());
        assert!(holds(&frame, member.as_bytes()), "{door:?}");
        assert!(!holds(&frame, "\u{fffd}".as_bytes()), "{door:?}");
    }
}

/// `levels` arrays around nothing.
fn nested(levels: usize) -> Vec<u8> {
    [vec![b'['; levels], vec![b']'; levels]].concat()
}

/// H060: nesting is followed to 128 levels, the message being the first; deeper is refused, and costs
/// neither stack nor a frame.
#[tokio::test]
async fn nesting_crosses_up_to_128_levels() {
    let doors = Doors::open().await;
    let deep = |levels: usize| call(&nested(levels));
    let in_id = |levels: usize| {
        let start = br#"{"jsonrpc":"2.0","method":"ping","id":"#;
        [&start[..], &nested(levels), b"}"].concat()
    };
    let unclosed = [&call(b"")[..52], &vec![b'['; 1_000_000]].concat();
    let objects = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}1{}}}"#,
        r#"{"a":"#.repeat(129),
        "}".repeat(129)
    );
    let bodies = [
        deep(128),
        deep(129),
        deep(1_000_000),
        in_id(129),
        in_id(1_000_000),
        unclosed,
        vec![b'['; 1_000_000],
        objects.into_bytes(),
    ];
    doors.refuse(&not_json(bodies)).await;
    doors.refuse(&[(in_id(100), NO_MESSAGE)]).await;
    for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
        let (answer, frame) = doors.forward(door, &deep(127)).await;
        assert_eq!(answer.status, 200, "{door:?}: {}", answer.text());
        assert!(holds(&frame, &nested(127)), "{door:?}");
    }
    // With the claims of the modern era the params are an object: three levels less for its members.
    let member = format!(r#","deep":{}"#, String::from_utf8(nested(125)).unwrap());
    let body = claiming(Door::Modern, &echo_with("7", &member));
    let (answer, frame) = doors.forward(Door::Modern, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(holds(&frame, &nested(125)));
}
