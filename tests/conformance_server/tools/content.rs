//! Tools that ask for nothing: every kind of content, errors, logs, progress, schemas.

use serde_json::{Value, json};

use super::said;
use crate::call::{Call, Halt};
use crate::media;

pub(super) fn text(_: &Call) -> Value {
    said("This is a simple text response for testing.")
}

fn image_block() -> Value {
    json!({"type": "image", "data": media::PNG, "mimeType": "image/png"})
}

pub(super) fn image(_: &Call) -> Value {
    json!({"content": [image_block()]})
}

pub(super) fn audio(_: &Call) -> Value {
    let block = json!({"type": "audio", "data": media::WAV, "mimeType": "audio/wav"});
    json!({"content": [block]})
}

fn resource_block(uri: &str, kind: &str, text: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}})
}

pub(super) fn resource(_: &Call) -> Value {
    let text = "This is an embedded resource content.";
    let block = resource_block("test://embedded-resource", "text/plain", text);
    json!({"content": [block]})
}

pub(super) fn mixed(_: &Call) -> Value {
    let text = json!({"type": "text", "text": "Multiple content types test:"});
    let data = r#"{"test":"data","value":123}"#;
    let resource = resource_block("test://mixed-content-resource", "application/json", data);
    json!({"content": [text, image_block(), resource]})
}

pub(super) fn error(_: &mut Call) -> Result<Value, Halt> {
    let text = "This tool intentionally returns an error for testing";
    Err(Halt::Failed(text.to_owned()))
}

pub(super) fn logging(call: &mut Call) -> Result<Value, Halt> {
    call.log("info", "Tool execution started");
    call.work(50)?;
    call.log("info", "Tool processing data");
    call.work(50)?;
    call.log("info", "Tool execution completed");
    Ok(said("logged three times"))
}

pub(super) fn log_once(call: &Call) -> Value {
    call.log("info", "at work");
    said("logged once")
}

pub(super) fn progress(call: &mut Call) -> Result<Value, Halt> {
    call.progress(0, 100);
    call.work(50)?;
    call.progress(50, 100);
    call.work(50)?;
    call.progress(100, 100);
    Ok(said("all done"))
}

/// Long enough for a transport to close its stream and for a client to come back.
pub(super) fn reconnection(call: &mut Call) -> Result<Value, Halt> {
    call.work(12_000)?;
    Ok(said("still here"))
}

/// Long enough to be cancelled, by a client that knows from the progress that it runs.
pub(super) fn slow(call: &mut Call) -> Result<Value, Halt> {
    call.progress(0, 200);
    for _ in 0..200 {
        if let Err(halt) = call.work(50) {
            call.server.cancelled.note(call.text("label"));
            return Err(halt);
        }
    }
    Ok(said("ten seconds later"))
}

/// Tells that the slow call with the same label was cancelled, as soon as it is.
pub(super) fn await_cancellation(call: &mut Call) -> Result<Value, Halt> {
    if call.server.cancelled.await_label(call.text("label")) {
        return Ok(said("cancelled"));
    }
    Err(Halt::Failed("not cancelled".to_owned()))
}

pub(super) fn header(call: &Call) -> Value {
    said(format!("region: {}", call.text("region")))
}

pub(super) fn schema(call: &Call) -> Value {
    said(format!("name: {}", call.text("name")))
}

/// One keyword of each kind that a careless relay drops: references, composition, conditions.
pub(super) fn schema_2020_12() -> Value {
    let text = json!({"type": "string"});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": text, "city": text},
            },
        },
        "properties": {
            "name": text,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": text,
            "email": text,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {
            "properties": {"contactMethod": {"const": "phone"}},
            "required": ["contactMethod"],
        },
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}
