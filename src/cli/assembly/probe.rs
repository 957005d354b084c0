//! `check --start`: each server is started by the supervisor of the daemon itself, and asked for its
//! tools as a client would ask.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::cli::check::Prober;
use crate::cli::check::eras::KnownEras;
use crate::cli::check::report::Outcome;
use crate::cli::check::telling;
use crate::instruments::Instruments;
use crate::protocol::Era;
use crate::relay::{
    self, Answer, Caller, ClientCapabilities, ClientFeatures, Door, Instance, Relay,
    RoutingHeaders, ServerConfig, Target,
};
use crate::shards::Shards;
use crate::state_dir::StateDir;
use crate::supervisor::{self, EraChoice, EraFacts, RestartPolicy, ServerHandle};
use crate::types::{Principal, PrincipalId, ServerId};

const LIST_TOOLS: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// Starts servers through the supervisor, each with a relay of its own.
#[derive(Debug, Default)]
pub(in crate::cli) struct SupervisedProber {
    relays: Mutex<HashMap<ServerId, Arc<Relay>>>,
}

impl SupervisedProber {
    fn relays(&self) -> MutexGuard<'_, HashMap<ServerId, Arc<Relay>>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a relay with this one server, in the place of the last one, which is gone by then.
    fn start(&self, server: &supervisor::Config) -> Arc<Relay> {
        // One start decides: a server that needs a second one is what the caller wants to hear of.
        let server = supervisor::Config {
            autostart: false,
            restart_policy: RestartPolicy::Never,
            ..server.clone()
        };
        let id = server.id.clone();
        let relay = Arc::new(Relay::start(
            no_streams(),
            vec![shared(server)],
            &Instruments::noop(),
            Shards::here(),
            &StateDir::in_memory(),
        ));
        self.relays().insert(id, Arc::clone(&relay));
        relay
    }
}

impl Prober for SupervisedProber {
    async fn probe(&self, server: &supervisor::Config) -> Outcome {
        let relay = self.start(server);
        let person = person();
        let handle = match relay.server(&person, server.id.as_str()) {
            Ok(handle) => handle,
            Err(fault) => return failed(fault.message.into_owned(), None),
        };
        if let Err(fault) = handle.start(true).await {
            let reason = handle.status().last_error.clone();
            let reason = reason.unwrap_or_else(|| fault.message.into_owned());
            return failed(reason, Some(&handle));
        }
        let caller = Caller {
            principal: person,
            door: Door::Raw,
            session: None,
            headers: RoutingHeaders::default(),
            streams: false,
            prefers_stream: false,
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            trace: None,
            quota: None,
        };
        let target = Target::Server(server.id.clone());
        match relay.message(&target, caller, LIST_TOOLS.into()).await {
            Ok(Answer::Reply(reply)) => Outcome::Ok {
                tools: count_tools(&reply.message),
                protocol: handle.status().protocol.clone(),
            },
            Ok(Answer::Accepted | Answer::Stream(_)) => {
                failed("tools/list got no answer".to_owned(), Some(&handle))
            }
            Err(failure) => failed(
                format!("tools/list: {}", failure.fault.message),
                Some(&handle),
            ),
        }
    }

    async fn eras(&self, server: &supervisor::Config) -> KnownEras {
        if let EraChoice::Only(era) = server.era {
            return KnownEras::Pinned(era);
        }
        let relay = self.relays().get(&server.id).map(Arc::clone);
        let handle = |relay: &Relay| relay.server(&person(), server.id.as_str()).ok();
        let first = relay.as_deref().and_then(handle);
        let first = first.map(|handle| handle.era_facts()).unwrap_or_default();
        if first.legacy != Some(true) || first.modern.is_some() {
            return KnownEras::Found(first);
        }
        // It was spoken to as by a legacy client. Its process goes first: it may hold what only one can have.
        self.stop(&server.id).await;
        let Some(second) = handle(&self.start(server)) else {
            return KnownEras::Found(first);
        };
        second.wish_era(Era::Modern);
        // Where this start fails, the facts say no more than before.
        let _ = second.start(true).await;
        let found = second.era_facts();
        KnownEras::Found(EraFacts {
            legacy: first.legacy,
            ..found
        })
    }

    fn stderr_tail(&self, server: &ServerId) -> Vec<String> {
        let relay = self.relays().get(server).map(Arc::clone);
        let person = person();
        relay
            .as_ref()
            .and_then(|relay| relay.server(&person, server.as_str()).ok())
            .map(|handle| told(&handle))
            .unwrap_or_default()
    }

    fn last_error(&self, server: &ServerId) -> Option<String> {
        let relay = self.relays().get(server).map(Arc::clone)?;
        let handle = relay.server(&person(), server.as_str()).ok()?;
        handle.status().last_error.clone()
    }

    async fn stop(&self, server: &ServerId) {
        let relay = self.relays().remove(server);
        if let Some(relay) = relay {
            relay.shutdown().await;
        }
    }
}

fn failed(reason: String, handle: Option<&ServerHandle>) -> Outcome {
    Outcome::Failed {
        reason,
        stderr_tail: handle.map(told).unwrap_or_default(),
    }
}

fn told(handle: &ServerHandle) -> Vec<String> {
    telling::most_telling(handle.stderr_kept())
}

/// How many tools a response to `tools/list` names; `None` where it is an error: a server without tools.
fn count_tools(reply: &[u8]) -> Option<usize> {
    #[derive(Deserialize)]
    struct Response {
        result: Option<Tools>,
    }
    #[derive(Deserialize)]
    struct Tools {
        tools: Vec<serde::de::IgnoredAny>,
    }
    let response: Response = serde_json::from_slice(reply).ok()?;
    Some(response.result?.tools.len())
}

/// The person at the command line, who may do everything.
fn person() -> Arc<Principal> {
    Arc::new(Principal {
        id: PrincipalId(0),
        fingerprint: crate::types::TokenFingerprint::default(),
        name: "check".into(),
        admin: true,
        servers: None,
    })
}

/// Bounds of event streams and sessions, of which none is opened here.
fn no_streams() -> relay::Config {
    relay::Config {
        stream_queue_events: 0,
        stream_queue_bytes: 0,
        max_streams_per_token: 0,
        replay_bytes_per_token: 1,
        silence: Duration::MAX,
        session_idle: Duration::MAX,
        max_sessions_per_token: 0,
        replay_events: 0,
        replay_bytes: 0,
        memory_bytes: usize::MAX,
    }
}

/// A server whose one process serves whoever asks: the person at the command line.
fn shared(server: supervisor::Config) -> ServerConfig {
    ServerConfig {
        supervisor: server,
        instance: Instance::Shared,
        revive_sessions: false,
        client_features: ClientFeatures::Attribute,
        client_capabilities: ClientCapabilities::default(),
        max_instances: 1,
        instance_idle: Duration::MAX,
    }
}
