//! A session that ends while it is used (H091).

use futures_util::future::join_all;

use super::*;
use crate::support::client::Answer;
use crate::support::oracle::Oracle;
use crate::support::wait::wait_until;

/// What a call under way is told when its session ends.
fn is_cancelled(told: &Value, id: &str) {
    let code = &told["error"]["data"]["error_code"];
    assert_eq!(
        (&told["id"], code),
        (&json!(id), &json!("request_cancelled")),
        "{told}"
    );
}

/// H091: each call under way gets one answer, on a stream or not, and the session is unknown from then on.
#[tokio::test]
async fn the_end_of_a_session_is_an_answer_to_each_of_its_calls() {
    for era in ["legacy", "modern"] {
        let server = Server::gremlin("s1").orders(&json!({"era": era}));
        let gateway = Gateway::builder().server(server).start();
        let session = open(&gateway.client()).await;
        let journal = gateway.journal("s1");
        let never = |id: &str| tool_call(id, "gremlin", &json!({"do": "nothing"}));
        let mut stream = session.stream(&never("on a stream")).await;
        let plain = never("plain");
        let (quiet, ended) = tokio::join!(session.json_only(&plain), async {
            wait_until("both calls", SOON, || {
                journal.count_method("tools/call") == 2
            })
            .await;
            session.end().await
        });
        assert_eq!(ended.status, 204, "{era}: {}", ended.text());
        assert_eq!(quiet.status, 200, "{era}");
        is_cancelled(&quiet.json(), "plain");
        let rest = stream.messages(SOON).await;
        let [only] = &rest[..] else {
            panic!("{era}: expected one answer, got {rest:?}");
        };
        is_cancelled(only, "on a stream");
        // With its last client goes what a modern server is listened to for, which is another request.
        wait_until("the server to be told", SOON, || {
            journal.count("the session has ended") == 2
        })
        .await;
        for answer in [
            session.tell(&ping()).await,
            session.get_whole().await,
            session.end().await,
        ] {
            assert_eq!(answer.status, 404, "{era}: {}", answer.text());
        }
    }
}

/// The end of a call that was made while its session ended.
fn is_one_end(answer: &Answer) -> &'static str {
    let body = answer.json();
    match answer.status {
        200 if body["result"].is_object() => "answered",
        200 => {
            is_cancelled(&body, "race");
            "cancelled"
        }
        404 => "unknown",
        status => panic!("{status}: {body}"),
    }
}

/// H091: whoever comes at the same moment is answered, cancelled, or told that there is no such session.
#[tokio::test]
async fn a_call_that_races_the_end_of_its_session_has_one_end() {
    let gateway = two_people();
    let client = gateway.client();
    let journal = gateway.journal("s1");
    for round in 0..40 {
        let session = open(&client).await;
        let nonce = format!("round {round}.");
        let deed = json!({"do": "sleep", "ms": 5 * (round % 4), "say": "done", "nonce": nonce});
        let call = tool_call("race", "gremlin", &deed);
        // Now and then the call is known to be under way when the end comes.
        let is_first = round % 4 == 3;
        let ends = async {
            if is_first {
                wait_until("the call", SOON, || journal.count(&nonce) == 1).await;
            } else {
                tokio::time::sleep(Duration::from_micros(300 * (round % 7))).await;
            }
            session.end().await
        };
        let (answer, ended) = tokio::join!(session.json_only(&call), ends);
        assert_eq!(ended.status, 204, "{}", ended.text());
        let end = is_one_end(&answer);
        assert!(end != "unknown" || !is_first, "its session was there");
        assert_eq!(session.tell(&ping()).await.status, 404);
    }
    Oracle::written_at_most_once(&gateway, "s1");
    crate::support::wait::wait_for("nothing to be under way", SOON, async || {
        (client.status("s1").await["in_flight"] == 0).then_some(())
    })
    .await;
}

/// H091: two who end a session at once end it once.
#[tokio::test]
async fn a_session_ends_once() {
    let gateway = two_people();
    let session = open(&gateway.client()).await;
    let ends = join_all((0..8).map(|_| session.end())).await;
    let mut statuses: Vec<_> = ends.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 404, 404, 404, 404, 404, 404, 404]);
}
