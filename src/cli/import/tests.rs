//! Import from files as clients write them.

use std::path::Path;

use super::*;

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn at(root: &Path) -> Surroundings {
    Surroundings {
        home: Some(root.join("home")),
        xdg_config_home: None,
        cwd: Some(root.join("project")),
    }
}

fn fixture() -> (tempfile::TempDir, Surroundings) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(
        root,
        "home/.config/Claude/claude_desktop_config.json",
        r#"{"mcpServers": {
            "my notes": {"command": "npx", "args": ["-y", "canary-arg"], "env": {"NOTES_KEY": "canary-env"}},
            "mcp": {"command": "uvx", "args": ["mcp-server-time"]}}}"#,
    );
    write(
        root,
        "home/.claude.json",
        r#"{"numStartups": 4,
            "mcpServers": {"clock": {"type": "stdio", "command": "uvx", "args": ["mcp-server-time"], "env": {}},
                           "far": {"type": "http", "url": "https://canary-url.example/mcp"}},
            "projects": {"/p": {"mcpServers": {"git": {"command": "mcp-server-git"}}}, "/q": {}}}"#,
    );
    write(
        root,
        "home/.config/Code/User/mcp.json",
        r#"{// a comment
            "servers": {"git": {"type": "stdio", "command": "git-mcp", "cwd": "/w"},
                        "ask": {"command": "x", "env": {"K": "${input:key}"}},},
            "inputs": []}"#,
    );
    write(root, "home/.cursor/mcp.json", "{ not json");
    write(
        root,
        "home/.codeium/windsurf/mcp_config.json",
        r#"{"mcpServers": {"日本": {"command": "jp"}}}"#,
    );
    write(
        root,
        "home/.gemini/settings.json",
        r#"{"theme": "x", "mcpServers": {
        "gem": {"command": "gem", "env": {"K": "$GEM_KEY"}, "includeTools": ["a"]}}}"#,
    );
    write(root, "home/.codex/config.toml", "[mcp_servers.x]");
    write(
        root,
        "home/.config/zed/settings.json",
        r#"{"context_servers": {"pg": {"source": "custom", "command": {"path": "pg-mcp", "args": ["a", "b"]}}}}"#,
    );
    write(
        root,
        "project/.mcp.json",
        r#"{"mcpServers": {"here": {"command": "./run"}}}"#,
    );
    let at = at(root);
    (dir, at)
}

/// A client whose file is not read is named.
#[test]
fn servers_are_found_named_and_listed_without_a_secret() {
    let (_dir, at) = fixture();
    let found = find(&at);
    let listing = listing(&found, &at);
    assert!(!listing.contains("canary"), "{listing}");
    let project = at.cwd.as_ref().unwrap().display().to_string();
    insta::assert_snapshot!(listing.replace(&project, "PROJECT"), @r#"
    my-notes    npx + 2 arguments     env NOTES_KEY  (Claude Desktop, ~/.config/Claude/claude_desktop_config.json, there "my notes")
    mcp-server  uvx + 1 argument                     (Claude Desktop, ~/.config/Claude/claude_desktop_config.json, there "mcp")
    git         mcp-server-git                       (Claude Code, ~/.claude.json)
    git-2       git-mcp                              (VS Code, ~/.config/Code/User/mcp.json, there "git")
    imported    jp                                   (Windsurf, ~/.codeium/windsurf/mcp_config.json, there "日本")
    gem         gem                   env K          (Gemini CLI, ~/.gemini/settings.json)
      its includeTools is not taken over: every tool is served
    pg          pg-mcp + 2 arguments                 (Zed, ~/.config/zed/settings.json)
    here        ./run                                (Claude Code, PROJECT/.mcp.json)
    skipped: clock (Claude Code, ~/.claude.json): the same as mcp-server of Claude Desktop
    skipped: far (Claude Code, ~/.claude.json): it is reached by URL; this gateway runs stdio servers only
    skipped: the whole file (Cursor, ~/.cursor/mcp.json): not JSON: Expected colon after the string or word in object property
    skipped: ask (VS Code, ~/.config/Code/User/mcp.json): it needs ${input:key}, which only that client knows
    skipped: the whole file (Codex, ~/.codex/config.toml): it is in a form that is not read here: write its servers into the config by hand
    "#);
}

#[test]
fn what_is_taken_over_is_complete() {
    let (_dir, at) = fixture();
    let found = find(&at);
    let config = |id: &str| {
        let candidate = found
            .candidates
            .iter()
            .find(|candidate| candidate.id.as_str() == id);
        candidate
            .unwrap_or_else(|| panic!("{id}: {found:?}"))
            .to_config()
    };
    assert_eq!(
        config("my-notes"),
        json!({"server_id": "my-notes", "command": "npx", "args": ["-y", "canary-arg"],
            "env": {"NOTES_KEY": "canary-env"}})
    );
    assert_eq!(
        config("git"),
        json!({"server_id": "git", "command": "mcp-server-git", "working_dir": "/p"})
    );
    assert_eq!(config("gem")["env"], json!({"K": "${GEM_KEY}"}));
    let project = at.cwd.as_ref().unwrap();
    assert_eq!(
        config("here"),
        json!({"server_id": "here", "command": "./run", "working_dir": project})
    );
    assert_eq!(
        config("git-2"),
        json!({"server_id": "git-2", "command": "git-mcp", "working_dir": "/w"})
    );
}

#[test]
fn nothing_is_found_where_no_client_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(find(&at(dir.path())), Found::default());
}

#[test]
fn a_long_name_stays_legal_when_it_is_numbered() {
    let mut names = Names::default();
    let long = "x".repeat(63);
    let first = names.take(&long).unwrap();
    let second = names.take(&long).unwrap();
    assert_eq!(first.as_str(), long);
    assert!(second.as_str().ends_with("x-2") && second.as_str().len() <= 63);
}
