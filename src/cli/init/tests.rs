//! The promises about the file that `init` writes.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::types::is_own_token;

fn at(root: &Path) -> Surroundings {
    Surroundings {
        home: Some(root.to_owned()),
        xdg_config_home: None,
        cwd: None,
    }
}

fn args() -> InitArgs {
    InitArgs {
        config: crate::cli::args::ConfigArg::default(),
        path: None,
        import: false,
        force: false,
        yes: false,
    }
}

fn init(args: &InitArgs, at: &Surroundings) -> (anyhow::Result<Exit>, String) {
    let mut out = Vec::new();
    let exit = run(args, &|| at.config_path(None), at, &mut out);
    (exit, String::from_utf8(out).unwrap())
}

fn parsed(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    jsonc_parser::parse_to_serde_value(&text, &jsonc_parser::ParseOptions::default()).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_first_config_is_private_has_a_fresh_token_and_the_built_in_server() {
    let dir = tempfile::tempdir().unwrap();
    let at = at(dir.path());
    let (exit, told) = init(&args(), &at);
    assert_eq!(exit.unwrap(), Exit::Fine);
    let path = dir.path().join(".config/host-mcp-gateway/config.json");
    let folder = path.parent().unwrap();
    assert_eq!((mode(&path), mode(folder)), (0o600, 0o700));
    let config = parsed(&path);
    let token = config["auth_token"].as_str().unwrap();
    assert!(is_own_token(token));
    assert!(
        !told.contains(token) && told.contains("~/.config/host-mcp-gateway/config.json"),
        "{told}"
    );
    assert_eq!(config["allowed_clients"], json!(["localhost"]));
    assert_eq!(config["servers"][0]["args"], json!(["host-server"]));
    let drafts = std::fs::read_dir(folder).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".draft")
    });
    assert_eq!(drafts.count(), 0);
}

#[test]
fn a_config_is_replaced_only_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let at = at(dir.path());
    let path = dir.path().join("c.json");
    std::fs::write(&path, "mine").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut args = InitArgs {
        path: Some(path.clone()),
        ..args()
    };
    let error = init(&args, &at).0.expect_err("must be refused").to_string();
    assert!(error.contains("--force"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    args.force = true;
    let (exit, told) = init(&args, &at);
    assert_eq!(exit.unwrap(), Exit::Fine);
    assert!(told.contains("--config ~/c.json check --start"), "{told}");
    assert!(parsed(&path)["auth_token"].is_string());
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_file_that_appears_meanwhile_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    std::fs::write(&path, "theirs").unwrap();
    private_file::write(&path, "ours", Existing::Keep).expect_err("must be refused");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "a draft was left"
    );
}

#[test]
fn found_servers_are_taken_over_only_when_somebody_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let at = at(dir.path());
    std::fs::create_dir(dir.path().join(".cursor")).unwrap();
    let cursor = json!({"mcpServers": {"a b": {"command": "x", "env": {"KEY": "canary \"}//"}},
        "far": {"url": "https://far"}}});
    std::fs::write(dir.path().join(".cursor/mcp.json"), cursor.to_string()).unwrap();
    let found = import::find(&at);
    assert_eq!(found.candidates.len(), 1);

    let (exit, told) = init(
        &InitArgs {
            import: true,
            yes: true,
            ..args()
        },
        &at,
    );
    assert_eq!(exit.unwrap(), Exit::Fine);
    assert!(
        told.contains("a-b  x  env KEY") && !told.contains("canary"),
        "{told}"
    );
    let config = parsed(&at.config_path(None).unwrap());
    assert_eq!(
        config["servers"],
        json!([{"server_id": "a-b", "command": "x", "env": {"KEY": "canary \"}//"}}])
    );
}

#[test]
fn a_path_is_quoted_where_a_shell_would_take_it_apart() {
    assert_eq!(shell_word(Path::new("/h/c.json"), "~/c.json"), "~/c.json");
    assert_eq!(
        shell_word(Path::new("/h/my 'c'.json"), "~/my 'c'.json"),
        r"'/h/my '\''c'\''.json'"
    );
}
