//! The tools that read the host.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::schema::{boolean, count, integer, list, number, object, or_null, text};
use super::{Refusal, Tool, arguments, structured, within};
use crate::host_server::call::Call;
use crate::host_server::stats::{self, SortBy};

pub(super) const SYSTEM_INFO: Tool = Tool {
    name: "system_info",
    title: "System",
    description: "Operating system, kernel, host name, uptime, processors, memory and load of the host",
    input: || object(&[]),
    output: Some(system_schema),
    run: |_, given| {
        let Nothing {} = arguments(given)?;
        Ok(structured(&stats::system()))
    },
};

pub(super) const DISKS: Tool = Tool {
    name: "disks",
    title: "Disks",
    description: "Mounted disks with their size and free space in bytes",
    input: || object(&[]),
    output: Some(disks_schema),
    run: |_, given| {
        let Nothing {} = arguments(given)?;
        Ok(structured(&json!({"disks": stats::disks()})))
    },
};

pub(super) const PROCESSES: Tool = Tool {
    name: "processes",
    title: "Processes",
    description: "The processes that use most memory or processor time, by name; command lines are \
                  not shown, since they may hold secrets",
    input: || {
        object(&[
            (
                "sort_by",
                json!({
                    "type": "string", "enum": ["memory", "cpu"], "default": "memory",
                    "description": "What to rank by",
                }),
            ),
            ("limit", integer(1..=100, 10, "How many to return")),
        ])
    },
    output: Some(processes_schema),
    run: processes,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProcessesArguments {
    sort_by: SortBy,
    limit: u64,
}

impl Default for ProcessesArguments {
    fn default() -> Self {
        Self {
            sort_by: SortBy::default(),
            limit: 10,
        }
    }
}

fn processes(call: &Call, given: Map<String, Value>) -> Result<Value, Refusal> {
    let given: ProcessesArguments = arguments(given)?;
    let limit = within("limit", given.limit, 1..=100)?;
    let processes = stats::processes(
        call,
        given.sort_by,
        usize::try_from(limit).unwrap_or(usize::MAX),
    )?;
    Ok(structured(&json!({ "processes": processes })))
}

fn system_schema() -> Value {
    object(&[
        ("host_name!", or_null("string")),
        ("os!", or_null("string")),
        ("kernel!", or_null("string")),
        ("architecture!", text()),
        ("uptime_seconds!", count()),
        (
            "cpu!",
            object(&[("logical!", count()), ("physical!", or_null("integer"))]),
        ),
        (
            "memory!",
            object(&[
                ("total_bytes!", count()),
                ("used_bytes!", count()),
                ("available_bytes!", count()),
                ("swap_total_bytes!", count()),
                ("swap_used_bytes!", count()),
            ]),
        ),
        (
            "load_average!",
            object(&[("1m!", number()), ("5m!", number()), ("15m!", number())]),
        ),
    ])
}

fn disks_schema() -> Value {
    let disk = object(&[
        ("mount!", text()),
        ("resource!", text()),
        ("device!", text()),
        ("file_system!", text()),
        ("total_bytes!", count()),
        ("available_bytes!", count()),
        ("removable!", boolean()),
        ("read_only!", boolean()),
    ]);
    object(&[("disks!", list(&disk))])
}

fn processes_schema() -> Value {
    let process = object(&[
        ("pid!", count()),
        ("name!", text()),
        ("memory_bytes!", count()),
        ("cpu_percent!", number()),
    ]);
    object(&[("processes!", list(&process))])
}
