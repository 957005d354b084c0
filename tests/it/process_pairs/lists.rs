//! The endpoint of all servers, of which one needs a second life for its first start.

use super::*;
use crate::support::mcp::modern;
use crate::support::sse::Sse;

const TOOLS: [&str; 3] = ["g1__echo", "g1__fidelity", "g1__gremlin"];

async fn tools(client: &Client) -> Vec<String> {
    let message = modern(1, "tools/list", &json!({}));
    let answer = client.send(modern_post(client, "/mcp", &message)).await;
    let answer = answer.json();
    let tools = answer["result"]["tools"].as_array().expect("a list");
    tools
        .iter()
        .map(|tool| text(&tool["name"]).to_owned())
        .collect()
}

async fn listen(client: &Client) -> Sse {
    let wishes = json!({"notifications": {"toolsListChanged": true}});
    let message = modern("l", "subscriptions/listen", &wishes);
    let mut stream = client.stream(modern_post(client, "/mcp", &message)).await;
    let told = stream.message(SOON).await;
    assert_eq!(
        told["method"], "notifications/subscriptions/acknowledged",
        "{told}"
    );
    stream
}

/// RB01: a life that the era probe ended and the one after it are one start: every list waits for it, none is announced
/// that everybody was shown whole, and it counts as no restart.
#[tokio::test]
async fn the_life_after_one_that_the_probe_has_ended_is_no_restart() {
    let orders = json!({"fail_probe": "exit", "slow_start_ms": 500});
    let gateway = gateway_with(500, Server::gremlin("g1").orders(&orders));
    let client = gateway.client();
    let mut stream = listen(&client).await;
    let early = async {
        crate::support::wait::wait_for("the second life", SOON, async || {
            let status = client.status("g1").await;
            (status["incarnation"] == 2).then_some(())
        })
        .await;
        tools(&client).await
    };
    let (first, second) = tokio::join!(tools(&client), early);
    assert_eq!(first, TOOLS);
    assert_eq!(second, TOOLS, "it came while the second life started");
    let status = client.status("g1").await;
    assert_eq!(
        (&status["incarnation"], &status["restart_count"]),
        (&json!(2), &json!(0)),
        "{status}"
    );
    assert_eq!(status["list_gaps"], json!([]), "{status}");
    // What comes next is the first that is told of its lists.
    let deed = json!({"do": "list_changed", "of": "tools"});
    let call = modern(
        "c",
        "tools/call",
        &json!({"name": "g1__gremlin", "arguments": deed}),
    );
    let answer = client.send(modern_post(&client, "/mcp", &call)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = stream.message(SOON).await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    let quiet = tokio::time::timeout(Duration::from_millis(300), stream.message(SOON)).await;
    assert!(quiet.is_err(), "one change, one message: {quiet:?}");
}
