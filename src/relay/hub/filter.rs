//! Which notifications are wanted, and which a child can give.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::subscriptions::{MAX_OF_CLIENT, SubscriptionUsage};
use crate::fault::{Delivered, Fault, FaultKind};

/// A list of a server's that can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::relay) enum List {
    Tools,
    Prompts,
    Resources,
}

impl List {
    pub(super) const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The notification that tells of a change.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }

    pub(super) fn of_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.method() == method)
    }

    /// The member of a filter that asks for it.
    fn wish(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Prompts => "promptsListChanged",
            Self::Resources => "resourcesListChanged",
        }
    }

    /// The capability that declares it.
    fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
        }
    }
}

/// Some of the lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    tools: bool,
    prompts: bool,
    resources: bool,
}

impl Lists {
    pub(super) const ALL: Self = Self {
        tools: true,
        prompts: true,
        resources: true,
    };

    fn picked(pick: impl Fn(List) -> bool) -> Self {
        Self {
            tools: pick(List::Tools),
            prompts: pick(List::Prompts),
            resources: pick(List::Resources),
        }
    }

    pub(super) fn has(self, list: List) -> bool {
        match list {
            List::Tools => self.tools,
            List::Prompts => self.prompts,
            List::Resources => self.resources,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self::picked(|list| self.has(list) || other.has(list))
    }

    fn and(self, other: Self) -> Self {
        Self::picked(|list| self.has(list) && other.has(list))
    }
}

/// What a child declares of the notifications that it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// The lists that it has.
    pub(super) lists: Lists,
    /// Those that it tells changes of.
    pub(super) changes: Lists,
    /// It tells of updates of a resource.
    pub(super) subscribe: bool,
    /// It takes the level of its logs.
    pub(super) logging: bool,
}

impl Capabilities {
    /// Reads `capabilities` of a handshake, a JSON object; what it does not say clearly is not there.
    pub(super) fn read(capabilities: &str) -> Self {
        let value: serde_json::Value = serde_json::from_str(capabilities).unwrap_or_default();
        let says = |of: &str, what: &str| {
            let member = value.get(of).and_then(|of| of.get(what));
            member == Some(&serde_json::Value::Bool(true))
        };
        Self {
            lists: Lists::picked(|list| value.get(list.capability()).is_some()),
            changes: Lists::picked(|list| says(list.capability(), "listChanged")),
            subscribe: says("resources", "subscribe"),
            logging: value.get("logging").is_some(),
        }
    }
}

/// URIs of resources: no more than one client may subscribe to, and no more are read.
#[derive(Debug, Default)]
struct Uris(BTreeSet<Arc<str>>);

impl<'de> Deserialize<'de> for Uris {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(UrisVisitor)
    }
}

struct UrisVisitor;

impl<'de> Visitor<'de> for UrisVisitor {
    type Value = Uris;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of URIs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut uris: A) -> Result<Uris, A::Error> {
        let (mut found, mut usage) = (BTreeSet::new(), SubscriptionUsage::default());
        while let Some(uri) = uris.next_element::<String>()? {
            if !usage.add(&uri, MAX_OF_CLIENT) {
                let SubscriptionUsage { count, bytes } = MAX_OF_CLIENT;
                return Err(A::Error::custom(format_args!(
                    "resourceSubscriptions holds more than {count} URIs or {bytes} bytes of them"
                )));
            }
            found.insert(uri.into());
        }
        Ok(Uris(found))
    }
}

/// Which notifications somebody wants: the filter of `subscriptions/listen` (MCP 2026-07-28,
/// basic/patterns/subscriptions).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Filter {
    pub(super) lists: Lists,
    /// The resources of whose updates it asks to hear.
    pub(super) resources: BTreeSet<Arc<str>>,
}

