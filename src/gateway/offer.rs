//! One listener for one data connection of one session, and what is advertised of it.
//!
//! Exactly one connection is accepted, from one of the peers that are expected; everybody else is
//! reset and the listener stays (RFC 2577 §5: a data connection can be stolen). What comes through a
//! balancer comes from whom its header names; one header is awaited at a time.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use super::clock;
use super::ports::{Ports, Reservation};
use super::proxy::{self, Announcement};
use crate::ftp::address::Family;
use crate::gateway::proxy::header::Source;
use crate::settings::Advertised;
use crate::sys::socket;
use crate::upstream::Resolver;

/// How long a process without descriptors waits before it accepts again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the lookup of a name that is advertised may take.
const LOOKUP: Duration = Duration::from_secs(10);

/// Who has dialled an offer.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Whom it was made for.
    Peer(TcpStream),
    /// Somebody else, who was reset.
    Stranger,
}

/// Who may connect.
pub(super) struct Expected {
    /// One of these.
    pub(super) peers: Vec<IpAddr>,
    /// Whoever connects from here must say first for whom, and that must be one of them.
    pub(super) balancers: Vec<IpNet>,
    /// How long that may take.
    pub(super) within: Duration,
}

/// A listener for one data connection.
pub(super) struct Offer {
    /// The listener.
    listener: TcpListener,
    /// Where it listens.
    address: SocketAddr,
    /// Its port.
    _reservation: Reservation,
    /// Whom it is for.
    expected: Expected,
    /// A connection of a balancer's whose header is awaited, and the balancer.
    announced: Option<(Announcement, IpAddr)>,
    /// Runs while the process is out of descriptors.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Offer {
    /// Listens on a port of `local` for whom is `expected`.
    ///
    /// # Errors
    /// No port is free, or as of a bind.
    pub(super) fn open(
        ports: &Arc<Ports>,
        local: SocketAddr,
        expected: Expected,
    ) -> io::Result<Self> {
        let (listener, address, reservation) = ports.listen(local)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            address,
            _reservation: reservation,
            expected,
            announced: None,
            pause: None,
        })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether somebody may have dialled whom there is no descriptor for.
    pub(super) const fn is_starved(&self) -> bool {
        self.pause.is_some()
    }

    /// Who dials it next.
    pub(super) fn poll_arrival(&mut self, context: &mut Context<'_>) -> Poll<Arrival> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            if let Some((announcement, _)) = &mut self.announced {
                let source = ready!(announcement.poll(context)).ok();
                if let Some((announcement, balancer)) = self.announced.take() {
                    let peer = source.map(|source| match source {
                        Source::Client(client) => client.ip(),
                        Source::Itself | Source::Unknown => balancer,
                    });
                    return Poll::Ready(self.judge(announcement.into_stream(), peer));
                }
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, peer)) if proxy::is_balancer(&self.expected.balancers, peer) => {
                    socket::arm_reset(&stream).ok();
                    let announcement = Announcement::new(stream, self.expected.within);
                    self.announced = Some((announcement, peer.ip().to_canonical()));
                }
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    return Poll::Ready(self.judge(stream, Some(peer)));
                }
                Err(error) if socket::is_exhausted(&error) => {
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
                // The connection was gone before it was accepted.
                Err(_) => {}
            }
        }
    }

    /// Whether a connection from `peer`, where that is known, is the one that is waited for.
    fn judge(&self, stream: TcpStream, peer: Option<IpAddr>) -> Arrival {
        if peer.is_some_and(|peer| self.expected.peers.contains(&peer)) {
            return Arrival::Peer(stream);
        }
        socket::arm_reset(&stream).ok();
        Arrival::Stranger
    }
}

/// What is advertised to `client`: the entry of the longest prefix that holds it.
pub(super) fn choose(table: &[(IpNet, Advertised)], client: IpAddr) -> &Advertised {
    table
        .iter()
        .filter(|(network, _)| network.contains(&client))
        .max_by_key(|(network, _)| network.prefix_len())
        .map_or(&Advertised::Local, |(_, advertised)| advertised)
}

