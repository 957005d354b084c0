//! `subscriptions/listen`: which modern requests wait for which changes.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use crate::peer::lock;
use crate::wire::Wire;

const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Something that others may want to know.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Tools,
    Prompts,
    /// The resource with this address.
    Resource(String),
}

impl Change {
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resource(_) => "notifications/resources/updated",
        }
    }

    pub(crate) fn params(&self) -> Value {
        match self {
            Self::Tools | Self::Prompts => json!({}),
            Self::Resource(uri) => json!({"uri": uri}),
        }
    }
}

#[derive(Debug)]
struct Listen {
    id: Value,
    wire: Wire,
    tools: bool,
    prompts: bool,
    resources: BTreeSet<String>,
}

impl Listen {
    fn wants(&self, change: &Change) -> bool {
        match change {
            Change::Tools => self.tools,
            Change::Prompts => self.prompts,
            Change::Resource(uri) => self.resources.contains(uri),
        }
    }

    /// Sends a notification with the mark of this subscription; `false` when nobody is there any more.
    fn tell(&self, method: &str, mut params: Value) -> bool {
        if let Some(members) = params.as_object_mut() {
            members.insert("_meta".to_owned(), json!({SUBSCRIPTION_ID: self.id}));
        }
        self.wire.notify(method, &params)
    }
}

/// Every open listen request of the process.
#[derive(Debug, Default)]
pub(crate) struct Listens(Mutex<Vec<Listen>>);

impl Listens {
    /// Opens one: it is acknowledged with what of its wishes can come true, before anything else.
    pub(crate) fn open(&self, id: &Value, wire: &Wire, params: &Value) {
        let wishes = params.get("notifications");
        let wish = |name: &str| wishes.and_then(|wishes| wishes.get(name));
        let yes = |name: &str| wish(name).and_then(Value::as_bool) == Some(true);
        let addresses = wish("resourceSubscriptions").and_then(Value::as_array);
        let addresses = addresses.into_iter().flatten().filter_map(Value::as_str);
        let listen = Listen {
            id: id.clone(),
            wire: wire.clone(),
            tools: yes("toolsListChanged"),
            prompts: yes("promptsListChanged"),
            resources: addresses.map(str::to_owned).collect(),
        };
        let mut honoured = Map::new();
        if listen.tools {
            honoured.insert("toolsListChanged".to_owned(), true.into());
        }
        if listen.prompts {
            honoured.insert("promptsListChanged".to_owned(), true.into());
        }
        if !listen.resources.is_empty() {
            let resources = json!(listen.resources);
            honoured.insert("resourceSubscriptions".to_owned(), resources);
        }
        let acknowledged = json!({"notifications": honoured});
        let mut listens = lock(&self.0);
        if listen.tell("notifications/subscriptions/acknowledged", acknowledged) {
            listens.push(listen);
        }
    }

    /// Ends the one with this id on this wire.
    pub(crate) fn close(&self, id: &Value, wire: &Wire) {
        lock(&self.0).retain(|listen| listen.id != *id || !listen.wire.is(wire));
    }

    /// Tells of a change, and forgets whoever is gone.
    pub(crate) fn announce(&self, change: &Change) {
        lock(&self.0).retain(|listen| {
            !listen.wants(change) || listen.tell(change.method(), change.params())
        });
    }
}
