//! `status`: how the servers of the running gateway are, with an exit code for scripts.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::args::{OutputForm, StatusArgs};
use super::client_config::checked;
use super::gateway::{Gateway, Unanswered};
use super::terminal::{BAD, FAINT, GOOD, HEAD, WARN, columns, printable};
use super::{Exit, terminal};

pub(super) fn run(args: &StatusArgs, config: &Path, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let url = args.url.as_deref().map(checked).transpose()?;
    let named = url.is_some();
    let asked = Gateway::of_config(config, url).and_then(|(gateway, refused)| {
        let answers = gateway
            .get("/health")
            .and_then(|health| Ok((health, gateway.get("/servers")?)));
        match answers {
            Ok((health, servers)) => Ok((gateway.base_url, health, servers, refused)),
            Err(Unanswered::Unreachable(text, _)) => Err(Unanswered::Unreachable(text, refused)),
            Err(other) => Err(other),
        }
    });
    let (base_url, health, servers, refused) = match asked {
        Ok(answers) => answers,
        Err(Unanswered::Config(refused)) => {
            let exit = refused.complain();
            terminal::remark(
                "a gateway that runs can be asked all the same, with its token in the variable HMG_TOKEN",
            );
            return Ok(exit);
        }
        Err(Unanswered::Unreachable(text, refused)) => {
            // Without a gateway the file is what matters, unless another one was meant.
            let refused = refused.filter(|_| !named).map(|refused| refused.complain());
            terminal::complain(&text);
            return Ok(refused.unwrap_or(Exit::Unreachable));
        }
        Err(Unanswered::Failed(text)) => anyhow::bail!(text),
    };
    let on_disk = refused.filter(|refused| !named && !refused.missing);
    let on_disk = on_disk.map_or_else(Vec::new, |refused| refused.faults);
    let servers = servers
        .get("servers")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let shown = match chosen(&args.servers, servers) {
        Ok(shown) => shown,
        Err(unknown) => {
            terminal::complain(&unknown);
            return Ok(Exit::Usage);
        }
    };
    let servers = shown.as_slice();
    match args.output {
        OutputForm::Text => {
            let text = text(&base_url, &health, servers, &on_disk);
            out.write_all(text.as_bytes())?;
        }
        OutputForm::Json => {
            let report = json!({
                "url": base_url,
                "status": health.get("status"),
                "version": health.get("version"),
                "pid": health.get("pid"),
                "uptime_seconds": health.get("uptime_seconds"),
                "config": health.get("config"),
                "faults_on_disk": on_disk,
                "servers": servers,
            });
            writeln!(out, "{report:#}")?;
        }
    }
    Ok(exit(&health, servers))
}

/// The servers of these names, or all where none is named; the error names one that is not there.
fn chosen(names: &[String], servers: &[Value]) -> Result<Vec<Value>, String> {
    if names.is_empty() {
        return Ok(servers.to_vec());
    }
    let mut chosen = Vec::new();
    for name in names {
        let found = servers
            .iter()
            .find(|server| server["server_id"] == name.as_str());
        let Some(server) = found else {
            return Err(format!(
                "unknown server {name:?}, see host-mcp-gateway status"
            ));
        };
        chosen.push(server.clone());
    }
    Ok(chosen)
}

/// The worst of what is wrong. A server that sleeps because nobody asked for it is fine.
fn exit(health: &Value, servers: &[Value]) -> Exit {
    let any = |status: &str| servers.iter().any(|server| server["status"] == status);
    if any("failed") {
        Exit::ServerFailed
    } else if any("backoff") {
        Exit::Restarting
    } else if health["status"] == "ok" {
        Exit::Fine
    } else {
        Exit::NotReady
    }
}

