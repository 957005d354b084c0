//! Servers that write messages as no specification has them and as other clients take them.

use std::path::Path;

use super::*;

/// A server in the language of the shell, kept in a file: it greets, and answers each request as told, with the
/// id in the place of `@ID@`.
fn shell_server(folder: &Path, greeting: &str, initialize: &str, other: &str) -> Server {
    let script = format!(
        r#"printf '{greeting}'
while read -r line; do
  id="${{line#*\"id\":}}"; id="${{id%%,*}}"
  case "$line" in
    *'"server/discover"'*) answer='{{"jsonrpc":"2.0","id":@ID@,"error":{{"code":-32601,"message":"no"}}}}' ;;
    *'"initialize"'*) answer='{initialize}' ;;
    *'"id":'*) answer='{other}' ;;
    *) continue ;;
  esac
  printf '%s\n' "$answer" | sed "s/@ID@/$id/"
done"#
    );
    let file = folder.join("loose.sh");
    std::fs::write(&file, script).unwrap();
    Server::new("loose", "/bin/sh", &[file.to_str().unwrap()])
}

fn initialized(id: &str, more: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},{more}"result":{{"protocolVersion":"2025-03-26","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"loose","version":"1"}}}}}}"#
    )
}

fn answered(id: &str, more: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},{more}"result":{{"tools":[]}}}}"#)
}

/// RB02: each is ready and answers, what the client gets is as it should be, and what was tolerated is
/// counted and named in the log once.
#[tokio::test]
async fn what_other_clients_take_from_a_server_is_taken() {
    let null = r#""error":null,"#;
    for (deviation, greeting, initialize, other) in [
        (
            "id_as_fraction",
            "",
            initialized("@ID@.0", ""),
            answered("@ID@E0", ""),
        ),
        (
            "null_member",
            "",
            initialized("@ID@", null),
            answered("@ID@", null),
        ),
        (
            "byte_order_mark",
            r"\357\273\277",
            initialized("@ID@", ""),
            answered("@ID@", ""),
        ),
        (
            "batch",
            "",
            format!("[{}]", initialized("@ID@", "")),
            format!("[{}]", answered("@ID@", "")),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = shell_server(folder.path(), greeting, &initialize, &other);
        let gateway = fault_gateway(server);
        let client = gateway.client();
        for id in [7, 8] {
            let asked = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"});
            let answer = client.rpc("loose", &asked).await;
            let expected = json!({"jsonrpc": "2.0", "id": id, "result": {"tools": []}});
            assert_eq!(answer.json(), expected, "{deviation}");
        }
        let series = format!(
            "host_mcp_gateway_server_tolerated_messages_total{{deviation=\"{deviation}\",host_mcp_gateway_server_id=\"loose\"}}"
        );
        assert!(metric(&client, &series).await > 0.5, "{deviation}");
        let named = || {
            let events = gateway.logs().of_server("loose");
            let of_it = |event: &&Value| event.to_string().contains(deviation);
            events.iter().filter(of_it).count()
        };
        wait_for("a line in the log", SOON, async || {
            (named() > 0).then_some(())
        })
        .await;
        assert_eq!(named(), 1, "{deviation}");
    }
}
