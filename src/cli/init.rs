//! `init`: a first config, private from its first byte, with a fresh token.

mod document;
mod private_file;

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::private_file::Existing;
use super::args::InitArgs;
use super::import::{self, Candidate};
use super::surroundings::Surroundings;
use super::{Exit, assembly, demo, terminal};
use crate::types::fresh_token;

/// The schema beside the config, so that an editor helps with it.
const SCHEMA_FILE: &str = "host-mcp-gateway.schema.json";

pub(super) fn run(
    args: &InitArgs,
    default_path: &dyn Fn() -> anyhow::Result<PathBuf>,
    at: &Surroundings,
    out: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let path = match &args.path {
        Some(path) => at.config_path(Some(path))?,
        None => default_path()?,
    };
    // Told before anything is asked; the writing below makes sure once more, without a race.
    if !args.force && path.symlink_metadata().is_ok() {
        anyhow::bail!(
            "{} exists; --force replaces it, with its token and servers",
            path.display()
        );
    }
    let servers = match imported(args, at, out)? {
        Import::Servers(servers) if servers.is_empty() => vec![built_in()?],
        Import::Servers(servers) => servers.iter().map(Candidate::to_config).collect(),
        Import::Refused(exit) => return Ok(exit),
    };
    let schema = assembly::schema().ok();
    let document = document::Document {
        schema: schema.as_ref().map(|_| format!("./{SCHEMA_FILE}")),
        token: fresh_token()?,
        servers,
    };
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    private_file::write(&path, &document.text(), existing)?;
    if let (Some(schema), Some(folder)) = (schema, path.parent()) {
        private_file::write(&folder.join(SCHEMA_FILE), &schema, Existing::Replace)?;
    }
    out.write_all(next_steps(&path, at).as_bytes())?;
    // What is taken over may need variables that are set where the client runs, or programs that are not there.
    match assembly::load(&path) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                terminal::remark(&format!("warning: {warning}"));
            }
        }
        Err(refused) => return Ok(refused.complain()),
    }
    Ok(Exit::Fine)
}

/// What came of `--import`.
enum Import {
    /// These, in this order; none if it was not asked for or nothing was found.
    Servers(Vec<Candidate>),
    /// Nobody agreed.
    Refused(Exit),
}

fn imported(args: &InitArgs, at: &Surroundings, out: &mut dyn Write) -> anyhow::Result<Import> {
    if !args.import {
        return Ok(Import::Servers(Vec::new()));
    }
    let found = import::find(at);
    let listing = import::listing(&found, at);
    if found.candidates.is_empty() {
        let which = if listing.is_empty() {
            "was found"
        } else {
            "that can be taken over was found"
        };
        writeln!(
            out,
            "no stdio server {which} in the configs of MCP clients, so the config begins with the built-in one"
        )?;
        if !listing.is_empty() {
            writeln!(out, "{listing}")?;
        }
        return Ok(Import::Servers(Vec::new()));
    }
    writeln!(out, "found in the configs of MCP clients:\n{listing}")?;
    out.flush()?;
    let question = match found.candidates.len() {
        1 => "take this server over, with its arguments and variables?".to_owned(),
        count => format!("take these {count} servers over, with their arguments and variables?"),
    };
    let agreed = if args.yes {
        Some(true)
    } else {
        terminal::confirm(&question)?
    };
    Ok(match agreed {
        Some(true) => Import::Servers(found.candidates),
        Some(false) => {
            terminal::remark("nothing was written");
            Import::Refused(Exit::Failed)
        }
        None => {
            terminal::complain(
                "nothing was written: there is no terminal to ask on, agree with --yes",
            );
            Import::Refused(Exit::Usage)
        }
    })
}

/// A server that needs nothing but this program, so that a first start has something to show.
fn built_in() -> anyhow::Result<Value> {
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or_else(|| {
        anyhow::anyhow!(
            "the path of this program is not UTF-8: {}",
            program.display()
        )
    })?;
    Ok(json!({
        "server_id": demo::SERVER_ID,
        "command": program,
        "args": ["host-server"],
        "autostart": true,
    }))
}

fn next_steps(path: &Path, at: &Surroundings) -> String {
    let shown = at.short(path);
    let flag = match at.config_path(None) {
        Ok(default) if default == path => String::new(),
        Ok(_) | Err(_) => format!(" --config {}", shell_word(path, &shown)),
    };
    format!(
        "wrote {shown}, readable by you alone; the token is in it (auth_token)\n\n\
         next:\n  \
         host-mcp-gateway{flag} check --start        start every server once and list its tools\n  \
         host-mcp-gateway{flag}                      run the gateway\n  \
         host-mcp-gateway{flag} client-config NAME   what to paste into a client\n"
    )
}

/// A path to paste into a shell. The short form works unquoted only: `~` is nothing inside quotes.
fn shell_word(path: &Path, short: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-~+@".contains(c);
    if short.chars().all(plain) {
        short.to_owned()
    } else {
        format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
