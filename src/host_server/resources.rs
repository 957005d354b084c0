//! The resources: the system as JSON, and each disk by its mount point.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::call::{Call, Failure};
use super::era::{Cache, Era};
use super::{rpc, stats};

const SYSTEM_URI: &str = "host://system";
const DISK_PREFIX: &str = "host://disk/";
const JSON_TYPE: &str = "application/json";

/// The result of `resources/list`.
pub(super) fn list() -> Value {
    json!({"resources": [{
        "uri": SYSTEM_URI,
        "name": "system",
        "title": "System",
        "description": "Operating system, memory and load of the host, as of the moment of reading",
        "mimeType": JSON_TYPE,
    }]})
}

/// The result of `resources/templates/list`.
pub(super) fn templates() -> Value {
    json!({"resourceTemplates": [{
        "uriTemplate": "host://disk/{mount}",
        "name": "disk",
        "title": "Disk",
        "description": "The disk at a mount point, percent-encoded: host://disk/%2F is the root. \
                        The tool \"disks\" lists them with their URIs",
        "mimeType": JSON_TYPE,
    }]})
}

/// Answers `resources/read`.
pub(super) fn read(_call: &Call, era: Era, params: &Map<String, Value>) -> Result<Value, Failure> {
    let Some(Value::String(uri)) = params.get("uri") else {
        return Err(rpc::invalid_params("\"uri\" must be a string").into());
    };
    let content = if uri == SYSTEM_URI {
        Some(stats::system())
    } else {
        uri.strip_prefix(DISK_PREFIX)
            .and_then(percent_decode)
            .and_then(|mount| stats::disk(Path::new(&mount)))
    };
    let Some(content) = content else {
        return Err(rpc::resource_not_found(uri, era.is_modern()).into());
    };
    let contents = json!([{"uri": uri, "mimeType": JSON_TYPE, "text": content.to_string()}]);
    Ok(era.cacheable(json!({ "contents": contents }), Cache::Volatile))
}

/// The URI of a disk: everything but RFC 3986's unreserved characters is percent-encoded, as the
/// expansion of `{mount}` wants it (RFC 6570, section 3.2.2).
pub(super) fn disk_uri(mount: &Path) -> String {
    let mut uri = DISK_PREFIX.to_owned();
    for byte in mount.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// `None` where a percent sign is not followed by two hexadecimal digits, or for what is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            decoded.extend(hex::decode(digits).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_survives_its_uri() {
        for mount in ["/", "/Volumes/Müll & 100%", "/a.b-c_d~e"] {
            let uri = disk_uri(Path::new(mount));
            assert!(uri.is_ascii(), "{uri}");
            let encoded = uri.strip_prefix(DISK_PREFIX).unwrap();
            assert!(!encoded.contains('/'), "{uri}");
            assert_eq!(percent_decode(encoded).as_deref(), Some(mount));
        }
        assert_eq!(disk_uri(Path::new("/")), "host://disk/%2F");
        assert_eq!(percent_decode("%2"), None);
        assert_eq!(percent_decode("%zz"), None);
        assert_eq!(percent_decode("%ff"), None);
    }
}
