//! The handshake with children of memory that follow a script.

use std::cell::Cell;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::supervisor::fixture::{self, Heard};
use crate::supervisor::machine::Gate;
use crate::supervisor::pipes::{Reader, write_frames};
use crate::types::Incarnation;

const LIFE: Incarnation = Incarnation(1);
const PROBE: Duration = Duration::from_millis(300);

/// What a scripted child does with a request.
enum Deed {
    Result(Value),
    Error(i64),
    Line(&'static str),
    Silence,
    Die,
}

/// Makes the answer of one case.
type Answering = fn() -> Deed;

/// A gateway's end of a scripted child.
struct Scripted {
    mux: Arc<Mux>,
    config: Config,
    seen: Mutex<Vec<Value>>,
}

impl Scripted {
    fn new() -> Self {
        let config = Config {
            era_probe: PROBE,
            client_capabilities: r#"{"sampling":{}}"#.into(),
            ..fixture::config()
        };
        let mux = Arc::new(Mux::new(config.requests, Gate::Hold(PROBE)));
        mux.begin(LIFE);
        Self {
            mux,
            config,
            seen: Mutex::default(),
        }
    }

    /// Runs what the gateway does against a child that follows the script.
    async fn run<T>(&self, gateways: impl Future<Output = T>, script: impl Fn(&str) -> Deed) -> T {
        let (stdin, child_in) = duplex(4096);
        let (child_out, stdout) = duplex(4096);
        let reader = Reader {
            mux: Arc::clone(&self.mux),
            listener: Arc::new(Heard::default()),
            fault: Arc::default(),
            incarnation: LIFE,
            max_line_bytes: 4096,
            ended: CancellationToken::new(),
        };
        let stall = Duration::from_secs(1);
        let writer = write_frames(
            stdin,
            Arc::clone(&self.mux),
            LIFE,
            stall,
            CancellationToken::new(),
        );
        tokio::select! {
            biased;
            done = gateways => done,
            end = writer => panic!("{end:?}"),
            () = reader.run(stdout) => panic!("the pipe ended"),
            () = self.follow(child_in, child_out, script) => panic!("nothing more was asked"),
            () = self.sweep() => unreachable!(),
        }
    }

    async fn follow(
        &self,
        stdin: DuplexStream,
        mut stdout: DuplexStream,
        script: impl Fn(&str) -> Deed,
    ) {
        let mut lines = BufReader::new(stdin).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            let message: Value = serde_json::from_str(&line).unwrap();
            self.seen.lock().unwrap().push(message.clone());
            let (Some(id), Some(method)) = (message["id"].as_u64(), message["method"].as_str())
            else {
                continue;
            };
            let answer = match script(method) {
                Deed::Result(result) => {
                    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
                }
                Deed::Error(code) => {
                    let error = json!({"code": code, "message": "no"});
                    json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string()
                }
                Deed::Line(text) => text.replace("$ID", &id.to_string()),
                Deed::Silence => continue,
                Deed::Die => {
                    self.mux.lose(LIFE);
                    continue;
                }
            };
            stdout.write_all((answer + "\n").as_bytes()).await.unwrap();
        }
    }

    async fn sweep(&self) {
        loop {
            sleep(Duration::from_millis(50)).await;
            self.mux.expire(Instant::now(), None);
        }
    }

    fn methods(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let requests = seen.iter().filter(|message| message["id"].is_u64());
        requests
            .map(|message| message["method"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn shaken(
    first: FirstMessage,
    script: impl Fn(&str) -> Deed,
) -> (Result<Handshake, String>, Vec<String>) {
    let child = Scripted::new();
    let handshake = child
        .run(shake(&child.mux, &child.config, first), script)
        .await;
    let handshake = handshake.map(|shaken| shaken.handshake);
    if matches!(&handshake, Ok(handshake) if handshake.era == Era::Legacy) {
        let mut batch = Vec::new();
        child.mux.next_batch(LIFE, &mut batch).await;
        let last = &batch.last().unwrap().bytes;
        assert_eq!(
            last,
            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n"
        );
    }
    (handshake, child.methods())
}

fn legacy_result(version: &str) -> Value {
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "legacy", "version": "1"},
        "instructions": "be \"kind\"",
    })
}

fn modern_result(versions: &[&str]) -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": {"tools": {"listChanged": true}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "modern", "version": "2"}},
    })
}

