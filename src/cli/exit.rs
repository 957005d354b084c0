//! Every exit code of this program.

use std::process::ExitCode;

/// How the program ends; the number is what a script sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Fine = 0,
    /// Not done; stderr says why.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The running gateway could not be reached.
    Unreachable = 3,
    /// The gateway runs, a server is not ready.
    NotReady = 4,
    /// The gateway runs, a server is being restarted.
    Restarting = 5,
    /// The gateway runs, a server was given up.
    ServerFailed = 6,
    /// The config file was refused (`EX_CONFIG` of sysexits.h).
    ConfigRefused = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
