//! A client of the running gateway, for the verbs that ask it.

mod failure;
mod trust;

use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::Client;
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use serde_json::Value;

use super::assembly::{self, Refused};
use super::terminal::printable;
use crate::types::Secret;

/// The variable that a token may come from, where no config gives one.
const TOKEN_VARIABLE: &str = "HMG_TOKEN";

/// How long one answer may take: a gateway that lives answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A gateway, and the right to ask it.
pub(super) struct Gateway {
    /// Such as `http://127.0.0.1:7411`.
    pub(super) base_url: String,
    client: Client,
    /// The source of the token that it is asked with, for a person.
    token_name: String,
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
    /// The gateway that runs with this config file, or the one at this URL. Why the file would be refused now does not
    /// matter as long as the gateway has noted its address and there is a token.
    pub(super) fn of_config(
        config: &Path,
        url: Option<String>,
    ) -> Result<(Self, Option<Refused>), Unanswered> {
        let door = assembly::door(config);
        let is_named = url.is_some();
        let (base_url, host) = match (url, door.base_url) {
            (Some(url), _) => (url, None),
            (None, Some(base_url)) => (base_url, door.host),
            (None, None) => {
                let text = if door.refused.is_some() {
                    let config = printable(&config.display().to_string());
                    format!("no running gateway was found for {config}")
                } else {
                    "bind_port is 0, and no gateway has noted its port: name the address in its log with --url"
                        .to_owned()
                };
                return Err(Unanswered::Unreachable(text, door.refused));
            }
        };
        // The token of the file is for the gateway of this file; another may listen at the URL.
        let of_config = door.token.filter(|_| !is_named);
        let Some((token, token_name)) = token(config, of_config) else {
            return Err(match door.refused {
                _ if is_named => Unanswered::Failed(format!(
                    "the token of a config is never sent to --url: put the one for {base_url} into the variable \
                     {TOKEN_VARIABLE}"
                )),
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
            client: client.map_err(|error| Unanswered::Failed(failure::explain(&error)))?,
            token_name,
        };
        Ok((gateway, door.refused))
    }

    /// Asks for a path; the answer must be JSON with status 200.
    pub(super) fn get(&self, path: &str) -> Result<Value, Unanswered> {
        let base = &self.base_url;
        let unreachable = |error: reqwest::Error| {
            Unanswered::Unreachable(
                format!("no gateway answers on {base}: {}", failure::explain(&error)),
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
                let what = if status == StatusCode::UNAUTHORIZED {
                    format!(" {}", self.token_name)
                } else {
                    String::new()
                };
                let text = format!("the gateway on {base} refuses{what}: {code}, {message}");
                Err(Unanswered::Failed(text))
            }
            None => Err(Unanswered::Failed(format!(
                "not a gateway: what answers on {base} gives status {} without JSON; name another address with --url",
                status.as_u16()
            ))),
        }
    }
}

/// The token to ask with, and where it comes from: that of this config, else the variable's.
fn token(config: &Path, of_config: Option<Secret>) -> Option<(Secret, String)> {
    if let Some(token) = of_config {
        let config = printable(&config.display().to_string());
        return Some((token, format!("the token of {config}")));
    }
    let own = std::env::var(TOKEN_VARIABLE).ok();
    let own = own.filter(|token| !token.is_empty())?;
    let name = format!("the token in the variable {TOKEN_VARIABLE}");
    Some((Secret::new(own), name))
}
