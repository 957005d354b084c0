//! What kind of end a request to a child came to.

use serde::Deserialize;

use crate::instruments::Outcome;
use crate::protocol::message::Ending;
use crate::supervisor;

/// The kind, as it is counted and logged.
pub(super) fn kind(outcome: &supervisor::Outcome) -> Outcome {
    match outcome {
        Ok(answer) => match answer.ending {
            Ending::Result | Ending::InputRequired => Outcome::Ok,
            Ending::ToolError => Outcome::ToolError,
            Ending::Error(error) => Outcome::Error(error_code(error.of(&answer.line))),
        },
        Err(fault) => Outcome::Fault(fault.kind),
    }
}

/// The code of a JSON-RPC error object; 0 where it has none.
pub(super) fn error_code(error: &[u8]) -> i64 {
    #[derive(Deserialize)]
    struct Code {
        code: i64,
    }
    serde_json::from_slice(error).map_or(0, |error: Code| error.code)
}
