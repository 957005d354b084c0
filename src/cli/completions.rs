//! `completions`: a script that teaches a shell the verbs and flags.

use std::io::Write;

use clap::CommandFactory as _;

use super::Exit;
use super::args::{Cli, CompletionsArgs};

pub(super) fn run(args: &CompletionsArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    // clap_complete panics where it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut Cli::command(),
        "host-mcp-gateway",
        &mut script,
    );
    out.write_all(&script)?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_gets_a_script_with_the_verbs() {
        for shell in clap_complete::Shell::value_variants() {
            let mut out = Vec::new();
            run(&CompletionsArgs { shell: *shell }, &mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            assert!(script.contains("client-config"), "{shell}");
        }
    }
}