impl Filter {
    /// The filter in the params of a `subscriptions/listen`. Wishes that we do not know are left out, as
    /// any server leaves out what it cannot do.
    pub(in crate::relay) fn of_params(params: &[u8]) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Params {
            notifications: Wishes,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wishes {
            tools_list_changed: Option<bool>,
            prompts_list_changed: Option<bool>,
            resources_list_changed: Option<bool>,
            resource_subscriptions: Option<Uris>,
        }
        let params: Params = serde_json::from_slice(params).map_err(|error| {
            let text = format!(
                "params of subscriptions/listen: {error}, expected notifications with toolsListChanged, \
                 promptsListChanged, resourcesListChanged (booleans) and resourceSubscriptions (URIs)"
            );
            Fault::new(FaultKind::InvalidParams, text).delivered(Delivered::No)
        })?;
        let Wishes {
            tools_list_changed: tools,
            prompts_list_changed: prompts,
            resources_list_changed: resources,
            resource_subscriptions: subscriptions,
        } = params.notifications;
        Ok(Self {
            lists: Lists {
                tools: tools == Some(true),
                prompts: prompts == Some(true),
                resources: resources == Some(true),
            },
            resources: subscriptions.unwrap_or_default().0,
        })
    }

    /// The same lists, and these resources.
    pub(in crate::relay) fn with_resources(&self, resources: BTreeSet<Arc<str>>) -> Self {
        Self {
            lists: self.lists,
            resources,
        }
    }

    /// What of it a child with these capabilities can give.
    pub(super) fn honoured(self, capabilities: Capabilities) -> Self {
        let mut resources = self.resources;
        if !capabilities.subscribe {
            resources.clear();
        }
        Self {
            lists: self.lists.and(capabilities.changes),
            resources,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As `notifications` of a request or an acknowledgement: a JSON object.
    pub(in crate::relay) fn to_json(&self) -> String {
        let lists = List::ALL.into_iter().filter(|list| self.lists.has(*list));
        let mut wishes: Vec<_> = lists
            .map(|list| format!("\"{}\":true", list.wish()))
            .collect();
        if !self.resources.is_empty() {
            let uris = self.resources.iter();
            let uris: Vec<String> = uris
                .map(|uri| serde_json::Value::from(&**uri).to_string())
                .collect();
            wishes.push(format!("\"resourceSubscriptions\":[{}]", uris.join(",")));
        }
        format!("{{{}}}", wishes.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn honoured(params: &str, capabilities: &str) -> String {
        let filter = Filter::of_params(params.as_bytes()).expect("a filter");
        filter.honoured(Capabilities::read(capabilities)).to_json()
    }

    #[test]
    fn of_a_filter_that_is_honoured_which_was_asked_for_and_can_be_given() {
        let all = r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["b:\"","a:","a:"],"taskIds":[1]}}"#;
        let everything = r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}"#;
        let expected = r#"{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["a:","b:\""]}"#;
        assert_eq!(honoured(all, everything), expected);
        for (capabilities, expected) in [
            ("{}", "{}"),
            (
                r#"{"tools":{},"prompts":{"listChanged":true}}"#,
                r#"{"promptsListChanged":true}"#,
            ),
            (
                r#"{"resources":{"subscribe":true}}"#,
                r#"{"resourceSubscriptions":["a:","b:\""]}"#,
            ),
            (r#"{"tools":{"listChanged":"true"},"resources":7}"#, "{}"),
        ] {
            assert_eq!(honoured(all, capabilities), expected, "{capabilities}");
        }
        for little in [
            r#"{"notifications":{}}"#,
            r#"{"notifications":{"toolsListChanged":false,"resourceSubscriptions":null}}"#,
        ] {
            assert_eq!(honoured(little, everything), "{}", "{little}");
        }
    }

    /// RD01: a list that is too long is refused where its bound is, not after all of it was read.
    #[test]
    fn a_filter_with_too_many_uris_is_refused() {
        let of = |count: usize, len: usize| {
            let uris: Vec<_> = (0..count)
                .map(|number| format!("{number:0>len$}"))
                .collect();
            let params = serde_json::json!({"notifications": {"resourceSubscriptions": uris}});
            Filter::of_params(params.to_string().as_bytes())
        };
        assert_eq!(of(1024, 8).unwrap().resources.len(), 1024);
        for (count, len) in [(1025, 8), (450_000, 8), (300, 1024)] {
            let fault = of(count, len).unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidParams);
            assert!(fault.message.contains("more than 1024 URIs"), "{fault}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        for params in [
            "{}",
            r#"{"notifications":7}"#,
            r#"{"notifications":{"toolsListChanged":"yes"}}"#,
            r#"{"notifications":{"resourceSubscriptions":[1]}}"#,
            "",
        ] {
            let fault = Filter::of_params(params.as_bytes()).unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidParams, "{params}");
        }
    }
}
