//! `schema`: the JSON Schema of the config file.

use std::io::Write;

use super::{Exit, assembly};

pub(super) fn run(out: &mut dyn Write) -> anyhow::Result<Exit> {
    writeln!(out, "{}", assembly::schema()?.trim_end())?;
    Ok(Exit::Fine)
}
