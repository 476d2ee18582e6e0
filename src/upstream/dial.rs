//! One connection to a server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::{Fault, Resolver};
use crate::sys::socket;

/// Where to dial, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// An address or a name.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// Where to dial from; chosen by the system where absent.
    pub source: Option<IpAddr>,
    /// How long the lookup may take, and the dial of each address.
    pub timeout: Duration,
}

/// A connection that is there.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub stream: TcpStream,
    /// The server's address.
    pub server: SocketAddr,
    /// Our own.
    pub local: SocketAddr,
}

/// Dials the addresses of `target` one after the other until one answers. One that `is_ours`, where a
/// dial would come back to us, is passed over.
///
/// # Errors
/// [`Fault`], by variant; of several addresses that of the last.
pub async fn dial(
    target: &Target,
    resolver: &Resolver,
    now: Instant,
    is_ours: impl Fn(SocketAddr) -> bool,
) -> Result<Dialled, Fault> {
    let addresses = resolver.resolve(&target.host, now, target.timeout);
    let addresses = addresses.await.map_err(Fault::Name)?;
    let mut fault = Fault::Name(io::ErrorKind::NotFound.into());
    for address in addresses {
        let server = SocketAddr::new(address, target.port);
        if is_ours(server) {
            fault = Fault::Loop;
            continue;
        }
        match dial_address(server, target.source, target.timeout).await {
            Ok(stream) => {
                let local = stream.local_addr()?;
                return Ok(Dialled {
                    stream,
                    server,
                    local,
                });
            }
            Err(failed) => fault = failed,
        }
    }
    Err(fault)
}

/// Dials one address.
///
/// # Errors
/// [`Fault`] by variant, but [`Fault::Name`].
async fn dial_address(
    server: SocketAddr,
    source: Option<IpAddr>,
    limit: Duration,
) -> Result<TcpStream, Fault> {
    let source = source.map(|address| SocketAddr::new(address, 0));
    match timeout(limit, connect(server, source)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Fault::Timeout),
    }
}

/// A connection to `address` from `source`, without a timeout of its own.
///
/// # Errors
/// As of a connect; `InvalidInput` where the two are not of one family.
pub async fn connect(address: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    open(address, source)?.connect(address).await
}

/// The same for a data connection, which is armed to reset from its first moment: a dial that is
/// given up when the server has it already must not look like an empty file (law L3).
///
/// # Errors
/// As of [`connect`].
pub async fn connect_data(
    address: SocketAddr,
    source: Option<SocketAddr>,
) -> io::Result<TcpStream> {
    let socket = open(address, source)?;
    socket::arm_reset(&socket)?;
    socket.connect(address).await
}

/// A socket of the family of `address`, bound to `source`.
///
/// # Errors
/// As of a bind; `InvalidInput` where the two are not of one family.
fn open(address: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpSocket> {
    let opened = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = source {
        if source.is_ipv4() != address.is_ipv4() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if source.port() == 0 {
            // Without it there may be fewer ports; that is all.
            socket::bind_address_only(&opened).ok();
        }
        opened.bind(source)?;
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// A target on loopback.
    fn target(port: u16) -> Target {
        Target {
            host: "127.0.0.1".into(),
            port,
            source: None,
            timeout: Duration::from_secs(5),
        }
    }

    /// A resolver.
    fn resolver() -> Resolver {
        Resolver::new(Duration::from_secs(30))
    }

    #[tokio::test]
    async fn a_dial_comes_from_the_source_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut target = target(listener.local_addr().unwrap().port());
        target.source = Some("127.0.0.9".parse().unwrap());
        let resolver = resolver();
        let (dialled, accepted) = tokio::join!(
            dial(&target, &resolver, Instant::now(), nobody),
            listener.accept()
        );
        let dialled = dialled.unwrap();
        assert_eq!(accepted.unwrap().1, dialled.local);
        assert_eq!(dialled.local.ip(), target.source.unwrap());
        assert_eq!(dialled.server, listener.local_addr().unwrap());
    }

    /// That no address is ours.
    fn nobody(_: SocketAddr) -> bool {
        false
    }

    #[tokio::test]
    async fn an_address_of_our_own_is_not_dialled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_ours = |dialled| dialled == address;
        let fault = dial(
            &target(address.port()),
            &resolver(),
            Instant::now(),
            is_ours,
        )
        .await;
        assert!(matches!(fault, Err(Fault::Loop)));
        let accepted = poll_fn(|context| Poll::Ready(listener.poll_accept(context))).await;
        assert!(accepted.is_pending(), "it was dialled");
    }

    #[tokio::test]
    async fn nobody_there_is_refused() {
        // It has a port and does not listen there.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let target = target(socket.local_addr().unwrap().port());
        let fault = dial(&target, &resolver(), Instant::now(), nobody).await;
        assert!(matches!(fault, Err(Fault::Refused(_))));
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_a_fault_of_its_own() {
        let mut target = target(21);
        target.host = "no-such-host.invalid".into();
        let fault = dial(&target, &resolver(), Instant::now(), nobody).await;
        assert!(matches!(fault, Err(Fault::Name(_))));
    }

    #[tokio::test]
    async fn families_do_not_mix() {
        let mut target = target(21);
        target.source = Some("::1".parse().unwrap());
        let fault = dial(&target, &resolver(), Instant::now(), nobody).await;
        assert!(matches!(fault, Err(Fault::Refused(_))));
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        // A backlog that is full answers no SYN.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut target = target(address.port());
        target.timeout = Duration::from_millis(100);
        let resolver = resolver();
        let mut held = Vec::new();
        let fault = loop {
            match dial(&target, &resolver, Instant::now(), nobody).await {
                Ok(dialled) => held.push(dialled),
                Err(fault) => break fault,
            }
            assert!(held.len() < 64, "the backlog never filled");
        };
        assert!(matches!(fault, Fault::Timeout));
    }

    #[tokio::test]
    async fn a_dial_of_data_that_is_given_up_is_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        {
            let mut dial = pin!(connect_data(address, None));
            // On loopback the kernel has it at once, whether or not the dial is looked at again.
            poll_fn(|context| Poll::Ready(dial.as_mut().poll(context).is_ready())).await;
        }
        let (mut peer, _) = listener.accept().await.unwrap();
        let error = peer.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
