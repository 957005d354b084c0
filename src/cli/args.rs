//! The shape of the command line, and what is done to it before it is parsed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::types::is_own_token;

const FIRST_STEPS: &str = "\
First steps:
  host-mcp-gateway demo
      try it out: a gateway on this machine only, with a built-in server; prints what to paste
  host-mcp-gateway init --import && host-mcp-gateway check --start
      write a config from the servers of the MCP clients on this machine, then start each one once

Without a verb it runs the gateway.";

const EXIT_CODES: &str = "\
First steps:
  host-mcp-gateway demo
      try it out: a gateway on this machine only, with a built-in server; prints what to paste
  host-mcp-gateway init --import && host-mcp-gateway check --start
      write a config from the servers of the MCP clients on this machine, then start each one once

Without a verb it runs the gateway. Clients that send the token of the config, as
\"Authorization: Bearer TOKEN\", then reach each server on http://127.0.0.1:7411/SERVER_ID/mcp
(MCP clients) and http://127.0.0.1:7411/SERVER_ID/rpc (curl and scripts).

Exit codes: 0 fine, 1 failed, 2 usage, 3 gateway not reachable, 4 not ready, 5 restarting,
6 a server has failed, 78 config refused.";

/// What people would call a flag for a token.
const SECRET_FLAGS: [&str; 6] = [
    "token",
    "auth-token",
    "bearer",
    "bearer-token",
    "password",
    "secret",
];

const CONFIG_HELP: &str = "The config file [default: host-mcp-gateway/config.json in $XDG_CONFIG_HOME, else in ~/.config]";

/// Keeps stdio MCP servers alive on this machine and serves them to MCP clients over HTTP, with a token.
#[derive(Debug, Parser)]
#[command(name = "host-mcp-gateway", version, after_help = FIRST_STEPS, after_long_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(flatten)]
    config: ConfigArg,

    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

// Which config file is meant; before the verb, or behind one that uses it. A doc comment would be the help of the verb.
#[derive(Args, Debug, Default)]
pub(super) struct ConfigArg {
    #[arg(long, value_name = "PATH", help = CONFIG_HELP)]
    config: Option<PathBuf>,
}

impl Cli {
    /// The config file that was named.
    pub(super) fn config(&self) -> Option<PathBuf> {
        let of_verb = match self.verb.as_ref() {
            Some(Verb::Run(own)) => Some(own),
            Some(Verb::Init(args)) => Some(&args.config),
            Some(Verb::Check(args)) => Some(&args.config),
            Some(Verb::Status(args)) => Some(&args.config),
            Some(Verb::Token(args)) => match &args.verb {
                TokenVerb::List { config, .. } | TokenVerb::New { config, .. } => Some(config),
            },
            Some(Verb::ClientConfig(args)) => Some(&args.config),
            Some(Verb::Demo | Verb::Schema | Verb::Completions(_) | Verb::HostServer) | None => {
                None
            }
        };
        let named = of_verb.and_then(|of_verb| of_verb.config.as_ref());
        named.or(self.config.config.as_ref()).cloned()
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the gateway until it is told to stop (SIGTERM or Ctrl-C); the same as no verb
    Run(ConfigArg),
    /// Try it out: a gateway on loopback with a built-in server and a fresh token
    Demo,
    /// Write a first config with a fresh token
    Init(InitArgs),
    /// Say everything that is wrong with the config; with --start, start every server once
    Check(CheckArgs),
    /// Say how the servers of the running gateway are
    Status(StatusArgs),
    /// Make a token, or list those of the config
    Token(TokenArgs),
    /// Print what to paste into an MCP client
    ClientConfig(ClientConfigArgs),
    /// Print the JSON Schema of the config file
    Schema,
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Serve facts about this machine as an MCP server on stdin and stdout
    #[command(hide = true)]
    HostServer,
}

#[derive(Args, Debug)]
pub(super) struct InitArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Where to write it [default: the path of --config]
    #[arg(long, value_name = "PATH")]
    pub(super) path: Option<PathBuf>,
    /// Take the servers from the configs of the MCP clients on this machine, after showing them
    #[arg(long)]
    pub(super) import: bool,
    /// Replace a config that exists, with its token
    #[arg(long)]
    pub(super) force: bool,
    /// Do not ask before the servers that were found are taken over
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Start every server as the gateway would, do the handshake and count its tools
    #[arg(long)]
    pub(super) start: bool,
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: OutputForm,
    /// With --start: the servers to start [default: all that are not disabled]
    #[arg(value_name = "ID", requires = "start")]
    pub(super) servers: Vec<String>,
    /// With --start: how long one server may take, in seconds [default: its own deadlines]
    #[arg(long, value_name = "SECONDS", requires = "start",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) timeout: Option<u64>,
}

