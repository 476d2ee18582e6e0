//! One listener for one data connection of one session, and what is advertised of it.
//!
//! Exactly one connection is accepted, from one of the peers that are expected; everybody else is
//! reset and the listener stays (RFC 2577 §5: a data connection can be stolen).

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
use crate::ftp::address::Family;
use crate::settings::Advertised;
use crate::sys::socket;
use crate::upstream::Resolver;

/// How long a process without descriptors waits before it accepts again.
const PAUSE: Duration = Duration::from_millis(100);

/// Who has dialled an offer.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Whom it was made for.
    Peer(TcpStream),
    /// Somebody else, who was reset.
    Stranger,
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
    peers: Vec<IpAddr>,
    /// Runs while the process is out of descriptors.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Offer {
    /// Listens on a port of `local` for one of `peers`.
    ///
    /// # Errors
    /// No port is free, or as of a bind.
    pub(super) fn open(
        ports: &Arc<Ports>,
        local: SocketAddr,
        peers: Vec<IpAddr>,
    ) -> io::Result<Self> {
        let (listener, address, reservation) = ports.listen(local)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            address,
            _reservation: reservation,
            peers,
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
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, peer)) if self.peers.contains(&peer.ip().to_canonical()) => {
                    return Poll::Ready(Arrival::Peer(stream));
                }
                Ok((stream, _)) => {
                    socket::arm_reset(&stream).ok();
                    return Poll::Ready(Arrival::Stranger);
                }
                Err(error) if socket::is_exhausted(&error) => {
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
                // The connection was gone before it was accepted.
                Err(_) => {}
            }
        }
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
    let addresses = resolver.resolve(&name, clock::instant()).await.ok()?;
    addresses
        .into_iter()
        .find(|address| Family::of(*address) == family)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::upstream::connect;

    /// An offer on loopback for one peer.
    fn offer(peer: &str) -> Offer {
        let ports = Arc::new(Ports::new(None, Box::new(|_, _| ())));
        let local = "127.0.0.1:0".parse().unwrap();
        Offer::open(&ports, local, vec![peer.parse().unwrap()]).unwrap()
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
