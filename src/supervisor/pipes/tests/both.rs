//! Reading and writing at once.

use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

/// A child that reads its next request only when its last answer was taken, through pipes that hold
/// neither: the gateway must read while it cannot write.
#[tokio::test(start_paused = true)]
async fn two_full_pipes_do_not_wait_for_each_other() {
    let (mux, heard) = (open_mux(), Arc::new(Heard::default()));
    let outcomes: Vec<_> = (0..8).map(|_| submit(&mux, 5000, None)).collect();
    let (stdin, child_in) = duplex(16);
    let (mut child_out, stdout) = duplex(16);
    let reader = Reader {
        mux: Arc::clone(&mux),
        listener: heard,
        fault: Arc::default(),
        incarnation: FIRST,
        max_line_bytes: 10_000,
        ended: CancellationToken::new(),
    };
    let child = async move {
        let mut requests = BufReader::with_capacity(16, child_in).lines();
        let padding = "x".repeat(5000);
        while let Some(line) = requests.next_line().await.unwrap() {
            let id = line
                .trim()
                .trim_start_matches("{\"id\":")
                .trim_end_matches('}');
            let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":\"{padding}\"}}\n");
            child_out.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let answered = async {
        for (_, outcome) in outcomes {
            assert!(outcome.await.unwrap().is_ok());
        }
    };
    let close = CancellationToken::new();
    tokio::select! {
        end = write(stdin, &mux, &close) => panic!("{end:?}"),
        () = reader.run(stdout) => panic!("the pipe ended"),
        () = child => panic!("the child ended"),
        answered = timeout(10 * STALL, answered) => answered.expect("no deadlock"),
    }
}
