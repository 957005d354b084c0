//! Requests of a child that cannot be passed on, and bear the id of a call.

use super::*;

/// RA03: a line with a method is a request, whatever number it bears: the call of that number goes on.
#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_read_is_refused_and_ends_no_call() {
    let Reading {
        mux,
        heard,
        ended: _,
        mut child,
        run,
    } = reading();
    let mut outcomes = four_written(&mux).await;
    let long = "x".repeat(100);
    let lines = [
        format!(r#"{{"id":1,"method":"sampling/createMessage","params":"{long}"}}"#),
        format!(r#"{{"params":"{long}","m\u0065thod":"sampling/createMessage","id":"1"}}"#),
        r#"{"id":1,"method":"sampling/createMessage","params":{"x":NaN}}"#.to_owned(),
        r#"{"id":1,"method":5}"#.to_owned(),
        r#"{"id":1,"id":1,"method":"roots/list"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        String::new(),
    ];
    child.write_all(lines.join("\n").as_bytes()).await.unwrap();
    drop(child);
    run.await;
    assert!(outcomes[0].try_recv().unwrap().is_ok());
    let counted = [
        format!("dropped oversize_line {}", lines[0].len()),
        format!("dropped oversize_line {}", lines[1].len()),
        format!("dropped garbage_line {}", lines[2].len()),
        format!("dropped garbage_line {}", lines[3].len()),
        format!("dropped garbage_line {}", lines[4].len()),
    ];
    assert_eq!(heard.take(), counted);
    let mut batch = Vec::new();
    mux.next_batch(FIRST, &mut batch).await;
    let answers: Vec<_> = batch
        .iter()
        .map(|frame| serde_json::from_slice::<serde_json::Value>(&frame.bytes).unwrap())
        .map(|answer| format!("{} {}", answer["id"], answer["error"]["code"]))
        .collect();
    let expected = [
        "1 -32600",
        "\"1\" -32600",
        "1 -32700",
        "1 -32600",
        "1 -32700",
    ];
    assert_eq!(answers, expected);
}

/// RB02: the messages of an array are taken one by one, and the array is counted once.
#[tokio::test(start_paused = true)]
async fn the_messages_of_a_batch_are_taken_one_by_one() {
    let Reading {
        mux,
        heard,
        ended: _,
        mut child,
        run,
    } = reading();
    let mut outcomes = four_written(&mux).await;
    let batches = [
        r#"[{"id":1,"result":{}},{"method":"n"},[{}],7,{"id":"a","method":"ask"}]"#,
        r#"[{"id":2,"result":{}}]"#,
        "[]",
        "",
    ];
    child
        .write_all(batches.join("\n").as_bytes())
        .await
        .unwrap();
    drop(child);
    run.await;
    for outcome in &mut outcomes[..2] {
        assert!(outcome.try_recv().unwrap().is_ok());
    }
    let expected = [
        "tolerated batch",
        "notification n",
        "request ask \"a\"",
        "tolerated batch again",
        "dropped garbage_line 2",
    ];
    assert_eq!(heard.take(), expected);
}
