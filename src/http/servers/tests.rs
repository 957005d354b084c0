//! The listing as clients read it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::*;
use crate::relay::{ClientCapabilities, ClientFeatures, ServerConfig};
use crate::supervisor::{
    BackoffConfig, ProbeConfig, RequestConfig, RestartLimit, RestartPolicy, State as Word,
    StopConfig,
};
use crate::types::Incarnation;

fn config() -> supervisor::Config {
    let second = Duration::from_secs(1);
    supervisor::Config {
        id: "s1".parse().unwrap(),
        instance: None,
        launch: Launch {
            command: "npx".to_owned(),
            program: PathBuf::from("/usr/bin/npx"),
            args: vec!["--key=hunter2".to_owned()],
            working_dir: Some(PathBuf::from("/srv")),
            env: vec![(OsString::from("KEY"), OsString::from("hunter2"))],
            withheld: Vec::new(),
        },
        autostart: true,
        disabled: false,
        refused: None,
        restart_policy: RestartPolicy::OnFailure,
        backoff: BackoffConfig {
            first: second,
            max: second,
        },
        restart_limit: RestartLimit {
            count: 1,
            window: second,
        },
        failed_retry: Duration::from_mins(5),
        startup_timeout: second,
        era: supervisor::EraChoice::Auto,
        era_probe: second,
        client_capabilities: "{}".into(),
        stop: StopConfig {
            grace: second,
            term_grace: second,
        },
        probe: ProbeConfig {
            interval: second,
            timeout: second,
            misses: 1,
        },
        requests: RequestConfig {
            timeout: second,
            max: second,
            hold: second,
            max_in_flight: 1,
            max_queue: 1,
            max_queue_bytes: 1024,
            input_wait: Duration::from_secs(1),
            divided: false,
        },
        max_line_bytes: 1,
        stdin_stall: second,
        drain: second,
    }
}

fn status() -> Status {
    Status {
        state: Word::Stopped,
        asleep: true,
        tries_on_request: false,
        awaits_first_start: true,
        pid: None,
        incarnation: Incarnation(0),
        session_id: None,
        restart_count: 0,
        ready_since: None,
        next_start: None,
        last_exit: None,
        last_exit_at: None,
        last_error: None,
        protocol: None,
        server_info: None,
    }
}

fn found(name: Option<&str>, status: Status) -> Found {
    Found {
        name: name.map(Arc::from),
        era: Some(Era::Legacy),
        status: Arc::new(status),
        stderr_tail: vec!["a \"line\"".to_owned()],
        stdout_fault: name.is_none().then(|| "writes nonsense".to_owned()),
        in_flight: 3,
        memory_bytes: Some(4096),
    }
}

fn overview(config: &supervisor::Config, instance: Instance) -> Overview {
    let config = ServerConfig {
        supervisor: config.clone(),
        instance,
        revive_sessions: false,
        client_features: ClientFeatures::Attribute,
        client_capabilities: ClientCapabilities::default(),
        max_instances: 1,
        instance_idle: Duration::from_mins(1),
    };
    Overview {
        config: Arc::new(config),
        processes: Vec::new(),
        stopped: false,
        sessions: 2,
        list_gaps: Vec::new(),
    }
}

