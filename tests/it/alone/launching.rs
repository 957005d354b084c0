//! What a server is started with: the limit of descriptors.

use super::*;

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
