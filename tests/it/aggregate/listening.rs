//! What servers say of their own accord, as the clients of all servers hear it.

use serde_json::{Value, json};

use super::{NEWEST, SOON, two_servers};
use crate::support::mcp::{Session, modern, modern_post, request, tool_call};
use crate::support::sse::Sse;

const KEY: &str = "io.modelcontextprotocol/subscriptionId";
const WATCHED: &str = "mcp://files/test://watched-resource";

/// The next message that is not the empty event of a session's stream.
async fn heard(stream: &mut Sse) -> Value {
    loop {
        let event = stream.event(SOON).await;
        if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
            return event.json();
        }
    }
}

#[tokio::test]
async fn a_legacy_client_hears_of_what_it_subscribed_to_at_any_server() {
    for (files, imp) in [("legacy", "modern"), ("modern", "legacy")] {
        let gateway = two_servers(files, imp);
        let session = Session::open(&gateway.client(), "/mcp", NEWEST).await;
        let mut own = session.listen().await;
        let subscribe = |method| request(1, method, &json!({"uri": WATCHED}));
        let subscribed = session.ask(&subscribe("resources/subscribe")).await;
        assert_eq!(subscribed["result"], json!({}), "{subscribed}");
        let change = tool_call(2, "files__test_trigger_resource_change", &json!({}));
        session.ask(&change).await;
        let told = heard(&mut own).await;
        assert_eq!(told["method"], "notifications/resources/updated", "{told}");
        assert_eq!(told["params"]["uri"], WATCHED, "{told}");
        let unsubscribed = session.ask(&subscribe("resources/unsubscribe")).await;
        assert_eq!(unsubscribed["result"], json!({}), "{unsubscribed}");
        session.ask(&change).await;
        let deed = json!({"do": "list_changed", "of": "tools"});
        session.ask(&tool_call(3, "Imp__gremlin", &deed)).await;
        let told = heard(&mut own).await;
        assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    }
}

#[tokio::test]
async fn a_modern_client_listens_to_all_servers_at_once() {
    for (files, imp) in [("legacy", "modern"), ("modern", "legacy")] {
        let gateway = two_servers(files, imp);
        let client = gateway.client();
        let ask = async |method: &str, params: &Value| {
            let message = modern(9, method, params);
            client
                .send(modern_post(&client, "/mcp", &message))
                .await
                .json()
        };
        ask("tools/list", &json!({})).await;
        let wishes = json!({"toolsListChanged": true, "resourceSubscriptions": [WATCHED]});
        let listen = modern(
            "l",
            "subscriptions/listen",
            &json!({"notifications": wishes}),
        );
        let mut stream = client.stream(modern_post(&client, "/mcp", &listen)).await;
        let told = stream.message(SOON).await;
        assert_eq!(
            told["method"], "notifications/subscriptions/acknowledged",
            "{told}"
        );
        assert_eq!(told["params"]["notifications"], wishes, "{told}");
        assert_eq!(told["params"]["_meta"][KEY], "l", "{told}");
        // A modern server is told of the wish on its own listen, which may not be open yet.
        let change = json!({"name": "files__test_trigger_resource_change"});
        let told = loop {
            ask("tools/call", &change).await;
            if let Ok(told) = tokio::time::timeout(SOON / 20, stream.message(SOON)).await {
                break told;
            }
        };
        assert_eq!(told["method"], "notifications/resources/updated", "{told}");
        assert_eq!(told["params"]["uri"], WATCHED, "{told}");
        assert_eq!(told["params"]["_meta"][KEY], "l", "{told}");
        let deed =
            json!({"name": "Imp__gremlin", "arguments": {"do": "list_changed", "of": "tools"}});
        ask("tools/call", &deed).await;
        let told = loop {
            let told = stream.message(SOON).await;
            if told["method"] != "notifications/resources/updated" {
                break told;
            }
        };
        assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
        assert_eq!(told["params"]["_meta"][KEY], "l", "{told}");
    }
}

#[tokio::test]
async fn a_listener_to_a_resource_of_nobody_is_refused() {
    let gateway = two_servers("legacy", "legacy");
    let client = gateway.client();
    let wishes = json!({"resourceSubscriptions": ["test://watched-resource"]});
    let listen = modern(
        "l",
        "subscriptions/listen",
        &json!({"notifications": wishes}),
    );
    let refused = client
        .send(modern_post(&client, "/mcp", &listen))
        .await
        .json();
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}
