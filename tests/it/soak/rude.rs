//! Callers that do not behave: slow ones, ones that vanish, ones that give their calls up, ones that stop reading, hostile
//! ones.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::book::Finding;
use super::callers::modern_tool_call;
use super::deeds::Deed;
use super::scene::{ELSEWHERE, FAULTY, PATIENCE, Scene, TOKENS, server_id, token};
use crate::support::mcp::{MODERN, tool_call};

/// The number of the first of them; the others are callers that behave.
const FIRST: usize = 28;

/// Lets them in, one of each kind.
pub(super) fn enter(scene: &Arc<Scene>, tasks: &mut JoinSet<()>) {
    tasks.spawn(slow(Arc::clone(scene), FIRST));
    tasks.spawn(vanishing(Arc::clone(scene), FIRST + 1));
    tasks.spawn(deaf(Arc::clone(scene), FIRST + 2));
    tasks.spawn(hostile(Arc::clone(scene), FIRST + 3));
    tasks.spawn(abandoning(Arc::clone(scene), FIRST + 4));
}

fn pause(rng: &mut Rng, most: u64) -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_millis(rng.u64(0..most)))
}

/// A request as bytes, with the token of a caller.
fn bytes(scene: &Scene, caller: usize, target: &str, body: &str) -> String {
    bytes_with(scene, caller, target, "", body)
}

