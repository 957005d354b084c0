//! What a client can be asked for, and whether a server may ask it.
//!
//! Clients of both eras declare it in the same object: in `initialize` (`params.capabilities`) or with
//! each request (`_meta`, `io.modelcontextprotocol/clientCapabilities`).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The client features that the gateway carries. Others a client may declare (tasks, extensions); they
/// are no requests of a server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Features {
    /// `sampling/createMessage`
    pub(in crate::relay) sampling: Option<Sampling>,
    /// `elicitation/create`
    pub(in crate::relay) elicitation: Option<Elicitation>,
    /// `roots/list`
    pub(in crate::relay) roots: bool,
}

/// What of sampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Sampling {
    /// The model may be given tools.
    pub(in crate::relay) tools: bool,
    /// The model may be given context of servers.
    pub(in crate::relay) context: bool,
}

/// Which modes of elicitation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::relay) struct Elicitation {
    /// Forms that the client shows.
    pub(in crate::relay) form: bool,
    /// Addresses that the client opens.
    pub(in crate::relay) url: bool,
}

/// Why a client is not asked: what the server is told in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(in crate::relay) struct Refusal {
    /// The JSON-RPC code: -32601, or -32602 where the method is known and its params ask too much.
    pub(in crate::relay) code: i32,
    /// One sentence.
    pub(in crate::relay) message: Cow<'static, str>,
}

/// JSON-RPC 2.0, Method not found.
const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC 2.0, Invalid params.
const INVALID_PARAMS: i32 = -32602;

