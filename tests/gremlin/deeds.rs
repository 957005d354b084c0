//! What the tool `gremlin` does: one deed a call, named by the argument `do`.
//!
//! | `do` | other arguments | what happens |
//! | --- | --- | --- |
//! | `nothing` | | the request is never answered |
//! | `refuse_at_eof` | | answered with the error "Connection closed" when stdin ends |
//! | `exit` | `code`, `reply` | exits; with `reply: true` the answer is written first |
//! | `signal` | `signal` (number) | dies of that signal |
//! | `burn` | | keeps a processor busy until something ends the process |
//! | `partial` | `exit` (code) | writes half of the answer without a newline, then exits if told to |
//! | `close_stdout`, `close_stdin` | | the descriptor is closed, the process lives on |
//! | `stop_reading` | `ms` (absent: for good) | answers, then reads nothing |
//! | `trickle` | `bytes`, `every_ms` | answers, then reads that many bytes at a time and heeds nothing |
//! | `block` | `ms`, `say` | answers later, and reads nothing until then |
//! | `sleep` | `ms`, `say` | answers later, unless cancelled; others overtake it |
//! | `late_reply` | `ms`, `say` | the same, cancelled or not |
//! | `progress` | `count`, `interval_ms`, `note` | that many progress notifications, then the answer |
//! | `ask` | `method`, `params`, `wait_ms` | sends a request to the client and reports the frame that answered it |
//! | `unask` | `method`, `params`, `after_ms`, `ms`, `say` | asks, withdraws that after a while, and answers later; without `say` never |
//! | `input_required` | `requests`, `state` | modern: asks by result, and reports what the retry brought |
//! | `garbage` | `lines` | lines that are no messages, then the answer |
//! | `bigline` | `bytes`, `id` (`first`, `last`, `none`) | one line of at least that size, with the id where told |
//! | `huge` | `bytes` | an answer with a text of that size |
//! | `raw` | `result` (JSON text) | the answer's result is exactly that text |
//! | `refuse` | `code`, `message`, `data` | answers with a JSON-RPC error |
//! | `dup_reply`, `wrong_id`, `string_id`, `no_id` | `say` | the answer twice; with an unknown id; with the id as text; without |
//! | `line` | `line` (text) | writes that line, the call's id in the place of `@ID@`, and no other answer |
//! | `write` | `frame` (text), `times` | writes that line, so often, then answers; `@N@` in it is the turn, from 0 |
//! | `log` | `level`, `text` | a log notification, then the answer |
//! | `logs` | `count`, `text`, `pause_every`, `pause_ms` | that many log notifications, numbered from 1, then the answer |
//! | `burst` | `of` (`progress`, `log`, or a method with a progress token), `count`, `text`, `say` | that many of these and the answer in one write; the text follows their number |
//! | `list_changed` | `of` (`tools`, `prompts`, `resources`) | that notification, then the answer |
//! | `updated` | `uri` | a resource update, then the answer |
//! | `stderr` | `bytes`, `width`, `line` | noise on stderr, in lines of that many bytes (80), then the answer |
//! | `fork_grandchild` | `hold_stdout`, `chatter`, `setsid`, `ignore_term` | starts a process that does nothing; answers its pid |
//! | `spin` | `threads`, `ms` | so many threads are busy for so long; answers at once |
//! | `read` | `path` | answers with the number of bytes in that file, or with the fault of reading it |
//! | `bequeath` | `setsid`, `ignore_term` | starts a process that answers this request when its parent is gone, again and again |
//! | `list_fds`, `dump_env`, `whoami`, `count` | | what the process has open, was given, is, and how many frames it read |

mod asking;
pub(crate) mod endings;
mod noise;
mod replies;
mod timed;

use std::sync::Arc;

use crate::Flow;
use crate::call::Call;
use crate::processes;
use crate::state::Gremlin;
use crate::wire;

/// Does what the call says.
pub(crate) fn perform(gremlin: &Arc<Gremlin>, call: Call) -> Flow {
    match call.text("do") {
        "nothing" => {}
        "refuse_at_eof" => gremlin.refuse_at_eof(&call.id),
        "exit" => endings::exit(&call),
        "signal" => endings::signal(&call),
        "burn" => endings::burn(),
        "partial" => endings::partial(&call),
        "close_stdout" => endings::close_stdout(),
        "close_stdin" => return endings::close_stdin(&call),
        "stop_reading" => return endings::stop_reading(&call),
        "trickle" => return endings::trickle(&call),
        "block" => timed::block(&call),
        "sleep" => timed::sleep(gremlin, call, timed::Cancelled::SaysNothing),
        "late_reply" => timed::sleep(gremlin, call, timed::Cancelled::Answers),
        "progress" => timed::progress(call),
        "ask" => asking::ask(gremlin, call),
        "unask" => asking::unask(gremlin, call),
        "input_required" => asking::input_required(&call),
        "garbage" => noise::garbage(&call),
        "line" => replies::line(&call),
        "write" => noise::write(&call),
        "log" => noise::log(&call),
        "logs" => noise::logs(&call),
        "burst" => noise::burst(&call),
        "list_changed" => noise::list_changed(gremlin, &call),
        "updated" => noise::updated(gremlin, &call),
        "stderr" => noise::stderr(&call),
        "bigline" => replies::bigline(&call),
        "huge" => replies::huge(&call),
        "raw" => wire::reply(&call.id, call.text("result")),
        "refuse" => replies::refuse(&call),
        "dup_reply" => replies::twice(&call),
        "wrong_id" => replies::with_id(&call, "987654321"),
        "string_id" => replies::with_id(&call, &format!("\"{}\"", call.id.trim_matches('"'))),
        "no_id" => replies::without_id(&call),
        "fork_grandchild" => processes::fork_grandchild(&call),
        "spin" => processes::spin(&call),
        "read" => call.say(&processes::read(call.text("path"))),
        "bequeath" => processes::bequeath(&call),
        "list_fds" => call.show(&processes::open_files()),
        "dump_env" => call.show(&processes::environment()),
        "whoami" => call.show(&processes::identity()),
        "count" => call.say(&gremlin.frames().to_string()),
        other => wire::refuse(&call.id, -32602, &format!("unknown deed {other:?}"), None),
    }
    Flow::Continue
}
