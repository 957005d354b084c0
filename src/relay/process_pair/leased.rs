//! A process of a server in use, and the lease that keeps it.

use std::ops::Deref;
use std::sync::Arc;

use super::ProcessPair;
use crate::fault::Fault;
use crate::protocol::Era;
use crate::relay::instances::Lease;
use crate::relay::upstream::Upstream;

/// A process of a server, in use by one request, stream or session.
#[derive(Debug)]
pub(in crate::relay) struct LeasedProcess {
    upstream: Arc<Upstream>,
    /// The era of the client, where it counts.
    wanted: Option<Era>,
    settled: bool,
    /// Its own, in one block of memory with it: the lease of another value would keep that one's process too.
    lease: Lease<ProcessPair>,
}

impl LeasedProcess {
    pub(in crate::relay) fn new(lease: Lease<ProcessPair>, wanted: Option<Era>) -> Self {
        let (upstream, settled) = lease.pick(wanted);
        Self {
            upstream,
            wanted,
            settled,
            lease,
        }
    }

    fn with(&self, upstream: Arc<Upstream>, settled: bool) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            wanted: self.wanted,
            settled,
            lease: self.lease.again(),
        })
    }

    /// Whether it is known that this process is the one for its client.
    pub(in crate::relay) fn is_settled(&self) -> bool {
        self.settled
    }

    /// The same for the process that is for the client, waited for where that is not known yet.
    pub(in crate::relay) async fn settle(&self) -> Result<Arc<Self>, Fault> {
        let upstream = self.lease.settle(self.wanted).await?;
        Ok(self.with(upstream, true))
    }

    /// The same by what is known by now.
    pub(in crate::relay) fn again(&self) -> Arc<Self> {
        let (upstream, settled) = self.lease.pick(self.wanted);
        self.with(upstream, settled)
    }

    /// The same for the process that can serve the client now.
    pub(in crate::relay) fn at_once(&self) -> Arc<Self> {
        self.with(self.lease.at_once(self.wanted), true)
    }

    /// False once the process was dismissed.
    pub(in crate::relay) fn is_present(&self) -> bool {
        self.lease.has(&self.upstream)
    }

    /// Whether both are of the same server and the same clients.
    pub(in crate::relay) fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lease, &other.lease)
    }
}

impl Deref for LeasedProcess {
    type Target = Arc<Upstream>;

    fn deref(&self) -> &Arc<Upstream> {
        &self.upstream
    }
}
