//! `/mcp`: all servers that a token reaches, as if they were one.

mod bad_server;
mod calls;
mod cost;
mod listening;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::mcp::{Session, initialize, modern, modern_post, post, request};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const SOON: Duration = Duration::from_secs(10);
const NEWEST: &str = "2025-11-25";

/// A client of `/mcp` in either era.
enum Asker {
    Legacy(Session),
    Modern(Client),
}

impl Asker {
    /// One of each era.
    async fn both(client: &Client) -> [Self; 2] {
        let session = Session::open(client, "/mcp", NEWEST).await;
        [Self::Legacy(session), Self::Modern(client.clone())]
    }

    fn is_modern(&self) -> bool {
        matches!(self, Self::Modern(_))
    }

    /// The whole response to a request.
    async fn ask(&self, method: &str, params: &Value) -> Value {
        match self {
            Self::Legacy(session) => session.ask(&request(1, method, params)).await,
            Self::Modern(client) => {
                let message = modern(1, method, params);
                let request = modern_post(client, "/mcp", &message);
                client.send(request).await.json()
            }
        }
    }

    /// Its result.
    async fn result(&self, method: &str, params: &Value) -> Value {
        let answer = self.ask(method, params).await;
        assert!(answer["error"].is_null(), "{method} {params}: {answer}");
        answer["result"].clone()
    }

    /// What the items of a list are called.
    async fn names(&self, method: &str, list: &str, name: &str) -> Vec<String> {
        let result = self.result(method, &json!({})).await;
        let items = result[list].as_array().expect("a list");
        items.iter().map(|item| text(&item[name])).collect()
    }

