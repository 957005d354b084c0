//! What is kept in the state folder, and who may read it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

fn mode_of(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_outlives_the_process_and_is_for_its_owner_only() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state").join("gateway");
    let state = StateDir::open(&path);
    assert_eq!(state.path().as_deref(), Some(&*path));
    assert_eq!(state.read("key").unwrap(), None);
    state.write("key", b"one").unwrap();
    state.write("key", b"two").unwrap();
    assert_eq!(state.read("key").unwrap().unwrap(), b"two");
    assert_eq!(StateDir::open(&path).read("key").unwrap().unwrap(), b"two");
    assert_eq!(mode_of(&path), 0o700);
    assert_eq!(mode_of(&home.path().join("state")), 0o700);
    assert_eq!(mode_of(&path.join("key")), 0o600);
    let names = std::fs::read_dir(&path).unwrap().count();
    assert_eq!(names, 1, "no temporary file is left");
}

#[test]
fn one_of_many_creates_a_file_and_the_others_read_it() {
    let home = tempfile::tempdir().unwrap();
    let keys: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16_u8)
            .map(|number| {
                let state = StateDir::open(home.path());
                scope.spawn(move || match state.create("key", &[number]).unwrap() {
                    Some(existing) => existing,
                    None => vec![number],
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_directory_that_others_can_write_is_not_used() {
    let home = tempfile::tempdir().unwrap();
    for mode in [0o770, 0o777, 0o1777, 0o707] {
        chmod(home.path(), mode);
        let reason = check_directory(home.path()).unwrap_err();
        assert!(reason.contains("can be written by others"), "{reason}");
        let state = StateDir::open(home.path());
        assert_eq!(state.path(), None, "{mode:o}");
        state.write("key", b"one").unwrap();
        assert_eq!(state.read("key").unwrap().unwrap(), b"one");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }
    chmod(home.path(), 0o755);
    assert_eq!(check_directory(home.path()), Ok(()));
    assert_eq!(check_directory(&home.path().join("new")), Ok(()));
    assert!(StateDir::open(home.path()).path().is_some());
}

#[test]
fn what_is_not_a_directory_leaves_the_state_in_memory() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below"), "/proc/state".into()] {
        let state = StateDir::open(&path);
        assert_eq!(state.path(), None, "{}", path.display());
        state.save("key", b"one".to_vec());
        assert_eq!(state.read("key").unwrap().unwrap(), b"one");
        assert_eq!(state.create("key", b"two").unwrap().unwrap(), b"one");
        assert_eq!(state.create("other", b"two").unwrap(), None);
        assert_eq!(state.read("other").unwrap().unwrap(), b"two");
    }
}

#[test]
fn a_file_that_others_can_change_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDir::open(home.path());
    state.write("key", b"one").unwrap();
    chmod(&home.path().join("key"), 0o620);
    assert!(matches!(state.read("key"), Err(StateError::Untrusted(..))));
    symlink("/etc/hostname", home.path().join("link")).unwrap();
    assert!(matches!(state.read("link"), Err(StateError::Io(..))));
    std::fs::create_dir(home.path().join("folder")).unwrap();
    assert!(matches!(
        state.read("folder"),
        Err(StateError::Untrusted(..))
    ));
    state.write("link", b"two").unwrap();
    assert_eq!(state.read("link").unwrap().unwrap(), b"two", "not followed");
}

#[test]
fn a_name_stays_inside_the_directory_and_a_file_is_bounded() {
    let home = tempfile::tempdir().unwrap();
    for state in [StateDir::open(home.path()), StateDir::in_memory()] {
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "/etc/passwd",
            "a\0",
            "\u{e9}",
        ] {
            assert!(
                matches!(state.read(name), Err(StateError::BadName(_))),
                "{name:?}"
            );
            assert!(
                matches!(state.write(name, b""), Err(StateError::BadName(_))),
                "{name:?}"
            );
        }
        let long = vec![0; MAX_FILE_BYTES + 1];
        assert!(matches!(
            state.write("long", &long),
            Err(StateError::TooLong(_))
        ));
    }
    let huge = std::fs::File::create(home.path().join("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let read = StateDir::open(home.path()).read("huge");
    assert!(matches!(read, Err(StateError::TooLong(_))));
}

#[test]
fn the_last_saved_version_is_read_at_once_and_written_in_the_end() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDir::open(home.path());
    for number in 0..200_u8 {
        state.save("list", vec![number]);
        assert_eq!(state.read("list").unwrap().unwrap(), [number]);
    }
    state.flush();
    assert_eq!(std::fs::read(home.path().join("list")).unwrap(), [199]);
    state.save("list", vec![1]);
    state.write("list", &[2]).unwrap();
    state.flush();
    assert_eq!(std::fs::read(home.path().join("list")).unwrap(), [2]);
}

#[test]
fn changes_of_several_gateways_do_not_undo_each_other() {
    let home = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for number in 0..8_u8 {
            let state = StateDir::open(home.path());
            scope.spawn(move || {
                for _ in 0..20 {
                    let add = |before: Vec<u8>| [before, vec![number]].concat();
                    state.update("list", add).unwrap();
                }
            });
        }
    });
    let state = StateDir::open(home.path());
    assert_eq!(state.read("list").unwrap().unwrap().len(), 160);
    let memory = StateDir::in_memory();
    memory
        .update("list", |before| [before, vec![1]].concat())
        .unwrap();
    memory
        .update("list", |before| [before, vec![2]].concat())
        .unwrap();
    assert_eq!(memory.read("list").unwrap().unwrap(), [1, 2]);
}

/// RA13: lines are added to a file that is what it was left as, and an unfinished one, as of a power failure, takes none of
/// them with it. Nothing is added to any other file, so that what it lacks is written with the rest.
#[test]
fn lines_are_added_to_the_file_that_was_left() {
    let home = tempfile::tempdir().unwrap();
    let (state, file) = (StateDir::open(home.path()), home.path().join("lines"));
    let read = || std::fs::read_to_string(&file).unwrap();
    state.write("lines", b"one\n").unwrap();
    let mark = state.mark("lines").unwrap();
    let mark = state.append("lines", b"two\n", &mark).unwrap();
    assert_eq!((read().as_str(), mark.length()), ("one\ntwo\n", 8));
    // By another gateway, which lost its power.
    std::fs::write(&file, "one\ntwo\nthr").unwrap();
    let mark = state.append("lines", b"four\n", &mark).unwrap();
    assert_eq!(read(), "one\ntwo\nthr\nfour\n");

    let is_refused = || state.append("lines", b"five\n", &mark).is_none();
    chmod(&file, 0o620);
    assert!(is_refused(), "others can write it");
    chmod(&file, 0o600);
    std::fs::write(&file, "one\n").unwrap();
    assert!(is_refused(), "it was cut");
    std::fs::remove_file(&file).unwrap();
    assert!(is_refused(), "it is gone");
    state.write("lines", &[b'x'; 100]).unwrap();
    assert!(is_refused(), "it is another one");
    assert!(StateDir::in_memory().mark("lines").is_none());
}
