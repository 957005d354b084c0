//! `client-config`: what to paste into an MCP client. The token is never in it: each snippet names the
//! variable `HMG_TOKEN`, or has the client ask for it.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::args::{Client, ClientConfigArgs};
use super::{Exit, assembly, terminal};

const DEFAULT_URL: &str = "http://127.0.0.1:7411";

pub(super) fn run(
    args: &ClientConfigArgs,
    config: Option<&Path>,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let loaded = config.and_then(|path| assembly::load(path).ok());
    if let (Some(loaded), Some(id)) = (&loaded, &args.server)
        && !loaded.servers.iter().any(|server| &server.id == id)
    {
        anyhow::bail!("the config has no server {id:?}");
    }
    let base = match (&args.url, loaded) {
        (Some(url), _) => checked(url)?,
        (None, Some(loaded)) => loaded.base_url,
        (None, None) => {
            terminal::remark(&format!(
                "no readable config, so the address is a guess: {DEFAULT_URL}"
            ));
            DEFAULT_URL.to_owned()
        }
    };
    let server = args.server.as_ref().map(crate::types::ServerId::as_str);
    out.write_all(snippet(args.client, &base, server).as_bytes())?;
    Ok(Exit::Fine)
}

/// A base URL without a slash at its end.
fn checked(url: &str) -> anyhow::Result<String> {
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

/// What to paste, with where to paste it.
pub(super) fn snippet(client: Client, base: &str, server: Option<&str>) -> String {
    let name = server.unwrap_or("host-mcp-gateway");
    let url = match server {
        None => format!("{base}/mcp"),
        Some(id) => format!("{base}/{id}/mcp"),
    };
    match client {
        Client::ClaudeCode => format!(
            "# .mcp.json in a project, or \"mcpServers\" in ~/.claude.json; Claude Code fills in the variable\n{:#}\n",
            servers(
                "mcpServers",
                name,
                &with_header(json!({"type": "http", "url": url}), "${HMG_TOKEN}")
            )
        ),
        Client::Cursor => format!(
            "# ~/.cursor/mcp.json, or .cursor/mcp.json in a project; Cursor fills in the variable\n{:#}\n",
            servers(
                "mcpServers",
                name,
                &with_header(json!({"url": url}), "${env:HMG_TOKEN}")
            )
        ),
        Client::Vscode => {
            let server = with_header(json!({"type": "http", "url": url}), "${input:hmg-token}");
            let mut file = servers("servers", name, &server);
            if let Some(file) = file.as_object_mut() {
                let input = json!([{
                    "type": "promptString", "id": "hmg-token", "password": true,
                    "description": "Token of host-mcp-gateway",
                }]);
                file.insert("inputs".to_owned(), input);
            }
            format!(
                "# .vscode/mcp.json, or \"MCP: Open User Configuration\"; VS Code asks for the token once\n{file:#}\n"
            )
        }
        Client::Curl => curl(base, server),
        Client::Generic => format!(
            "transport  Streamable HTTP (MCP 2025-03-26 to 2026-07-28)\nurl        {url}\n\
             header     Authorization: Bearer $HMG_TOKEN\n"
        ),
    }
}

/// The token goes through a here-string, so that it is in no command line.
fn curl(base: &str, server: Option<&str>) -> String {
    let header = "-H @- <<<\"Authorization: Bearer $HMG_TOKEN\"";
    let Some(id) = server else {
        return format!(
            "# bash or zsh; first: read -rs HMG_TOKEN\ncurl -sS {base}/servers {header}\n"
        );
    };
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    format!(
        "# bash or zsh; first: read -rs HMG_TOKEN\ncurl -sS {base}/{id}/rpc -H 'Content-Type: application/json' \\\n  \
         -d '{body}' {header}\n"
    )
}

fn with_header(mut server: Value, token: &str) -> Value {
    if let Some(server) = server.as_object_mut() {
        let headers = json!({"Authorization": format!("Bearer {token}")});
        server.insert("headers".to_owned(), headers);
    }
    server
}

fn servers(key: &str, name: &str, server: &Value) -> Value {
    json!({ key: { name: server } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_snippet_names_the_endpoint_and_where_the_token_comes_from() {
        for client in Client::value_variants() {
            let text = snippet(*client, "http://10.0.0.2:7411", Some("notes"));
            assert!(text.contains("http://10.0.0.2:7411/notes/"), "{text}");
            assert!(
                text.contains("HMG_TOKEN") || text.contains("hmg-token"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_files_of_clients_are_json_below_their_comment() {
        for (client, key) in [
            (Client::ClaudeCode, "mcpServers"),
            (Client::Cursor, "mcpServers"),
            (Client::Vscode, "servers"),
        ] {
            let text = snippet(client, DEFAULT_URL, None);
            let (_comment, json) = text.split_once('\n').unwrap();
            let file: Value = serde_json::from_str(json).unwrap();
            let server = &file[key]["host-mcp-gateway"];
            assert_eq!(server["url"], "http://127.0.0.1:7411/mcp");
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
