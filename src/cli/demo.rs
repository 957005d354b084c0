//! `demo`: a gateway on loopback with the built-in server, and what to paste to try it.
//!
//! The token is fresh, lives as long as the process and is on the screen on purpose: it opens facts
//! about this machine to this machine.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use super::args::Client;
use super::terminal::{FAINT, HEAD};
use super::{Exit, client_config};
use crate::types::{Secret, fresh_token};

/// The id of the built-in server.
pub(super) const SERVER_ID: &str = "host";

/// Starts the gateway by `start` and prints what to do with it once it listens.
///
/// `start` takes the text of a config file, and a callback for the address that it listens on.
pub(super) fn run(
    out: &mut dyn Write,
    start: impl FnOnce(&str, &mut dyn FnMut(SocketAddr) -> anyhow::Result<()>) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let token = fresh_token()?;
    let program = std::env::current_exe()?;
    start(&config(&program, &token), &mut |address| {
        out.write_all(lesson(address, &token).as_bytes())?;
        Ok(out.flush()?)
    })
}

/// The config of the demo: this machine only, any free port, one server that is this program itself.
fn config(program: &Path, token: &Secret) -> String {
    json!({
        "bind_host": "127.0.0.1",
        "bind_port": 0,
        "auth_token": token.expose(),
        "allowed_clients": ["localhost"],
        // The screen belongs to the lesson.
        "log": {"level": "warn"},
        "servers": [{
            "server_id": SERVER_ID,
            "command": program.to_string_lossy(),
            "args": ["host-server"],
            "autostart": true,
        }],
    })
    .to_string()
}

/// What to paste where.
fn lesson(address: SocketAddr, token: &Secret) -> String {
    let base = format!("http://{address}");
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"system_info"}}"#;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let auth = r#"-H "Authorization: Bearer $HMG_TOKEN""#;
    // Answers end without a line feed, and all lines are pasted at once.
    let quiet = r"-sS -w '\n'";
    let json_type = "-H 'Content-Type: application/json'";
    let snippet = client_config::snippet(Client::ClaudeCode, &base, &[SERVER_ID.to_owned()]);
    format!(
        "{HEAD}A gateway is running on {base}, for this machine only.{HEAD:#}\n\n\
         {HEAD}In another terminal:{HEAD:#}\n\n\
         export HMG_TOKEN={token}\n\n\
         curl {quiet} {base}/servers {auth}\n\n\
         curl {quiet} {base}/{SERVER_ID}/rpc {auth} {json_type} \\\n  -d '{list}'\n\n\
         curl {quiet} {base}/{SERVER_ID}/rpc {auth} {json_type} \\\n  -d '{call}'\n\n\
         {HEAD}In an MCP client, such as Claude Code (.mcp.json, started from that terminal):{HEAD:#}\n\n\
         {snippet}\n\
         {FAINT}Ctrl-C ends it. The next step is a config of your own: host-mcp-gateway init --import{FAINT:#}\n",
        token = token.expose(),
        snippet = snippet.text,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn the_demo_is_for_this_machine_and_its_lesson_fits_its_config() {
        let mut out = Vec::new();
        let mut token = String::new();
        let exit = run(&mut out, |config, ready| {
            let config: Value = serde_json::from_str(config).unwrap();
            assert_eq!(config["bind_host"], "127.0.0.1");
            assert_eq!(config["allowed_clients"], json!(["localhost"]));
            assert_eq!(config["servers"][0]["args"], json!(["host-server"]));
            config["auth_token"]
                .as_str()
                .unwrap()
                .clone_into(&mut token);
            ready("127.0.0.1:4711".parse().unwrap())?;
            Ok(Exit::Fine)
        });
        assert_eq!(exit.unwrap(), Exit::Fine);
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        assert!(
            text.contains(&format!("export HMG_TOKEN={token}\n")),
            "{text}"
        );
        assert!(
            text.contains(r"curl -sS -w '\n' http://127.0.0.1:4711/host/rpc"),
            "{text}"
        );
        assert_eq!(text.matches(&token).count(), 1, "the token is shown once");
    }

    #[test]
    fn nothing_is_printed_when_the_gateway_does_not_start() {
        let mut out = Vec::new();
        let result = run(&mut out, |_, _| anyhow::bail!("no port is free"));
        assert!(result.is_err() && out.is_empty());
    }
}
