//! The memory that the control group of this process may use, as its files tell.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The files of version 2 that hold a limit: beyond `high` a group is slowed down until it hardly runs, beyond `max` one of
/// its processes is killed. Of version 1 there is one.
const UNIFIED: [&str; 2] = ["memory.max", "memory.high"];
const LEGACY: &str = "memory.limit_in_bytes";

/// The least limit of the group of a process and of all groups around it, in bytes. `None` where there is none, and where
/// the system has no control groups.
///
/// `memberships` is the file that lists the groups of the process (`/proc/self/cgroup`), `mount` where the tree of groups
/// is (`/sys/fs/cgroup`). In a container the list may name a path of the host that cannot be seen there: then what is at
/// the mount itself counts.
pub(super) fn limit(memberships: &Path, mount: &Path) -> Option<u64> {
    let text = fs::read_to_string(memberships).ok()?;
    text.lines()
        .filter_map(|line| {
            let (_hierarchy, rest) = line.split_once(':')?;
            let (controllers, group) = rest.split_once(':')?;
            if controllers.is_empty() {
                return least(mount, group, &UNIFIED);
            }
            let is_memory = controllers.split(',').any(|one| one == "memory");
            is_memory
                .then(|| least(&mount.join("memory"), group, &[LEGACY]))
                .flatten()
        })
        .min()
}

fn least(mount: &Path, group: &str, files: &[&str]) -> Option<u64> {
    let parts = Path::new(group).components();
    let parts: PathBuf = parts
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    let groups = parts.ancestors().map(|group| mount.join(group));
    let limits = groups.flat_map(|group| files.iter().map(move |file| group.join(file)));
    // `max`, which is none, is no number.
    limits
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups of the process, files in the tree of groups, and the limit.
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        Option<u64>,
    );

    /// A tree of groups with these files.
    fn limit_of(memberships: &str, files: &[(&str, &str)]) -> Option<u64> {
        let home = tempfile::tempdir().unwrap();
        let list = home.path().join("cgroup");
        fs::write(&list, memberships).unwrap();
        let mount = home.path().join("mount");
        for (file, text) in files {
            let file = mount.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        limit(&list, &mount)
    }

    #[test]
    fn the_least_limit_of_all_groups_around_the_process_counts() {
        const UNIT: &str = "0::/system.slice/gateway.service\n";
        const V1: &str = "5:cpu,cpuacct:/a\n4:memory:/a/b\n1:name=systemd:/a\n";
        let cases: [Case; 9] = [
            (UNIT, &[], None),
            (
                UNIT,
                &[("system.slice/gateway.service/memory.max", "max\n")],
                None,
            ),
            (
                UNIT,
                &[("system.slice/gateway.service/memory.max", "1000\n")],
                Some(1000),
            ),
            (
                UNIT,
                &[
                    ("system.slice/gateway.service/memory.max", "1000\n"),
                    ("system.slice/gateway.service/memory.high", "900\n"),
                    ("system.slice/memory.max", "800\n"),
                    ("other.slice/memory.max", "1\n"),
                ],
                Some(800),
            ),
            ("0::/\n", &[("memory.max", "700\n")], Some(700)),
            (
                "0::/../../host/path\n",
                &[("memory.max", "700\n")],
                Some(700),
            ),
            (
                V1,
                &[("memory/a/b/memory.limit_in_bytes", "600\n")],
                Some(600),
            ),
            (
                V1,
                &[
                    ("memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
                    ("memory/memory.limit_in_bytes", "500\n"),
                ],
                Some(500),
            ),
            ("nonsense\n", &[("memory.max", "1\n")], None),
        ];
        for (memberships, files, expected) in cases {
            assert_eq!(
                limit_of(memberships, files),
                expected,
                "{memberships} {files:?}"
            );
        }
    }

    #[test]
    fn a_system_without_groups_has_no_limit() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(limit(&home.path().join("cgroup"), home.path()), None);
    }
}