impl Features {
    /// Reads the JSON text of client capabilities; `None` where it is no object.
    ///
    /// A feature is declared by an object. `"elicitation":{}` means forms, as in the revision that
    /// knew nothing else (MCP 2025-11-25, client/elicitation, capabilities).
    pub(in crate::relay) fn read(capabilities: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Declared<'a> {
            #[serde(borrow)]
            sampling: Option<&'a RawValue>,
            #[serde(borrow)]
            elicitation: Option<&'a RawValue>,
            #[serde(borrow)]
            roots: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Parts<'a> {
            #[serde(borrow)]
            tools: Option<&'a RawValue>,
            #[serde(borrow)]
            context: Option<&'a RawValue>,
            #[serde(borrow)]
            form: Option<&'a RawValue>,
            #[serde(borrow)]
            url: Option<&'a RawValue>,
        }
        let is_object =
            |value: Option<&RawValue>| value.is_some_and(|value| value.get().starts_with('{'));
        let parts = |value: Option<&RawValue>| {
            let value = value.filter(|value| is_object(Some(value)))?;
            let Parts {
                tools,
                context,
                form,
                url,
            } = serde_json::from_str(value.get()).ok()?;
            Some([tools, context, form, url].map(is_object))
        };
        // An array would do for serde, too.
        let declared: Declared<'_> = serde_json::from_slice(capabilities)
            .ok()
            .filter(|_| capabilities.trim_ascii_start().starts_with(b"{"))?;
        let sampling = parts(declared.sampling);
        let elicitation = parts(declared.elicitation);
        Some(Self {
            sampling: sampling.map(|[tools, context, ..]| Sampling { tools, context }),
            elicitation: elicitation.map(|[.., form, url]| Elicitation {
                form: form || !url,
                url,
            }),
            roots: is_object(declared.roots),
        })
    }

    /// The features in one byte, for [`Features::from_bits`].
    pub(in crate::relay) fn to_bits(self) -> u8 {
        let sampling = self.sampling.unwrap_or_default();
        let elicitation = self.elicitation.unwrap_or_default();
        let flags = [
            self.sampling.is_some(),
            sampling.tools,
            sampling.context,
            self.elicitation.is_some(),
            elicitation.form,
            elicitation.url,
            self.roots,
        ];
        let bits = flags.into_iter().zip(0_u8..);
        bits.fold(0, |bits, (flag, at)| bits | (u8::from(flag) << at))
    }

    /// The features of [`Features::to_bits`].
    pub(in crate::relay) fn from_bits(bits: u8) -> Self {
        let has = |at: u8| bits & (1 << at) != 0;
        Self {
            sampling: has(0).then(|| Sampling {
                tools: has(1),
                context: has(2),
            }),
            elicitation: has(3).then(|| Elicitation {
                form: has(4),
                url: has(5),
            }),
            roots: has(6),
        }
    }

    /// The JSON text of client capabilities that declare these features and nothing else.
    pub(in crate::relay) fn to_json(self) -> String {
        let object = |parts: &[(bool, &str)]| {
            let parts = parts.iter().filter(|(has, _)| *has);
            let members: Vec<_> = parts.map(|(_, name)| format!(r#""{name}":{{}}"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        let mut members = Vec::new();
        if let Some(Elicitation { form, url }) = self.elicitation {
            let modes = object(&[(form, "form"), (url, "url")]);
            members.push(format!(r#""elicitation":{modes}"#));
        }
        if let Some(Sampling { tools, context }) = self.sampling {
            let parts = object(&[(tools, "tools"), (context, "context")]);
            members.push(format!(r#""sampling":{parts}"#));
        }
        if self.roots {
            members.push(r#""roots":{}"#.to_owned());
        }
        format!("{{{}}}", members.join(","))
    }

    /// Whether a server may ask this client; `params` as the server wrote them, empty where it wrote none.
    ///
    /// -32601 where the feature was not declared at all, -32602 where a part of it was not: a mode of
    /// elicitation, or tools in sampling.
    pub(in crate::relay) fn allow(self, method: &str, params: &[u8]) -> Result<(), Refusal> {
        #[derive(Default, Deserialize)]
        struct Asked<'a> {
            #[serde(borrow)]
            mode: Option<Cow<'a, str>>,
            #[serde(borrow)]
            tools: Option<&'a RawValue>,
        }
        let undeclared = || {
            let message = format!("the client did not declare what {method} needs");
            refuse(METHOD_NOT_FOUND, message)
        };
        let asked = || -> Result<Asked<'_>, Refusal> {
            if params.is_empty() {
                return Ok(Asked::default());
            }
            let wrong = |_| {
                refuse(
                    INVALID_PARAMS,
                    format!("the params of {method} are not readable"),
                )
            };
            serde_json::from_slice(params).map_err(wrong)
        };
        match method {
            "roots/list" => self.roots.then_some(()).ok_or_else(undeclared),
            "sampling/createMessage" => {
                let sampling = self.sampling.ok_or_else(undeclared)?;
                if asked()?.tools.is_some() && !sampling.tools {
                    let message =
                        "the client did not declare sampling.tools, expected no params.tools";
                    return Err(refuse(INVALID_PARAMS, message));
                }
                Ok(())
            }
            "elicitation/create" => {
                let Elicitation { form, url } = self.elicitation.ok_or_else(undeclared)?;
                let (declared, name) = match asked()?.mode.as_deref() {
                    None | Some("form") => (form, "form"),
                    Some("url") => (url, "url"),
                    Some(_) => {
                        return Err(refuse(
                            INVALID_PARAMS,
                            "params.mode is unknown, expected form or url",
                        ));
                    }
                };
                if declared {
                    return Ok(());
                }
                let message = format!(
                    "the client did not declare elicitation.{name}, expected another params.mode"
                );
                Err(refuse(INVALID_PARAMS, message))
            }
            _ => Err(refuse(
                METHOD_NOT_FOUND,
                format!("{method} is nothing that a client is asked for"),
            )),
        }
    }
}

fn refuse(code: i32, message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal {
        code,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn features(json: &str) -> Features {
        Features::read(json.as_bytes()).expect(json)
    }

    #[test]
    fn features_are_the_same_from_their_bits_and_from_their_text() {
        for bits in 0..128_u8 {
            let features = Features::from_bits(bits);
            assert_eq!(Features::from_bits(features.to_bits()), features, "{bits}");
            let text = features.to_json();
            let mut read = Features::read(text.as_bytes()).expect(&text);
            // Elicitation without a mode means forms.
            if let (
                Some(read),
                Some(Elicitation {
                    form: false,
                    url: false,
                }),
            ) = (&mut read.elicitation, features.elicitation)
            {
                read.form = false;
            }
            assert_eq!(read, features, "{text}");
        }
    }

    #[test]
    fn features_are_read_from_what_a_client_declares() {
        let both = Elicitation {
            form: true,
            url: true,
        };
        let cases = [
            ("{}", Features::default()),
            (
                r#"{"sampling":null,"roots":true,"elicitation":[]}"#,
                Features::default(),
            ),
            (
                r#" {"sampling":{}}"#,
                Features {
                    sampling: Some(Sampling::default()),
                    ..Features::default()
                },
            ),
            (
                r#"{"sampling":{"tools":{},"context":{}},"x":{"roots":{}}}"#,
                Features {
                    sampling: Some(Sampling {
                        tools: true,
                        context: true,
                    }),
                    ..Features::default()
                },
            ),
            (
                r#"{"roots":{"listChanged":true}}"#,
                Features {
                    roots: true,
                    ..Features::default()
                },
            ),
            (
                r#"{"elicitation":{}}"#,
                Features {
                    elicitation: Some(Elicitation {
                        form: true,
                        url: false,
                    }),
                    ..Features::default()
                },
            ),
            (
                r#"{"elicitation":{"url":{}}}"#,
                Features {
                    elicitation: Some(Elicitation {
                        form: false,
                        url: true,
                    }),
                    ..Features::default()
                },
            ),
            (
                r#"{"elicitation":{"url":{},"form":{"x":1}}}"#,
                Features {
                    elicitation: Some(both),
                    ..Features::default()
                },
            ),
        ];
        for (json, expected) in cases {
            assert_eq!(features(json), expected, "{json}");
        }
        for json in ["", "[]", "[null,null,null]", "null", "\"sampling\""] {
            assert_eq!(Features::read(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn a_client_is_asked_for_what_it_declared_only() {
        let all =
            features(r#"{"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}},"roots":{}}"#);
        let little = features(r#"{"sampling":{},"elicitation":{}}"#);
        let none = Features::default();
        let cases = [
            ("roots/list", "", [0, -32601, -32601]),
            (
                "sampling/createMessage",
                r#"{"messages":[]}"#,
                [0, 0, -32601],
            ),
            (
                "sampling/createMessage",
                r#"{"tools":[]}"#,
                [0, -32602, -32601],
            ),
            ("elicitation/create", r#"{"message":"m"}"#, [0, 0, -32601]),
            ("elicitation/create", r#"{"mode":"form"}"#, [0, 0, -32601]),
            (
                "elicitation/create",
                r#"{"mode":"\u0075rl"}"#,
                [0, -32602, -32601],
            ),
            (
                "elicitation/create",
                r#"{"mode":"other"}"#,
                [-32602, -32602, -32601],
            ),
            (
                "elicitation/create",
                r#"{"mode":7}"#,
                [-32602, -32602, -32601],
            ),
            ("tasks/get", "{}", [-32601, -32601, -32601]),
        ];
        for (method, params, codes) in cases {
            let found = [all, little, none].map(|features| {
                features
                    .allow(method, params.as_bytes())
                    .map_or_else(|refusal| refusal.code, |()| 0)
            });
            assert_eq!(found, codes, "{method} {params}");
        }
    }
}
