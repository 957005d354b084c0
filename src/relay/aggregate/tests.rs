//! Two servers behind one endpoint, in bytes.

mod gathering;
mod joining;
mod lists;
mod results;
mod routing;

use proptest::prelude::*;
use serde_json::Value;

use super::names::Reach;
use crate::protocol::Span;
use crate::types::ServerId;

fn id(text: &str) -> ServerId {
    text.parse().unwrap()
}

fn whole(text: &str) -> Span {
    Span {
        start: 0,
        end: text.len(),
    }
}

/// Any JSON, not too big.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from("resource_link")),
        Just(Value::from("resource")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            Just("uri".to_owned()),
            Just("name".to_owned()),
            Just("type".to_owned()),
            Just("resource".to_owned()),
            Just("content".to_owned()),
            any::<String>(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}
