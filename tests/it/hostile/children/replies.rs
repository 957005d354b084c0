//! Replies that are none, and errors that say too much (H096, H098, H104).

use super::*;

/// H096: what answers a request and is no response is an error to the one that asked, at once.
#[tokio::test]
async fn a_reply_that_is_no_response_is_a_bad_reply() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let session = Session::open(&client, "/s1/mcp", REVISION).await;
    for rest in [
        r#","result":{},"error":{"code":1,"message":"m"}"#,
        "",
        r#","error":"text""#,
        r#","error":null"#,
        r#","error":[1]"#,
        r#","error":{}"#,
        r#","error":{"message":"m"}"#,
        r#","error":{"code":1.5,"message":"m"}"#,
        r#","error":{"code":"1","message":"m"}"#,
        r#","error":{"code":1e3,"message":"m"}"#,
        r#","error":{"code":1,"code":2,"message":"m"}"#,
        r#","result":1,"result":2"#,
        r#","result":tru"#,
        r#","result":{"a":1"#,
    ] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":@ID@{rest}}}"#);
        let deed = json!({"do": "line", "line": line});
        let plain = client.deed("s1", &deed).await;
        assert_eq!(
            fault_of(&plain),
            (502, json!("bad_reply")),
            "{line}: {}",
            plain.text()
        );
        let told = session.deed(&deed).await;
        let error = &told["error"];
        assert_eq!(
            (&error["code"], &error["data"]["origin"]),
            (&json!(-31008), &json!("gateway")),
            "{told}"
        );
    }
    is_well(&client).await;
}

/// H096: a reply without an id of ours answers nothing, and is counted.
#[tokio::test]
async fn a_reply_to_nobody_is_dropped_and_counted() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    for (id, reason) in [
        ("", "garbage_line"),
        (r#""id":null,"#, "garbage_line"),
        (r#""id":{},"#, "garbage_line"),
        (r#""id":[1],"#, "garbage_line"),
        (r#""id":-1,"#, "garbage_line"),
        (r#""id":"x","#, "garbage_line"),
        (r#""id":99999999999999999999999,"#, "garbage_line"),
        (r#""id":987654321,"#, "unknown_reply"),
        (r#""id":1,"#, "late_reply"),
        // Equal to 1, as the clients of servers take it.
        (r#""id":1.0,"#, "late_reply"),
    ] {
        let before = dropped(&client, reason).await;
        let frame = format!(r#"{{"jsonrpc":"2.0",{id}"result":{{}}}}"#);
        let answer = client
            .deed("s1", &json!({"do": "write", "frame": frame}))
            .await;
        assert_eq!(text_of(&answer.json()), "written", "{frame}");
        dropped_since(&client, reason, before, 1).await;
    }
    is_well(&client).await;
}

/// H098: the text of an error is the client's to read, as JSON and nothing else; the log has none of it.
#[tokio::test]
async fn the_text_of_an_error_reaches_the_client_and_no_log() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let session = Session::open(&client, "/s1/mcp", REVISION).await;
    let big = "CANARY".repeat(170_000);
    for message in [
        "CANARY\r\n{\"level\":\"error\",\"message\":\"forged\"}\n",
        "\u{1b}]0;CANARY\u{7}\u{1b}[2J",
        "<script>CANARY</script>",
        "CANARY\u{2028}\u{202e}\0",
        &big,
    ] {
        let deed =
            json!({"do": "refuse", "code": -5, "message": message, "data": {"html": message}});
        let plain = client.deed("s1", &deed).await;
        assert_eq!(
            (plain.status, plain.header("content-type")),
            (200, "application/json")
        );
        assert_eq!(plain.header("x-content-type-options"), "nosniff");
        for told in [plain.json(), session.deed(&deed).await] {
            let error = json!({"code": -5, "message": message, "data": {"html": message}});
            assert!(told["error"] == error, "{told:.300}");
        }
    }
    let logs = gateway.logs().text();
    for forbidden in ["CANARY", "forged", "\u{1b}", "<script>"] {
        assert!(!logs.contains(forbidden), "{forbidden:?} is in the log");
    }
    for line in gateway.logs().lines() {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}

/// H104: an error of the server's does not say that it is the gateway's, and a result is a result.
#[tokio::test]
async fn a_server_cannot_speak_as_the_gateway() {
    let data = json!({"origin": "gateway", "error_code": "server_lost", "delivered": "no"});
    let left = json!({"error_code": "server_lost", "delivered": "no"});
    for era in ["legacy", "modern"] {
        let server = Server::gremlin("s1").orders(&json!({"era": era}));
        let gateway = Gateway::builder().server(server).start();
        let client = gateway.client();
        let session = Session::open(&client, "/s1/mcp", REVISION).await;
        let all = Session::open(&client, "/mcp", REVISION).await;
        let deed = json!({"do": "refuse", "code": -31005, "message": "m", "data": data});
        let modern = modern_post(
            &client,
            "/s1/mcp",
            &modern_call("gremlin", &deed, &json!({})),
        );
        for told in [
            client.deed("s1", &deed).await.json(),
            session.deed(&deed).await,
            all.ask(&tool_call("a", "s1__gremlin", &deed)).await,
            client.send(modern).await.json(),
        ] {
            assert_eq!(told["error"]["code"], -31005, "{told}");
            assert_eq!(told["error"]["data"], left, "{era}: {told}");
        }
        let error = json!({"error": {"code": -31005, "message": "m", "data": data}});
        let said = session
            .call("echo", &json!({"text": error.to_string()}))
            .await;
        assert_eq!(
            said,
            error.to_string(),
            "in a result, where no client looks for errors"
        );
    }
}
