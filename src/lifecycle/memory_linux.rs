//! Who may look into the memory of this process: nobody of the same user.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Shuts servers, which run as the same user, out of the gateway's memory and environment.
///
/// The tokens are in both. A process that is not dumpable cannot be traced without `CAP_SYS_PTRACE`, its
/// `/proc/PID/environ`, `mem` and `fd` are root's, and it leaves no core file (`PR_SET_DUMPABLE`(2const),
/// proc(5)). What it starts is dumpable again from its `execve` on.
pub(super) fn close() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other processes of this user can read the gateway's memory");
    }
}
