//! What the headers must say, by themselves and about the body.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::server::CLAIM;
use crate::tools;
use crate::wire::{HEADER_MISMATCH, Refusal};

/// The value of a header without the white space around it; `None` if it is missing or not text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The revision that the client says it speaks.
pub(super) fn version(headers: &HeaderMap) -> Option<&str> {
    text(headers, "mcp-protocol-version")
}

/// Whether Host, and Origin if there is one, are this machine's: a page that was served by another name
/// must not get in (DNS rebinding).
pub(super) fn are_local(headers: &HeaderMap) -> bool {
    let host = text(headers, "host").is_some_and(is_local);
    let origin = text(headers, "origin").is_none_or(|origin| {
        let host = origin.strip_prefix("http://");
        host.is_some_and(is_local)
    });
    host && origin
}

fn is_local(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// Compares the headers of a modern request with its body (MCP 2026-07-28, streamable HTTP).
pub(super) fn agree(headers: &HeaderMap, message: &Value) -> Result<(), Refusal> {
    let params = message.get("params").unwrap_or(&Value::Null);
    let method = message.get("method").and_then(Value::as_str);
    let claim = params.get("_meta").and_then(|meta| meta.get(CLAIM));
    same(
        headers,
        "mcp-protocol-version",
        claim.and_then(Value::as_str),
    )?;
    same(headers, "mcp-method", method)?;
    let name = match method {
        Some("tools/call" | "prompts/get") => params.get("name"),
        Some("resources/read") => params.get("uri"),
        _ => return Ok(()),
    };
    let name = name.and_then(Value::as_str);
    same(headers, "mcp-name", name)?;
    if method == Some("tools/call") {
        arguments_agree(headers, name.unwrap_or_default(), params)?;
    }
    Ok(())
}

fn mismatch(name: &str) -> Refusal {
    Refusal::new(
        HEADER_MISMATCH,
        format!("{name} does not say what the body says"),
    )
}

fn same(headers: &HeaderMap, name: &str, expected: Option<&str>) -> Result<(), Refusal> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let found = text(headers, name).and_then(decoded);
    if found.as_deref() == Some(expected) {
        return Ok(());
    }
    Err(mismatch(name))
}

/// Every argument whose schema has `x-mcp-header` stands in a header too, and no other does.
fn arguments_agree(headers: &HeaderMap, tool: &str, params: &Value) -> Result<(), Refusal> {
    let schema = tools::input_schema(tool);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Ok(());
    };
    for (property, schema) in properties {
        let Some(suffix) = schema.get("x-mcp-header").and_then(Value::as_str) else {
            continue;
        };
        let name = format!("mcp-param-{}", suffix.to_ascii_lowercase());
        let argument = params.get("arguments").and_then(|all| all.get(property));
        let found = match (headers.contains_key(&name), argument) {
            (false, None | Some(Value::Null)) => continue,
            (true, Some(argument)) => text(headers, &name)
                .and_then(decoded)
                .filter(|found| says(found, argument)),
            _ => None,
        };
        if found.is_none() {
            return Err(mismatch(&name));
        }
    }
    Ok(())
}

/// Text is compared as it is, everything else by its value.
fn says(header: &str, argument: &Value) -> bool {
    match argument {
        Value::String(text) => header == text,
        other => serde_json::from_str::<Value>(header).is_ok_and(|header| header == *other),
    }
}

/// Takes the base64 form apart; a value without both of its marks is what it is. `None` for bad base64.
fn decoded(value: &str) -> Option<String> {
    let inner = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match inner {
        None => Some(value.to_owned()),
        Some(inner) => String::from_utf8(STANDARD.decode(inner).ok()?).ok(),
    }
}
