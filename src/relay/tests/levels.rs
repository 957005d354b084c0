//! The level of a child's logs: one for all its clients, and each hears its own part.

use super::*;
use crate::protocol::Level;
use crate::relay::hub::{Ear, Raised};
use crate::relay::tests::listening::{queue, waiting};

fn logging() -> House {
    house_of(&Handshake {
        capabilities: r#"{"logging":{}}"#.into(),
        ..handshake(Era::Legacy)
    })
}

fn log(level: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":1}}}}"#
    )
}

impl House {
    fn ear(&self) -> Ear {
        self.upstream.hub.join(PrincipalId(1), queue() as _)
    }

    /// The level that the child was told by now.
    fn told(&self) -> Vec<String> {
        let level = |line: &String| {
            let message: Value = serde_json::from_str(line).unwrap();
            assert_eq!(message["method"], "logging/setLevel");
            message["params"]["level"].as_str().unwrap().to_owned()
        };
        self.child.read().iter().map(level).collect()
    }

    /// An ear sets its level, and the child takes it.
    async fn set(&self, ear: &Ear, level: Level) -> Vec<String> {
        ear.set_level(level);
        let child = async {
            let asked = self.child.read();
            for line in &asked {
                self.answer(line).await;
            }
            asked
        };
        let (changed, asked) =
            tokio::join!(biased; self.upstream.hub.level_changed(PrincipalId(1)), child);
        changed.unwrap();
        asked
    }
}

#[tokio::test]
async fn the_child_gets_the_most_talkative_level_and_only_when_it_is_another() {
    let house = logging();
    let one = house.ear();
    assert_eq!((one.level(), house.told()), (None, vec![]), "its own");
    let first = house.set(&one, Level::Error).await;
    assert!(first[0].contains(r#""params":{"level":"error"}"#));
    let two = house.ear();
    assert_eq!(house.told(), ["info"], "of one that never set a level");
    assert_eq!(house.set(&two, Level::Debug).await.len(), 1);
    assert_eq!(house.set(&one, Level::Critical).await, [""; 0]);
    drop(two);
    assert_eq!(house.told(), ["critical"]);
}

/// RD08: who sets a level sets it for itself, and for as long as it is there.
#[tokio::test]
async fn a_level_of_one_silences_nobody_else_and_goes_with_it() {
    let house = logging();
    let (quiet, other) = (house.ear(), house.ear());
    assert_eq!(house.set(&quiet, Level::Emergency).await, [""; 0]);
    drop(other);
    assert_eq!(house.told(), ["emergency"], "the only one that is left");
    let _new = house.ear();
    assert_eq!(house.told(), ["info"]);
    drop(quiet);
    assert_eq!(house.told(), [""; 0]);

    let house = logging();
    let quiet = house.ear();
    house.set(&quiet, Level::Emergency).await;
    drop(quiet);
    assert_eq!(house.told(), ["info"], "it does not outlive its session");

    let house = logging();
    let (curious, other) = (house.ear(), house.ear());
    assert_eq!(house.set(&curious, Level::Debug).await.len(), 1);
    drop(curious);
    assert_eq!(house.told(), ["info"]);
    drop(other);
}

/// RD08: on the plain endpoint of a shared server the level is that of the stream that the request names.
#[tokio::test]
async fn a_level_by_the_plain_endpoint_is_that_of_its_stream() {
    let house = logging();
    house.upstream.hub.used_by(PrincipalId(1));
    let (mut quiet, mut other) = (house.open(1).unwrap(), house.open(1).unwrap());
    let set =
        r#"{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"emergency"}}"#;
    for session in [Some(&quiet), None] {
        assert_eq!(house.asked(caller(1, session), set).await, [""; 0]);
    }
    house.say(&log("info")).await;
    assert_eq!(heard(&mut quiet), [""; 0]);
    assert_eq!(heard(&mut other), [log("info")]);
}

#[tokio::test]
async fn a_call_raises_the_level_for_as_long_as_it_runs() {
    let house = logging();
    let ear = house.ear();
    house.set(&ear, Level::Warning).await;
    let raised: Raised = house.upstream.hub.raise(Level::Debug, PrincipalId(1));
    let less = house.upstream.hub.raise(Level::Emergency, PrincipalId(1));
    assert_eq!(house.told(), ["debug"]);
    drop(less);
    assert_eq!(house.told(), [""; 0]);
    drop(raised);
    assert_eq!(house.told(), ["warning"]);
    let shaken = house.upstream.handle.handshake().unwrap();
    become_ready(&house.upstream.hub, Incarnation(2), &shaken);
    assert_eq!(house.told(), ["warning"], "a new life is told anew");
}

#[tokio::test]
async fn a_level_that_the_child_refuses_is_a_fault_and_is_tried_again() {
    let house = logging();
    let ear = house.ear();
    ear.set_level(Level::Info);
    for _ in 0..2 {
        let child = async {
            let asked = house.child.read();
            let id = &serde_json::from_str::<Value>(&asked[0]).unwrap()["id"];
            house
                .say(&format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"message":"no"}}}}"#
                ))
                .await;
        };
        let (changed, ()) =
            tokio::join!(biased; house.upstream.hub.level_changed(PrincipalId(1)), child);
        assert_eq!(changed.unwrap_err().kind, FaultKind::InvalidParams);
    }
}

#[tokio::test]
async fn a_child_without_logs_is_not_told_and_a_modern_one_neither() {
    for house in [
        house(Era::Legacy),
        house_of(&Handshake {
            capabilities: r#"{"logging":{}}"#.into(),
            ..handshake(Era::Modern)
        }),
    ] {
        let ear = house.ear();
        ear.set_level(Level::Info);
        assert_eq!(
            house.upstream.hub.level_changed(PrincipalId(1)).await,
            Ok(())
        );
        assert_eq!(house.child.read(), [""; 0]);
        assert_eq!(ear.level(), Some(Level::Info));
    }
}

#[tokio::test]
async fn an_ear_hears_from_its_own_level_on() {
    let house = logging();
    house.upstream.hub.used_by(PrincipalId(1));
    let (all, some) = (queue(), queue());
    let hub = &house.upstream.hub;
    let _all = hub.join(PrincipalId(1), Arc::clone(&all) as _);
    let ear = hub.join(PrincipalId(1), Arc::clone(&some) as _);
    ear.set_level(Level::Warning);
    for level in ["info", "warning", "alert", "odd"] {
        house.say(&log(level)).await;
    }
    assert_eq!(waiting(&all).len(), 4);
    let expected = ["warning", "alert", "odd"].map(log);
    assert_eq!(
        waiting(&some),
        expected,
        "what has no level is not below one"
    );
}
