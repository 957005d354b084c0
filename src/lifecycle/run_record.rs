//! The run record: where the gateway of a config file listens in truth, for the verbs that ask it.
//!
//! A config that was changed or broken since the start does not say that any more. The gateway holds a lock on the
//! file for as long as it lives, so that a record that was left behind is not believed: its port may be a stranger's,
//! and the verbs send a token.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::config::Env;
use crate::state_dir::{check_directory, draft_name, sweep_drafts};

/// A longer file is not a record of ours.
const MAX_BYTES: u64 = 64 * 1024;

/// The facts by which a running gateway is found.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RunRecord {
    /// Its process.
    pub pid: u32,
    /// Its address for this machine, such as `http://127.0.0.1:7411`.
    pub base_url: String,
    /// A value of the Host header that it lets in, where that of the URL is not.
    pub host: Option<String>,
    /// The certificate that it was started with, as hex digits of its DER form.
    pub certificate: Option<String>,
}

/// A record that is in force until it is dropped.
#[derive(Debug)]
pub(super) struct HeldRecord {
    path: PathBuf,
    /// Bears the lock.
    file: File,
}

impl Drop for HeldRecord {
    fn drop(&mut self) {
        // Another gateway of the same config, on a port of its own, may have put its record in the place of this one.
        let (own, there) = (rustix::fs::fstat(&self.file), rustix::fs::lstat(&self.path));
        if let (Ok(own), Ok(there)) = (own, there)
            && (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
        {
            // What is left behind is not believed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes the record of this process, which keeps its state in `state_dir`; `None` where it keeps it in memory. Without a
/// folder that can be trusted with it the verbs go by the config file, as far as it tells.
pub(super) fn write(
    config: &Path,
    state_dir: Option<&Path>,
    record: &RunRecord,
    env: &Env,
) -> Option<HeldRecord> {
    let text = serde_json::to_string(record).ok()?;
    for folder in folders(state_dir, env) {
        match write_in(&folder, config, &text) {
            Ok(held) => return Some(held),
            Err(error) => {
                tracing::debug!(folder = %folder.display(), %error, "cannot write the run record: {error}");
            }
        }
    }
    None
}

fn write_in(folder: &Path, config: &Path, text: &str) -> io::Result<HeldRecord> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    check_directory(folder).map_err(io::Error::other)?;
    sweep_drafts(File::open(folder)?);
    let name = name_of(config);
    let path = folder.join(&name);
    // Under a name of its own until it is locked and whole: found by its name, it is in force.
    let draft = folder.join(draft_name(&name));
    // Never a file that is there: it may be another name of one that is worth something.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(&draft, flags, Mode::RUSR | Mode::WUSR)?);
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&draft, &path)?;
    Ok(HeldRecord { path, file })
}

/// The record of the gateway that runs with this config file, if one runs, and keeps its state in `state_dir`.
pub fn find(config: &Path, state_dir: Option<&Path>, env: &Env) -> Option<RunRecord> {
    let name = name_of(config);
    folders(state_dir, env)
        .iter()
        .find_map(|folder| read(&folder.join(&name), env))
}

fn read(path: &Path, env: &Env) -> Option<RunRecord> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let stat = rustix::fs::fstat(&file).ok()?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let is_ours = stat.st_uid == env.uid() && !mode.intersects(Mode::WGRP | Mode::WOTH);
    // Where the lock can be had its holder is gone.
    let is_free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok();
    if !is_ours || is_free {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The folders that a record may be in: that of the login session, which is gone with it, then the state directory, then one
/// below the home directory, where earlier versions put it. None that others can write: the verbs send a token to the
/// address of a record.
fn folders(state_dir: Option<&Path>, env: &Env) -> Vec<PathBuf> {
    let absolute = |name: &str| {
        let path = env.var(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let runtime = absolute("XDG_RUNTIME_DIR").map(|folder| folder.join("host-mcp-gateway"));
    let is_trusted = |folder: &PathBuf| check_directory(folder).is_ok();
    let own = state_dir.filter(|folder| check_directory(folder).is_ok());
    let own = own.map(|folder| folder.join("run"));
    let at_home = absolute("XDG_STATE_HOME").or_else(|| Some(env.home()?.join(".local/state")));
    let at_home = at_home.map(|folder| folder.join("host-mcp-gateway/run"));
    // A folder that only the service manager names is unknown to a verb that a person types.
    let is_of_service = env
        .var("STATE_DIRECTORY")
        .is_some_and(|list| std::env::split_paths(list).next().as_deref() == state_dir);
    let folders = if is_of_service {
        [runtime, at_home, own]
    } else {
        [runtime, own, at_home]
    };
    let folders = folders.into_iter().flatten().filter(is_trusted);
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.dedup();
    folders
}

/// One record for each config file.
fn name_of(config: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let absolute = std::path::absolute(config).unwrap_or_else(|_empty| config.to_owned());
    let digest = hex::encode(Sha256::digest(absolute.as_os_str().as_bytes()));
    format!("{}.json", digest.get(..32).unwrap_or(&digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> RunRecord {
        RunRecord {
            pid: 7,
            base_url: "http://127.0.0.1:1".to_owned(),
            host: None,
            certificate: None,
        }
    }

    #[test]
    fn a_record_is_in_the_state_directory_where_no_login_session_has_a_folder_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (home, state) = (dir.path().join("home"), dir.path().join("state"));
        let uid = rustix::process::geteuid().as_raw();
        let env = Env::new(None, Some(home.clone()), uid);
        let (config, state) = (Path::new("/etc/c.json"), Some(&*state));
        let held = write(config, state, &record(), &env).unwrap();
        assert!(
            held.path.starts_with(state.unwrap().join("run")),
            "{held:?}"
        );
        assert!(!home.exists(), "nothing is written elsewhere");
        assert_eq!(find(config, state, &env), Some(record()));
        drop(held);
        // A gateway of an earlier version, which is asked by this one.
        let held = write(config, None, &record(), &env).unwrap();
        assert!(held.path.starts_with(&home), "{held:?}");
        assert_eq!(find(config, state, &env), Some(record()));
        drop(held);

        let of_service = ("STATE_DIRECTORY".into(), state.unwrap().into());
        let env_of_service = Env::new([of_service], Some(home.clone()), uid);
        let held = write(config, state, &record(), &env_of_service).unwrap();
        assert_eq!(find(config, None, &env), Some(record()), "by a person");
        drop(held);

        let runtime = dir.path().join("runtime");
        let variable = ("XDG_RUNTIME_DIR".into(), runtime.clone().into());
        let env = Env::new([variable], Some(home), uid);
        let held = write(config, state, &record(), &env).unwrap();
        assert!(held.path.starts_with(runtime), "{held:?}");
    }

    /// A folder that others can write holds no record, and none that is there is believed.
    #[test]
    fn a_folder_that_others_can_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (home, state) = (dir.path().join("home"), dir.path().join("state"));
        let uid = rustix::process::geteuid().as_raw();
        let env = Env::new(None, Some(home.clone()), uid);
        let config = Path::new("/etc/c.json");
        let chmod = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let held = write(config, Some(&state), &record(), &env).unwrap();
        for folder in [state.clone(), state.join("run")] {
            assert_eq!(find(config, Some(&state), &env), Some(record()));
            chmod(&folder, 0o777);
            assert_eq!(find(config, Some(&state), &env), None, "{folder:?}");
            let other = write(config, Some(&state), &record(), &env).unwrap();
            assert!(other.path.starts_with(&home), "{other:?}");
            drop(other);
            chmod(&folder, 0o700);
        }
        drop(held);
    }

    #[test]
    fn a_record_is_found_as_long_as_its_gateway_lives() {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let env = Env::new(None, Some(dir.path().to_owned()), uid);
        let (record, config) = (record(), Path::new("/etc/c.json"));
        let find = |config: &Path, env: &Env| find(config, None, env);
        let write = |config: &Path, record: &RunRecord, env: &Env| write(config, None, record, env);
        assert_eq!(find(config, &env), None);
        let held = write(config, &record, &env).unwrap();
        assert_eq!(find(config, &env), Some(record.clone()));
        assert_eq!(find(Path::new("/etc/other.json"), &env), None);
        let path = held.path.clone();
        // A second gateway of this config takes the name over, and the end of the first does not take it away.
        let later = RunRecord {
            pid: 8,
            ..record.clone()
        };
        let held_later = write(config, &later, &env).unwrap();
        drop(held);
        assert_eq!(find(config, &env), Some(later));
        drop(held_later);
        assert_eq!(find(config, &env), None);
        // As after SIGKILL: the file is there, and nobody holds it.
        std::fs::write(path, serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(find(config, &env), None);
    }
}
