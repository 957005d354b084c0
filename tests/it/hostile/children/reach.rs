//! What a server can reach beyond its pipes (H105, H106).

use super::*;
use crate::support::gateway::{TOKEN, WITHOUT_RIGHTS};
use crate::support::process;

/// H105: a server runs as the user of the gateway, and still cannot look into it: not at its environment,
/// not into its memory, not at what it has open. (That it can send it signals, and read the files of its
/// user, is for a service manager to forbid.)
#[tokio::test]
async fn a_server_cannot_look_into_the_gateway() {
    let root = rustix::process::getuid().is_root();
    if !cfg!(target_os = "linux") || (root && !process::can_run_by(&WITHOUT_RIGHTS)) {
        return;
    }
    let gateway = Gateway::builder()
        .env("SECRET", "canary-of-the-gateway")
        .unprivileged()
        .server(Server::gremlin("s1"))
        .start();
    let client = gateway.client();
    let read = async |path: String| {
        let deed = json!({"do": "read", "path": path});
        text_of(&client.deed("s1", &deed).await.json())
    };
    assert!(
        read("/proc/self/environ".to_owned())
            .await
            .ends_with("bytes")
    );
    let pid = gateway.pid();
    // What everybody may know of a process.
    assert!(read(format!("/proc/{pid}/stat")).await.ends_with("bytes"));
    for file in [
        "environ",
        "mem",
        "maps",
        "auxv",
        "fd/0",
        "cwd/config.json",
        "root/etc/passwd",
    ] {
        let told = read(format!("/proc/{pid}/{file}")).await;
        assert!(
            told.contains("denied") || told.contains("not permitted"),
            "{file}: {told}"
        );
    }
}

/// H106: a server is given nothing by which it could come back as a client: no token in its environment,
/// its arguments or its descriptors, nor in those of any process of the gateway's that it can list.
#[tokio::test]
async fn a_server_has_no_token_to_come_back_with() {
    let gateway = Gateway::builder()
        .people()
        .env("HMG_TOKEN", TOKEN)
        .server(Server::gremlin("s1").set("inherit_env", json!(["HOME", "PATH"])))
        .start();
    let client = gateway.client();
    let told = async |deed: &str| text_of(&client.deed("s1", &json!({"do": deed})).await.json());
    let environment = told("dump_env").await;
    assert!(environment.contains("GREMLIN_JOURNAL"), "{environment}");
    let open: Value = serde_json::from_str(&told("list_fds").await).unwrap();
    assert_eq!(open.as_object().unwrap().len(), 3, "{open}");
    let mut seen = vec![environment, told("whoami").await];
    for member in gateway.family() {
        seen.push(process::command_line(member.pid));
    }
    for secret in [TOKEN, "alice-", "bob-"] {
        assert!(
            seen.iter().all(|text| !text.contains(secret)),
            "{secret}: {seen:?}"
        );
    }
    // What is left to try.
    for token in [None, Some("s1"), Some("gremlin"), Some("")] {
        let stranger = gateway.client_with(token);
        let refused = stranger.call("s1", "echo", &json!({"text": "me"})).await;
        assert_eq!(fault_of(&refused), (401, json!("auth_failed")), "{token:?}");
    }
}
