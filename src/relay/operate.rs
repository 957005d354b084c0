//! What an operator orders of a server and its processes.

use futures_util::future::join_all;

use super::Relay;
use crate::fault::Fault;
use crate::supervisor::{Pace, ServerHandle};
use crate::types::Principal;

/// An operator's order for one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorOrder {
    /// To run, also where it was given up.
    Start,
    /// To be stopped and stay so, for clients that have no process of it yet, too.
    Stop(Pace),
    /// To run in a new process.
    Restart(Pace),
}

impl Relay {
    /// Gives every process of a server this order, at the same time; with `wait`, returns when it is carried out in all
    /// of them. Gives the processes, of which a server that clients do not share may have none.
    pub async fn operate(
        &self,
        principal: &Principal,
        id: &str,
        order: OperatorOrder,
        wait: bool,
    ) -> Result<Vec<ServerHandle>, Fault> {
        let server = self.servers.find(principal, id)?;
        // Before the processes are looked at: one that is made from now on is not among them.
        server
            .instances
            .set_stopped(matches!(order, OperatorOrder::Stop(_)));
        let mut told: Vec<ServerHandle> = Vec::new();
        loop {
            // One that was made meanwhile is told as well.
            let mut processes = self.processes(principal, id)?;
            processes.retain(|process| !told.contains(process));
            if processes.is_empty() {
                return Ok(told);
            }
            let carried_out = join_all(processes.iter().map(async |process| match order {
                OperatorOrder::Start => process.start(wait).await,
                OperatorOrder::Stop(pace) => process.stop(pace, wait).await,
                OperatorOrder::Restart(pace) => process.restart(pace, wait).await,
            }));
            carried_out.await.into_iter().collect::<Result<(), _>>()?;
            told.append(&mut processes);
        }
    }
}
