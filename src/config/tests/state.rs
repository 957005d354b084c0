//! The loader's promises about `state_dir`.

use std::path::PathBuf;

use super::{Fixture, chmod, with};

#[test]
fn a_named_folder_is_taken_from_the_folder_of_the_config() {
    let fixture = Fixture::new(&[]);
    let state_dir = |value: &str| {
        let config = fixture.load(&with(&format!(r#""state_dir": "{value}""#)));
        config.expect("faults").state_dir
    };
    assert_eq!(state_dir("state"), Some(fixture.dir.path().join("state")));
    assert_eq!(state_dir("/var/state"), Some(PathBuf::from("/var/state")));
}

#[test]
fn a_folder_that_others_can_write_is_refused_where_it_is_named_and_else_noted() {
    let fixture = Fixture::new(&[]);
    let folder = fixture.dir.path().join("state");
    std::fs::create_dir(&folder).unwrap();
    chmod(&folder, 0o777);
    let faults = fixture.faults(&with("\n\"state_dir\": \"state\""));
    let shown = faults.replace(&format!("{}/", fixture.dir.path().display()), "");
    insta::assert_snapshot!(shown, @"c.json: state_dir (line 2): state can be written by others (mode 0777): chmod 700");
    insta::assert_snapshot!(fixture.faults(&with("\n\"state_dir\": \"\"")), @"c.json: state_dir (line 2): is empty, expected a folder; leave the key out for the default one");

    let fixture = Fixture::new(&[("STATE_DIRECTORY", folder.to_str().unwrap())]);
    let config = fixture.load(&with("")).expect("faults");
    let shown = config.warnings.join("\n");
    let shown = shown.replace(folder.to_str().unwrap(), "state");
    assert!(
        shown.contains(
            "state_dir: is not given, and state can be written by others (mode 0777): chmod 700"
        ),
        "{shown}"
    );
    assert_eq!(config.state_dir, Some(folder));
}

#[test]
fn the_folder_of_a_file_that_is_refused_is_known_as_far_as_the_file_can_be_read() {
    let fixture = Fixture::new(&[("STATE_DIRECTORY", "/var/default")]);
    let state_dir = |text: &str| {
        let path = fixture.write("config.json", text);
        let uid = rustix::process::geteuid().as_raw();
        let env = crate::config::Env::new(fixture.variables.clone(), None, uid);
        crate::config::likely_state_dir(&path, &env)
    };
    let own = Some(fixture.dir.path().join("state"));
    let default = Some(PathBuf::from("/var/default"));
    for (text, expected) in [
        (r#"{"state_dir": "state", "unknown": 7}"#, &own),
        (r#"{"state_dir": "state" "bind_port": 1}"#, &own),
        (r#"{"state_dir": "", "unknown": 7}"#, &default),
        (r#"{"state_dir": 7}"#, &default),
        ("{", &default),
        ("{}", &default),
    ] {
        assert_eq!(state_dir(text), *expected, "{text}");
    }
}

#[test]
fn a_named_folder_that_cannot_be_made_is_warned_of() {
    let fixture = Fixture::new(&[]);
    fixture.write("file", "");
    let warnings = |value: &str| {
        let config = fixture.load(&with(&format!("\n\"state_dir\": \"{value}\"")));
        config.expect("faults").warnings.join("\n")
    };
    let told = warnings("file/below/state");
    assert!(told.contains("state_dir (line 2): "), "{told}");
    assert!(
        told.contains("cannot be used as it is now (Not a directory"),
        "{told}"
    );
    assert!(
        !warnings("new/below").contains("state_dir"),
        "one that is to be made"
    );
}
