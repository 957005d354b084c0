//! The results of `initialize` and `server/discover`, and the error of a server that knows one of them only.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitializeResult<'a> {
    pub(super) protocol_version: String,
    #[serde(borrow)]
    pub(super) capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) server_info: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) instructions: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DiscoverResult<'a> {
    pub(super) supported_versions: Vec<String>,
    #[serde(borrow)]
    pub(super) capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) instructions: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    pub(super) meta: Option<DiscoverMeta<'a>>,
    #[serde(borrow)]
    pub(super) server_info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct DiscoverMeta<'a> {
    #[serde(borrow, rename = "io.modelcontextprotocol/serverInfo")]
    pub(super) server_info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct ErrorObject {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) message: String,
}
