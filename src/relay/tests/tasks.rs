//! Tasks and states of rounds at a server that two principals share.

use serde_json::json;

use super::*;
use crate::fault::FaultKind;

impl House {
    /// Sends a request, lets the child answer it with this result, and gives the response.
    async fn resulted(&self, principal: u32, request: &Value, result: &str) -> Value {
        let child = async {
            let seen = self.child.read();
            assert_eq!(seen.len(), 1, "{request}: {seen:?}");
            let id = serde_json::from_str::<Value>(&seen[0]).unwrap()["id"].clone();
            self.say(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
            ))
            .await;
        };
        let body = request.to_string();
        let sent = self.send(caller(principal, None), &body);
        match tokio::join!(biased; sent, child).0 {
            Ok(Answer::Reply(reply)) => serde_json::from_slice(&reply.message).unwrap(),
            other => panic!("{request}: {other:?}"),
        }
    }

    async fn refused(&self, principal: u32, request: &Value) -> Fault {
        let body = request.to_string();
        let sent = self.send(caller(principal, None), &body).await;
        let fault = sent.unwrap_err().fault;
        assert!(self.child.read().is_empty(), "{request}");
        fault
    }
}

fn request(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// RE01: the task of one token is unknown to another, whatever is asked of it, in both eras; its owner has it.
#[tokio::test]
async fn a_task_is_known_to_the_token_that_has_created_it() {
    let extension = r#"{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    for (era, capabilities, created) in [
        (
            Era::Legacy,
            r#"{"tools":{},"tasks":{"cancel":{}}}"#,
            r#"{"task":{"taskId":"t1","status":"working","ttl":60000}}"#,
        ),
        (
            Era::Modern,
            extension,
            r#"{"resultType":"task","taskId":"t1","status":"working","ttlMs":60000}"#,
        ),
    ] {
        let house = house_of(&Handshake {
            capabilities: capabilities.into(),
            ..handshake(era)
        });
        let named = json!({"taskId": "t1"});
        let unknown = house.refused(1, &request("tasks/get", &named)).await;
        let call = request(
            "tools/call",
            &json!({"name": "slow", "task": {"ttl": 60000}}),
        );
        let response = house.resulted(1, &call, created).await;
        assert!(response.to_string().contains("t1"), "{response}");
        for method in [
            "tasks/get",
            "tasks/result",
            "tasks/cancel",
            "tasks/update",
            "tasks/new",
        ] {
            let foreign = house.refused(2, &request(method, &named)).await;
            assert_eq!(foreign.kind, FaultKind::InvalidParams, "{method}");
            assert_eq!(foreign, unknown, "{method}");
            let twice = json!({"taskId": "t1", "TaskId": "t2"});
            let twice = house.refused(1, &request(method, &twice)).await;
            assert_eq!(twice.kind, FaultKind::InvalidParams, "{method}");
            house.resulted(1, &request(method, &named), "{}").await;
        }
    }
}

/// RE02: at the plain endpoint a state of a modern server is sealed as well: it is not shown, and is taken from the token that
/// it was given to, for the same request.
#[tokio::test]
async fn the_state_of_a_round_is_sealed_at_the_plain_endpoint() {
    let house = house(Era::Modern);
    let call = request("tools/call", &json!({"name": "ask", "arguments": {}}));
    let round = r#"{"resultType":"input_required","requestState":"secret of the server"}"#;
    let response = house.resulted(1, &call, round).await;
    let state = response["result"]["requestState"].as_str().unwrap();
    assert!(!state.contains("secret"), "{state}");

    let mut retry = call.clone();
    retry["params"]["requestState"] = state.into();
    let foreign = house.refused(2, &retry).await;
    assert_eq!(foreign.kind, FaultKind::InvalidParams);
    let mut raw = call.clone();
    raw["params"]["requestState"] = "secret of the server".into();
    let raw = house.refused(2, &raw).await;
    assert_eq!(raw.kind, FaultKind::InvalidParams);
    let mut elsewhere = retry.clone();
    elsewhere["params"]["name"] = "other".into();
    house.refused(1, &elsewhere).await;

    let seen = house.asked(caller(1, None), &retry.to_string()).await;
    assert!(
        seen.concat()
            .contains(r#""requestState":"secret of the server""#),
        "{seen:?}"
    );
}
