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
    // The guard of a server comes before everything else: it must not parse a command line that holds
    // a server's own arguments, and must not have the threads of a runtime when it forks.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|verb| verb == "guard") {
        return host_mcp_gateway::cli::assembly::guard(args);
    }
    host_mcp_gateway::cli::main()
}
