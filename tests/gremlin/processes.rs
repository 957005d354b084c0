//! The process side: signals, descriptors, grandchildren, and what the process can tell of itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{getpid, getppid, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde_json::{Value, json};
use signal_hook::consts::SIGTERM;

use crate::LIFETIME;
use crate::call::Call;
use crate::orders::{Grandchild, Orders};
use crate::wire;

/// What a grandchild writes on its stderr once it is settled.
const SETTLED: &[u8] = b"settled\n";
/// From one answer of an heir to the next, and from the end of its parent to the first.
const INHERITS_AFTER: Duration = Duration::from_millis(250);

/// From now on SIGTERM does nothing.
pub(crate) fn ignore_term() {
    if let Err(fault) = signal_hook::flag::register(SIGTERM, Arc::new(AtomicBool::new(false))) {
        wire::complain(&format!("ignore SIGTERM: {fault}"));
        std::process::exit(71);
    }
}

/// Dies of a signal as if nothing had handled or ignored it (std ignores SIGPIPE and handles SIGSEGV).
pub(crate) fn die_of(signal: i32) -> io::Result<()> {
    signal_hook::low_level::emulate_default_handler(signal)
}

/// Closes stdout by putting `/dev/null` in its place.
pub(crate) fn close_stdout() -> io::Result<()> {
    dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(())
}

/// Closes stdin by putting `/dev/null` in its place.
pub(crate) fn close_stdin() -> io::Result<()> {
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(())
}

/// Starts a grandchild, waits until it is settled, and answers with its pid.
pub(crate) fn fork_grandchild(call: &Call) {
    let role = Grandchild {
        setsid: call.flag("setsid"),
        chatter: call.flag("chatter"),
        heir_of: None,
    };
    let holds_stdout = call.flag("hold_stdout") || role.chatter;
    match start_grandchild(call, role, holds_stdout) {
        Ok(pid) => call.say(&pid.to_string()),
        Err(fault) => wire::refuse(&call.id, -32603, &format!("no grandchild: {fault}"), None),
    }
}

/// Leaves the answer to a grandchild, which gives it when this process is gone.
pub(crate) fn bequeath(call: &Call) {
    let role = Grandchild {
        setsid: call.flag("setsid"),
        chatter: false,
        heir_of: Some(call.id.clone()),
    };
    if let Err(fault) = start_grandchild(call, role, true) {
        wire::refuse(&call.id, -32603, &format!("no grandchild: {fault}"), None);
    }
}

/// Starts a grandchild and waits until it is settled; gives its pid.
///
/// It is never waited for: who reaps an orphan is what the tests want to know.
fn start_grandchild(call: &Call, role: Grandchild, holds_stdout: bool) -> io::Result<u32> {
    let orders = Orders {
        grandchild: Some(role),
        ignore_term: call.flag("ignore_term"),
        ..Orders::default()
    };
    let mut grandchild = Command::new(std::env::current_exe()?)
        .env("GREMLIN", serde_json::to_string(&orders)?)
        .stdin(Stdio::null())
        .stdout(if holds_stdout {
            Stdio::inherit()
        } else {
            Stdio::null()
        })
        .stderr(Stdio::piped())
        .spawn()?;
    let mut word = vec![0; SETTLED.len()];
    if let Some(stderr) = &mut grandchild.stderr {
        stderr.read_exact(&mut word)?;
    }
    Ok(grandchild.id())
}

/// The life of a grandchild. Does not return.
pub(crate) fn live_as_grandchild(role: &Grandchild) -> ! {
    let parent = getppid();
    if role.setsid
        && let Err(fault) = setsid()
    {
        wire::complain(&format!("setsid: {fault}"));
        std::process::exit(71);
    }
    let settled = io::Write::write_all(&mut io::stderr(), SETTLED)
        .and_then(|()| File::options().write(true).open("/dev/null"))
        .and_then(|null| Ok(dup2_stderr(null)?));
    if settled.is_err() {
        std::process::exit(71);
    }
    if let Some(id) = &role.heir_of {
        while getppid() == parent {
            std::thread::sleep(Duration::from_millis(10));
        }
        loop {
            // Later than anybody waits for what a dead process had written.
            std::thread::sleep(INHERITS_AFTER);
            wire::reply(id, r#"{"content":[{"type":"text","text":"inherited"}]}"#);
        }
    }
    if role.chatter {
        loop {
            wire::reply("987654321", r#"{"content":[]}"#);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    loop {
        std::thread::sleep(LIFETIME);
    }
}

/// Reads so many bytes of stdin at a time, past whatever was read ahead, until its end.
pub(crate) fn trickle(bytes: usize, every: Duration) {
    let mut heedless = vec![0; bytes];
    while let Ok(1..) = rustix::io::read(rustix::stdio::stdin(), &mut heedless) {
        std::thread::sleep(every);
    }
}

/// The open descriptors and what each one is: `{"0": "pipe:[…]", …}`.
pub(crate) fn open_files() -> Value {
    let folder = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    let numbers: Vec<_> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
        Err(fault) => return json!({"fault": fault.to_string()}),
    };
    let mut open = BTreeMap::new();
    for number in numbers {
        let path = std::path::Path::new(folder).join(&number);
        // The descriptor that listed the folder is closed by now, so its entry is gone.
        if path.symlink_metadata().is_err() {
            continue;
        }
        let target = std::fs::read_link(&path).unwrap_or_default();
        open.insert(
            number.to_string_lossy().into_owned(),
            target.display().to_string(),
        );
    }
    json!(open)
}

/// The whole environment.
pub(crate) fn environment() -> Value {
    let variables: BTreeMap<_, _> = std::env::vars_os()
        .map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            (name, value.to_string_lossy().into_owned())
        })
        .collect();
    json!(variables)
}

/// Who the process is.
pub(crate) fn identity() -> Value {
    json!({
        "pid": getpid().as_raw_nonzero().get(),
        "ppid": getppid().map_or(0, |parent| parent.as_raw_nonzero().get()),
        "cwd": std::env::current_dir().unwrap_or_default(),
        "args": std::env::args().collect::<Vec<_>>(),
    })
}

/// Keeps processors busy for a while, and answers before that is over.
pub(crate) fn spin(call: &Call) {
    let time = Duration::from_millis(call.number("ms").unwrap_or_default());
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..call.size("threads") {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
    }
    std::thread::spawn(move || {
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
    });
    call.say("busy");
}

/// How many bytes can be read of a file, or why none can.
pub(crate) fn read(path: &str) -> String {
    match std::fs::read(path) {
        Ok(bytes) => format!("{} bytes", bytes.len()),
        Err(fault) => fault.to_string(),
    }
}