fn text(base_url: &str, health: &Value, servers: &[Value], on_disk: &[String]) -> String {
    let uptime = health["uptime_seconds"]
        .as_u64()
        .map_or(String::new(), span);
    let word = health["status"].as_str().unwrap_or("unknown");
    let style = if word == "ok" { GOOD } else { WARN };
    let version = health["version"].as_str().unwrap_or("?");
    let pid = health["pid"].as_u64();
    let pid = pid.map_or(String::new(), |pid| format!(", pid {pid}"));
    let mut lines = vec![format!(
        "{style}{}{style:#}: version {} on {base_url}{pid}, up {uptime}",
        printable(word),
        printable(version)
    )];
    let notes = notes(health, servers, on_disk);
    lines.extend(
        notes
            .iter()
            .map(|note| format!("  {WARN}{}{WARN:#}", printable(note))),
    );
    let heads = ["SERVER", "STATUS", "PID", "UP", "RESTARTS", "MEMORY"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(servers.iter().map(row));
    let mut aligned = columns(&rows).into_iter();
    lines.extend(aligned.next().map(|head| format!("{HEAD}{head}{HEAD:#}")));
    for (server, row) in servers.iter().zip(aligned) {
        lines.push(row);
        let error = server["last_error"].as_str();
        // Its state says it already.
        if let Some(error) = error.filter(|_| server["disabled"] != true) {
            lines.push(format!("    {BAD}{}{BAD:#}", printable(error)));
        }
        if let Some(ms) = server["next_start_in_ms"].as_u64() {
            lines.push(format!("    next start in {}", span(ms.div_ceil(1000))));
        }
        if !is_as_it_should_be(server) {
            let tail = server["stderr_tail"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let tail = tail.iter().filter_map(Value::as_str);
            lines.extend(
                tail.map(|line| format!("    {FAINT}stderr: {}{FAINT:#}", printable(line))),
            );
        }
    }
    lines.join("\n") + "\n"
}

/// Everything in which the gateway is not as its config would have it, one line each.
fn notes(health: &Value, servers: &[Value], on_disk: &[String]) -> Vec<String> {
    let config = &health["config"];
    let refused = &config["refused"];
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut notes = Vec::new();
    let since = config["loaded_at"].as_str().unwrap_or("its start");
    if let Some(at) = refused["at"].as_str() {
        let count = refused["faults"].as_u64().unwrap_or_default();
        let faults = if count == 1 { "fault" } else { "faults" };
        notes.push(format!(
            "a reload at {at} was refused for {count} {faults}; the config of {since} stays in force"
        ));
        notes.extend(
            texts(&refused["reasons"])
                .iter()
                .map(|fault| format!("  {fault}")),
        );
    }
    // Those of the file begin with its path.
    let reasons = texts(&refused["reasons"]);
    let is_told = |fault: &String| {
        reasons
            .iter()
            .any(|reason| fault.ends_with(reason.as_str()))
    };
    if !on_disk.iter().all(is_told) {
        notes.push(format!(
            "the config file as it is now would be refused; the config of {since} is in force"
        ));
        notes.extend(on_disk.iter().map(|fault| format!("  {fault}")));
    }
    let keys = texts(&config["restart_needed"]);
    if !keys.is_empty() {
        let keys = keys.join(", ");
        notes.push(format!(
            "restart needed: what has changed in {keys} takes effect when the gateway is restarted"
        ));
    }
    if health["status"] != "ok" {
        let bad = servers.iter().filter(|server| !is_as_it_should_be(server));
        let named = |server: &Value| {
            format!(
                "{} is {}",
                server["server_id"].as_str().unwrap_or("?"),
                word(server)
            )
        };
        let bad: Vec<String> = bad.map(named).collect();
        if !bad.is_empty() {
            notes.push(bad.join(", "));
        }
    }
    notes
}

fn is_as_it_should_be(server: &Value) -> bool {
    server["status"] == "ready" || server["asleep"] == true || server["disabled"] == true
}

/// The state of a server in one word; of a stopped one, why.
fn word(server: &Value) -> &str {
    if server["disabled"] == true {
        "disabled"
    } else if server["status"] == "stopped" && server["asleep"] == true {
        "asleep"
    } else {
        server["status"].as_str().unwrap_or("unknown")
    }
}

fn row(server: &Value) -> Vec<String> {
    let number = |key: &str| server[key].as_u64();
    let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mebibytes = |bytes: u64| format!("{} MiB", bytes.div_ceil(1024 * 1024));
    vec![
        cell(server["server_id"].as_str().map(printable)),
        printable(word(server)),
        cell(number("pid").map(|pid| pid.to_string())),
        cell(number("uptime_seconds").map(span)),
        cell(number("restart_count").map(|count| count.to_string())),
        cell(number("memory_bytes").map(mebibytes)),
    ]
}

/// A span of time in its two largest units.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: &str, status: &str) -> Value {
        json!({"server_id": id, "status": status, "pid": 7, "uptime_seconds": 61, "restart_count": 0,
            "memory_bytes": 1_048_577, "last_error": null, "stderr_tail": ["a line"]})
    }

    #[test]
    fn the_exit_code_is_the_worst_of_what_is_wrong() {
        let (ok, degraded) = (json!({"status": "ok"}), json!({"status": "degraded"}));
        let servers = |words: &[&str]| {
            words
                .iter()
                .map(|word| server("s", word))
                .collect::<Vec<_>>()
        };
        assert_eq!(exit(&ok, &servers(&["ready", "stopped"])), Exit::Fine);
        assert_eq!(
            exit(&degraded, &servers(&["ready", "starting"])),
            Exit::NotReady
        );
        assert_eq!(
            exit(&degraded, &servers(&["starting", "backoff"])),
            Exit::Restarting
        );
        assert_eq!(
            exit(&degraded, &servers(&["backoff", "failed"])),
            Exit::ServerFailed
        );
    }

    #[test]
    fn a_server_that_is_not_ready_says_why() {
        let health =
            json!({"status": "degraded", "version": "1.2.3", "pid": 42, "uptime_seconds": 90_000});
        let mut failed = server("b", "failed");
        failed["pid"] = Value::Null;
        failed["last_error"] = "exited with \u{1b}[31m code 3".into();
        let text = text("http://h:1", &health, &[server("a", "ready"), failed], &[]);
        let text = anstream::adapter::strip_str(&text).to_string();
        insta::assert_snapshot!(text, @r"
        degraded: version 1.2.3 on http://h:1, pid 42, up 1 d 1 h
          b is failed
        SERVER  STATUS  PID  UP         RESTARTS  MEMORY
        a       ready   7    1 min 1 s  0         2 MiB
        b       failed  -    1 min 1 s  0         2 MiB
            exited with \u{1b}[31m code 3
            stderr: a line
        ");
    }

    /// RF04
    #[test]
    fn a_refused_reload_a_needed_restart_and_servers_at_rest_are_told_apart() {
        let health = json!({"status": "degraded", "version": "1.2.3", "uptime_seconds": 1, "config": {
            "loaded_at": "2026-01-01T00:00:00.000Z",
            "refused": {"at": "2026-01-02T00:00:00.000Z", "faults": 1, "reasons": ["bind_prot (line 2): unknown key"]},
            "restart_needed": ["bind_port"],
        }});
        let at_rest = |id: &str, asleep: bool, disabled: bool| {
            let mut server = server(id, "stopped");
            (server["asleep"], server["disabled"]) = (asleep.into(), disabled.into());
            server["stderr_tail"] = json!([]);
            server
        };
        let servers = [
            at_rest("a", true, false),
            at_rest("b", false, false),
            at_rest("c", false, true),
        ];
        let text = text(
            "http://h:1",
            &health,
            &servers,
            &["c.json: args: wrong".to_owned()],
        );
        let text = anstream::adapter::strip_str(&text).to_string();
        insta::assert_snapshot!(text, @r"
        degraded: version 1.2.3 on http://h:1, up 1 s
          a reload at 2026-01-02T00:00:00.000Z was refused for 1 fault; the config of 2026-01-01T00:00:00.000Z stays in force
            bind_prot (line 2): unknown key
          the config file as it is now would be refused; the config of 2026-01-01T00:00:00.000Z is in force
            c.json: args: wrong
          restart needed: what has changed in bind_port takes effect when the gateway is restarted
          b is stopped
        SERVER  STATUS    PID  UP         RESTARTS  MEMORY
        a       asleep    7    1 min 1 s  0         2 MiB
        b       stopped   7    1 min 1 s  0         2 MiB
        c       disabled  7    1 min 1 s  0         2 MiB
        ");
    }

    /// RC02: when a server that was given up is tried again, and nothing of the others where one is named.
    #[test]
    fn a_server_that_is_named_is_shown_alone_with_its_next_start() {
        let mut failed = server("b", "failed");
        failed["next_start_in_ms"] = 241_500.into();
        let servers = [server("a", "ready"), failed];
        let shown = chosen(&["b".to_owned()], &servers).unwrap();
        let health = json!({"status": "degraded", "version": "1.2.3", "uptime_seconds": 1});
        let text = text("http://h:1", &health, &shown, &[]);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("    next start in 4 min 2 s\n"), "{text}");
        assert!(!text.contains("\na "), "{text}");
        assert!(chosen(&["c".to_owned()], &servers).is_err());
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        let spans = [0, 59, 61, 3_600, 90_061].map(span);
        assert_eq!(spans, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}
