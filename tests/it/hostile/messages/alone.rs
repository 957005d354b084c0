//! Bodies that are big in one way each: what they cost (H061).

use super::*;
use crate::support::gateway::TOKEN;
use crate::support::socket::RawSocket;

const MIB: usize = 1024 * 1024;
/// What one body may cost in processor time, in clock ticks of 10 ms: 200 ms, or what code that is not
/// optimised takes for the same work.
const BUDGET_TICKS: u64 = if cfg!(debug_assertions) { 200 } else { 20 };

/// The processor time of a process so far, in clock ticks (proc(5)); `None` where the system does not tell.
fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut times = rest.split(' ').skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// A request that the gateway reads whole and answers itself.
fn ping(params: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#).into_bytes()
}

/// An object with so many members.
fn members(count: usize, name: impl Fn(usize) -> String) -> String {
    let members: Vec<_> = (0..count).map(|n| format!("\"{}\":0", name(n))).collect();
    format!("{{{}}}", members.join(","))
}

/// H061: as many members, elements or bytes of a name as the cap of 4 MiB lets in cost what their bytes
/// cost, also where all names are the same or stand where the gateway looks; more is refused.
#[tokio::test]
async fn a_big_body_costs_no_more_than_its_bytes() {
    let gateway = Gateway::builder().server(Server::gremlin("s1")).start();
    let client = gateway.client();
    let up = client.call("s1", "echo", &json!({"text": "up"})).await;
    assert_eq!(up.status, 200, "{}", up.text());
    let key = "k".repeat(MIB);
    let in_meta = members(300_000, |n| n.to_string());
    let bodies = [
        ("members", members(350_000, |n| n.to_string())),
        ("one name", members(800_000, |_| String::new())),
        ("escapes in names", members(400_000, |_| r"\n".to_owned())),
        ("members of _meta", format!(r#"{{"_meta":{in_meta}}}"#)),
        ("elements", format!("[{}]", vec!["0"; 1_000_000].join(","))),
        ("objects", format!("[{}]", vec!["{}"; 1_000_000].join(","))),
        ("a long name", format!(r#"{{"{key}":1,"{key}":2}}"#)),
        ("escapes", format!(r#"["{}"]"#, "\\n".repeat(2_000_000))),
        ("digits", format!("[{}]", "9".repeat(4_000_000))),
        ("white space", format!("[{}]", " ".repeat(4_000_000))),
    ];
    for (what, params) in bodies {
        let before = ticks(gateway.pid());
        let answer = client.post("/s1/rpc", ping(&params)).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        if let (Some(before), Some(after)) = (before, ticks(gateway.pid())) {
            let cost = after - before;
            assert!(cost <= BUDGET_TICKS, "{what} cost {cost} ticks");
        }
    }
    // Refused by its announced length: nobody has to send it.
    let mut socket = RawSocket::connect(gateway.address()).await;
    let head = format!(
        "POST /s1/rpc HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        gateway.address(),
        5 * MIB
    );
    socket.send(head).await;
    assert_eq!(socket.head(SOON).await.unwrap().status, 413);
}

/// H061: what passes is passed on as it is.
#[tokio::test]
async fn many_members_of_one_name_cross_byte_for_byte() {
    let doors = Doors::open().await;
    let flood = format!(r#","flood":{}"#, members(10_000, |_| "same".to_owned()));
    for door in Door::ALL {
        let body = claiming(door, &echo_with("7", &flood));
        let (answer, frame) = doors.forward(door, &body).await;
        assert_eq!(answer.status, 200, "{door:?}: {}", answer.text());
        assert!(
            frame.ends_with(format!("{flood}}}}}}}").as_bytes()),
            "{door:?}"
        );
    }
}
