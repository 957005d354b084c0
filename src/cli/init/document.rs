//! The text of a first config: JSON with comments that say what to change next.

use serde_json::{Value, json};

use crate::types::Secret;

/// What goes into it.
#[derive(Debug)]
pub(super) struct Document {
    /// The value of `$schema`.
    pub(super) schema: Option<String>,
    /// The token.
    pub(super) token: Secret,
    /// The entries of `servers`.
    pub(super) servers: Vec<Value>,
}

impl Document {
    /// The whole file.
    pub(super) fn text(&self) -> String {
        let schema = self
            .schema
            .as_ref()
            .map(|schema| format!("  \"$schema\": {},\n", json!(schema)))
            .unwrap_or_default();
        let servers = format!("{:#}", json!(self.servers)).replace('\n', "\n  ");
        format!(
            "// The config of host-mcp-gateway. Comments and trailing commas are allowed.\n\
             // Everything that is wrong with it: host-mcp-gateway check\n\
             {{\n\
             {schema}  \
             // This machine only. For clients elsewhere name an address of this machine, its names in\n  \
             // \"allowed_hosts\", and a certificate: \"tls\": {{ \"cert_file\": ..., \"key_file\": ... }}.\n  \
             \"bind_host\": \"127.0.0.1\",\n  \
             \"bind_port\": 7411,\n\n  \
             // Addresses, networks such as 192.168.1.0/24, or \"localhost\"; everybody else is refused.\n  \
             \"allowed_clients\": [\"localhost\"],\n\n  \
             // Clients send it as \"Authorization: Bearer ...\". Whoever has it can use every server.\n  \
             \"auth_token\": {token},\n\n  \
             // A server starts at its first request; with \"autostart\": true, with the gateway.\n  \
             \"servers\": {servers}\n\
             }}\n",
            token = json!(self.token.expose()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::token_of;

    #[test]
    fn the_text_is_what_goes_in_whatever_the_texts_hold() {
        let servers = vec![json!({"server_id": "a", "command": "x\n\"//", "args": ["*/", "ü"]})];
        let document = Document {
            schema: Some("./s.json".to_owned()),
            token: token_of(&[1; 32]),
            servers: servers.clone(),
        };
        let options = jsonc_parser::ParseOptions::default();
        let read: Value = jsonc_parser::parse_to_serde_value(&document.text(), &options).unwrap();
        assert_eq!(
            read,
            json!({
                "$schema": "./s.json",
                "bind_host": "127.0.0.1",
                "bind_port": 7411,
                "allowed_clients": ["localhost"],
                "auth_token": token_of(&[1; 32]).expose(),
                "servers": servers,
            })
        );
    }
}
