//! What lies where, and what no file may name.

use crate::assert_tidy;
use crate::files::{self, File, NOT_OURS};

/// All that may lie at the top, besides files whose name starts with a dot.
const TOP: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "config",
    "launchd",
    "src",
    "systemd",
    "tests",
];

/// Hosts that hand out packages, split so that this file does not name them. Whoever builds uses the
/// registries of their own choice.
const REGISTRIES: [&[&str]; 10] = [
    &["crates", "io"],
    &["npmjs", "org"],
    &["npmjs", "com"],
    &["npmmirror", "com"],
    &["yarnpkg", "com"],
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["deb", "debian", "org"],
    &["proxy", "golang", "org"],
    &["ghcr", "io"],
];

/// How Cargo writes its default registry into a lock file: a name, whatever the registry really is.
fn default_registry() -> String {
    format!(
        "registry+https://github.com/rust-lang/{}-index",
        REGISTRIES[0].join(".")
    )
}

fn top_complaints(names: &[String]) -> Vec<String> {
    let known = |name: &String| {
        name.starts_with('.') || TOP.contains(&name.as_str()) || NOT_OURS.contains(&name.as_str())
    };
    let strangers = names.iter().filter(|name| !known(name));
    strangers
        .map(|name| format!("{name}: not expected at the top"))
        .collect()
}

fn address_complaints(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    let default_registry = default_registry();
    for (number, line) in (1..).zip(file.text.lines()) {
        let line = line.replace(&default_registry, "");
        for host in REGISTRIES.map(|parts| parts.join(".")) {
            if names_host(&line, &host) {
                found.push(format!("{}:{number}: names {host}", file.name()));
            }
        }
        if line.trim_start().starts_with("\"resolved\":") {
            found.push(format!(
                "{}:{number}: a lock file with download addresses",
                file.name()
            ));
        }
    }
    found
}

/// Whether a host, or one below it, stands in a line; a longer word that contains it is another.
fn names_host(line: &str, host: &str) -> bool {
    let part_of_word = |neighbour: Option<char>| {
        neighbour.is_some_and(|neighbour| neighbour.is_alphanumeric() || "-_".contains(neighbour))
    };
    line.match_indices(host).any(|(start, _)| {
        let (before, rest) = line.split_at(start);
        let (_, after) = rest.split_at(host.len());
        !part_of_word(before.chars().next_back()) && !part_of_word(after.chars().next())
    })
}

#[test]
fn nothing_unexpected_lies_at_the_top() {
    let entries = std::fs::read_dir(files::root()).unwrap();
    let names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name == "Cargo.toml"), "{names:?}");
    assert_tidy(&top_complaints(&names));
}

#[test]
fn no_file_names_a_registry() {
    let found: Vec<String> = files::all().iter().flat_map(address_complaints).collect();
    assert_tidy(&found);
}

#[test]
fn a_stranger_at_the_top_is_found() {
    let names = ["Cargo.toml", ".ci", "target", "notes.txt", "docs"].map(str::to_owned);
    let expected = [
        "notes.txt: not expected at the top",
        "docs: not expected at the top",
    ];
    assert_eq!(top_complaints(&names), expected);
}

#[test]
fn a_registry_is_found_wherever_it_stands() {
    for host in REGISTRIES.map(|parts| parts.join(".")) {
        for line in [
            format!("see https://{host}/x"),
            format!("index = \"https://static.{host}\""),
            host.clone(),
            format!("from {host}."),
        ] {
            let found = address_complaints(&File::new("README.md", &line));
            assert!(!found.is_empty(), "{line}");
        }
        let other = format!("a{host} {host}x my-{host} {}", default_registry());
        assert_eq!(
            address_complaints(&File::new("x", &other)),
            Vec::<String>::new(),
            "{other}"
        );
    }
    let lock = "  \"resolved\": \"https://example.com/a.tgz\",";
    assert_eq!(
        address_complaints(&File::new("package-lock.json", lock)).len(),
        1
    );
}
