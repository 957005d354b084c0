//! Reload of the config by SIGHUP: what changes takes effect, what does not notices nothing, and a file that is
//! refused changes nothing at all.

mod alone;
mod entry;
mod servers;
mod sessions;
mod stops;
mod streams;

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::Gateway;
use crate::support::wait::wait_for;

const SOON: Duration = Duration::from_secs(10);

/// What `/health` says of the config.
async fn config_health(gateway: &Gateway) -> Value {
    gateway.client().get("/health").await.json()["config"].clone()
}

/// Has the gateway reload what is in its file, and waits until that is in force.
async fn reloaded(gateway: &Gateway) {
    let before = config_health(gateway).await["generation"].as_u64().unwrap();
    gateway.signal(Signal::HUP);
    wait_for("the next generation", SOON, async || {
        let now = config_health(gateway).await["generation"].as_u64().unwrap();
        (now > before).then_some(())
    })
    .await;
}

/// Changes the file and reloads it.
pub(crate) async fn reload(gateway: &Gateway, change: impl FnOnce(&mut Value)) {
    gateway.rewrite_config(change);
    reloaded(gateway).await;
}

/// The entry of a server in a config.
pub(crate) fn entry<'c>(config: &'c mut Value, server_id: &str) -> &'c mut Value {
    let entries = config["servers"].as_array_mut().unwrap();
    let entry = entries
        .iter_mut()
        .find(|entry| entry["server_id"] == server_id);
    entry.unwrap_or_else(|| panic!("no {server_id} in the config"))
}

/// Takes a server out of a config; gives its entry.
pub(crate) fn take_out(config: &mut Value, server_id: &str) -> Value {
    let entries = config["servers"].as_array_mut().unwrap();
    let at = entries
        .iter()
        .position(|entry| entry["server_id"] == server_id);
    entries.remove(at.unwrap())
}

/// Puts a server beside another that is like it but for its name.
fn put_beside(config: &mut Value, like: &str, server_id: &str) {
    let mut new = entry(config, like).clone();
    new["server_id"] = server_id.into();
    if let Some(journal) = new["env"].get_mut("GREMLIN_JOURNAL") {
        *journal = format!("{}-of-{server_id}", journal.as_str().unwrap()).into();
    }
    config["servers"].as_array_mut().unwrap().push(new);
}

/// The process of a server, once it answers: while it is being replaced, it is not waited for for long.
async fn pid(gateway: &Gateway, server_id: &str) -> Value {
    let client = gateway.client();
    wait_for(&format!("an answer of {server_id}"), SOON, async || {
        let answer = client.call(server_id, "echo", &json!({"text": "up"})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    client.status(server_id).await["pid"].clone()
}
