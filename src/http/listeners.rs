//! The listening sockets: one, or the two of `localhost`.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::config::Config;

/// Connections that may wait to be accepted; the system takes less where its own bound is lower (listen(2)). With the
/// usual 128, of 512 clients that come at once 153 wait a second, until TCP tries again.
const BACKLOG: u32 = 4096;
/// Attempts to pick a port that is free on both addresses.
const PICKS: usize = 16;

/// Sockets that are listened on, all of one port.
#[derive(Debug)]
pub struct Listeners {
    first: TcpListener,
    second: Option<TcpListener>,
}

/// Opens the listening sockets; the error names the address, and is that of the system, such as an address in use. It
/// awaits nothing, but needs an event loop.
pub async fn bind(config: &Config) -> Result<Listeners, (SocketAddr, io::Error)> {
    let of_first = |error| (config.bind, error);
    let mut picks = 0;
    loop {
        let first = listen(config.bind).map_err(of_first)?;
        let port = first.local_addr().map_err(of_first)?.port();
        let Some(ip) = config.bind_also else {
            return Ok(first.into());
        };
        picks += 1;
        match listen(SocketAddr::new(ip, port)) {
            Ok(second) => {
                let second = Some(second);
                return Ok(Listeners { first, second });
            }
            Err(error) if is_absent(&error) => {
                tracing::info!(%ip, "not listening on {ip}, which this machine does not have");
                return Ok(first.into());
            }
            // The next pick is another port.
            Err(error) if is_in_use(&error) && config.bind.port() == 0 && picks < PICKS => {}
            Err(error) => return Err((SocketAddr::new(ip, port), error)),
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Connections of the last run may still be in TIME-WAIT (RFC 9293, 3.6.1); the port is free nevertheless.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

/// The machine has no such address, or no such protocol.
fn is_absent(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

impl From<TcpListener> for Listeners {
    fn from(first: TcpListener) -> Self {
        Self {
            first,
            second: None,
        }
    }
}

impl Listeners {
    /// The address of the first of them.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.first.local_addr()
    }

    /// All addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let all = std::iter::once(&self.first).chain(&self.second);
        all.filter_map(|one| one.local_addr().ok()).collect()
    }

    /// The next connection of any of them. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.second {
            None => self.first.accept().await,
            Some(second) => tokio::select! {
                accepted = self.first.accept() => accepted,
                accepted = second.accept() => accepted,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture;

    /// RG05: clients resolve `localhost` to either address.
    #[tokio::test]
    async fn a_second_address_is_listened_on_at_the_same_port() {
        let also = std::net::Ipv6Addr::LOCALHOST.into();
        let config = Config {
            bind_also: Some(also),
            ..fixture::config()
        };
        let listeners = bind(&config).await.unwrap();
        let addresses = listeners.addresses();
        if listen(SocketAddr::new(also, 0)).is_err_and(|error| is_absent(&error)) {
            assert_eq!(addresses.len(), 1, "a machine without IPv6");
            return;
        }
        let port = listeners.local_addr().unwrap().port();
        assert_eq!(
            addresses,
            [
                SocketAddr::new(config.bind.ip(), port),
                SocketAddr::new(also, port)
            ]
        );
        for address in addresses {
            let (connected, accepted) =
                tokio::join!(TcpStream::connect(address), listeners.accept());
            let own = connected.unwrap().local_addr().unwrap();
            assert_eq!(accepted.unwrap().1, own);
        }

        // A stranger at one of the two would be sent the tokens of those who resolve it first.
        let stranger = listen(SocketAddr::new(also, 0)).unwrap();
        let port = stranger.local_addr().unwrap().port();
        let taken = Config {
            bind: SocketAddr::new(config.bind.ip(), port),
            ..config
        };
        let (address, error) = bind(&taken).await.unwrap_err();
        assert_eq!((address.port(), is_in_use(&error)), (port, true));
    }
}
