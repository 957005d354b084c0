//! The thin shell around the library: everything is in [`host_mcp_gateway::cli`].

use std::process::ExitCode;

/// Why, and where not: `lifecycle/allocator_jemalloc.rs`. Set here and not in the library, whose tests and benchmarks
/// have the system's.
#[cfg(all(
    feature = "jemalloc",
    target_os = "linux",
    target_arch = "x86_64",
    target_env = "gnu"
))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // The guard of a server comes before everything else: it must not have the threads of a runtime when it forks.
    let name = std::env::args_os().next();
    host_mcp_gateway::cli::assembly::guard(name.as_deref())
        .unwrap_or_else(host_mcp_gateway::cli::main)
}
