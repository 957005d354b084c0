//! A server that a test plays.

use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::{OmissionLog, Server};
use crate::relay::config::{self, ServerConfig};
use crate::relay::instances::{InstanceKey, Instances};
use crate::relay::process_pair::ProcessPair;
use crate::relay::upstream::Upstream;
use crate::shards::Shard;

impl Server {
    /// A server whose one process is there already.
    pub(in crate::relay) fn of(upstream: Upstream, instance: config::Instance) -> Self {
        let (id, labels) = (upstream.handle.id().clone(), upstream.instruments.clone());
        let config = ServerConfig {
            supervisor: (*upstream.handle.config()).clone(),
            instance,
            revive_sessions: false,
            client_features: config::ClientFeatures::Attribute,
            client_capabilities: config::ClientCapabilities::default(),
            max_instances: 1,
            instance_idle: std::time::Duration::from_mins(1),
        };
        let ended = upstream.ended.clone();
        let only = Mutex::new(Some(upstream));
        let make = move |_: &InstanceKey, _, _| {
            let only = only.lock().unwrap().take().unwrap();
            ProcessPair::new(only, Box::new(|_| unreachable!("one process is enough")))
        };
        Self {
            id,
            instances: Instances::new(config, Box::new(make)),
            instruments: labels,
            home: Shard::here(),
            ended,
            omissions: OmissionLog::default(),
            gone: CancellationToken::new(),
            predecessor: None,
        }
    }
}
