//! What one message costs in the gateway's own code, without a socket or a pipe. `tests/bench/run micro` runs it.
//!
//! Each piece of work is repeated until a sample has taken long enough to be timed; what is printed is the median of
//! the samples and the least, a call.

use std::hint::black_box;
use std::time::{Duration, UNIX_EPOCH};

use host_mcp_gateway::http::{TokenEntry, Tokens};
use host_mcp_gateway::protocol::splice::{Edit, into_frame, splice};
use host_mcp_gateway::protocol::{LineBuffer, scan};
use host_mcp_gateway::types::{Principal, PrincipalId, TokenFingerprint};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

const SAMPLES: usize = 51;
/// The least that a sample takes: far more than reading the clock.
const SAMPLE: Duration = Duration::from_millis(2);
const KIB: usize = 1024;
/// The most that a look at a token may take.
const TOKEN: Duration = Duration::from_micros(2);

fn main() {
    if std::env::args().any(|argument| argument == "--bench") {
        scans();
        splices();
        frames();
        tokens();
    } else if !std::env::args().any(|argument| argument == "--list") {
        say("this is a benchmark and no test: run it with tests/bench/run micro");
    }
}

fn scans() {
    for (size, message) in messages() {
        let name = format!("scan, {size}");
        bench(&name, message.len(), || scan(black_box(&message)).is_ok());
    }
}

fn splices() {
    for (size, message) in messages() {
        let Some(id) = scan(&message).ok().and_then(|envelope| envelope.id) else {
            return;
        };
        let name = format!("splice of the id, {size}");
        bench(&name, message.len(), || {
            let with = black_box(b"1234567");
            into_frame(splice(black_box(&message), &mut [Edit { span: id, with }]))
        });
    }
}

fn frames() {
    let line = [request(100), b"\n".to_vec()].concat();
    let chunk = line.repeat(64);
    bench("lines, a chunk with 64", chunk.len(), || {
        framed(&chunk, chunk.len())
    });
    let long = [request(8 * KIB * KIB), b"\n".to_vec()].concat();
    bench("lines, one of 8 MiB", long.len(), || {
        framed(&long, 64 * KIB)
    });
}

/// How many lines come out of bytes that are read in pieces of this size.
fn framed(bytes: &[u8], piece: usize) -> usize {
    let mut buffer = LineBuffer::new(16 * KIB * KIB);
    let mut lines = 0;
    for piece in bytes.chunks(piece) {
        buffer.room().extend_from_slice(piece);
        while let Some(line) = buffer.next_line() {
            black_box(line);
            lines += 1;
        }
    }
    lines
}

fn tokens() {
    for count in [1, 100] {
        let entries = (0..count).map(|number| TokenEntry {
            sha256: Sha256::digest(token(number)).into(),
            expires_at: None,
            principal: Principal {
                id: PrincipalId(number),
                fingerprint: TokenFingerprint::default(),
                name: format!("holder {number}").into(),
                admin: false,
                servers: None,
            },
        });
        let known = Tokens::new(entries.collect());
        let presented = token(count - 1);
        let took = bench(&format!("token, {count} known"), 0, || {
            known
                .holder(black_box(presented.as_bytes()), UNIX_EPOCH)
                .is_some()
        });
        let verdict = if took <= TOKEN { "met" } else { "MISSED" };
        say(&format!("{:>40} target ≤ {TOKEN:?}: {verdict}", ""));
    }
}

fn token(number: u32) -> String {
    format!("bench-{number:04}-41f0c3d2a9b84e7c95d6e8f7")
}

fn messages() -> [(&'static str, Vec<u8>); 3] {
    [
        ("a small request", request(16)),
        ("1 KiB", request(KIB)),
        ("256 KiB", request(256 * KIB)),
    ]
}

/// A call of a tool with a text of so many bytes, as long ones are: with quotes and line breaks.
fn request(bytes: usize) -> Vec<u8> {
    let prose = "the quick brown fox jumps over \\\"the lazy dog\\\" and is gone\\n";
    let mut text = prose.repeat(bytes / prose.len());
    text.push_str(&"x".repeat(bytes - text.len()));
    let message = format!(
        r#"{{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}"#
    );
    message.into_bytes()
}

/// Prints what a call takes and gives the median; `bytes` is what a call goes through, or 0.
fn bench<T>(name: &str, bytes: usize, mut call: impl FnMut() -> T) -> Duration {
    let mut calls = 1_u32;
    while sample(calls, &mut call) < SAMPLE {
        calls *= 2;
    }
    let mut samples: Vec<Duration> = (0..SAMPLES)
        .map(|_| sample(calls, &mut call) / calls)
        .collect();
    samples.sort_unstable();
    let least = samples.first().copied().unwrap_or_default();
    let median = samples.get(SAMPLES / 2).copied().unwrap_or_default();
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let speed = f64::from(bytes) / median.as_secs_f64() / 1e9;
    let speed = if bytes > 0 {
        format!("{speed:.2} GB/s")
    } else {
        String::new()
    };
    say(&format!(
        "{name:<32} {median:>12.1?} median {least:>12.1?} least {speed:>12}"
    ));
    median
}

fn sample<T>(calls: u32, call: &mut impl FnMut() -> T) -> Duration {
    let began = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    began.elapsed()
}

#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
fn say(text: &str) {
    println!("{text}");
}
