//! A child's request that nobody can answer at once.

use futures_util::FutureExt;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_later_in_the_life_that_asked_and_in_no_other() {
    let Reading {
        mux,
        heard,
        ended: _,
        mut child,
        run,
    } = reading();
    let lines = [
        r#"{"jsonrpc":"2.0","id":1,"method":"later/elicitation"}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#,
    ];
    child.write_all(lines.join("\n").as_bytes()).await.unwrap();
    child.write_all(b"\n").await.unwrap();
    drop(child);
    run.await;
    assert_eq!(
        heard.take(),
        ["request later/elicitation 1", "request ping 2"]
    );
    let written = || {
        let mut batch = Vec::new();
        // What is not there now is not waited for.
        let _ = mux.next_batch(FIRST, &mut batch).now_or_never();
        let frames = batch.into_iter().map(|frame| frame.bytes);
        frames.collect::<Vec<_>>()
    };
    let at_once = "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n";
    assert_eq!(written(), [at_once], "the other waits for its answer");
    assert!(mux.reply(FIRST, Owner::Server, "later\n".into()));
    assert_eq!(written(), ["later\n"]);
    mux.lose(FIRST);
    mux.begin(SECOND);
    assert!(!mux.reply(FIRST, Owner::Server, "too late\n".into()));
    assert_eq!(written(), [""; 0]);
}
