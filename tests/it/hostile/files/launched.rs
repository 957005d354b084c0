//! What is executed for a server, whatever its command and arguments look like.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::wait::wait_for;
use crate::support::{Gateway, Server, places};

const SOON: Duration = Duration::from_secs(10);

/// A script of this name that writes its arguments down, each in brackets, and becomes a gremlin.
fn script(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    let text = "#!/bin/sh\nfor word in \"$@\"; do printf '[%s]' \"$word\"; done > \"$WORDS\"\nexec \"$GREMLIN_PROGRAM\"\n";
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn server(command: &str, arguments: &[&str], words: &Path) -> Server {
    Server::new("g1", command, arguments)
        .env("WORDS", words.to_str().unwrap())
        .env("GREMLIN_PROGRAM", places::gremlin().to_str().unwrap())
}

async fn answers(gateway: &Gateway) {
    let answer = gateway
        .client()
        .call("g1", "echo", &json!({"text": "hi"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// H117: what would mean something to a shell means nothing here.
#[tokio::test]
async fn a_command_and_its_arguments_are_executed_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let (words, touched) = (folder.path().join("words"), folder.path().join("touched"));
    let command = script(folder.path(), "-a b;$(touch c)&'\"`*");
    let touch = format!("$(touch {})", touched.display());
    let arguments = [
        "-c", "; exit 1", "", &touch, "a  b", "*", "--", "$HOME", "`id`", "\n",
    ];
    let gateway = Gateway::builder()
        .server(server(&command, &arguments, &words))
        .start();
    answers(&gateway).await;
    let expected = arguments.map(|word| format!("[{word}]")).concat();
    assert_eq!(std::fs::read_to_string(words).unwrap(), expected);
    assert!(!touched.exists());
}

/// H118: a name is made a path once, at load, and the log says which.
#[tokio::test]
async fn a_relative_command_is_resolved_at_load_and_logged() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words");
    let command = script(folder.path(), "tool");
    let path = format!(
        ".:{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let gateway = Gateway::builder()
        .server(server("tool", &[], &words).env("PATH", path))
        .start();
    let told = gateway.logs().event("server configured", SOON).await;
    assert_eq!(
        (&told["command"], &told["program"]),
        (&json!("tool"), &json!(command))
    );
    wait_for("the warning", SOON, async || {
        let log = gateway.logs().text();
        log.contains("PATH has a relative directory, which is passed over")
            .then_some(())
    })
    .await;
    answers(&gateway).await;
}