/// The address of `name` that is of `family`, if it has one.
pub(super) async fn look_up(
    resolver: Arc<Resolver>,
    name: Arc<str>,
    family: Family,
) -> Option<IpAddr> {
    let addresses = resolver.resolve(&name, clock::instant(), LOOKUP);
    let addresses = addresses.await.ok()?;
    addresses
        .into_iter()
        .find(|address| Family::of(*address) == family)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::upstream::connect;

    /// An offer on loopback for one peer, who may come through 127.0.0.9.
    fn offer(peer: &str) -> Offer {
        let ports = Arc::new(Ports::new(None, Box::new(|_, _| ())));
        let local = "127.0.0.1:0".parse().unwrap();
        let expected = Expected {
            peers: vec![peer.parse().unwrap()],
            balancers: vec!["127.0.0.9/32".parse().unwrap()],
            within: Duration::from_secs(2),
        };
        Offer::open(&ports, local, expected).unwrap()
    }

    #[tokio::test]
    async fn a_stranger_is_reset_and_the_peer_still_gets_in() {
        let mut offer = offer("127.0.0.2");
        let address = offer.address();
        let stranger = "127.0.0.3:0".parse().unwrap();
        let mut stranger = connect(address, Some(stranger)).await.unwrap();
        let arrival = poll_fn(|context| offer.poll_arrival(context)).await;
        assert!(matches!(arrival, Arrival::Stranger));
        let error = stranger.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let peer = "127.0.0.2:0".parse().unwrap();
        let peer = connect(address, Some(peer)).await.unwrap();
        let arrival = poll_fn(|context| offer.poll_arrival(context)).await;
        let Arrival::Peer(stream) = arrival else {
            panic!("the peer was taken for a stranger");
        };
        assert_eq!(stream.peer_addr().unwrap(), peer.local_addr().unwrap());
    }

    #[tokio::test]
    async fn whom_a_balancer_names_gets_in_and_what_follows_the_header_is_left() {
        let mut offer = offer("192.0.2.1");
        let address = offer.address();
        let balancer = || connect(address, Some("127.0.0.9:0".parse().unwrap()));
        let mut other = balancer().await.unwrap();
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n";
        other.write_all(line).await.unwrap();
        let arrival = poll_fn(|context| offer.poll_arrival(context)).await;
        assert!(matches!(arrival, Arrival::Stranger));
        let error = other.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let mut peer = balancer().await.unwrap();
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\ndata";
        peer.write_all(line).await.unwrap();
        let arrival = poll_fn(|context| offer.poll_arrival(context)).await;
        let Arrival::Peer(mut stream) = arrival else {
            panic!("the peer was taken for a stranger");
        };
        drop(peer);
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"data");
    }

    #[tokio::test(start_paused = true)]
    async fn a_balancer_that_does_not_say_for_whom_is_a_stranger_in_time() {
        let mut offer = offer("127.0.0.9");
        let address = offer.address();
        let mut silent = connect(address, Some("127.0.0.9:0".parse().unwrap()))
            .await
            .unwrap();
        let arrival = poll_fn(|context| offer.poll_arrival(context)).await;
        assert!(matches!(arrival, Arrival::Stranger));
        let error = silent.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn an_offer_ends_with_its_drop() {
        let offer = offer("127.0.0.1");
        let address = offer.address();
        drop(offer);
        let error = connect(address, None).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn the_longest_prefix_decides_what_is_advertised() {
        let far = Advertised::Address("203.0.113.7".parse().unwrap());
        let table = [
            ("0.0.0.0/0".parse().unwrap(), far.clone()),
            ("10.0.0.0/8".parse().unwrap(), Advertised::Local),
            (
                "10.9.0.0/16".parse().unwrap(),
                Advertised::Name("nat".into()),
            ),
        ];
        let chosen = |client: &str| choose(&table, client.parse().unwrap());
        assert_eq!(chosen("198.51.100.1"), &far);
        assert_eq!(chosen("10.1.2.3"), &Advertised::Local);
        assert_eq!(chosen("10.9.2.3"), &Advertised::Name("nat".into()));
        assert_eq!(chosen("2001:db8::1"), &Advertised::Local);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_in_the_family_that_is_needed() {
        let resolver = Arc::new(Resolver::new(Duration::from_mins(1)));
        let name: Arc<str> = "192.0.2.1".into();
        let four = look_up(Arc::clone(&resolver), Arc::clone(&name), Family::V4).await;
        assert_eq!(four, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(look_up(resolver, name, Family::V6).await, None);
    }
}
