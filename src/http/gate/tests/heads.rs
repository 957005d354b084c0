//! The two caps of the gate on a head, to the byte.

use super::*;

/// A head that was let in, with this target and, beside `host: localhost`, this header.
async fn told(target: &str, header: (&str, &str)) -> (u16, String) {
    let gate = gate(&fixture::config(), CancellationToken::new());
    let request = Request::builder()
        .uri(target)
        .header("host", "localhost")
        .header("authorization", "Bearer T1")
        .header(header.0, header.1);
    let (status, code, _) = ask(&gate, request).await;
    (status, code)
}

/// The query and the authority of an absolute target count.
#[tokio::test]
async fn a_target_may_have_8192_bytes() {
    for start in ["/token?", "http://localhost/token?"] {
        let counted = start.trim_start_matches("http://").len();
        let target = |bytes: usize| [start, &"x".repeat(bytes - counted)].concat();
        let header = ("x", "y");
        assert_eq!(told(&target(8192), header).await.0, 200, "{start}");
        let over = told(&target(8193), header).await;
        assert_eq!(over, (414, "uri_too_long".to_owned()), "{start}");
    }
}

/// Each line counts as it is written, with its colon, its space and its end; the token does not.
#[tokio::test]
async fn the_headers_may_have_32768_bytes() {
    let host = "host: localhost\r\n".len();
    for name in ["x", "a-longer-name"] {
        let value = |bytes: usize| "y".repeat(bytes - host - name.len() - ": \r\n".len());
        let most = told("/token", (name, &value(32_768))).await;
        assert_eq!(most.0, 200, "{name}");
        let over = told("/token", (name, &value(32_769))).await;
        assert_eq!(over, (431, "headers_too_large".to_owned()), "{name}");
    }
}
