//! Why a request to a gateway failed, in words that say what to do.

use std::error::Error;
use std::io::ErrorKind;

/// The cause of a failed request, without the URL, which is told already; and what to do.
pub(super) fn explain(error: &reqwest::Error) -> String {
    let mut causes: Vec<&(dyn Error + 'static)> = vec![error];
    while let Some(cause) = causes.last().copied().and_then(Error::source) {
        causes.push(cause);
    }
    let io = causes
        .iter()
        .find_map(|cause| Some(cause.downcast_ref::<std::io::Error>()?.kind()));
    let http = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<hyper::Error>());
    if error.is_timeout() || io == Some(ErrorKind::TimedOut) {
        return "timed out: nothing answers there in time; look whether the address is right, and whether the gateway is \
                stuck (its log)"
            .to_owned();
    }
    if io == Some(ErrorKind::ConnectionRefused) {
        return "connection refused: no program listens there; start the gateway (host-mcp-gateway run, or its service), \
                or name another address with --url"
            .to_owned();
    }
    if http.is_some_and(hyper::Error::is_parse) {
        return "not a gateway: what answers there does not speak HTTP; name another address with --url".to_owned();
    }
    let is_cut = http.is_some_and(hyper::Error::is_incomplete_message)
        || matches!(
            io,
            Some(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe)
        );
    if is_cut {
        return "the connection was closed without an answer: not a gateway, or one with TLS (https://), or this address \
                is not in its allowed_clients"
            .to_owned();
    }
    causes
        .last()
        .map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;

    use super::*;

    fn told(address: SocketAddr) -> String {
        let client = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(Duration::from_millis(500))
            .build()
            .unwrap();
        let asked = client.get(format!("http://{address}/")).send();
        explain(&asked.unwrap_err())
    }

    /// A listener that answers one connection so; a connection that is kept is answered by nothing.
    fn stranger(answer: Option<&'static [u8]>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let _read = peer.read(&mut head);
            match answer {
                Some(answer) => drop(peer.write_all(answer)),
                None => drop(peer.read(&mut head)),
            }
        });
        address
    }

    #[test]
    fn an_address_where_no_gateway_answers_is_told_in_words_with_what_to_do() {
        // Bound, so that nobody else listens there.
        let nobody = tokio::net::TcpSocket::new_v4().unwrap();
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = nobody.local_addr().unwrap();
        for (address, expected) in [
            (address, "connection refused: no program listens there"),
            (stranger(Some(b"SSH-2.0-OpenSSH\r\n")), "not a gateway"),
            (stranger(Some(b"")), "closed without an answer"),
            (stranger(None), "timed out"),
        ] {
            let text = told(address);
            assert!(text.contains(expected), "{expected}: {text}");
            assert!(!text.contains("error sending request"), "{text}");
        }
    }
}
