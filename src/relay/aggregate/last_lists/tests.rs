//! What is kept of lists, and for how long.

use super::*;

fn memory() -> MemoryBudget {
    MemoryBudget::new(usize::MAX)
}

fn page(text: &str) -> Page {
    Page {
        line: format!("id:{text}").into(),
        result: Span {
            start: 3,
            end: 3 + text.len(),
        },
    }
}

#[test]
fn later_pages_stay_as_long_as_the_first_is_the_same() {
    let kept = Arc::<LastLists>::default();
    let known = |cursor| kept.last_known(Kind::Tools, cursor);
    kept.remember(&memory(), Kind::Tools, None, page("a"), Some(""));
    kept.remember(&memory(), Kind::Tools, Some(""), page("b"), None);
    assert_eq!(known(None), Some(page("a")));
    assert_eq!(known(Some("")), Some(page("b")));
    assert_eq!(kept.last_known(Kind::Prompts, None), None);
    kept.remember(&memory(), Kind::Tools, Some(""), page("c"), None);
    kept.remember(&memory(), Kind::Tools, None, page("a"), Some(""));
    assert_eq!(known(Some("")), Some(page("c")));
    kept.remember(&memory(), Kind::Tools, None, page("d"), None);
    assert_eq!((known(None), known(Some(""))), (Some(page("d")), None));
}

/// RD03: pages of cursors that no page leads to are not kept, and of the others only so many.
#[test]
fn no_list_grows_without_end() {
    let kept = Arc::<LastLists>::default();
    let number = || kept.inner().list(Kind::Tools).pages.len();
    kept.remember(&memory(), Kind::Tools, None, page("a"), Some("0"));
    for cursor in ["1", "2", ""] {
        kept.remember(&memory(), Kind::Tools, Some(cursor), page("a"), Some("3"));
    }
    assert_eq!(number(), 1, "a client has made them up");
    for number in 0..1000 {
        let (cursor, next) = (number.to_string(), (number + 1).to_string());
        kept.remember(
            &memory(),
            Kind::Tools,
            Some(&cursor),
            page("a"),
            Some(&next),
        );
    }
    assert_eq!(number(), MAX_PAGES);
}

/// RD03: all lists of a server have one bound in bytes.
#[test]
fn what_is_kept_of_a_server_is_bounded_in_bytes() {
    let kept = Arc::<LastLists>::default();
    let large = "x".repeat(MAX_BYTES / 3);
    for kind in Kind::ALL {
        for number in 0..3 {
            let cursor = (number > 0).then(|| number.to_string());
            let next = (number + 1).to_string();
            kept.remember(
                &memory(),
                kind,
                cursor.as_deref(),
                page(&large),
                Some(&next),
            );
        }
    }
    assert!(kept.inner().bytes() <= MAX_BYTES);
    assert!(kept.last_known(Kind::Tools, Some("1")).is_some());
    assert!(kept.last_known(Kind::Tools, Some("2")).is_none());
    assert!(kept.last_known(Kind::Prompts, None).is_none());
    // A list that grows over the bound is not shown as it once was.
    kept.remember(
        &memory(),
        Kind::Tools,
        None,
        page(&"x".repeat(MAX_BYTES)),
        None,
    );
    assert_eq!(kept.last_known(Kind::Tools, None), None);
}

#[test]
fn gaps_are_told_until_they_are_closed() {
    let kept = Arc::<LastLists>::default();
    let server = "a".parse().unwrap();
    let gap = Gap {
        list: "prompts/list",
        shown: Shown::Nothing,
        reason: "it hides".to_owned(),
    };
    kept.note(&server, Kind::Prompts, Some(gap.clone()));
    kept.note(&server, Kind::Tools, None);
    assert_eq!(kept.gaps(), [gap]);
    kept.note(&server, Kind::Prompts, None);
    assert_eq!(kept.gaps(), []);
}

#[test]
fn a_server_is_late_until_all_that_it_owes_is_over() {
    let kept = Arc::<LastLists>::default();
    let (one, two) = (PrincipalId(1), PrincipalId(2));
    let (first, second) = (kept.late(one, Kind::Tools), kept.late(one, Kind::Tools));
    drop(first);
    assert!(kept.is_late(one));
    assert!(
        !kept.is_late(two),
        "that keeps nobody else from being shown a list"
    );
    drop(second);
    assert!(!kept.is_late(one));
}

/// Asked for again, the list that was not kept would be late and left out again, and so on.
#[test]
fn lists_that_were_left_out_are_asked_for_again_when_nothing_is_late() {
    let lists = Arc::<LastLists>::default();
    let one = PrincipalId(1);
    for is_kept in [false, true] {
        let first = lists.late(one, Kind::Tools);
        let second = lists.late(one, Kind::Prompts);
        for kind in [Kind::Tools, Kind::Resources, Kind::Tools] {
            assert!(lists.leave_out(one, kind));
        }
        assert_eq!(second.end(true), [], "the other is late still");
        let again = if is_kept {
            vec![Kind::Tools, Kind::Resources]
        } else {
            vec![Kind::Resources]
        };
        assert_eq!(first.end(is_kept), again);
        assert!(!lists.leave_out(one, Kind::Tools), "nothing is late");
    }
}

/// Where memory runs out the lists are given up, and none is kept that there is no memory for.
#[test]
fn lists_are_kept_within_the_memory_budget() {
    let budget = MemoryBudget::new(8 * SMALL);
    let account = budget.process_account();
    let kept = Arc::<LastLists>::default();
    let large = || {
        let Page { line, result } = page(&"x".repeat(3 * SMALL));
        let line = account.track(line).unwrap();
        Page { line, result }
    };
    kept.remember(&budget, Kind::Tools, None, large(), None);
    kept.remember(
        &budget,
        Kind::Prompts,
        None,
        page(&"x".repeat(SMALL / 2)),
        None,
    );
    assert!(
        (4 * SMALL..5 * SMALL).contains(&budget.held()),
        "{}",
        budget.held()
    );
    let wanted = account.acquire(5 * SMALL).unwrap();
    let known = |kind| kept.last_known(kind, None).is_some();
    assert!(
        !known(Kind::Tools) && known(Kind::Prompts),
        "as much as is needed"
    );
    let rest = account.acquire(2 * SMALL).unwrap();
    kept.remember(
        &budget,
        Kind::Resources,
        None,
        page(&"x".repeat(SMALL - 4)),
        None,
    );
    assert!(!known(Kind::Resources));
    drop((wanted, rest, kept));
    assert_eq!(budget.held(), 0);
}
