//! Sessions and event streams while servers come and go beside them.

use serde_json::{Value, json};

use super::{SOON, entry, pid, put_beside, reload, take_out};
use crate::support::mcp::{Session, modern, modern_post, request, tool_call};
use crate::support::sse::Sse;
use crate::support::{Gateway, Server};

const NEWEST: &str = "2025-11-25";

fn gateway() -> Gateway {
    Gateway::builder()
        .fault_profile()
        .server(Server::gremlin("g1").autostart())
        .server(Server::gremlin("g2").autostart())
        .start()
}

async fn names(session: &Session) -> Vec<String> {
    let list = session
        .ask(&request("list", "tools/list", &json!({})))
        .await;
    let tools = list["result"]["tools"].as_array().unwrap();
    let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = tools.iter().map(name).collect();
    names.retain(|name| name.ends_with("__echo"));
    names
}

/// Reads on until this was told.
async fn hears(stream: &mut Sse, method: &str) {
    while stream.message(SOON).await["method"] != method {}
}

#[tokio::test]
async fn a_session_on_all_servers_is_told_of_new_ones_and_hears_them() {
    let gateway = gateway();
    let client = gateway.client();
    let session = Session::open(&client, "/mcp", NEWEST).await;
    let mut own = session.listen().await;
    assert_eq!(names(&session).await, ["g1__echo", "g2__echo"]);
    let slow = tool_call(
        "slow",
        "g1__gremlin",
        &json!({"do": "sleep", "ms": 1000, "say": "done"}),
    );
    let during = {
        let session = session.clone();
        tokio::spawn(async move { session.ask(&slow).await })
    };
    reload(&gateway, |config| {
        put_beside(config, "g2", "g3");
        take_out(config, "g2");
    })
    .await;
    for list in ["tools", "prompts", "resources"] {
        hears(&mut own, &format!("notifications/{list}/list_changed")).await;
    }
    assert_eq!(names(&session).await, ["g1__echo", "g3__echo"]);
    let deed = json!({"do": "updated", "uri": "test://x"});
    let subscribe = request(
        "s",
        "resources/subscribe",
        &json!({"uri": "mcp://g3/test://x"}),
    );
    assert!(session.ask(&subscribe).await["error"].is_null());
    session.ask(&tool_call(2, "g3__gremlin", &deed)).await;
    hears(&mut own, "notifications/resources/updated").await;
    let done = during.await.unwrap();
    assert_eq!(done["result"]["content"][0]["text"], "done", "{done}");
    let gone = session
        .ask(&tool_call(3, "g2__echo", &json!({"text": "?"})))
        .await;
    assert!(gone["error"].is_object(), "{gone}");
}

#[tokio::test]
async fn a_session_on_a_server_goes_on_over_its_change_and_ends_with_it() {
    let gateway = gateway();
    let client = gateway.client();
    let session = Session::open(&client, "/g2/mcp", NEWEST).await;
    let (mut own, mut plain) = (session.listen().await, client.listen("/g2/rpc").await);
    let before = pid(&gateway, "g2").await;
    reload(&gateway, |config| {
        entry(config, "g2")["env"]["COLOUR"] = "blue".into();
    })
    .await;
    let echo = tool_call(1, "echo", &json!({"text": "still here"}));
    let answer = session.ask(&echo).await;
    assert_eq!(
        answer["result"]["content"][0]["text"], "still here",
        "{answer}"
    );
    assert_ne!(pid(&gateway, "g2").await, before);
    for stream in [&mut own, &mut plain] {
        hears(stream, "notifications/tools/list_changed").await;
    }
    reload(&gateway, |config| drop(take_out(config, "g2"))).await;
    for mut stream in [own, plain] {
        while stream.next(SOON).await.is_some() {}
    }
    let gone = session.tell(&echo).await;
    assert_eq!(gone.status, 404, "{}", gone.text());
    assert_eq!(client.status("g1").await["sessions"], 0);
}

#[tokio::test]
async fn a_modern_listener_gets_the_last_word_when_its_servers_change() {
    let gateway = gateway();
    let client = gateway.client();
    let wishes = json!({"notifications": {"toolsListChanged": true}});
    let listen = modern("l", "subscriptions/listen", &wishes);
    let open = async |path: &str| {
        let mut stream = client.stream(modern_post(&client, path, &listen)).await;
        hears(&mut stream, "notifications/subscriptions/acknowledged").await;
        stream
    };
    let (mut kept, ending) = (
        open("/g1/mcp").await,
        [open("/g2/mcp").await, open("/mcp").await],
    );
    reload(&gateway, |config| drop(take_out(config, "g2"))).await;
    for mut stream in ending {
        let last = stream.messages(SOON).await.pop().unwrap();
        assert_eq!(
            (&last["id"], &last["result"]["resultType"]),
            (&json!("l"), &json!("complete")),
            "{last}"
        );
    }
    let told = client
        .deed("g1", &json!({"do": "list_changed", "of": "tools"}))
        .await;
    assert_eq!(told.status, 200);
    hears(&mut kept, "notifications/tools/list_changed").await;
}
