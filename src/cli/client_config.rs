//! `client-config`: what to paste into an MCP client. The token is never in it: each snippet names the
//! variable `HMG_TOKEN`, or has the client ask for it.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::args::{Client, ClientConfigArgs};
use super::{Exit, assembly, terminal};

const DEFAULT_URL: &str = "http://127.0.0.1:7411";

/// Stands for the id of a server where no config says which there are.
const ANY_SERVER: &str = "SERVER_ID";

/// What to paste into one client.
#[derive(Debug)]
pub(super) struct Snippet {
    /// Where it belongs, for a person.
    pub(super) place: &'static str,
    /// The text itself, and nothing else: it may be redirected into a file.
    pub(super) text: String,
}

pub(super) fn run(
    args: &ClientConfigArgs,
    config: Option<&Path>,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let loaded = config.map(assembly::load);
    if let (Some(Ok(loaded)), Some(id)) = (&loaded, &args.server)
        && !loaded.servers.iter().any(|server| &server.id == id)
    {
        anyhow::bail!("the config has no server {id:?}");
    }
    let base = match (&args.url, &loaded) {
        (Some(url), _) => checked(url)?,
        (None, Some(Ok(loaded))) => {
            for doubt in &loaded.base_url_doubts {
                terminal::remark(doubt);
            }
            loaded.base_url.clone()
        }
        (None, Some(Err(refused))) if !refused.missing => {
            anyhow::bail!("the config is refused: host-mcp-gateway check says why")
        }
        (None, _) => {
            terminal::remark(&format!(
                "there is no config, so the address is a guess: {DEFAULT_URL}"
            ));
            DEFAULT_URL.to_owned()
        }
    };
    let servers = match (&args.server, &loaded) {
        (Some(id), _) => vec![id.to_string()],
        (None, Some(Ok(loaded))) => {
            let enabled = loaded.servers.iter().filter(|server| !server.disabled);
            enabled.map(|server| server.id.to_string()).collect()
        }
        (None, _) => vec![ANY_SERVER.to_owned()],
    };
    let snippet = snippet(args.client, &base, &servers);
    terminal::remark(snippet.place);
    out.write_all(snippet.text.as_bytes())?;
    Ok(Exit::Fine)
}

/// A base URL without a slash at its end.
pub(super) fn checked(url: &str) -> anyhow::Result<String> {
    let parsed: http::Uri = url.parse().context("--url is no URL")?;
    let known = matches!(parsed.scheme_str(), Some("http" | "https"));
    anyhow::ensure!(
        known
            && parsed
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@')),
        "--url: expected http://HOST:PORT or https://HOST:PORT, without a user"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

/// What to paste, and where: one entry for each of the servers.
pub(super) fn snippet(client: Client, base: &str, servers: &[String]) -> Snippet {
    let http = |token| move |url: &str| with_header(json!({"type": "http", "url": url}), token);
    let (place, text) = match client {
        Client::ClaudeCode => (
            "for .mcp.json in a project, or ~/.claude.json; Claude Code fills in the variable HMG_TOKEN",
            pretty(&json!({"mcpServers": entries(base, servers, http("${HMG_TOKEN}"))})),
        ),
        Client::Cursor => (
            "for ~/.cursor/mcp.json, or .cursor/mcp.json in a project; Cursor fills in the variable HMG_TOKEN",
            pretty(&json!({
                "mcpServers": entries(base, servers, |url| {
                    with_header(json!({"url": url}), "${env:HMG_TOKEN}")
                }),
            })),
        ),
        Client::Vscode => (
            "for .vscode/mcp.json, or \"MCP: Open User Configuration\"; VS Code asks for the token once",
            pretty(&json!({
                "servers": entries(base, servers, http("${input:hmg-token}")),
                "inputs": [{
                    "type": "promptString", "id": "hmg-token", "password": true,
                    "description": "Token of host-mcp-gateway",
                }],
            })),
        ),
        Client::Curl => (
            "for bash or zsh; first: read -rs HMG_TOKEN",
            curl(base, servers),
        ),
        Client::Generic => (
            "for any client with Streamable HTTP",
            generic(base, servers),
        ),
    };
    Snippet { place, text }
}

fn pretty(file: &Value) -> String {
    format!("{file:#}\n")
}

/// The address of a server for MCP clients.
fn url(base: &str, server: &str) -> String {
    format!("{base}/{server}/mcp")
}

/// An object with one member for each server, named like it.
fn entries(base: &str, servers: &[String], entry: impl Fn(&str) -> Value) -> Value {
    let members = servers.iter();
    members
        .map(|server| (server.clone(), entry(&url(base, server))))
        .collect()
}

/// The token goes through a here-string, so that it is in no command line.
fn curl(base: &str, servers: &[String]) -> String {
    let header = "-H @- <<<\"Authorization: Bearer $HMG_TOKEN\"";
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let mut text = format!("curl -sS -w '\\n' {base}/servers {header}\n");
    text.extend(servers.iter().map(|server| {
        format!(
            "curl -sS -w '\\n' {base}/{server}/rpc -H 'Content-Type: application/json' \\\n  -d '{body}' {header}\n"
        )
    }));
    text
}

fn generic(base: &str, servers: &[String]) -> String {
    let mut text =
        "transport  Streamable HTTP\nheader     Authorization: Bearer $HMG_TOKEN\n".to_owned();
    text.extend(
        servers
            .iter()
            .map(|server| format!("url        {}\n", url(base, server))),
    );
    text
}

fn with_header(mut server: Value, token: &str) -> Value {
    if let Some(server) = server.as_object_mut() {
        let headers = json!({"Authorization": format!("Bearer {token}")});
        server.insert("headers".to_owned(), headers);
    }
    server
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_snippet_names_the_endpoint_and_where_the_token_comes_from() {
        for client in Client::value_variants() {
            let servers = ["notes".to_owned(), "git".to_owned()];
            let Snippet { place, text } = snippet(*client, "http://10.0.0.2:7411", &servers);
            for server in &servers {
                let url = format!("http://10.0.0.2:7411/{server}/");
                assert!(text.contains(&url), "{text}");
            }
            assert!(
                text.contains("HMG_TOKEN") || text.contains("hmg-token"),
                "{text}"
            );
            assert!(place.starts_with("for "), "{place}");
        }
    }

    #[test]
    fn the_files_of_clients_are_json_and_nothing_else() {
        for (client, key) in [
            (Client::ClaudeCode, "mcpServers"),
            (Client::Cursor, "mcpServers"),
            (Client::Vscode, "servers"),
        ] {
            let Snippet { text, .. } = snippet(client, DEFAULT_URL, &["git".to_owned()]);
            let file: Value = serde_json::from_str(&text).unwrap();
            let server = &file[key]["git"];
            assert_eq!(server["url"], "http://127.0.0.1:7411/git/mcp");
            assert!(
                server["headers"]["Authorization"]
                    .as_str()
                    .unwrap()
                    .starts_with("Bearer ${")
            );
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        assert_eq!(checked("https://h:1/").unwrap(), "https://h:1");
        for url in ["h:1", "ftp://h", "http://u:p@h", ""] {
            let error = checked(url).expect_err(url).to_string();
            assert!(
                error.starts_with("--url") && !error.contains("u:p"),
                "{error}"
            );
        }
    }
}
