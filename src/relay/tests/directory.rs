//! The sessions of the full MCP endpoint.

use super::*;
use crate::fault::FaultKind;

/// H091: two who have both found a session end it once; the second is told that it is not there.
#[tokio::test]
async fn a_session_that_two_have_found_ends_once() {
    let house = house(Era::Legacy);
    let directory = &house.shared.directory;
    let target = Target::Server(house.upstream.handle.id().clone());
    let agreed = call::agree(br#"{"protocolVersion":"2025-11-25"}"#);
    let session = directory
        .prepare(&Arc::new(principal(0)), target.clone(), agreed)
        .unwrap();
    directory.admit(&session).unwrap();
    let found = || directory.named(Some(session.id()), PrincipalId(0), &target);
    let (one, other) = (found().unwrap(), found().unwrap());
    directory.end(&one).unwrap();
    assert_eq!(
        directory.end(&other).unwrap_err().kind,
        FaultKind::SessionNotFound
    );
    assert_eq!(found().unwrap_err().kind, FaultKind::SessionNotFound);
}