#[test]
fn every_member_is_there_in_its_order_and_no_argument_or_variable_is() {
    let now = Instant::now();
    let status = Status {
        state: Word::Ready,
        asleep: false,
        pid: Some(7),
        incarnation: Incarnation(2),
        session_id: Some("life".to_owned()),
        restart_count: 1,
        ready_since: Some(now),
        next_start: Some(now + Duration::from_millis(1500)),
        last_exit: Some(Exit::Code(3)),
        last_exit_at: Some(UNIX_EPOCH),
        last_error: Some("exited with code 3".to_owned()),
        protocol: Some("2025-11-25".to_owned()),
        server_info: Some(r#"{"name": "x"}"#.into()),
        ..status()
    };
    let expected = concat!(
        r#"{"server_id":"s1","status":"ready","asleep":false,"disabled":false,"pid":7,"restart_count":1,"last_exit_code":3,"#,
        r#""last_exit_at":"1970-01-01T00:00:00.000Z","session_id":"life","autostart":true,"#,
        r#""restart_policy":"on-failure","command":"npx","working_directory":"/srv","#,
        r#""incarnation":2,"uptime_seconds":0,"next_start_in_ms":1500,"last_exit_signal":null,"#,
        r#""last_error":"exited with code 3","stderr_tail":["a \"line\""],"#,
        r#""stdout_fault":"writes nonsense","#,
        r#""protocol":"2025-11-25","server_info":{"name": "x"},"in_flight":3,"sessions":2,"#,
        r#""memory_bytes":4096,"list_gaps":[],"instance":"shared"}"#
    );
    let config = config();
    let overview = overview(&config, Instance::Shared);
    let view = view(&overview, &[found(None, status)], now);
    assert_eq!(serde_json::to_string(&view).unwrap(), expected);
}

#[test]
fn what_is_unknown_is_null() {
    let broken = Status {
        last_exit: Some(Exit::Signal(9)),
        server_info: Some("not json".into()),
        ..status()
    };
    let mut config = config();
    config.launch.working_dir = None;
    let overview = overview(&config, Instance::Shared);
    let view = view(&overview, &[found(None, broken)], Instant::now());
    let value = serde_json::to_value(&view).unwrap();
    assert_eq!(value["last_exit_code"], serde_json::Value::Null);
    assert_eq!(value["last_exit_signal"], "SIGKILL");
    assert_eq!(value["server_info"], serde_json::Value::Null);
    assert_eq!(value["pid"], serde_json::Value::Null);
    assert_eq!(value["working_directory"], "");
}

#[test]
fn a_server_that_is_not_shared_shows_each_of_its_processes_and_the_sum() {
    let now = Instant::now();
    let ready = Status {
        state: Word::Ready,
        pid: Some(7),
        incarnation: Incarnation(1),
        ready_since: Some(now),
        ..status()
    };
    let failed = Status {
        state: Word::Failed,
        asleep: false,
        tries_on_request: false,
        incarnation: Incarnation(3),
        restart_count: 2,
        last_error: Some("given up".to_owned()),
        ..status()
    };
    let config = config();
    let found = [found(Some("alice"), failed), found(Some("0a1b2c3d"), ready)];
    let view = view(&overview(&config, Instance::Session), &found, now);
    let value = serde_json::to_value(&view).unwrap();
    let whole = [
        "instance",
        "status",
        "last_error",
        "pid",
        "restart_count",
        "in_flight",
        "memory_bytes",
    ]
    .map(|key| value[key].clone());
    let expected = serde_json::json!(["session", "failed", "given up", null, 2, 6, 8192]);
    assert_eq!(serde_json::Value::from(whole.to_vec()), expected);
    let instances = concat!(
        r#"[{"instance_key":"alice","era":"legacy","status":"failed","pid":null,"incarnation":3,"#,
        r#""restart_count":2,"in_flight":3,"memory_bytes":4096,"uptime_seconds":null,"protocol":null},"#,
        r#"{"instance_key":"0a1b2c3d","era":"legacy","status":"ready","pid":7,"incarnation":1,"#,
        r#""restart_count":0,"in_flight":3,"memory_bytes":4096,"uptime_seconds":0,"protocol":null}]"#,
    );
    assert_eq!(serde_json::to_string(&view.instances).unwrap(), instances);
}

#[test]
fn a_shared_server_that_is_spoken_to_in_both_eras_shows_both_processes() {
    let process = |pid, protocol: &str| {
        let status = Status {
            state: Word::Ready,
            pid: Some(pid),
            protocol: Some(protocol.to_owned()),
            ..status()
        };
        found(None, status)
    };
    let config = config();
    let both = [process(7, "2025-11-25"), process(8, "2026-07-28")];
    let view = view(&overview(&config, Instance::Shared), &both, Instant::now());
    let value = serde_json::to_value(&view).unwrap();
    assert_eq!(
        (&value["instance"], &value["pid"]),
        (&"shared".into(), &serde_json::Value::Null)
    );
    for (at, pid, protocol) in [(0, 7, "2025-11-25"), (1, 8, "2026-07-28")] {
        let shown = &value["instances"][at];
        assert_eq!(shown["pid"], pid);
        assert_eq!(shown["protocol"], protocol);
        assert_eq!(shown["instance_key"], serde_json::Value::Null);
    }
}

#[test]
fn a_server_that_is_not_shared_and_not_used_sleeps() {
    let config = config();
    let view = view(&overview(&config, Instance::Client), &[], Instant::now());
    assert_eq!((view.status, view.in_flight), ("stopped", 0));
    assert_eq!(serde_json::to_string(&view.instances).unwrap(), "[]");
}
