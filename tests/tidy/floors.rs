//! A floor uses only itself and the floors below it; a room of a floor sees only the neighbours it is given.

use std::path::Path;

use crate::assert_tidy;
use crate::files::{self, File};
use crate::paths::{module_of, named};

/// A room: a module at the root of the crate.
struct Room {
    floor: u8,
    name: &'static str,
    /// The rooms on its own floor that it may use.
    neighbours: &'static [&'static str],
}

const fn room(floor: u8, name: &'static str, neighbours: &'static [&'static str]) -> Room {
    Room {
        floor,
        name,
        neighbours,
    }
}

/// The house. The table at the head of `src/lib.rs` says the same in words.
const HOUSE: [Room; 18] = [
    room(0, "types", &[]),
    room(0, "fault", &["types"]),
    room(0, "instruments", &["types", "fault", "memory_budget"]),
    room(0, "memory_budget", &["types", "fault"]),
    room(0, "minute_counts", &[]),
    room(1, "protocol", &[]),
    room(1, "spans", &["protocol"]),
    room(1, "audit", &["spans"]),
    room(1, "shards", &[]),
    room(1, "state_dir", &[]),
    room(2, "supervisor", &[]),
    room(3, "relay", &[]),
    room(4, "http", &[]),
    room(5, "telemetry", &[]),
    // The file has a section for what is logged and exported.
    room(5, "config", &["telemetry"]),
    room(5, "lifecycle", &["config", "telemetry"]),
    room(6, "host_server", &[]),
    room(6, "cli", &["host_server"]),
];

fn find(name: &str) -> Option<&'static Room> {
    HOUSE.iter().find(|room| room.name == name)
}

/// What a file names that it may not.
fn complaints(file: &File) -> Vec<String> {
    let name = file.name();
    let module = module_of(&file.path);
    let uses = match named(&file.text, &module) {
        Ok(uses) => uses,
        Err(fault) => return vec![format!("{name}: {fault}")],
    };
    // main.rs and lib.rs stand on the roof: they may name every room.
    let here = match module.first() {
        None => None,
        Some(first) => match find(first) {
            Some(room) => Some(room),
            None => {
                return vec![format!(
                    "{name}: {first} is no room of the house (tests/tidy/floors.rs)"
                )];
            }
        },
    };
    let mut found = Vec::new();
    for used in uses {
        let target = &used.path[0];
        let at = format!("{name}:{}", used.line);
        match (here, find(target)) {
            (_, None) if target == "*" => found.push(format!(
                "{at}: names the whole crate, expected a room of it"
            )),
            (_, None) => found.push(format!(
                "{at}: {target} is no room of the house (tests/tidy/floors.rs)"
            )),
            (Some(here), Some(there)) if !may_use(here, there) => found.push(format!(
                "{at}: {} (floor {}) uses {} (floor {})",
                here.name, here.floor, there.name, there.floor
            )),
            _ => {}
        }
    }
    found
}

fn may_use(here: &Room, there: &Room) -> bool {
    here.name == there.name || there.floor < here.floor || here.neighbours.contains(&there.name)
}

#[test]
fn no_floor_uses_one_above_it() {
    let found: Vec<String> = files::sources().iter().flat_map(complaints).collect();
    assert_tidy(&found);
}

#[test]
fn the_table_in_the_crate_documentation_is_this_house() {
    let lib = std::fs::read_to_string(files::root().join("src/lib.rs")).unwrap();
    let mut told: Vec<(u8, String)> = Vec::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.split(" | ");
        let (Some(floor), Some(rooms)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Some(floor) = floor.get(..1).and_then(|digit| digit.parse().ok()) else {
            continue;
        };
        for room in rooms.split(", ") {
            told.push((floor, room.trim_matches(['[', ']', '`']).to_owned()));
        }
    }
    let mut house: Vec<(u8, String)> = HOUSE
        .iter()
        .map(|room| (room.floor, room.name.to_owned()))
        .collect();
    told.sort();
    house.sort();
    assert_eq!(told, house);
}

#[test]
fn neighbours_are_on_the_same_floor_and_never_mutual() {
    for here in &HOUSE {
        for there in here.neighbours.iter().map(|name| find(name).unwrap()) {
            assert_eq!(here.floor, there.floor, "{} and {}", here.name, there.name);
            assert!(
                !there.neighbours.contains(&here.name),
                "{} and {}",
                here.name,
                there.name
            );
        }
    }
}

#[test]
fn an_upward_import_is_found_wherever_it_hides() {
    let bad = [
        ("src/types.rs", "use crate::fault::Fault;"),
        ("src/protocol.rs", "use crate::{types::Id, relay};"),
        ("src/supervisor/actor.rs", "fn f() { crate::relay::go() }"),
        ("src/supervisor/actor.rs", "use super::super::http;"),
        ("src/supervisor.rs", "use super::relay;"),
        (
            "src/supervisor.rs",
            "#[cfg(test)]\nmod tests { use crate::http::x; }",
        ),
        (
            "src/http/edge.rs",
            "tokio::select! { _ = crate::lifecycle::drain() => {} }",
        ),
        ("src/telemetry.rs", "use crate::config::File;"),
        ("src/config.rs", "use crate::lifecycle;"),
        ("src/host_server.rs", "use crate::cli;"),
        ("src/lifecycle.rs", "use crate::cli::run;"),
        ("src/types.rs", "use crate::*;"),
        ("src/types.rs", "use crate as house;"),
        ("src/types.rs", "use crate::cellar::wine;"),
        ("src/cellar.rs", "use crate::types::Id;"),
        ("src/main.rs", "use host_mcp_gateway::cellar;"),
        ("src/types.rs", "fn ("),
    ];
    for (path, text) in bad {
        let found = complaints(&File::new(path, text));
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
    }
}

#[test]
fn what_is_allowed_is_let_be() {
    let good = [
        ("src/fault.rs", "use crate::types::Id;"),
        (
            "src/supervisor/actor.rs",
            "use super::pipes; use crate::{types::Id, protocol, supervisor::config};",
        ),
        (
            "src/config/file.rs",
            "use crate::{telemetry, http, relay, supervisor};",
        ),
        ("src/lifecycle.rs", "use crate::{config, telemetry, http};"),
        (
            "src/cli/run.rs",
            "use crate::{host_server, lifecycle, cli::style};",
        ),
        ("src/main.rs", "fn main() { host_mcp_gateway::cli::main() }"),
        ("src/lib.rs", "pub mod types; pub use crate::types::Id;"),
    ];
    for (path, text) in good {
        assert_eq!(
            complaints(&File::new(path, text)),
            Vec::<String>::new(),
            "{path}: {text}"
        );
    }
    assert_eq!(module_of(Path::new("src/cli/run.rs")), ["cli", "run"]);
}
