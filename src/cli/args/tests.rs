//! The command lines that are taken, and those that are not.

use super::*;
use clap::CommandFactory as _;

fn parsed(args: &[&str]) -> Result<Cli, Refusal> {
    parse(
        std::iter::once("host-mcp-gateway")
            .chain(args.iter().copied())
            .map(OsString::from),
    )
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_config_is_named_with_one_dash_or_two_before_or_after_the_verb() {
    let cases: [&[&str]; 6] = [
        &["-config", "/c"],
        &["-config=/c"],
        &["--config", "/c"],
        &["--config=/c", "run"],
        &["check", "-config", "/c"],
        &["check", "--config", "/c"],
    ];
    for args in cases {
        let cli = parsed(args).unwrap_or_else(|refusal| panic!("{args:?}: {refusal:?}"));
        assert_eq!(cli.config(), Some(PathBuf::from("/c")), "{args:?}");
    }
    assert!(parsed(&[]).unwrap().verb.is_none());
}

/// RF08
#[test]
fn help_offers_nothing_that_does_nothing_and_no_guess() {
    for verb in ["demo", "schema", "completions"] {
        let Err(Refusal::Parser(help)) = parsed(&[verb, "--help"]) else {
            panic!("{verb}");
        };
        assert!(!help.to_string().contains("--config"), "{help}");
    }
    for args in [&["help", "--help"][..], &["help", "check", "-h"]] {
        let Err(Refusal::Parser(help)) = parsed(args) else {
            panic!("{args:?}");
        };
        assert!(!help.use_stderr(), "{args:?}: {help}");
    }
    let Err(Refusal::Parser(unknown)) = parsed(&["client-config", "codex"]) else {
        panic!("codex");
    };
    let text = unknown.to_string();
    assert!(
        text.contains("generic") && !text.contains("similar"),
        "{text}"
    );
    assert!(parsed(&["client-config", "Cursor"]).is_ok());
}

/// H113
#[test]
fn a_secret_is_refused_and_not_repeated() {
    let cases: [&[&str]; 5] = [
        &["--token", "hunter2"],
        &["--auth-token=hunter2"],
        &["run", "--auth_token", "hunter2"],
        &["-token=hunter2"],
        &["check", "--Bearer=hunter2"],
    ];
    for args in cases {
        let Err(Refusal::SecretInArguments { flag }) = parsed(args) else {
            panic!("{args:?} was taken");
        };
        let told = why_no_secret(&flag);
        assert!(
            !told.contains("hunter2") && told.contains("config file"),
            "{told}"
        );
    }
}

#[test]
fn a_token_of_our_own_is_known_wherever_it_stands() {
    let token = crate::types::token_of(&[7; 32]);
    let with_flag = format!("--confi={}", token.expose());
    for args in [["call", token.expose()], ["run", &with_flag]] {
        let refusal = format!("{:?}", parsed(&args).expect_err("must be refused"));
        assert!(refusal.starts_with("SecretInArguments"), "{refusal}");
        assert!(!refusal.contains(token.expose()));
    }
}

#[test]
fn help_teaches_the_first_step_and_hides_what_is_not_for_people() {
    let help = Cli::command().render_help().to_string();
    assert!(help.contains("host-mcp-gateway demo"), "{help}");
    assert!(help.contains("init --import"), "{help}");
    assert!(!help.contains("host-server"), "{help}");
    let long = Cli::command().render_long_help().to_string();
    assert!(long.contains("78 config refused"), "{long}");
}

#[test]
fn a_timeout_without_a_start_is_a_mistake() {
    assert!(matches!(
        parsed(&["check", "--timeout", "3"]),
        Err(Refusal::Parser(_))
    ));
    assert!(parsed(&["check", "--start", "--timeout", "3"]).is_ok());
    assert!(parsed(&["check", "--start", "--timeout", "0"]).is_err());
}
