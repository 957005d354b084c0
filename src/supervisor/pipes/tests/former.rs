//! What a former life of a child still has to say.

use super::*;

/// F48: the answer comes when the next child is ready and at work.
#[tokio::test(start_paused = true)]
async fn an_answer_of_a_former_life_is_dropped() {
    let Reading {
        mux,
        heard,
        ended: _,
        mut child,
        run,
    } = reading();
    let (former, mut asked_of_former) = submit(&mux, 20, None);
    mux.next_batch(FIRST, &mut Vec::new()).await;
    mux.lose(FIRST);
    assert_eq!(fault(&mut asked_of_former).kind, FaultKind::ServerLost);
    mux.begin(SECOND);
    let (present, mut asked_of_present) = submit(&mux, 20, None);
    mux.next_batch(SECOND, &mut Vec::new()).await;
    assert_ne!(former, present, "an id is never used again");
    let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{former},\"result\":{{}}}}\n");
    child.write_all(answer.as_bytes()).await.unwrap();
    drop(child);
    run.await;
    assert_eq!(
        heard.take(),
        [format!("dropped late_reply {}", answer.len() - 1)]
    );
    assert!(asked_of_present.try_recv().is_err(), "not its own answer");
    assert_eq!(mux.load().in_flight, 1);
}
