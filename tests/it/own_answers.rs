//! What the gateway answers itself, for children of either era, and what it adds for a modern one.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::{Gateway, Server};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

fn request(id: &str, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// How often each method of the handshake has reached the child, before and after clients asked for it.
fn handshakes(gateway: &Gateway, server_id: &str) -> [usize; 4] {
    let journal = gateway.journal(server_id);
    [
        "initialize",
        "server/discover",
        "ping",
        "notifications/initialized",
    ]
    .map(|method| journal.count_method(method))
}

async fn initialize_is_answered(client: &Client, server_id: &str) {
    let wish = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let initialize = client
        .rpc(server_id, &request("i", "initialize", &wish))
        .await
        .json();
    let result = &initialize["result"];
    assert_eq!(
        (&initialize["id"], &result["protocolVersion"]),
        (&json!("i"), &json!("2025-06-18")),
        "{initialize}"
    );
    assert_eq!(
        result["serverInfo"],
        json!({"name": "gremlin", "version": "1.0.0"}),
        "{server_id}"
    );
    assert_eq!(
        result["capabilities"]["tools"],
        json!({"listChanged": true}),
        "{server_id}"
    );
    assert_eq!(
        result["instructions"], "do not feed after midnight",
        "{server_id}"
    );

    let unknown = json!({"protocolVersion": "1999-01-01"});
    let initialize = client
        .rpc(server_id, &request("i", "initialize", &unknown))
        .await
        .json();
    assert_eq!(
        initialize["result"]["protocolVersion"], "2025-11-25",
        "the newest we know"
    );
    let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(client.rpc(server_id, &done).await.status, 202);
}

async fn discover_is_answered(client: &Client, server_id: &str) {
    let claims = json!({"_meta": {VERSION: "2026-07-28"}});
    let discover = client
        .rpc(server_id, &request("d", "server/discover", &claims))
        .await
        .json();
    let result = &discover["result"];
    assert_eq!(
        (&discover["id"], &result["resultType"]),
        (&json!("d"), &json!("complete")),
        "{discover}"
    );
    assert_eq!(
        result["supportedVersions"],
        json!([
            "2026-07-28",
            "2025-11-25",
            "2025-06-18",
            "2025-03-26",
            "2024-11-05"
        ])
    );
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "gremlin"
    );
}

/// H078: on the plain endpoints too, and whatever the era of the server.
#[tokio::test]
async fn handshakes_and_pings_are_answered_for_either_era_and_reach_no_child() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("legacy").autostart())
        .server(
            Server::gremlin("modern")
                .orders(&json!({"era": "modern"}))
                .autostart(),
        )
        .start();
    let client = gateway.client();
    for server_id in ["legacy", "modern"] {
        client.call(server_id, "echo", &json!({"text": "up"})).await;
        let before = handshakes(&gateway, server_id);

        initialize_is_answered(&client, server_id).await;
        discover_is_answered(&client, server_id).await;
        let ping = client
            .rpc(server_id, &request("p", "ping", &json!({})))
            .await
            .json();
        assert_eq!(ping, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
        // Whatever was passed on would have been read before this.
        client
            .call(server_id, "echo", &json!({"text": "still up"}))
            .await;
        assert_eq!(handshakes(&gateway, server_id), before, "{server_id}");
    }
}

#[tokio::test]
async fn a_bare_request_gets_the_claims_that_a_modern_child_wants() {
    let modern = Server::gremlin("modern").orders(&json!({"era": "modern"}));
    let gateway = Gateway::builder().server(modern).start();
    // As it is typed into a shell: nothing before it, no params at all.
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let answer = gateway.client().post("/modern/rpc", body).await;
    assert_eq!(
        answer.json()["result"]["tools"].as_array().map(Vec::len),
        Some(3),
        "{}",
        answer.text()
    );
    let listed = gateway.journal("modern").of_method("tools/list");
    assert_eq!(listed.len(), 1, "{listed:?}");
    let meta = &listed[0]["params"]["_meta"];
    assert_eq!(meta[VERSION], "2026-07-28", "{listed:?}");
    assert!(
        meta["io.modelcontextprotocol/clientInfo"]["name"].is_string(),
        "{listed:?}"
    );
    assert!(
        meta["io.modelcontextprotocol/clientCapabilities"].is_object(),
        "{listed:?}"
    );

    let call = gateway
        .client()
        .call("modern", "echo", &json!({"text": "hi"}))
        .await;
    assert_eq!(
        call.json()["result"]["content"][0]["text"],
        "hi",
        "{}",
        call.text()
    );
}

#[tokio::test]
async fn the_claims_of_a_client_reach_a_modern_child_as_they_are() {
    let modern = Server::gremlin("modern").orders(&json!({"era": "modern"}));
    let gateway = Gateway::builder().server(modern).start();
    let meta = json!({VERSION: "2026-07-28", "io.modelcontextprotocol/clientInfo": {"name": "mine", "version": "9"}});
    let list = request("l", "tools/list", &json!({"_meta": meta}));
    assert_eq!(gateway.client().rpc("modern", &list).await.status, 200);
    let listed = gateway.journal("modern").of_method("tools/list");
    assert_eq!(listed[0]["params"]["_meta"], meta);
}

#[tokio::test]
async fn a_modern_child_that_is_too_slow_for_the_probe_is_ready_in_its_first_life() {
    let orders = json!({"era": "modern", "slow_start_ms": 700});
    let gateway = Gateway::builder()
        .limit("era_probe_ms", 200)
        .server(Server::gremlin("slow").orders(&orders))
        .start();
    let answer = gateway
        .client()
        .call("slow", "echo", &json!({"text": "hi"}))
        .await;
    assert_eq!(
        answer.json()["result"]["content"][0]["text"],
        "hi",
        "{}",
        answer.text()
    );
    let status = gateway.client().status("slow").await;
    assert_eq!(
        (&status["incarnation"], &status["protocol"]),
        (&json!(1), &json!("2026-07-28"))
    );
    assert_eq!(
        gateway.journal("slow").count_method("initialize"),
        1,
        "the probe was given up"
    );
}

/// H099: whoever calls from an endpoint that cannot be asked is not asked.
#[tokio::test]
async fn a_child_is_answered_its_ping_and_refused_what_nobody_was_asked_for() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let ask = async |method: &str| {
        let params = json!({"messages": [], "maxTokens": 1});
        let deed = json!({"do": "ask", "method": method, "params": params});
        let answer = client.deed("g1", &deed).await.json();
        let said = answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_default();
        serde_json::from_str::<Value>(said).unwrap_or_else(|_| panic!("no frame in {answer}"))
    };
    assert_eq!(
        ask("ping").await,
        json!({"jsonrpc": "2.0", "id": 0, "result": {}})
    );
    for (id, method) in [
        (1, "sampling/createMessage"),
        (2, "roots/list"),
        (3, "elicitation/create"),
    ] {
        let refused = ask(method).await;
        assert_eq!(
            (&refused["id"], &refused["error"]["code"]),
            (&json!(id), &json!(-32601)),
            "{refused}"
        );
    }
}
