//! The command line, run to its end.

use std::path::Path;
use std::process::Command;

use super::places::{self, MARKER};
use super::process::{self, kill_marked};

/// What a verb left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the gateway's binary with these arguments at home in `home`, without a terminal, and waits for its end.
///
/// Panics when a process of it is left: no verb that ends may leave one.
pub(crate) fn run(home: &Path, arguments: &[&str]) -> Ended {
    run_with(home, arguments, &[])
}

/// [`run`] with these variables besides.
pub(crate) fn run_with(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let marker = places::new_marker();
    let output = Command::new(places::gateway())
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env(MARKER, &marker)
        .envs(process::plain_unix())
        .envs(variables.iter().copied())
        .current_dir(home)
        .output()
        .expect("run the gateway's binary");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output in UTF-8");
    let left = kill_marked(&marker);
    assert!(left.is_empty(), "left by {arguments:?}: {left:?}");
    Ended {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}
