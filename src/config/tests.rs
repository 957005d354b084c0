//! What the loader promises about whole files.

mod addresses;
mod faults;
mod instances;
mod limits;
mod redaction;
mod servers;
mod state;
mod tls;
mod tokens;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Config, Env, Faults, load, schema};

/// A token that is long enough.
const TOKEN: &str = "0123456789abcdef0123456789ABCDEF";

/// A directory with a config file in it, and the environment to load it with.
struct Fixture {
    dir: tempfile::TempDir,
    variables: Vec<(OsString, OsString)>,
}

impl Fixture {
    fn new(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter();
        Self {
            dir: tempfile::tempdir().unwrap(),
            variables: variables
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("config.json")
    }

    /// Writes a file that only its owner can read.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        chmod(&path, 0o600);
        path
    }

    fn load(&self, text: &str) -> Result<Config, Faults> {
        let path = self.write("config.json", text);
        let uid = rustix::process::geteuid().as_raw();
        let home = Some(self.dir.path().to_owned());
        load(&path, &Env::new(self.variables.clone(), home, uid))
    }

    /// The faults as printed, the path of the file shortened.
    fn faults(&self, text: &str) -> String {
        let printed = self.load(text).expect_err("no fault").to_string();
        printed.replace(self.path().to_str().unwrap(), "c.json")
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The least that a config needs, with further keys.
fn with(further: &str) -> String {
    format!(
        r#"{{ "allowed_clients": ["localhost"], "auth_token": "{TOKEN}", "servers": [], {further} }}"#
    )
}

fn faults(text: &str) -> String {
    Fixture::new(&[]).faults(text)
}

fn loaded(text: &str) -> Config {
    Fixture::new(&[]).load(text).expect("faults")
}

#[test]
fn the_published_shape_loads_with_the_published_defaults() {
    let config = loaded(&format!(
        r#"{{
            "auth_token": "{TOKEN}",
            "allowed_clients": ["127.0.0.1", "192.168.1.0/24"],
            "servers": [{{
                "server_id": "host-service",
                "command": "/bin/sh",
                "args": ["-c", "cat"],
                "working_dir": "",
                "env": {{}},
                "startup_timeout_ms": 0,
            }}]
        }}"#
    ));
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:7411");
    assert_eq!(config.warnings, [""; 0]);
    let server = &config.servers[0].supervisor;
    assert_eq!(server.id.as_str(), "host-service");
    assert_eq!(server.launch.program, Path::new("/bin/sh"));
    assert_eq!(server.launch.args, ["-c", "cat"]);
    assert_eq!(server.launch.working_dir, None);
    assert!(!server.autostart && !server.disabled);
    assert_eq!(server.restart_policy.as_str(), "on-failure");
    assert_eq!(server.startup_timeout.as_secs(), 60);
    assert_eq!(server.backoff.first.as_secs(), 2);
    assert_eq!(server.backoff.max.as_secs(), 60);
    assert_eq!(server.restart_limit.count, 10);
    assert_eq!(server.restart_limit.window.as_secs(), 600);
    assert_eq!(server.requests.timeout.as_secs(), 30);
    assert_eq!(server.requests.max.as_secs(), 600);
    assert_eq!(server.stop.grace.as_secs(), 2);
}

#[test]
fn the_sample_loads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("config/config.sample.json")).unwrap();
    let token = ("HOST_MCP_TOKEN", TOKEN);
    let config = Fixture::new(&[("HOME", "/home/me"), ("PATH", "/bin"), token])
        .load(&text)
        .expect("faults");
    let ids: Vec<_> = config
        .servers
        .iter()
        .map(|server| server.supervisor.id.as_str())
        .collect();
    assert_eq!(ids, ["filesystem", "git", "time"]);
    assert_eq!(
        config.servers[0].supervisor.launch.args,
        [
            "-y",
            "@modelcontextprotocol/server-filesystem",
            "/home/me/Documents"
        ]
    );
    let names = config.http.admission.tokens.iter();
    let names: Vec<_> = names.map(|token| &*token.principal.name).collect();
    assert_eq!(names, ["owner", "agents"]);
}

#[test]
fn the_committed_schema_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("config/host-mcp-gateway.schema.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let made = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    assert!(
        committed == made,
        "run: host-mcp-gateway schema > config/host-mcp-gateway.schema.json"
    );
}

#[test]
fn every_key_of_the_schema_is_read_and_its_default_is_the_loaders() {
    let schema = schema();
    let definitions = schema["definitions"].as_object().unwrap();
    let mut explicit = serde_json::Map::new();
    let defaults_of = |section: &serde_json::Value| {
        let mut defaults = serde_json::Map::new();
        for (key, value) in section["properties"].as_object().unwrap() {
            defaults.extend(
                value
                    .get("default")
                    .map(|value| (key.clone(), value.clone())),
            );
        }
        defaults
    };
    explicit.extend(defaults_of(&schema));
    for (key, section) in [
        ("limits", "Limits"),
        ("log", "Log"),
        ("restart_limit", "RestartLimit"),
    ] {
        let defaults = defaults_of(&definitions[section]);
        assert!(!defaults.is_empty(), "{section}");
        explicit.insert(key.to_owned(), defaults.into());
    }
    let mut server = defaults_of(&definitions["Server"]);
    let server_alone = serde_json::json!({ "server_id": "a", "command": "/bin/sh" });
    server.extend(server_alone.as_object().unwrap().clone());
    let needed = serde_json::json!({ "allowed_clients": ["localhost"], "auth_token": TOKEN });
    let mut implicit = needed.as_object().unwrap().clone();
    explicit.extend(implicit.clone());
    implicit.insert("servers".to_owned(), serde_json::json!([server_alone]));
    explicit.insert("servers".to_owned(), serde_json::json!([server]));
    let fixture = Fixture::new(&[("PATH", "/bin"), ("OTHER", "x")]);
    let shown = |object: serde_json::Map<String, serde_json::Value>| {
        let config = fixture.load(&serde_json::Value::from(object).to_string());
        format!("{:?}", config.expect("faults"))
    };
    assert_eq!(shown(explicit), shown(implicit));
}
