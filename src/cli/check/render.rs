//! The report for people.

use std::fmt::Write as _;

use super::report::{Outcome, Report, ServerReport};
use crate::cli::terminal::{BAD, FAINT, GOOD, HEAD, WARN, columns, printable};

/// The whole report, ending in one line that sums it up. Colours are ANSI sequences; the stream they
/// are written to drops them where there is no terminal.
pub(super) fn text(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    for fault in &report.faults {
        // A fault may have a hint on a line of its own.
        lines.extend(
            fault
                .lines()
                .map(|line| format!("{BAD}{}{BAD:#}", printable(line))),
        );
    }
    if !report.servers.is_empty() {
        lines.extend(table(&report.servers));
    }
    for warning in &report.warnings {
        lines.push(format!("{WARN}warning:{WARN:#} {}", printable(warning)));
    }
    if let Some(hint) = &report.hint {
        lines.push(format!("{FAINT}hint:{FAINT:#} {}", printable(hint)));
    }
    lines.push(summary(report));
    lines.join("\n") + "\n"
}

fn table(servers: &[ServerReport]) -> Vec<String> {
    let heads = ["SERVER", "COMMAND", "AUTOSTART", "RESTART", "RESULT"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(servers.iter().map(|server| {
        vec![
            server.id.clone(),
            printable(&server.command),
            if server.autostart { "yes" } else { "no" }.to_owned(),
            server.restart_policy.to_owned(),
            result(server),
        ]
    }));
    let mut aligned = columns(&rows).into_iter();
    let mut lines: Vec<String> = aligned
        .next()
        .map(|head| format!("{HEAD}{head}{HEAD:#}"))
        .into_iter()
        .collect();
    for (server, row) in servers.iter().zip(aligned) {
        let style = match server.outcome {
            Outcome::Ok { .. } => GOOD,
            Outcome::Failed { .. } => BAD,
            Outcome::Disabled | Outcome::NotStarted => FAINT,
        };
        // The result is the last column, so it can be coloured without spoiling the alignment.
        let result = result(server);
        let before = row.strip_suffix(&result).unwrap_or(&row);
        lines.push(format!("{before}{style}{result}{style:#}"));
        lines.extend(stderr(server));
    }
    lines
}

fn result(server: &ServerReport) -> String {
    let word = server.outcome.word();
    let took = server.took.as_millis();
    match &server.outcome {
        Outcome::NotStarted | Outcome::Disabled => word.to_owned(),
        Outcome::Ok { tools, protocol } => {
            let tools = match tools {
                None => "no tools".to_owned(),
                Some(1) => "1 tool".to_owned(),
                Some(count) => format!("{count} tools"),
            };
            let protocol = protocol
                .as_deref()
                .map(|protocol| format!(", MCP {}", printable(protocol)));
            let eras = server.eras.map(|eras| format!(", {}", eras.words()));
            format!(
                "{word}, {tools}, {took} ms{}{}",
                protocol.unwrap_or_default(),
                eras.unwrap_or_default()
            )
        }
        Outcome::Failed { reason, .. } if server.took.is_zero() => {
            format!("{word}: {}", printable(reason))
        }
        Outcome::Failed { reason, .. } => format!("{word} after {took} ms: {}", printable(reason)),
    }
}

fn stderr(server: &ServerReport) -> Vec<String> {
    let Outcome::Failed { stderr_tail, .. } = &server.outcome else {
        return Vec::new();
    };
    let lines = stderr_tail.iter();
    lines
        .map(|line| format!("    {FAINT}stderr: {}{FAINT:#}", printable(line)))
        .collect()
}

fn summary(report: &Report) -> String {
    let config = printable(&report.config);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match (report.faults.len(), report.failed(), report.servers.len()) {
        (0, 0, 1) => write!(text, "{GOOD}{config} is in order: 1 server{GOOD:#}"),
        (0, 0, count) => write!(text, "{GOOD}{config} is in order: {count} servers{GOOD:#}"),
        (0, failed, count) => write!(text, "{BAD}{failed} of {count} servers failed{BAD:#}"),
        _ if report.missing => write!(
            text,
            "{HEAD}write a first config with: host-mcp-gateway init --import{HEAD:#}"
        ),
        (1, _, _) => write!(text, "{BAD}{config} is refused for 1 fault{BAD:#}"),
        (faults, _, _) => write!(text, "{BAD}{config} is refused for {faults} faults{BAD:#}"),
    };
    text
}
