//! The command line: one file a verb, all printing, every exit code.
//!
//! A verb takes its parsed arguments and where it runs, writes to the streams that it is given, and
//! returns an [`Exit`] or an error. What needs the floor below goes through [`assembly`].

pub mod assembly;

mod args;
mod check;
mod client_config;
mod completions;
mod demo;
mod exit;
mod gateway;
mod import;
mod init;
mod schema;
mod status;
mod surroundings;
mod terminal;
mod token;

use std::io::{self, Write};
use std::process::ExitCode;

pub use exit::Exit;

use self::args::{Cli, Refusal, Verb};
use self::surroundings::Surroundings;

/// Parses the command line of this process, does what it says and returns the exit code.
pub fn main() -> ExitCode {
    let exit = match args::parse(std::env::args_os()) {
        Ok(cli) => {
            let serves = matches!(cli.verb, None | Some(Verb::Run(_) | Verb::Demo));
            if let Some(code) = serves.then(assembly::run_below_init).flatten() {
                return ExitCode::from(code);
            }
            perform(cli)
        }
        Err(Refusal::Parser(error)) => {
            // What cannot be printed has no other place to be told.
            let _ = error.print();
            if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Fine
            }
        }
        Err(Refusal::SecretInArguments { flag }) => {
            terminal::complain(&args::why_no_secret(&flag));
            Exit::Usage
        }
    };
    exit.into()
}

fn perform(cli: Cli) -> Exit {
    let surroundings = Surroundings::of_process();
    let mut out = anstream::stdout();
    let outcome = dispatch(cli, &surroundings, &mut out);
    let flushed = out.flush();
    match outcome.and_then(|exit| Ok(flushed.map(|()| exit)?)) {
        Ok(exit) => exit,
        // The reader of a pipe had enough: `host-mcp-gateway schema | head`.
        Err(error) if is_broken_pipe(&error) => Exit::Fine,
        Err(error) => {
            terminal::complain(&format!("{error:#}"));
            Exit::Failed
        }
    }
}

fn dispatch(cli: Cli, at: &Surroundings, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let config = cli.config();
    let path = || at.config_path(config.as_deref());
    let Some(verb) = cli.verb else {
        return assembly::run(&path()?);
    };
    match verb {
        Verb::Run(_) => assembly::run(&path()?),
        Verb::Demo => demo::run(out, assembly::demo),
        Verb::Init(args) => init::run(&args, &path, at, out),
        Verb::Check(args) => check::run(&args, &path()?, out),
        Verb::Status(args) => status::run(&args, &path()?, out),
        Verb::Token(args) => token::run(&args, &path, out),
        Verb::ClientConfig(args) => client_config::run(&args, path().ok().as_deref(), out),
        Verb::Schema => schema::run(out),
        Verb::Completions(args) => completions::run(&args, out),
        Verb::HostServer => {
            crate::host_server::serve(io::stdin().lock(), io::stdout())?;
            Ok(Exit::Fine)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
