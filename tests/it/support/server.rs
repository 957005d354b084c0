//! Servers to put behind a gateway: entries of the config's `servers` list.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::places;

/// One entry of `servers`.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    id: String,
    entry: Map<String, Value>,
    journal: bool,
}

impl Server {
    /// Any program.
    pub(crate) fn new(id: &str, command: &str, arguments: &[&str]) -> Self {
        let mut entry = Map::new();
        entry.insert("server_id".to_owned(), id.into());
        entry.insert("command".to_owned(), command.into());
        entry.insert("args".to_owned(), arguments.to_vec().into());
        Self {
            id: id.to_owned(),
            entry,
            journal: false,
        }
    }

    /// A gremlin with a journal. Started at the first request unless [`Self::autostart`] is set.
    pub(crate) fn gremlin(id: &str) -> Self {
        let program = places::gremlin();
        let mut gremlin = Self::new(id, path_text(&program), &[]);
        gremlin.journal = true;
        gremlin
    }

    /// The healthy one that runs beside every fault: a gremlin nobody gives orders to.
    pub(crate) fn control() -> Self {
        Self::gremlin("control").autostart()
    }

    /// The server of the conformance suite, in the `legacy` or `modern` era or `dual`.
    pub(crate) fn conformance(id: &str, era: &str) -> Self {
        let program = places::conformance_server();
        Self::new(id, path_text(&program), &[&format!("era={era}")])
    }

    /// `@modelcontextprotocol/server-everything`: legacy era, 13 tools; three more ask its client something and
    /// are there for clients that can be asked, as the gateway says.
    pub(crate) fn everything(id: &str) -> Self {
        node(id, "server-everything", &["stdio"])
    }

    /// `@modelcontextprotocol/server-filesystem` on a folder: legacy era, 14 tools.
    pub(crate) fn filesystem(id: &str, folder: &Path) -> Self {
        node(id, "server-filesystem", &[path_text(folder)])
    }

    /// `@modelcontextprotocol/server-memory` on a file: legacy era, 9 tools.
    pub(crate) fn memory(id: &str, file: &Path) -> Self {
        node(id, "server-memory", &[]).env("MEMORY_FILE_PATH", path_text(file))
    }

    /// `mcp-server-time`: both eras, 2 tools, slow to start.
    pub(crate) fn time(id: &str) -> Self {
        python(id, "mcp-server-time", &["--local-timezone", "UTC"])
    }

    /// `mcp-server-git` on a repository: both eras, 12 tools.
    pub(crate) fn git(id: &str, repository: &Path) -> Self {
        python(
            id,
            "mcp-server-git",
            &["--repository", path_text(repository)],
        )
    }

    /// A script of `tests/servers/typescript`, which is on the TypeScript SDK.
    pub(crate) fn typescript(id: &str, script: &str) -> Self {
        let script = source("typescript", script);
        let packages = places::installed("node/node_modules");
        Self::new(id, "node", &[path_text(&script)]).env("NODE_PATH", path_text(&packages))
    }

    /// A script of `tests/servers/python`, in the environment with one of the Python SDKs.
    pub(crate) fn python(id: &str, environment: &str, script: &str) -> Self {
        let script = source("python", script);
        let interpreter = places::installed(&format!("{environment}/bin/python"));
        Self::new(id, path_text(&interpreter), &["-B", path_text(&script)])
    }

    /// A program of `tests/servers/rust`, which is on the Rust SDK.
    pub(crate) fn rust(id: &str, program: &str) -> Self {
        let program = places::installed(&format!("rust/debug/{program}"));
        Self::new(id, path_text(&program), &[])
    }

    /// Starts with the gateway.
    pub(crate) fn autostart(self) -> Self {
        self.set("autostart", true)
    }

    /// Sets any key of the entry.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.entry.insert(key.to_owned(), value.into());
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        let environment = self.entry.entry("env").or_insert_with(|| json!({}));
        environment[name] = value.into().into();
        self
    }

    /// What a gremlin does for its whole life; see `tests/gremlin/orders.rs`.
    pub(crate) fn orders(self, orders: &Value) -> Self {
        self.env("GREMLIN", orders.to_string())
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The program, its arguments, and its own variables: for a start without a gateway.
    pub(crate) fn launch(&self) -> (String, Vec<String>, Vec<(String, String)>) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let arguments = self.entry["args"].as_array().unwrap();
        let environment = self.entry.get("env").and_then(Value::as_object);
        (
            text(&self.entry["command"]),
            arguments.iter().map(text).collect(),
            environment
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
        )
    }

    /// Takes over the keys that it does not set itself.
    pub(super) fn with_defaults(mut self, defaults: &[(String, Value)]) -> Self {
        for (key, value) in defaults {
            let entry = self.entry.entry(key.clone());
            entry.or_insert_with(|| value.clone());
        }
        self
    }

    /// The entry as it goes into the config of a gateway that keeps its files in `folder`.
    pub(super) fn into_entry(self, folder: &Path, marker: &str) -> Value {
        let journal = journal_path(folder, &self.id);
        let with_journal = self.journal;
        let mut server = self.env(places::MARKER, marker);
        if with_journal {
            server = server.env("GREMLIN_JOURNAL", path_text(&journal));
        }
        server.entry.into()
    }
}

/// Where the journal of a server is.
pub(super) fn journal_path(folder: &Path, id: &str) -> std::path::PathBuf {
    folder.join(format!("journal-{id}"))
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn source(language: &str, script: &str) -> std::path::PathBuf {
    let folder = places::repository().join("tests/servers").join(language);
    folder.join(script)
}

fn node(id: &str, package: &str, arguments: &[&str]) -> Server {
    let script = format!("node/node_modules/@modelcontextprotocol/{package}/dist/index.js");
    let script = places::installed(&script);
    let arguments = [&[path_text(&script)], arguments].concat();
    Server::new(id, "node", &arguments)
}

fn python(id: &str, program: &str, arguments: &[&str]) -> Server {
    let program = places::installed(&format!("python/bin/{program}"));
    Server::new(id, path_text(&program), arguments)
}
