//! A status that could not be had: on stderr for people, and as an object for scripts.

use std::io::{self, Write};

use serde_json::json;

use crate::cli::args::OutputForm;
use crate::cli::gateway::Unanswered;
use crate::cli::{Exit, terminal};

/// Why there is no status.
#[derive(Debug)]
pub(super) struct Failure {
    code: &'static str,
    message: String,
    /// What is wrong with the config file, one line each.
    faults: Vec<String>,
}

impl Failure {
    /// The command line names what there is not.
    pub(super) fn usage(message: String) -> Self {
        Self {
            code: "usage",
            message,
            faults: Vec::new(),
        }
    }
}

/// Tells why no gateway has answered. `named` says that its address was given, so that no config file matters.
pub(super) fn tell(
    unanswered: Unanswered,
    named: bool,
    form: OutputForm,
    out: &mut dyn Write,
) -> io::Result<Exit> {
    let with_faults = |code, message, faults| Failure {
        code,
        message,
        faults,
    };
    let (exit, failure) = match unanswered {
        Unanswered::Config(refused) if refused.unset_here => {
            remark_unset(&refused.faults);
            let text = "no token is known in this shell: set the variables of the config, or put the token into the variable \
                        HMG_TOKEN";
            let failure = with_faults("token_unknown", text.to_owned(), refused.faults);
            (Exit::Failed, failure)
        }
        Unanswered::Config(refused) => {
            let text = "the config is refused; a gateway that runs can be asked all the same, with its token in the variable \
                        HMG_TOKEN";
            let exit = refused.complain();
            let failure = with_faults("config_refused", text.to_owned(), refused.faults);
            (exit, failure)
        }
        // Without a gateway the file is what matters, unless another one was meant.
        Unanswered::Unreachable(text, refused) => match refused.filter(|_| !named) {
            Some(refused) if refused.unset_here => {
                remark_unset(&refused.faults);
                (
                    Exit::Unreachable,
                    with_faults("unreachable", text, refused.faults),
                )
            }
            Some(refused) => {
                let exit = refused.complain();
                (exit, with_faults("config_refused", text, refused.faults))
            }
            None => (
                Exit::Unreachable,
                with_faults("unreachable", text, Vec::new()),
            ),
        },
        Unanswered::Failed(text) => (Exit::Failed, with_faults("failed", text, Vec::new())),
    };
    print(&failure, form, out)?;
    Ok(exit)
}

/// Says which variables of the config this shell lacks, which says nothing of a gateway that runs.
pub(super) fn remark_unset(faults: &[String]) {
    terminal::remark("not set in this shell; a gateway that runs has an environment of its own:");
    for fault in faults {
        terminal::remark(&format!("  {fault}"));
    }
}

/// Prints a failure to stderr, and for scripts as `{"error": {"code", "message", "faults"}}` to `out`.
pub(super) fn print(failure: &Failure, form: OutputForm, out: &mut dyn Write) -> io::Result<()> {
    terminal::complain(&failure.message);
    match form {
        OutputForm::Text => Ok(()),
        OutputForm::Json => {
            let report = json!({"error": {
                "code": failure.code,
                "message": failure.message,
                "faults": failure.faults,
            }});
            writeln!(out, "{report:#}")
        }
    }
}
