//! Which clients keep their servers where, and how a file of theirs is read.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::entry::Dialect;
use crate::cli::surroundings::Surroundings;

/// `~/.claude.json` holds histories too and grows; more than this is no config.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// One file that may hold servers.
#[derive(Debug)]
pub(in crate::cli) struct Source {
    /// The client's name, for people.
    pub(super) client: &'static str,
    pub(super) file: PathBuf,
    shape: Shape,
}

impl Source {
    /// The form in which the client writes references to variables.
    pub(super) fn dialect(&self) -> Dialect {
        match self.client {
            "Gemini CLI" => Dialect::Dollar,
            _ => Dialect::Braces,
        }
    }
}

/// One entry of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: Value,
    /// The folder that the client would start it in, unless the entry names one.
    pub(super) project: Option<String>,
}

/// Where in the file the servers stand.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// An object below this key.
    Below(&'static str),
    /// An object below this key, in a file of a project: `PROJECT/.mcp.json` (1 folder up) or
    /// `PROJECT/.vscode/mcp.json` (2).
    Project(&'static str, usize),
    /// A file that is not read here.
    Unread,
    /// Below `mcpServers`, and below `mcpServers` of each of the `projects`.
    ClaudeCode,
}

/// A folder that the files of clients are found in.
#[derive(Clone, Copy, Debug)]
enum Folder {
    Home,
    /// `$XDG_CONFIG_HOME`
    Config,
    /// Application Support of macOS.
    Library,
    /// The working directory.
    Project,
}

/// The file of Cline, below the configuration of VS Code.
const CLINE: &str =
    "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json";

const MCP_SERVERS: Shape = Shape::Below("mcpServers");

/// The files of the known clients: of the user first, then of the project in the working directory.
#[rustfmt::skip]
const KNOWN: [(&str, Folder, &str, Shape); 21] = [
    ("Claude Desktop", Folder::Library, "Claude/claude_desktop_config.json", MCP_SERVERS),
    ("Claude Desktop", Folder::Config, "Claude/claude_desktop_config.json", MCP_SERVERS),
    ("Claude Code", Folder::Home, ".claude.json", Shape::ClaudeCode),
    ("Cursor", Folder::Home, ".cursor/mcp.json", MCP_SERVERS),
    ("VS Code", Folder::Library, "Code/User/mcp.json", Shape::Below("servers")),
    ("VS Code", Folder::Config, "Code/User/mcp.json", Shape::Below("servers")),
    ("Windsurf", Folder::Home, ".codeium/windsurf/mcp_config.json", MCP_SERVERS),
    ("Gemini CLI", Folder::Home, ".gemini/settings.json", MCP_SERVERS),
    ("Zed", Folder::Config, "zed/settings.json", Shape::Below("context_servers")),
    ("LM Studio", Folder::Home, ".lmstudio/mcp.json", MCP_SERVERS),
    ("Kiro", Folder::Home, ".kiro/settings/mcp.json", MCP_SERVERS),
    ("Copilot CLI", Folder::Home, ".copilot/mcp-config.json", MCP_SERVERS),
    ("Cline", Folder::Library, CLINE, MCP_SERVERS),
    ("Cline", Folder::Config, CLINE, MCP_SERVERS),
    ("Codex", Folder::Home, ".codex/config.toml", Shape::Unread),
    ("opencode", Folder::Config, "opencode/opencode.json", Shape::Unread),
    ("goose", Folder::Config, "goose/config.yaml", Shape::Unread),
    ("Continue", Folder::Home, ".continue/config.yaml", Shape::Unread),
    ("Claude Code", Folder::Project, ".mcp.json", Shape::Project("mcpServers", 1)),
    ("Cursor", Folder::Project, ".cursor/mcp.json", Shape::Project("mcpServers", 2)),
    ("VS Code", Folder::Project, ".vscode/mcp.json", Shape::Project("servers", 2)),
];

/// The files of all known clients that exist.
pub(in crate::cli) fn sources(at: &Surroundings) -> Vec<Source> {
    let folder = |folder| match folder {
        Folder::Home => at.home.clone(),
        Folder::Config => at.config_home(),
        Folder::Library => at
            .home
            .as_ref()
            .map(|home| home.join("Library/Application Support")),
        Folder::Project => at.cwd.clone(),
    };
    let mut sources: Vec<Source> = Vec::new();
    for (client, place, path, shape) in KNOWN {
        let file = folder(place).map(|folder| folder.join(path));
        let Some(file) = file.filter(|file| file.is_file()) else {
            continue;
        };
        // The working directory may be the home directory.
        if !sources.iter().any(|source| source.file == file) {
            sources.push(Source {
                client,
                file,
                shape,
            });
        }
    }
    sources
}

impl Source {
    /// The entries by name, in the order of the file; the error says why there are none.
    pub(super) fn read(&self) -> Result<Vec<Entry>, String> {
        if let Shape::Unread = self.shape {
            let text =
                "it is in a form that is not read here: write its servers into the config by hand";
            return Err(text.to_owned());
        }
        let text = read_bounded(&self.file)?;
        let root: Value =
            jsonc_parser::parse_to_serde_value(&text, &jsonc_parser::ParseOptions::default())
                .map_err(|error| format!("not JSON: {}", error.kind()))?;
        Ok(match self.shape {
            Shape::Unread => Vec::new(),
            Shape::Below(key) => entries(root.get(key), None),
            Shape::Project(key, up) => {
                let folder = self.file.ancestors().nth(up).and_then(Path::to_str);
                entries(root.get(key), folder)
            }
            Shape::ClaudeCode => {
                let mut all = entries(root.get("mcpServers"), None);
                let projects = root.get("projects").and_then(Value::as_object);
                for (folder, project) in projects.into_iter().flatten() {
                    all.extend(entries(project.get("mcpServers"), Some(folder)));
                }
                all
            }
        })
    }
}

fn entries(servers: Option<&Value>, project: Option<&str>) -> Vec<Entry> {
    let servers = servers.and_then(Value::as_object);
    let entry = |(name, value): (&String, &Value)| Entry {
        name: name.clone(),
        value: value.clone(),
        project: project.map(str::to_owned),
    };
    servers.into_iter().flatten().map(entry).collect()
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_BYTES) {
        return Err(format!("longer than {MAX_BYTES} bytes"));
    }
    Ok(text)
}
