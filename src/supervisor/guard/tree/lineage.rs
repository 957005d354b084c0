//! Who descends from whom, given the parent of every process.

use std::collections::{HashMap, HashSet};

use rustix::process::Pid;

/// These processes, and behind them everything below them. Each is in it once, also where the parents, which were not
/// read at one moment, go in a circle.
pub(in crate::supervisor) fn with_descendants(
    mut found: Vec<Pid>,
    parents: &HashMap<Pid, Pid>,
) -> Vec<Pid> {
    let mut known: HashSet<Pid> = found.iter().copied().collect();
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        let children = children_of(pid, parents).into_iter();
        found.extend(children.filter(|child| known.insert(*child)));
        next += 1;
    }
    found
}

/// The processes whose parent this one is.
pub(in crate::supervisor) fn children_of(parent: Pid, parents: &HashMap<Pid, Pid>) -> Vec<Pid> {
    parents
        .iter()
        .filter(|(_, of)| **of == parent)
        .map(|(&pid, _)| pid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_is_found_once_and_a_circle_ends() {
        let pid = |raw| Pid::from_raw(raw).unwrap();
        let parents = [(2, 1), (3, 2), (4, 2), (5, 4), (6, 1), (7, 8), (8, 7)];
        let parents: HashMap<Pid, Pid> = parents
            .map(|(child, parent)| (pid(child), pid(parent)))
            .into();
        let below = |roots: &[i32]| {
            let roots = roots.iter().map(|&root| pid(root)).collect();
            let found = with_descendants(roots, &parents);
            let mut found: Vec<i32> = found.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(below(&[2]), [2, 3, 4, 5]);
        assert_eq!(below(&[5, 6]), [5, 6]);
        assert_eq!(below(&[7]), [7, 8]);
    }
}
