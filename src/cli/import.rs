//! Servers that the MCP clients on this machine are configured with: found, named, and shown before
//! anything is taken over.
//!
//! Other programs' files are read leniently: what is not understood is skipped and said.

mod entry;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use self::entry::{Launch, Parsed};
use self::sources::{Entry, sources};
use super::surroundings::Surroundings;
use super::terminal::{columns, printable};
use crate::types::ServerId;

/// A server to take over.
#[derive(Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: ServerId,
    /// The name in the client's file.
    name: String,
    launch: Launch,
    /// Settings of the client that the gateway does not take over, one sentence each.
    losses: Vec<String>,
    origin: Origin,
}

/// Something that was found and is not taken over.
#[derive(Debug, PartialEq)]
pub(super) struct Skipped {
    what: String,
    origin: Origin,
    why: String,
}

/// Where something was found.
#[derive(Clone, Debug, PartialEq)]
struct Origin {
    client: &'static str,
    file: PathBuf,
}

/// Everything that was found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    pub(super) skipped: Vec<Skipped>,
}

/// Reads the files of every known client that are there.
pub(super) fn find(at: &Surroundings) -> Found {
    let mut found = Found::default();
    let mut names = Names::default();
    for source in sources(at) {
        let origin = Origin {
            client: source.client,
            file: source.file.clone(),
        };
        let skip = |what: String, why: String| Skipped {
            what,
            origin: origin.clone(),
            why,
        };
        let entries = match source.read() {
            Ok(entries) => entries,
            Err(why) => {
                found.skipped.push(skip("the whole file".to_owned(), why));
                continue;
            }
        };
        for Entry {
            name,
            value,
            project,
        } in entries
        {
            let parsed = entry::parse(&value, source.dialect(), project.as_deref());
            let Parsed { launch, losses } = match parsed {
                Ok(parsed) => parsed,
                Err(why) => {
                    found.skipped.push(skip(name, why));
                    continue;
                }
            };
            let same = found.candidates.iter().find(|other| other.launch == launch);
            if let Some(same) = same {
                let why = format!("the same as {} of {}", same.id, same.origin.client);
                found.skipped.push(skip(name, why));
                continue;
            }
            match names.take(&name) {
                Some(id) => found.candidates.push(Candidate {
                    id,
                    name,
                    launch,
                    losses,
                    origin: origin.clone(),
                }),
                None => found
                    .skipped
                    .push(skip(name, "no free name is near to its own".to_owned())),
            }
        }
    }
    found
}

impl Candidate {
    /// The entry for the `servers` list of our config.
    pub(super) fn to_config(&self) -> Value {
        let mut server = Map::new();
        server.insert("server_id".to_owned(), json!(self.id));
        server.insert("command".to_owned(), json!(self.launch.command));
        if !self.launch.args.is_empty() {
            server.insert("args".to_owned(), json!(self.launch.args));
        }
        if !self.launch.env.is_empty() {
            server.insert("env".to_owned(), json!(self.launch.env));
        }
        if let Some(folder) = &self.launch.working_dir {
            server.insert("working_dir".to_owned(), json!(folder));
        }
        Value::Object(server)
    }
}

/// What was found, for a person: no argument and no value of a variable, since these may be secrets.
pub(super) fn listing(found: &Found, at: &Surroundings) -> String {
    let rows: Vec<_> = found.candidates.iter().map(|one| row(one, at)).collect();
    let mut lines: Vec<String> = Vec::new();
    for (row, candidate) in columns(&rows).iter().zip(&found.candidates) {
        lines.push(format!("  {row}"));
        lines.extend(candidate.losses.iter().map(|loss| format!("    {loss}")));
    }
    for skipped in &found.skipped {
        lines.push(format!(
            "  skipped: {} ({}): {}",
            printable(&skipped.what),
            source_of(&skipped.origin, at),
            printable(&skipped.why)
        ));
    }
    lines.join("\n")
}

/// Id, command, names of variables and source of a server, as columns.
fn row(candidate: &Candidate, at: &Surroundings) -> Vec<String> {
    let Launch {
        command, args, env, ..
    } = &candidate.launch;
    let mut command = printable(command);
    match args.len() {
        0 => {}
        1 => command.push_str(" + 1 argument"),
        count => command.extend([" + ", &count.to_string(), " arguments"]),
    }
    let names: Vec<String> = env.keys().map(|name| printable(name)).collect();
    let env = if names.is_empty() {
        String::new()
    } else {
        format!("env {}", names.join(", "))
    };
    let mut source = source_of(&candidate.origin, at);
    if candidate.id.as_str() != candidate.name {
        source.extend([", there ", &printable(&format!("{:?}", candidate.name))]);
    }
    vec![
        candidate.id.to_string(),
        command,
        env,
        format!("({source})"),
    ]
}

fn source_of(origin: &Origin, at: &Surroundings) -> String {
    format!("{}, {}", origin.client, printable(&at.short(&origin.file)))
}

/// The ids that are taken.
#[derive(Debug, Default)]
struct Names(BTreeSet<ServerId>);

impl Names {
    /// A free legal id that is near to a name.
    fn take(&mut self, name: &str) -> Option<ServerId> {
        let base = match name.parse::<ServerId>() {
            Ok(id) => id.to_string(),
            Err(error) => error.suggestion().unwrap_or("imported").to_owned(),
        };
        let numbered = (2..1000).map(|number| {
            // 63 characters at most, and legal ids are ASCII.
            let kept: String = base.chars().take(59).collect();
            format!("{kept}-{number}")
        });
        let candidates = std::iter::once(base.clone()).chain(numbered);
        let id = candidates
            .filter_map(|text| text.parse::<ServerId>().ok())
            .find(|id| !self.0.contains(id))?;
        self.0.insert(id.clone());
        Some(id)
    }
}

/// Variables by name, so that two files that say the same are found to be the same.
type Env = BTreeMap<String, String>;

#[cfg(test)]
mod tests;
