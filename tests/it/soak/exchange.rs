//! One request and the whole of its answer, in whichever form it comes, without a panic on the way.

use reqwest::RequestBuilder;
use serde_json::Value;

/// An answer: the status, and every message that came.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) status: u16,
    pub(super) session: Option<String>,
    pub(super) text: String,
    pub(super) messages: Vec<Value>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Silence {
    /// The patience of the caller ended.
    Late,
    /// The connection ended.
    Cut(String),
}

/// Sends a request and reads its answer to the end.
pub(super) async fn exchange(request: RequestBuilder) -> Result<Heard, Silence> {
    let response = request.send().await.map_err(silence)?;
    let status = response.status().as_u16();
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let session = header("mcp-session-id");
    let kind = header("content-type").unwrap_or_default();
    let body = response.bytes().await.map_err(silence)?;
    let text = String::from_utf8(body.to_vec()).map_err(|fault| Silence::Cut(fault.to_string()))?;
    let parts: Vec<&str> = if kind.starts_with("text/event-stream") {
        let lines = text.lines();
        lines
            .filter_map(|line| line.strip_prefix("data:"))
            .map(str::trim)
            .filter(|data| !data.is_empty())
            .collect()
    } else if text.is_empty() {
        Vec::new()
    } else {
        vec![&text]
    };
    let messages = parts
        .into_iter()
        .map(|part| serde_json::from_str(part).unwrap_or_else(|_| Value::from(part)))
        .collect();
    Ok(Heard {
        status,
        session,
        text,
        messages,
    })
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
fn silence(fault: reqwest::Error) -> Silence {
    if fault.is_timeout() {
        Silence::Late
    } else {
        Silence::Cut(format!("{fault:?}"))
    }
}
