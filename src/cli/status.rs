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
    let asked = Gateway::of_config(config, url).and_then(|gateway| {
        let (health, servers) = (gateway.get("/health")?, gateway.get("/servers")?);
        Ok((gateway.base_url, health, servers))
    });
    let (base_url, health, servers) = match asked {
        Ok(answers) => answers,
        Err(Unanswered::Config(refused)) => return Ok(refused.complain()),
        Err(Unanswered::Unreachable(text)) => {
            terminal::complain(&text);
            return Ok(Exit::Unreachable);
        }
        Err(Unanswered::Failed(text)) => anyhow::bail!(text),
    };
    let servers = servers
        .get("servers")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    match args.output {
        OutputForm::Text => out.write_all(text(&base_url, &health, servers).as_bytes())?,
        OutputForm::Json => {
            let report = json!({
                "url": base_url,
                "status": health.get("status"),
                "version": health.get("version"),
                "uptime_seconds": health.get("uptime_seconds"),
                "servers": servers,
            });
            writeln!(out, "{report:#}")?;
        }
    }
    Ok(exit(&health, servers))
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

fn text(base_url: &str, health: &Value, servers: &[Value]) -> String {
    let uptime = health["uptime_seconds"]
        .as_u64()
        .map_or(String::new(), span);
    let word = health["status"].as_str().unwrap_or("unknown");
    let style = if word == "ok" { GOOD } else { WARN };
    let version = health["version"].as_str().unwrap_or("?");
    let mut lines = vec![format!(
        "{style}{}{style:#}: version {} on {base_url}, up {uptime}",
        printable(word),
        printable(version)
    )];
    let heads = ["SERVER", "STATUS", "PID", "UP", "RESTARTS", "MEMORY"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(servers.iter().map(row));
    let mut aligned = columns(&rows).into_iter();
    lines.extend(aligned.next().map(|head| format!("{HEAD}{head}{HEAD:#}")));
    for (server, row) in servers.iter().zip(aligned) {
        lines.push(row);
        if let Some(error) = server["last_error"].as_str() {
            lines.push(format!("    {BAD}{}{BAD:#}", printable(error)));
        }
        if server["status"] != "ready" {
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

fn row(server: &Value) -> Vec<String> {
    let number = |key: &str| server[key].as_u64();
    let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let word = |key: &str| cell(server[key].as_str().map(printable));
    let mebibytes = |bytes: u64| format!("{} MiB", bytes.div_ceil(1024 * 1024));
    vec![
        word("server_id"),
        word("status"),
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
        let health = json!({"status": "degraded", "version": "1.2.3", "uptime_seconds": 90_000});
        let mut failed = server("b", "failed");
        failed["pid"] = Value::Null;
        failed["last_error"] = "exited with \u{1b}[31m code 3".into();
        let text = text("http://h:1", &health, &[server("a", "ready"), failed]);
        let text = anstream::adapter::strip_str(&text).to_string();
        insta::assert_snapshot!(text, @r"
        degraded: version 1.2.3 on http://h:1, up 1 d 1 h
        SERVER  STATUS  PID  UP         RESTARTS  MEMORY
        a       ready   7    1 min 1 s  0         2 MiB
        b       failed  -    1 min 1 s  0         2 MiB
            exited with \u{1b}[31m code 3
            stderr: a line
        ");
    }

    #[test]
    fn a_span_has_its_two_largest_units() {
        let spans = [0, 59, 61, 3_600, 90_061].map(span);
        assert_eq!(spans, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}