#[tokio::test(start_paused = true)]
async fn a_modern_child_is_known_by_its_discovery() {
    for versions in [
        &["2026-07-28"][..],
        &["2099-01-01", "2026-07-28", "2025-11-25"],
    ] {
        let (handshake, asked) = shaken(FirstMessage::Discover, |_| {
            Deed::Result(modern_result(versions))
        })
        .await;
        assert_eq!(asked, ["server/discover"]);
        let expected = Handshake {
            era: Era::Modern,
            revision: "2026-07-28".to_owned(),
            capabilities: r#"{"tools":{"listChanged":true}}"#.into(),
            server_info: r#"{"name":"modern","version":"2"}"#.into(),
            instructions: None,
        };
        assert_eq!(handshake, Ok(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_no_modern_answer_means_legacy() {
    let answers: [Answering; 9] = [
        || Deed::Error(-32601),
        || Deed::Error(-32602),
        || Deed::Error(-32600),
        || Deed::Error(-32000),
        || Deed::Error(0),
        || Deed::Silence,
        || Deed::Line("Traceback (most recent call last):"),
        || Deed::Line(r#"{"jsonrpc":"2.0","id":$ID,"result":[]}"#),
        || Deed::Result(modern_result(&["2025-11-25"])),
    ];
    for (case, answer) in answers.iter().enumerate() {
        let script = |method: &str| match method {
            "initialize" => Deed::Result(legacy_result("2025-06-18")),
            _ => answer(),
        };
        let started = Instant::now();
        let (handshake, asked) = shaken(FirstMessage::Discover, script).await;
        assert_eq!(asked, ["server/discover", "initialize"], "case {case}");
        let handshake = handshake.unwrap_or_else(|error| panic!("case {case}: {error}"));
        let revision = handshake.revision.as_str();
        assert_eq!(
            (handshake.era, revision),
            (Era::Legacy, "2025-06-18"),
            "case {case}"
        );
        assert_eq!(handshake.instructions.as_deref(), Some(r#""be \"kind\"""#));
        assert!(
            started.elapsed() <= PROBE + Duration::from_millis(50),
            "case {case}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_modern_era_is_a_failure_and_no_reason_to_fall_back() {
    for code in [-32020, -32021, -32022, -32099] {
        let (handshake, asked) = shaken(FirstMessage::Discover, |_| Deed::Error(code)).await;
        assert_eq!(asked, ["server/discover"]);
        let error = handshake.unwrap_err();
        assert!(error.contains(&code.to_string()), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_refuses_the_legacy_era_is_asked_for_the_modern_one_again() {
    // It starts slowly: the first discovery is given up before it is read, and pins the era all the same.
    let discoveries = Cell::new(0);
    let slow = |method: &str| match method {
        "initialize" => Deed::Error(-32022),
        _ if discoveries.replace(discoveries.get() + 1) == 0 => Deed::Silence,
        _ => Deed::Result(modern_result(&["2026-07-28"])),
    };
    let (handshake, asked) = shaken(FirstMessage::Discover, slow).await;
    assert_eq!(asked, ["server/discover", "initialize", "server/discover"]);
    assert_eq!(handshake.unwrap().era, Era::Modern);

    // One that was replaced by a newer one since its last life.
    let upgraded = |method: &str| match method {
        "initialize" => Deed::Error(-32022),
        _ => Deed::Result(modern_result(&["2026-07-28"])),
    };
    let (handshake, asked) = shaken(FirstMessage::Initialize, upgraded).await;
    assert_eq!(asked, ["initialize", "server/discover"]);
    assert_eq!(handshake.unwrap().era, Era::Modern);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_the_last_life_is_tried_first() {
    let legacy = |_: &str| Deed::Result(legacy_result("2025-11-25"));
    let (handshake, asked) = shaken(FirstMessage::Initialize, legacy).await;
    assert_eq!(asked, ["initialize"]);
    assert!(handshake.is_ok());
    // A child that was replaced by an older one since.
    let downgraded = |method: &str| match method {
        "initialize" => Deed::Result(legacy_result("2024-11-05")),
        _ => Deed::Error(-32601),
    };
    let (handshake, asked) = shaken(FirstMessage::Discover, downgraded).await;
    assert_eq!(asked, ["server/discover", "initialize"]);
    assert!(handshake.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_spoken_is_refused() {
    let legacy = FirstMessage::Initialize;
    let cases: [(FirstMessage, Answering, &str); 7] = [
        (
            legacy,
            || Deed::Result(legacy_result("1999-01-01")),
            "1999-01-01",
        ),
        (
            legacy,
            || Deed::Result(legacy_result("2026-07-28")),
            "2026-07-28",
        ),
        (
            legacy,
            || Deed::Result(json!({"capabilities": {}})),
            "not one",
        ),
        (legacy, || Deed::Error(-32603), "-32603"),
        (legacy, || Deed::Die, "ended"),
        (FirstMessage::Discover, || Deed::Die, "ended"),
        (
            FirstMessage::Discover,
            || Deed::Result(modern_result(&["2099-01-01"])),
            "2099-01-01",
        ),
    ];
    for (first, answer, named) in cases {
        let (handshake, asked) = shaken(first, |_| answer()).await;
        let error = handshake.unwrap_err();
        assert!(error.contains(named), "{error}, expected {named}");
        // An error may be about the capabilities, which are left out once: RB04.
        let tries = if named == "-32603" { 2 } else { 1 };
        assert_eq!(asked.len(), tries, "{error}");
        assert_eq!(error.contains("client_capabilities"), tries == 2, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_revision_and_the_one_before_the_first_is_spoken() {
    for revision in LEGACY_REVISIONS.into_iter().chain(["2024-10-07"]) {
        let answer = |_: &str| Deed::Result(legacy_result(revision));
        let (handshake, _) = shaken(FirstMessage::Initialize, answer).await;
        assert_eq!(handshake.unwrap().revision, revision);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_words_are_those_of_the_specification() {
    let child = Scripted::new();
    let script = |method: &str| match method {
        "initialize" => Deed::Result(legacy_result("2025-11-25")),
        _ => Deed::Error(-32601),
    };
    child
        .run(
            shake(&child.mux, &child.config, FirstMessage::Discover),
            script,
        )
        .await
        .unwrap();
    let seen = child.seen.lock().unwrap();
    let info = json!({"name": "host-mcp-gateway", "version": env!("CARGO_PKG_VERSION")});
    let claims = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": info,
    });
    assert_eq!(seen[0]["params"], json!({"_meta": claims}));
    let initialize = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"sampling": {}},
        "clientInfo": info,
    });
    assert_eq!(seen[1]["params"], initialize);
}

#[tokio::test(start_paused = true)]
async fn any_answer_to_a_probe_proves_life() {
    let cases: [(Era, &str, Answering, bool); 6] = [
        (Era::Legacy, "ping", || Deed::Result(json!({})), true),
        (Era::Legacy, "ping", || Deed::Error(-32601), true),
        (Era::Legacy, "ping", || Deed::Line(r#"{"id":$ID}"#), true),
        (Era::Legacy, "ping", || Deed::Silence, false),
        (Era::Modern, "server/discover", || Deed::Error(-32603), true),
        (Era::Modern, "server/discover", || Deed::Silence, false),
    ];
    for (case, (era, method, answer, alive)) in cases.into_iter().enumerate() {
        let child = Scripted::new();
        let probed = child.run(probe(&child.mux, era, PROBE), |_| answer()).await;
        assert_eq!(probed, alive, "case {case}");
        assert_eq!(child.methods(), [method], "case {case}");
    }
}
