//! `status`: how the servers of the running gateway are, with an exit code for scripts.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::Exit;
use super::args::{OutputForm, StatusArgs};
use super::client_config::checked;
use super::gateway::{Gateway, Unanswered};
use super::terminal::{BAD, FAINT, GOOD, HEAD, WARN, columns, printable};

mod failure;

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
    let (base_url, mut health, servers, refused) = match asked {
        Ok(answers) => answers,
        Err(unanswered) => return Ok(failure::tell(unanswered, named, args.output, out)?),
    };
    let on_disk = refused.filter(|refused| !named && !refused.missing);
    let unset_here = on_disk.as_ref().is_some_and(|refused| refused.unset_here);
    let mut on_disk = on_disk.map_or_else(Vec::new, |refused| refused.faults);
    let mut not_set_here = Vec::new();
    if unset_here {
        // The gateway has variables of its own, so the file is not judged by those of this shell.
        std::mem::swap(&mut on_disk, &mut not_set_here);
        failure::remark_unset(&not_set_here);
    }
    let servers = servers
        .get("servers")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let shown = match chosen(&args.servers, servers) {
        Ok(shown) => shown,
        Err(unknown) => {
            failure::print(&failure::Failure::usage(unknown), args.output, out)?;
            return Ok(Exit::Usage);
        }
    };
    let servers = shown.as_slice();
    if !args.servers.is_empty() {
        only_of(&mut health, servers);
    }
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
                "not_set_here": not_set_here,
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

/// Has the health tell of these servers only: a script that asks for some of them does not wait for the others.
fn only_of(health: &mut Value, servers: &[Value]) {
    let word = if servers.iter().all(is_as_it_should_be) {
        "ok"
    } else {
        "degraded"
    };
    if let Some(health) = health.as_object_mut() {
        health.insert("status".to_owned(), word.into());
    }
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
    let heads = [
        "SERVER", "STATUS", "PROTOCOL", "PID", "UP", "RESTARTS", "MEMORY",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for server in servers {
        rows.push(row(server));
        rows.extend(instances(server).iter().map(instance_row));
    }
    let mut aligned = columns(&rows).into_iter();
    lines.extend(aligned.next().map(|head| format!("{HEAD}{head}{HEAD:#}")));
    for server in servers {
        lines.extend(aligned.by_ref().take(1 + instances(server).len()));
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

/// The processes of a server that has, or may have, several.
fn instances(server: &Value) -> &[Value] {
    server["instances"].as_array().map_or(&[], Vec::as_slice)
}

fn row(server: &Value) -> Vec<String> {
    let id = server["server_id"].as_str().unwrap_or("-");
    cells(printable(id), printable(word(server)), server)
}

/// One process, below its server: by whose it is, or by its era where all clients share it.
fn instance_row(instance: &Value) -> Vec<String> {
    let name = instance["instance_key"].as_str();
    let name = name.or_else(|| instance["era"].as_str()).unwrap_or("-");
    let status = instance["status"].as_str().unwrap_or("unknown");
    cells(
        format!("  {}", printable(name)),
        printable(status),
        instance,
    )
}

/// The cells that a server and one process of several have in common.
fn cells(name: String, status: String, of: &Value) -> Vec<String> {
    let number = |key: &str| of[key].as_u64();
    let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let mebibytes = |bytes: u64| format!("{} MiB", bytes.div_ceil(1024 * 1024));
    vec![
        name,
        status,
        cell(of["protocol"].as_str().map(printable)),
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
mod tests;
