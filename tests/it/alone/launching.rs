//! What a server is started with: the program of its guard, and the limit of descriptors.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::*;
use crate::support::process;

/// An update replaces the program file while the gateway runs: its guards are started from the file that it was.
#[tokio::test]
async fn a_server_is_restarted_although_the_program_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let copied = at("gateway");
    let script = format!("cp \"$0\" '{0}' && exec '{0}' \"$@\"", copied.display());
    let gateway = Gateway::builder()
        .fault_profile()
        .run_by(&["sh", "-c", &script])
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    echoes(&client, "g1", "before").await;
    std::fs::write(at("new"), "#!/bin/sh\nexit 7\n").unwrap();
    std::fs::set_permissions(at("new"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(at("new"), &copied).unwrap();
    process::signal(pid_of(&client, "g1").await, Signal::KILL);
    ready_in(&client, "g1", 2).await;
    echoes(&client, "g1", "after").await;
}

/// The gateway opens as many files as the system allows; a server has the limit that the gateway was started with.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_limit_of_descriptors_is_raised_for_the_gateway_alone() {
    let soft_limit = |pid: u32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let mut lines = limits.lines();
        let line = lines.find_map(|line| line.strip_prefix("Max open files"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.expect("a number")
    };
    let gateway = Gateway::builder()
        .run_by(&["prlimit", "--nofile=256:4096"])
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    assert_eq!(soft_limit(gateway.pid()), 4096);
    assert_eq!(soft_limit(pid_of(&client, "g1").await), 256);
}
