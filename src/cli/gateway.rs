//! A client of the running gateway, for the verbs that ask it.

mod trust;

use std::path::Path;
use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use serde_json::Value;

use super::assembly::{self, Refused};
use crate::types::Secret;

/// The variable that a token may come from; it goes before the config's.
const TOKEN_VARIABLE: &str = "HMG_TOKEN";

/// How long one answer may take: a gateway that lives answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A gateway, and the right to ask it.
pub(super) struct Gateway {
    /// Such as `http://127.0.0.1:7411`.
    pub(super) base_url: String,
    client: Client,
}

/// Why a gateway did not answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The config that would say where it is or give a token was refused.
    Config(Refused),
    /// Nobody answered there; and why the config would be refused.
    Unreachable(String, Option<Refused>),
    /// It was not asked, or its answer was no.
    Failed(String),
}

impl Gateway {
    /// The gateway that runs with this config file, on its own address or on another. Why the file would be refused now
    /// does not matter as long as there is a token and an address.
    pub(super) fn of_config(
        config: &Path,
        url: Option<String>,
    ) -> Result<(Self, Option<Refused>), Unanswered> {
        let door = assembly::door(config);
        let (base_url, host) = match (url, door.base_url) {
            (Some(url), _) => (url, None),
            (None, Some(base_url)) => (base_url, door.host),
            (None, None) => {
                let text = "bind_port is 0, and no gateway has noted its port: name the address in its log with --url";
                return Err(Unanswered::Unreachable(text.to_owned(), door.refused));
            }
        };
        let own = std::env::var(TOKEN_VARIABLE).ok();
        let own = own.filter(|token| !token.is_empty()).map(Secret::new);
        let Some(token) = own.or(door.token) else {
            return Err(match door.refused {
                Some(refused) => Unanswered::Config(refused),
                None => Unanswered::Failed(format!(
                    "the config has digests of tokens only: put a token into the variable {TOKEN_VARIABLE}"
                )),
            });
        };
        let mut headers = HeaderMap::new();
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let Ok(mut bearer) = bearer else {
            let text = "the token has a character that no header may have";
            return Err(Unanswered::Failed(text.to_owned()));
        };
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
            headers.insert(HOST, host);
        }
        // The token goes to the gateway itself, never to a proxy or to wherever it would be sent on.
        let mut client = Client::builder()
            .default_headers(headers)
            .no_proxy()
            .redirect(Policy::none())
            .timeout(PATIENCE);
        if let Some(certificate) = door.certificate {
            let trust = trust::client(certificate);
            let trust = trust.map_err(|error| Unanswered::Failed(error.to_string()))?;
            client = client.tls_backend_preconfigured(trust);
        }
        let client = client.build();
        let gateway = Self {
            base_url,
            client: client.map_err(|error| Unanswered::Failed(told(error)))?,
        };
        Ok((gateway, door.refused))
    }

    /// Asks for a path; the answer must be JSON with status 200.
    pub(super) fn get(&self, path: &str) -> Result<Value, Unanswered> {
        let base = &self.base_url;
        let unreachable = |error| {
            Unanswered::Unreachable(
                format!("no gateway answers on {base}: {}", told(error)),
                None,
            )
        };
        let response = self.client.get(format!("{base}{path}")).send();
        let response = response.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().map_err(unreachable)?;
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        match answer {
            Some(answer) if status.is_success() => Ok(answer),
            Some(answer) => {
                let error = answer.get("error").unwrap_or(&Value::Null);
                let error = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("unknown");
                let (code, message) = (error("error_code"), error("message"));
                let text = format!("the gateway on {base} refuses: {code}, {message}");
                Err(Unanswered::Failed(text))
            }
            None => Err(Unanswered::Failed(format!(
                "what answers on {base} is no gateway: status {}",
                status.as_u16()
            ))),
        }
    }
}

/// An error with its causes, without the URL, which is told already.
fn told(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error.without_url()))
}
