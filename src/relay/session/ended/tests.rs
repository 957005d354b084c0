//! Sessions that must not be made anew, in memory and over a restart.

use super::memory::MAX_ENDED;
use super::*;

const ALICE: TokenFingerprint = TokenFingerprint::new([7; 32]);
const BOB: TokenFingerprint = TokenFingerprint::new([8; 32]);

fn id(number: usize) -> String {
    format!("{number:032}-rest")
}

#[test]
fn the_sessions_that_ended_last_are_remembered() {
    let ended = EndedSessions::load(&StateDir::in_memory());
    for number in 0..=MAX_ENDED {
        ended.insert(&id(number), &ALICE);
        ended.insert(&id(number), &ALICE);
    }
    assert!(!ended.contains(&id(0)));
    assert!(ended.contains(&id(1)) && ended.contains(&id(MAX_ENDED)));
    assert_eq!(ended.memory().len(), MAX_ENDED);
    assert!(!ended.contains("short"));
}

/// RA13, RD03: a token that opens and ends sessions without end pushes out its own, not those of others, in memory and in
/// the record.
#[tokio::test(start_paused = true)]
async fn one_token_pushes_out_its_own_ended_sessions() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDir::open(home.path());
    let (ended, stop) = (EndedSessions::load(&state), CancellationToken::new());
    for number in 0..3 {
        ended.insert(&id(number), &BOB);
    }
    for number in 3..3 * MAX_ENDED {
        ended.insert(&id(number), &ALICE);
    }
    stop.cancel();
    ended.write_record(&stop).await;
    for known in [&ended, &EndedSessions::load(&state)] {
        assert!((0..3).all(|number| known.contains(&id(number))));
        assert!(!known.contains(&id(3)) && known.contains(&id(3 * MAX_ENDED - 1)));
        assert_eq!(known.memory().len(), MAX_ENDED);
    }
}

/// RA13: sessions that were ended stay ended over a restart, those of other gateways with the same folder too, which write
/// at the same time.
#[tokio::test(start_paused = true)]
async fn what_has_ended_is_known_to_the_next_process() {
    let home = tempfile::tempdir().unwrap();
    let load = || EndedSessions::load(&StateDir::open(home.path()));
    let gateways: Vec<_> = (0..8).map(|_| load()).collect();
    let stop = CancellationToken::new();
    for (number, ended) in gateways.iter().enumerate() {
        ended.insert(&id(number), &ALICE);
    }
    stop.cancel();
    let writes = gateways.iter().map(|ended| ended.write_record(&stop));
    futures_util::future::join_all(writes).await;
    let next = load();
    assert!((0..8).all(|number| next.contains(&id(number))) && !next.contains(&id(8)));
    assert!(next.memory().take_unsaved().is_empty(), "nothing is new");
}

/// RA13: a record that could not be written, as on a full disk, is written when it can be, though nothing ends meanwhile.
#[tokio::test(start_paused = true)]
async fn a_write_that_has_failed_is_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDir::open(home.path());
    let (ended, stop) = (EndedSessions::load(&state), CancellationToken::new());
    let obstacle = home.path().join(record::FILE);
    std::fs::create_dir(&obstacle).unwrap();
    let writing = ended.write_record(&stop);
    tokio::pin!(writing);
    ended.insert(&id(1), &ALICE);
    let mut run = async || {
        let time = Duration::from_millis(10);
        assert!(tokio::time::timeout(time, &mut writing).await.is_err());
    };
    run().await;
    // The clock is paused, and the thread that writes is not.
    while !ended.memory().has_unsaved() {
        run().await;
    }
    std::fs::remove_dir(&obstacle).unwrap();
    while !obstacle.exists() {
        run().await;
    }
    assert!(EndedSessions::load(&state).contains(&id(1)));
}

/// RA13: whatever becomes of the file while the gateway runs, the next write has all that ended.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_what_was_left_is_written_as_a_whole() {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    let delete = |file: &Path| fs::remove_file(file).unwrap();
    let cut = |file: &Path| fs::write(file, "").unwrap();
    let open_up =
        |file: &Path| fs::set_permissions(file, fs::Permissions::from_mode(0o664)).unwrap();
    let make_link = |file: &Path| {
        fs::remove_file(file).unwrap();
        symlink("/dev/null", file).unwrap();
    };
    let lengthen = |file: &Path| fs::write(file, vec![b'x'; 17 * 1024 * 1024]).unwrap();
    let changes: [&dyn Fn(&Path); 5] = [&delete, &cut, &open_up, &make_link, &lengthen];
    for (number, change) in changes.into_iter().enumerate() {
        let home = tempfile::tempdir().unwrap();
        let state = StateDir::open(home.path());
        let ended = EndedSessions::load(&state);
        let write = async || {
            let stop = CancellationToken::new();
            stop.cancel();
            ended.write_record(&stop).await;
        };
        ended.insert(&id(1), &ALICE);
        write().await;
        change(&home.path().join(record::FILE));
        ended.insert(&id(2), &ALICE);
        write().await;
        let next = EndedSessions::load(&state);
        let known = [1, 2].map(|session| next.contains(&id(session)));
        assert_eq!(known, [true, true], "change {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_record_is_written_at_once_and_then_once_an_interval() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDir::open(home.path());
    let (ended, stop) = (EndedSessions::load(&state), CancellationToken::new());
    let lines = || {
        let bytes = state.read(record::FILE).unwrap().unwrap_or_default();
        String::from_utf8(bytes).unwrap().lines().count()
    };
    let writing = ended.write_record(&stop);
    tokio::pin!(writing);
    let mut run = async |time| tokio::time::timeout(time, &mut writing).await.is_err();
    ended.insert(&id(1), &ALICE);
    // The clock is paused, and the thread that writes is not.
    while lines() == 0 {
        assert!(run(Duration::from_millis(1)).await);
    }
    ended.insert(&id(2), &ALICE);
    ended.insert(&id(3), &ALICE);
    assert!(run(WRITE_INTERVAL / 2).await);
    assert_eq!(lines(), 1);
    while lines() == 1 {
        assert!(run(Duration::from_millis(100)).await);
    }
    assert_eq!(lines(), 3);
}
