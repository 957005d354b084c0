//! What is remembered of programs, and which program is which.

use super::*;
use crate::supervisor::config::Launch;

fn launch(args: &[&str], working_dir: Option<&std::path::Path>) -> Launch {
    Launch {
        command: "sh".to_owned(),
        program: "/bin/sh".into(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        working_dir: working_dir.map(Into::into),
        env: Vec::new(),
        withheld: Vec::new(),
    }
}

fn key(launch: &Launch) -> ProgramKey {
    ProgramKey::of(&"server".parse().unwrap(), launch)
}

/// RB01: what was learnt of a server is known after a restart of the gateway, but for a silence.
#[test]
fn what_is_known_of_a_program_outlives_the_gateway() {
    let state = StateDir::in_memory();
    let (strict, other) = (
        key(&launch(&["strict"], None)),
        key(&launch(&["other"], None)),
    );
    let memory = EraMemory::open(state.clone());
    assert_eq!(memory.facts(&strict), EraFacts::default());
    memory.learn(&strict, |facts| {
        facts.legacy = Some(true);
        facts.dies_of_probe = true;
        facts.last = Some(Era::Legacy);
    });
    memory.learn(&other, |facts| {
        facts.modern = Some(true);
        facts.last = Some(Era::Modern);
        facts.silent = true;
    });
    let later = EraMemory::open(state);
    assert_eq!(later.facts(&strict), memory.facts(&strict));
    assert!(!later.facts(&strict).may_know(Era::Modern));
    assert!(later.facts(&strict).may_know(Era::Legacy));
    assert!(!memory.facts(&other).may_know(Era::Modern));
    assert!(later.facts(&other).may_know(Era::Modern));
    assert_eq!(later.facts(&other).last, Some(Era::Modern));
}

#[test]
fn a_file_that_is_none_is_as_no_file() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"version":2,"programs":{}}"#,
        r#"{"version":1,"programs":{"a":{"last":"old"}}}"#,
    ] {
        let state = StateDir::in_memory();
        state.write(FILE, text.as_bytes()).unwrap();
        let key = key(&launch(&[], None));
        assert_eq!(EraMemory::open(state).facts(&key), EraFacts::default());
    }
}

#[test]
fn no_more_programs_are_remembered_than_there_is_room_for() {
    let memory = EraMemory::open(StateDir::in_memory());
    for number in 0..=MAX_PROGRAMS {
        let key = key(&launch(&[&number.to_string()], None));
        memory.learn(&key, |facts| facts.legacy = Some(true));
    }
    assert_eq!(memory.programs().len(), MAX_PROGRAMS);
}

#[test]
fn another_file_or_another_argument_is_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("server.py");
    std::fs::write(&script, "one").unwrap();
    let of = |arg: &str| key(&launch(&[arg], Some(folder.path())));
    let (relative, absolute) = (of("server.py"), of(script.to_str().unwrap()));
    assert_eq!(of("server.py"), relative);
    assert_ne!(relative, absolute);
    assert_ne!(of("other.py"), relative);
    std::fs::write(&script, "another").unwrap();
    assert_ne!(of("server.py"), relative);
    assert_ne!(of(script.to_str().unwrap()), absolute);
}

#[test]
fn the_first_wish_holds() {
    for (first, second) in [(Era::Legacy, Era::Modern), (Era::Modern, Era::Legacy)] {
        let wish = EraWish::default();
        assert_eq!(wish.settle(first), first);
        assert_eq!(wish.settle(second), first);
        assert_eq!(wish.settle(first), first);
    }
}
