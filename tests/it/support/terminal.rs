//! A terminal in which a program of the gateway's binary runs.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::places;
use super::wait::blocks_until;

const SOON: Duration = Duration::from_secs(20);

/// A program in a session of its own that a new terminal controls.
#[derive(Debug)]
pub(crate) struct Terminal {
    program: Child,
    /// Closes the terminal when it is dropped; a thread reads from another descriptor of it.
    master: OwnedFd,
    written: Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    /// Starts the program with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        // Not at once, which macOS cannot.
        rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = || {
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
            let opened = rustix::fs::open(name.as_str(), flags, rustix::fs::Mode::empty());
            Stdio::from(opened.unwrap())
        };
        let program = Command::new("setsid")
            .arg("--ctty")
            .arg(places::gateway())
            .args(arguments)
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .expect("setsid of util-linux");
        rustix::fs::fcntl_setfl(&master, rustix::fs::OFlags::NONBLOCK).unwrap();
        let reader = master.try_clone().unwrap();
        let (tell, written) = channel();
        std::thread::spawn(move || read(File::from(reader), |chunk| tell.send(chunk).is_ok()));
        Self {
            program,
            master,
            written,
            text: String::new(),
        }
    }

    /// The program's process.
    pub(crate) fn pid(&self) -> u32 {
        self.program.id()
    }

    /// What the program has written so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Waits until the program has written these words; `false` where it does not.
    pub(crate) fn shows(&mut self, words: &str) -> bool {
        blocks_until(SOON, || {
            for chunk in self.written.try_iter() {
                self.text += &String::from_utf8_lossy(&chunk);
            }
            self.text.contains(words)
        })
    }

    /// Closes the terminal and waits for the end of the program; `None` where it goes on.
    pub(crate) fn close(self) -> Option<ExitStatus> {
        let Self {
            mut program,
            master,
            written,
            ..
        } = self;
        // The thread that reads lets go of its descriptor with the next chunk that nobody takes.
        drop(written);
        drop(master);
        let ended = blocks_until(SOON, || program.try_wait().unwrap().is_some());
        if !ended {
            let _ = program.kill();
        }
        let status = program.wait().unwrap();
        ended.then_some(status)
    }
}

/// Reads until the terminal is closed or nobody takes what was read.
fn read(mut from: File, mut take: impl FnMut(Vec<u8>) -> bool) {
    let mut chunk = [0; 4096];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(count) => {
                if !take(chunk[..count].to_vec()) {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // An empty chunk asks whether anybody still takes what is read.
                if !take(Vec::new()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(_closed) => return,
        }
    }
}