/// The same with further headers, each with the end of its line.
fn bytes_with(scene: &Scene, caller: usize, target: &str, headers: &str, body: &str) -> String {
    let (address, token) = (scene.gateway.address(), token(caller % TOKENS));
    format!(
        "{target} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n{headers}\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends its request in small pieces; it is owed an answer all the same.
async fn slow(scene: Arc<Scene>, number: usize) {
    let mut rng = scene.rng(number);
    while scene.goes_on() {
        let deed = Deed::echo(scene.mark(number));
        let body = tool_call(1, deed.tool, &deed.arguments).to_string();
        let target = format!("POST /{}/rpc", server_id(rng.usize(0..FAULTY)));
        let request = bytes(&scene, number, &target, &body);
        let Ok(mut stream) = TcpStream::connect(scene.gateway.address()).await else {
            continue;
        };
        for piece in request.as_bytes().chunks(40) {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            pause(&mut rng, 20).await;
        }
        let mut answer = [0; 12];
        let read = timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        if !matches!(read, Ok(Ok(_))) || !answer.starts_with(b"HTTP/1.1 ") {
            let text = format!("{}: a slow caller heard {read:?}", deed.mark);
            scene.book.find(Finding::Lost, text);
        }
    }
}

/// Is gone before its answer can come, or in the middle of its request.
async fn vanishing(scene: Arc<Scene>, number: usize) {
    let mut rng = scene.rng(number);
    while scene.goes_on() {
        let deed = Deed::any(&mut rng, scene.mark(number));
        let body = tool_call(1, deed.tool, &deed.arguments).to_string();
        let door = ["rpc", "mcp"][rng.usize(0..2)];
        let target = format!("POST /{}/{door}", server_id(rng.usize(0..FAULTY)));
        let request = bytes(&scene, number, &target, &body);
        let Ok(mut stream) = TcpStream::connect(scene.gateway.address()).await else {
            continue;
        };
        let sent = if rng.bool() {
            request.len()
        } else {
            rng.usize(0..request.len())
        };
        let _ = stream
            .write_all(request.as_bytes().get(..sent).unwrap_or_default())
            .await;
        pause(&mut rng, 60).await;
        if rng.bool() {
            // A reset instead of an end.
            let _ = stream.set_zero_linger();
        }
    }
}

/// Makes many long calls at once and hangs up on them while they run; those of others go on meanwhile.
async fn abandoning(scene: Arc<Scene>, number: usize) {
    let mut rng = scene.rng(number);
    let modern_headers = format!(
        "mcp-protocol-version: {MODERN}\r\nmcp-method: tools/call\r\nmcp-name: gremlin\r\n"
    );
    while scene.goes_on() {
        let server = server_id(rng.usize(0..FAULTY));
        let mut open = Vec::new();
        for call in 0..rng.u32(1..40) {
            let deed = Deed::long(&mut rng, scene.mark(number));
            let request = if rng.bool() {
                let body = tool_call(call, deed.tool, &deed.arguments).to_string();
                bytes(&scene, number, &format!("POST /{server}/rpc"), &body)
            } else {
                let body = modern_tool_call(&call.into(), deed.tool, &deed.arguments).to_string();
                let target = format!("POST /{server}/mcp");
                bytes_with(&scene, number, &target, &modern_headers, &body)
            };
            if let Ok(mut stream) = TcpStream::connect(scene.gateway.address()).await
                && stream.write_all(request.as_bytes()).await.is_ok()
            {
                open.push(stream);
            }
        }
        pause(&mut rng, 300).await;
        for stream in open {
            scene.book.fault("call hung up on".to_owned());
            if rng.bool() {
                let _ = stream.set_zero_linger();
            }
        }
        pause(&mut rng, 2000).await;
    }
}

/// Opens streams and does not read them.
async fn deaf(scene: Arc<Scene>, number: usize) {
    let mut rng = scene.rng(number);
    while scene.goes_on() {
        let server = server_id(rng.usize(0..FAULTY));
        let request = bytes(&scene, number, &format!("GET /{server}/rpc"), "");
        let Ok(mut stream) = TcpStream::connect(scene.gateway.address()).await else {
            continue;
        };
        let _ = stream.write_all(request.as_bytes()).await;
        pause(&mut rng, 3000).await;
    }
}

/// Sends what nobody honest sends, from an address of its own, and is refused every time.
async fn hostile(scene: Arc<Scene>, number: usize) {
    let mut rng = scene.rng(number);
    let address = scene.gateway.address();
    let long = "x".repeat(100_000);
    let call = tool_call(1, "echo", &json!({"text": "stolen"})).to_string();
    let good = |target: &str, body: &str| bytes(&scene, number, target, body);
    let inputs = [
        good("POST /s00/rpc", &call).replace("Bearer ", "Bearer x"),
        good("POST /s00/mcp", &call).replace("authorization", "x-authorization"),
        good("POST /s00/rpc", &call).replace("host: ", "host: evil.example\r\nx-host: "),
        good("POST /s00/rpc", &call)
            .replace("accept: ", "origin: https://evil.example\r\naccept: "),
        good("POST /s00/rpc", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":"),
        good("POST /s00/rpc", "[]"),
        good("POST /s00/rpc", &"[".repeat(50_000)),
        good(
            "POST /rpc",
            "{\"server_id\":\"s00\",\"payload\":{},\"command\":\"sh\"}",
        ),
        good("POST /../../etc/passwd", &call),
        good("POST /nobody/rpc", &call),
        good("DELETE /s00/rpc", ""),
        good("GET /s00/mcp", "").replace("accept: ", &format!("x-long: {long}\r\naccept: ")),
        good(&format!("GET /{long}"), ""),
        good("POST /s00/rpc", &call).replace(
            "content-length: ",
            "transfer-encoding: chunked\r\ncontent-length: 9",
        ),
        "\u{16}\u{3}\u{1}\0 no HTTP at all\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ];
    while scene.goes_on() {
        let input = &inputs[rng.usize(0..inputs.len())];
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind((ELSEWHERE, 0).into())
            .expect("an address of loopback");
        let Ok(mut stream) = socket.connect(address).await else {
            continue;
        };
        let _ = stream.write_all(input.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        // Refused in words, or by closing the connection.
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        if !refused {
            let input: String = input.chars().take(200).collect();
            scene.book.find(
                Finding::Strange,
                format!("{input:?} was answered {answer:?}"),
            );
        }
        pause(&mut rng, 60).await;
    }
}