    async fn tools(&self) -> Vec<String> {
        self.names("tools/list", "tools", "name").await
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// The conformance server and a gremlin, each in its era.
fn two_servers(conformance: &str, gremlin: &str) -> Gateway {
    Gateway::builder()
        .server(Server::conformance("files", conformance))
        .server(Server::gremlin("Imp").orders(&json!({"era": gremlin})))
        .start()
}

#[tokio::test]
async fn lists_are_those_of_all_servers_in_the_order_of_the_config() {
    for (files, imp) in [("legacy", "modern"), ("modern", "legacy")] {
        let gateway = two_servers(files, imp);
        for asker in Asker::both(&gateway.client()).await {
            let tools = asker.tools().await;
            assert_eq!(tools[0], "files__test_simple_text");
            let (files, imp) = tools.split_at(tools.len() - 3);
            assert!(
                files.iter().all(|tool| tool.starts_with("files__")),
                "{tools:?}"
            );
            assert_eq!(imp, ["Imp__echo", "Imp__fidelity", "Imp__gremlin"]);
            let prompts = asker.names("prompts/list", "prompts", "name").await;
            assert_eq!(prompts.first().unwrap(), "files__test_simple_prompt");
            assert_eq!(prompts.last().unwrap(), "Imp__riddle");
            let resources = asker.names("resources/list", "resources", "uri").await;
            let expected = [
                "mcp://files/test://static-text",
                "mcp://files/test://static-binary",
                "mcp://files/test://watched-resource",
                "mcp://Imp/gremlin://nest",
            ];
            assert_eq!(resources, expected);
            let list = ("resources/templates/list", "resourceTemplates");
            let templates = asker.names(list.0, list.1, "uriTemplate").await;
            assert_eq!(templates, ["mcp://files/test://template/{id}/data"]);
            let result = asker.result("tools/list", &json!({})).await;
            let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"];
            if asker.is_modern() {
                assert_eq!(
                    (&result["resultType"], info),
                    (&json!("complete"), &json!("host-mcp-gateway"))
                );
                assert_eq!(result["cacheScope"], "private");
            } else {
                assert_eq!((&result["resultType"], info), (&Value::Null, &Value::Null));
            }
        }
    }
}

#[tokio::test]
async fn what_is_asked_goes_to_the_server_that_is_named_and_comes_back_under_its_name() {
    for (files, imp) in [("legacy", "modern"), ("modern", "legacy")] {
        let gateway = two_servers(files, imp);
        for asker in Asker::both(&gateway.client()).await {
            let params = json!({"name": "Imp__echo", "arguments": {"text": "hi"}});
            let called = asker.result("tools/call", &params).await;
            assert_eq!(called["content"][0]["text"], "hi", "{called}");

            let params = json!({"name": "files__test_embedded_resource"});
            let called = asker.result("tools/call", &params).await;
            let embedded = text(&called["content"][0]["resource"]["uri"]);
            assert!(embedded.starts_with("mcp://files/test://"), "{called}");

            let place = "mcp://files/test://static-text";
            let arguments = json!({"resourceUri": "x:y"});
            let params = json!({"name": "files__test_prompt_with_embedded_resource", "arguments": arguments});
            let said = asker.result("prompts/get", &params).await;
            let content = &said["messages"][0]["content"];
            assert_eq!(content["resource"]["uri"], "mcp://files/x:y", "{said}");

            let read = asker.result("resources/read", &json!({"uri": place})).await;
            assert_eq!(read["contents"][0]["uri"], place, "{read}");
            // As a library writes it that puts the host into lower case.
            let nest = json!({"uri": "mcp://imp/gremlin://nest"});
            let read = asker.result("resources/read", &nest).await;
            assert_eq!(
                read["contents"][0]["uri"], "mcp://Imp/gremlin://nest",
                "{read}"
            );
            let filled = json!({"uri": "mcp://files/test://template/7/data"});
            let read = asker.result("resources/read", &filled).await;
            assert_eq!(read["contents"][0]["uri"], filled["uri"], "{read}");

            for reference in [
                json!({"type": "ref/prompt", "name": "files__test_prompt_with_arguments"}),
                json!({"type": "ref/resource", "uri": "mcp://files/test://template/{id}/data"}),
            ] {
                let argument = json!({"name": "arg1", "value": "par"});
                let params = json!({"ref": reference, "argument": argument});
                let completed = asker.result("completion/complete", &params).await;
                assert!(completed["completion"]["values"].is_array(), "{completed}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_nobodys_is_refused_with_what_was_expected() {
    let gateway = two_servers("legacy", "legacy");
    for asker in Asker::both(&gateway.client()).await {
        for (method, params, code, part) in [
            (
                "tools/call",
                json!({"name": "echo"}),
                -32602,
                "expected server_id__name",
            ),
            (
                "prompts/get",
                json!({"name": "imp__riddle"}),
                -32602,
                "reaches files, Imp",
            ),
            (
                "resources/read",
                json!({"uri": "gremlin://nest"}),
                -32602,
                "mcp://server_id/uri",
            ),
            ("completion/complete", json!({}), -32602, "params.ref"),
            (
                "tools/list",
                json!({"cursor": "x"}),
                -32602,
                "params.cursor",
            ),
            ("files/frobnicate", json!({}), -32601, "files/frobnicate"),
        ] {
            let answer = asker.ask(method, &params).await;
            let error = &answer["error"];
            assert_eq!(error["code"], code, "{method} {params}: {answer}");
            assert!(text(&error["message"]).contains(part), "{answer}");
        }
        // What a server refuses is its own answer.
        let params = json!({"name": "Imp__nothing"});
        let answer = asker.ask("tools/call", &params).await;
        assert!(
            text(&answer["error"]["message"]).contains("unknown tool"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn the_gateway_says_of_itself_what_its_servers_say_together() {
    let gateway = two_servers("legacy", "modern");
    let client = gateway.client();
    let shaken = client
        .send(post(&client, "/mcp", &initialize(NEWEST)))
        .await;
    let initialized = shaken.json()["result"].clone();
    let discovered = Asker::Modern(client)
        .result("server/discover", &json!({}))
        .await;
    let meta = &discovered["_meta"]["io.modelcontextprotocol/serverInfo"];
    for (said, info) in [
        (&initialized, &initialized["serverInfo"]),
        (&discovered, meta),
    ] {
        assert_eq!(info["name"], "host-mcp-gateway", "{said}");
        let changes = json!({"listChanged": true});
        let capabilities = &said["capabilities"];
        assert_eq!(
            (&capabilities["tools"], &capabilities["prompts"]),
            (&changes, &changes)
        );
        assert_eq!(capabilities["resources"]["subscribe"], true, "{said}");
        assert_eq!(capabilities["completions"], json!({}), "{said}");
        let instructions = text(&said["instructions"]);
        assert!(
            instructions.contains("## Imp\n\n> do not feed after midnight"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_token_sees_the_servers_that_it_reaches() {
    let token = "bob-e92d04c7a1836f5bb8";
    let gateway = Gateway::builder()
        .unset("auth_token")
        .set(
            "tokens",
            json!([{"name": "bob", "env": "BOB", "servers": ["b"]}]),
        )
        .env("BOB", token)
        .server(Server::gremlin("a"))
        .server(Server::gremlin("b"))
        .start();
    for asker in Asker::both(&gateway.client_with(Some(token))).await {
        assert_eq!(
            asker.tools().await,
            ["b__echo", "b__fidelity", "b__gremlin"]
        );
        let answer = asker.ask("tools/call", &json!({"name": "a__echo"})).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(
            text(&answer["error"]["message"]).ends_with("this token reaches b"),
            "{answer}"
        );
    }
    assert!(gateway.journal("a").of_method("tools/list").is_empty());
}

/// RD10: `/health` and `/ready` say nothing of servers that the token does not reach.
#[tokio::test]
async fn a_token_hears_of_the_health_of_the_servers_that_it_reaches() {
    let token = "bob-e92d04c7a1836f5bb8";
    let gateway = Gateway::builder()
        .set(
            "tokens",
            json!([{"name": "bob", "env": "BOB", "servers": ["b"]}]),
        )
        .env("BOB", token)
        .server(Server::gremlin("a").autostart().orders(&json!({"exit": 3})))
        .server(Server::gremlin("b"))
        .start();
    let (all, bob) = (gateway.client(), gateway.client_with(Some(token)));
    wait_for("a server that fails", SOON, async || {
        (all.get("/ready").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(bob.get("/ready").await.status, 200);
    assert_eq!(bob.get("/health").await.json()["status"], "ok");
    assert_eq!(all.get("/health").await.json()["status"], "degraded");
}

/// RF07: a name that ends with the server's is a fault of the params.
#[tokio::test]
async fn a_tool_without_a_name_is_a_fault_of_the_params() {
    let gateway = Gateway::builder().server(Server::gremlin("a")).start();
    for asker in Asker::both(&gateway.client()).await {
        for (method, params) in [
            ("tools/call", json!({"name": "a__"})),
            ("prompts/get", json!({"name": "a__"})),
            ("resources/read", json!({"uri": "mcp://a/"})),
        ] {
            let answer = asker.ask(method, &params).await;
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
        }
    }
}
