//! What must hold after every fault, whatever the fault was.
//!
//! The numbers U3 to U9 are those of the fault matrix: the neighbour is untouched, no process or zombie is
//! left, descriptors and threads return to where they were, memory is bounded, no canary leaks, and no
//! request was written twice.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Gateway;
use super::gateway::TOKEN;
use super::process::{self, Footprint};
use super::wait::wait_until;

/// How long the gateway may take to settle after a fault.
const SETTLE: Duration = Duration::from_secs(15);
/// U6, without what caps of the config allow on top.
const GROWTH_KIB: usize = 32 * 1024;

/// The state of a gateway before a fault, to compare with what is after it.
#[derive(Debug)]
pub(crate) struct Oracle {
    before: Option<Footprint>,
    canaries: Vec<String>,
}

impl Oracle {
    /// Has each of these gremlins answer once, so that all are up, and remembers how things are then.
    pub(crate) async fn before(gateway: &Gateway, server_ids: &[&str]) -> Self {
        for server_id in server_ids {
            let answer = gateway
                .client()
                .call(server_id, "echo", &json!({"text": "up"}))
                .await;
            assert_eq!(answer.status, 200, "{server_id}: {}", answer.text());
        }
        Self {
            before: gateway.footprint(),
            canaries: vec![TOKEN.to_owned()],
        }
    }

    /// Another secret that must show up nowhere.
    pub(crate) fn canary(mut self, secret: &str) -> Self {
        self.canaries.push(secret.to_owned());
        self
    }

    /// U3: the server `control` answers, and soon.
    pub(crate) async fn control_answers(&self, gateway: &Gateway, within: Duration) {
        let asked = Instant::now();
        let answer = gateway
            .client()
            .call("control", "echo", &json!({"text": "here"}))
            .await;
        let took = asked.elapsed();
        assert_eq!(answer.json()["result"]["content"][0]["text"], "here");
        assert!(
            took <= within,
            "control took {took:?}, expected {within:?} at most"
        );
    }

    /// U4: none of these processes is left, and no zombie hangs below the gateway.
    pub(crate) async fn gone(&self, gateway: &Gateway, pids: &[u32]) {
        wait_until(&format!("the end of {pids:?}"), SETTLE, || {
            pids.iter().all(|pid| !process::is_alive(*pid))
        })
        .await;
        wait_until("no zombie below the gateway", SETTLE, || {
            let family = process::descendants(gateway.pid());
            family.iter().all(|process| process.state != 'Z')
        })
        .await;
    }

    /// U5 and U6: the gateway holds no more than it held, where the system tells. It may hold less: threads
    /// that start processes end when there is nothing to start.
    pub(crate) async fn footprint_returns(&self, gateway: &Gateway) {
        let Some(before) = self.before else { return };
        let mut now = before;
        let returns = async {
            loop {
                now = gateway.footprint().expect("the gateway runs");
                if now.descriptors <= before.descriptors + 2
                    && now.threads <= before.threads + 1
                    && now.resident_kib <= before.resident_kib + GROWTH_KIB
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let returned = tokio::time::timeout(SETTLE, returns).await;
        assert!(
            returned.is_ok(),
            "holds {now:?} {SETTLE:?} later, held {before:?}"
        );
    }

    /// U7: no canary is in the log, on stdout, in `/servers`, `/health`, `/metrics`, or on a command line.
    pub(crate) async fn keeps_secrets(&self, gateway: &Gateway) {
        let client = gateway.client();
        let mut places = vec![
            ("the log".to_owned(), gateway.logs().text()),
            ("stdout".to_owned(), gateway.output().text()),
        ];
        for path in ["/servers", "/health", "/metrics"] {
            places.push((path.to_owned(), client.get(path).await.text()));
        }
        for member in gateway.family() {
            let place = format!("the command line of {}", member.pid);
            places.push((place, process::command_line(member.pid)));
        }
        for (place, text) in places {
            for canary in &self.canaries {
                assert!(!text.contains(canary), "a canary is in {place}");
            }
        }
    }

    /// U9: within one incarnation no id was written twice, and no tool call with the same `nonce` anywhere.
    pub(crate) fn written_at_most_once(gateway: &Gateway, server_id: &str) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for entry in gateway.journal(server_id).entries() {
            let frame = entry.json();
            if frame.get("method").is_some() && frame.get("id").is_some() {
                *seen
                    .entry(format!("id {} of {}", frame["id"], entry.pid))
                    .or_default() += 1;
            }
            if let Some(nonce) = frame
                .pointer("/params/arguments/nonce")
                .and_then(Value::as_str)
            {
                *seen.entry(format!("nonce {nonce}")).or_default() += 1;
            }
        }
        seen.retain(|_, count| *count > 1);
        assert!(seen.is_empty(), "written more than once: {seen:?}");
    }

    /// All of it, for a gateway with a `control` and one gremlin.
    pub(crate) async fn holds(&self, gateway: &Gateway, server_id: &str) {
        self.control_answers(gateway, Duration::from_secs(1)).await;
        self.gone(gateway, &[]).await;
        self.footprint_returns(gateway).await;
        self.keeps_secrets(gateway).await;
        Self::written_at_most_once(gateway, server_id);
    }
}
