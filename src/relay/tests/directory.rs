//! The sessions of the full MCP endpoint.

use super::*;
use crate::fault::FaultKind;
use crate::relay::session::Session;

impl House {
    fn admitted(&self) -> Arc<Session> {
        let directory = &self.shared.directory;
        let target = Target::Server(self.server.id.clone());
        let agreed = call::agree(br#"{"protocolVersion":"2025-11-25"}"#);
        let session = directory.prepare(&Arc::new(principal(0)), target, agreed);
        directory.admit(session.as_ref().unwrap()).unwrap();
        session.unwrap()
    }
}

/// H091: two who have both found a session end it once; the second is told that it is not there.
#[tokio::test]
async fn a_session_that_two_have_found_ends_once() {
    let house = house(Era::Legacy);
    let directory = &house.shared.directory;
    let session = house.admitted();
    let found = || directory.named(Some(session.id()), PrincipalId(0), session.target());
    let (one, other) = (found().unwrap(), found().unwrap());
    directory.end(&one).unwrap();
    let twice = directory.end(&other).unwrap_err();
    assert_eq!(twice.kind, FaultKind::SessionNotFound);
    assert_eq!(found().unwrap_err().kind, FaultKind::SessionNotFound);
}

/// A request that found its session before that ended, and wants a process of the session's own after it, gets none,
/// and none is left behind.
#[tokio::test]
async fn a_session_that_has_ended_gets_no_process() {
    let house = house(Era::Legacy);
    let session = house.admitted();
    let own = InstanceKey::Session(Arc::clone(session.id()));
    let upstream = parts_of(&house.server.id, own).attach(house.child.handle.clone());
    let server = Server::of(upstream, Instance::Session);
    house.shared.directory.end(&session).unwrap();
    let late = call::lease(&server, session.principal(), Some(&session), None).unwrap_err();
    assert_eq!(late.kind, FaultKind::SessionNotFound);
    assert!(server.instances.all().is_empty());
}
