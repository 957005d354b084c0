//! What is read from the host, as JSON. Nothing is kept between two calls.

use std::path::Path;

use serde_json::{Value, json};
use sysinfo::{CpuRefreshKind, Disks, Process, ProcessRefreshKind, ProcessesToUpdate, System};

use super::call::{Call, Ended};

/// What processes are ranked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SortBy {
    /// Resident memory.
    #[default]
    Memory,
    /// Processor time since the last look.
    Cpu,
}

/// The system: what it is, how long it has run, its memory and load.
pub(super) fn system() -> Value {
    let mut system = System::new();
    system.refresh_memory();
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let load = System::load_average();
    json!({
        "host_name": System::host_name(),
        "os": System::long_os_version().or_else(System::name),
        "kernel": System::kernel_version(),
        "architecture": System::cpu_arch(),
        "uptime_seconds": System::uptime(),
        "cpu": {
            "logical": system.cpus().len(),
            "physical": System::physical_core_count(),
        },
        "memory": {
            "total_bytes": system.total_memory(),
            "used_bytes": system.used_memory(),
            "available_bytes": system.available_memory(),
            "swap_total_bytes": system.total_swap(),
            "swap_used_bytes": system.used_swap(),
        },
        "load_average": {"1m": load.one, "5m": load.five, "15m": load.fifteen},
    })
}

/// Every mounted disk, ordered by mount point.
pub(super) fn disks() -> Vec<Value> {
    let disks = Disks::new_with_refreshed_list();
    let mut disks: Vec<_> = disks.list().iter().collect();
    disks.sort_by_key(|disk| disk.mount_point());
    disks.dedup_by_key(|disk| disk.mount_point());
    disks
        .into_iter()
        .map(|disk| {
            json!({
                "mount": disk.mount_point().to_string_lossy(),
                "resource": super::resources::disk_uri(disk.mount_point()),
                "device": disk.name().to_string_lossy(),
                "file_system": disk.file_system().to_string_lossy(),
                "total_bytes": disk.total_space(),
                "available_bytes": disk.available_space(),
                "removable": disk.is_removable(),
                "read_only": disk.is_read_only(),
            })
        })
        .collect()
}

/// The disk that is mounted exactly here.
pub(super) fn disk(mount: &Path) -> Option<Value> {
    let mount = mount.to_string_lossy();
    disks()
        .into_iter()
        .find(|disk| disk.get("mount").and_then(Value::as_str) == Some(&*mount))
}

/// The `limit` processes that use most. Names only: command lines may hold secrets.
///
/// The share of a processor is measured between two looks, [`sysinfo::MINIMUM_CPU_UPDATE_INTERVAL`]
/// apart; the call can be ended in between.
pub(super) fn processes(call: &Call, sort_by: SortBy, limit: usize) -> Result<Vec<Value>, Ended> {
    let kind = ProcessRefreshKind::nothing()
        .with_memory()
        .with_cpu()
        .without_tasks();
    let mut system = System::new();
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    call.wait(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL)?;
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let mut processes: Vec<&Process> = system.processes().values().collect();
    processes.sort_by(|a, b| {
        let by_use = match sort_by {
            SortBy::Memory => b.memory().cmp(&a.memory()),
            SortBy::Cpu => b.cpu_usage().total_cmp(&a.cpu_usage()),
        };
        by_use.then_with(|| a.pid().cmp(&b.pid()))
    });
    Ok(processes
        .into_iter()
        .take(limit)
        .map(|process| {
            json!({
                "pid": process.pid().as_u32(),
                "name": process.name().to_string_lossy(),
                "memory_bytes": process.memory(),
                "cpu_percent": (f64::from(process.cpu_usage()) * 10.0).round() / 10.0,
            })
        })
        .collect())
}