#[derive(Args, Debug)]
pub(super) struct StatusArgs {
    /// The servers to show [default: all]
    #[arg(value_name = "ID")]
    pub(super) servers: Vec<String>,
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// Where the gateway is reached [default: the address in the config]
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: OutputForm,
}

#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    pub(super) verb: TokenVerb,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenVerb {
    /// Make a token and print it, this once, with its entry for the config
    New {
        #[command(flatten)]
        config: ConfigArg,
        /// Its holder in logs: letters, digits, ".", "_", "-" and "@"
        #[arg(value_parser = token_name)]
        name: String,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        output: OutputForm,
    },
    /// List the tokens of the config: whose they are and what they may do, never themselves
    List {
        #[command(flatten)]
        config: ConfigArg,
        /// How to print the list
        #[arg(long, value_enum, default_value_t)]
        output: OutputForm,
    },
}

/// The rule of `tokens[].name` in the config.
fn token_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    if (1..=64).contains(&text.len()) && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 letters, digits, \".\", \"_\", \"-\" or \"@\"".to_owned())
    }
}

#[derive(Args, Debug)]
pub(super) struct ClientConfigArgs {
    #[command(flatten)]
    pub(super) config: ConfigArg,
    /// The client
    #[arg(value_parser = ClientParser, value_name = "NAME")]
    pub(super) client: Client,
    /// One server only [default: every server of the config]
    #[arg(long, value_name = "ID")]
    pub(super) server: Option<crate::types::ServerId>,
    /// Where the client reaches the gateway [default: the address in the config]
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputForm {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

/// A client that a snippet is known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Client {
    /// Claude Code
    ClaudeCode,
    /// Cursor
    Cursor,
    /// Visual Studio Code
    Vscode,
    /// A shell
    Curl,
    /// Any other: the facts that it will ask for
    Generic,
}

/// Reads the name of a client. One that is not known gets the way out and no guess: no client is like another.
#[derive(Clone, Debug)]
struct ClientParser;

impl TypedValueParser for ClientParser {
    type Value = Client;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Client, clap::Error> {
        let name = value.to_string_lossy();
        Client::from_str(&name, true).map_err(|_unknown| {
            let known = Client::value_variants().iter();
            let known: Vec<String> = known
                .filter_map(|client| Some(client.to_possible_value()?.get_name().to_owned()))
                .collect();
            let text = format!(
                "no snippet is known for {name:?}, only for {}; \"client-config generic\" prints what any other client asks for\n",
                known.join(", ")
            );
            clap::Error::raw(clap::error::ErrorKind::InvalidValue, text).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let known = Client::value_variants().iter();
        Some(Box::new(known.filter_map(Client::to_possible_value)))
    }
}

/// Why a command line was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is wrong, or it asked for help or the version.
    Parser(clap::Error),
    /// It holds a secret, or was about to.
    SecretInArguments {
        /// The flag, without its value.
        flag: String,
    },
}

/// Parses a whole command line, the program's name first.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Refusal> {
    let mut args: Vec<OsString> = args.into_iter().map(normalise).collect();
    // Help that is asked for twice is help, and not a mistake.
    if args.get(1).is_some_and(|verb| verb == "help") {
        args.retain(|arg| arg != "--help" && arg != "-h");
    }
    if let Some(flag) = args.iter().skip(1).find_map(secret_flag) {
        return Err(Refusal::SecretInArguments { flag });
    }
    Cli::try_parse_from(args).map_err(Refusal::Parser)
}

/// `-config PATH` and `-config=PATH`, as launchd files for an earlier gateway of this name write it.
fn normalise(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text) if text == "-config" || text.starts_with("-config=") => {
            format!("-{text}").into()
        }
        _ => arg,
    }
}

/// What would carry a secret, if this argument does; the secret itself is dropped here.
fn secret_flag(arg: &OsString) -> Option<String> {
    let text = arg.to_string_lossy();
    let (flag, value) = text.split_once('=').unwrap_or((&text, ""));
    // A token of our own is known wherever it stands.
    if is_own_token(flag) || is_own_token(value) {
        return Some("a token on the command line".to_owned());
    }
    let name = flag.strip_prefix('-')?.trim_start_matches('-');
    let name = name.replace('_', "-").to_ascii_lowercase();
    SECRET_FLAGS
        .contains(&name.as_str())
        .then(|| flag.to_owned())
}

/// Tells a person why a secret is not taken from the command line, and where it belongs.
pub(super) fn why_no_secret(flag: &str) -> String {
    format!(
        "{flag} is refused: every user of this machine can read a command line (ps), and shells keep it \
         in their history\n  put the token into the config file (\"auth_token\", or \"auth_token_file\"); \
         if this one was real, replace it now"
    )
}

#[cfg(test)]
mod tests;
