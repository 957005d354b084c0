//! Where the things are that tests use: built binaries, installed servers, the repository.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The variable that every process of a test carries; the last step of `tests/run` looks for it.
pub(crate) const MARKER: &str = "HMG_TEST_ID";

/// A marker of its own for each gateway or server that is started: the run, this process, a number.
pub(crate) fn new_marker() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{}.{number}", marker_of_this_process())
}

/// What every marker of this process begins with.
pub(crate) fn marker_of_this_process() -> String {
    let run = std::env::var("HMG_TEST_RUN").unwrap_or_else(|_| "local".to_owned());
    format!("{run}.{}", std::process::id())
}

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The gateway as it ships.
pub(crate) fn gateway() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_host-mcp-gateway"))
}

/// The gremlin, which Cargo builds beside the test binaries.
pub(crate) fn gremlin() -> PathBuf {
    example("gremlin")
}

/// The server that the conformance suite wants, likewise.
pub(crate) fn conformance_server() -> PathBuf {
    example("conformance_server")
}

/// The client made of the Rust SDK, likewise.
pub(crate) fn rmcp_client() -> PathBuf {
    example("rmcp_client")
}

fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test binary");
    // target/<profile>/deps/it-<hash>
    let profile = test
        .ancestors()
        .nth(2)
        .expect("a profile folder above deps");
    let program = profile.join("examples").join(name);
    assert!(
        program.is_file(),
        "{} is missing; build it with `cargo build --examples`",
        program.display()
    );
    program
}

/// A file of the real servers or clients, which `tests/run` installs below the target folder.
pub(crate) fn installed(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("a target folder above its tmp");
    let file = target.join("servers").join(path);
    assert!(
        file.exists(),
        "{} is missing; `tests/run servers` installs it",
        file.display()
    );
    file
}
