//! The data connection of one leg, from the offer or the dial to its end.
//!
//! A data connection is armed to reset from its first moment and disarmed only to end in order:
//! whatever becomes of the session or of the program, a transfer that was cut off never looks
//! complete (law L3).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::leg::{DISCARD_BUFFER_BYTES, DISCARD_BYTES, later};
use super::offer::{Arrival, Offer};
use crate::relay::{Failure, give_way};
use crate::session::End;
use crate::sys::socket;
use crate::tls::channel::Channel;
use crate::tls::fault::HandshakeFault;
use crate::tls::handshake::Handshake;
use crate::tls::stream::Stream;

/// How long an ended data connection waits for its peer's end: closing it with bytes unread would
/// reset it.
const LINGER: Duration = Duration::from_secs(2);

/// How many bytes are thrown away before the other events of a session have their turn.
const DISCARD_BURST: usize = 256 * 1024;

/// What looks up the address to advertise.
pub(super) type LookUp = Pin<Box<dyn Future<Output = Option<IpAddr>> + Send>>;

/// What dials.
pub(super) type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// What happened to a data connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DataEvent {
    /// The peer dialled the offer.
    Arrived,
    /// The dial succeeded.
    Dialled,
    /// It did not.
    DialFailed,
    /// The name to advertise has no address.
    OfferFailed,
    /// The offer is there, and this is to be advertised.
    OfferReady(SocketAddr),
    /// The peer reset the connection.
    Reset,
    /// The connection is under TLS.
    Secured,
    /// Somebody else dialled the offer.
    Stranger,
    /// Its handshake failed.
    Unsecured(HandshakeFault),
}

/// How far a data connection has come.
enum Stage {
    /// It is being dialled.
    Dialling(Dial),
    /// It is waited for.
    Listening(Box<Offer>),
    /// It will be waited for once it is known what to advertise.
    Naming(Box<Offer>, LookUp),
    /// There is none.
    None,
    /// It is there, and all that comes is thrown away.
    Discarding(Stream, Failure),
    /// It is there.
    Open(Stream, Failure),
    /// It is there, and turning to TLS.
    Securing(Arc<TcpStream>, Handshake),
}

/// The data connection of one leg.
pub(super) struct DataLeg {
    /// How far it has come.
    stage: Stage,
    /// An end without `close_notify` is taken for one.
    tolerant: bool,
}

impl DataLeg {
    /// None yet.
    pub(super) const fn new(tolerant: bool) -> Self {
        Self {
            stage: Stage::None,
            tolerant,
        }
    }

    /// A connection that is there has this keepalive from now on.
    pub(super) fn follow_keepalive(&self, keepalive: Duration) {
        if let Some(socket) = self.socket() {
            // An option that cannot be set says that the connection is broken: the watch sees it.
            socket::tune(socket, keepalive).ok();
        }
    }

    /// Waits for a connection. What was there before is reset.
    pub(super) fn offer(&mut self, offer: Offer) {
        self.stage = Stage::Listening(Box::new(offer));
    }

    /// Waits for a connection once the address to advertise is looked up.
    pub(super) fn offer_named(&mut self, offer: Offer, look_up: LookUp) {
        self.stage = Stage::Naming(Box::new(offer), look_up);
    }

    /// Waits for a dial. What was there before is reset.
    pub(super) fn dial(&mut self, dial: Dial) {
        self.stage = Stage::Dialling(dial);
    }

    /// The connection, if it is there.
    pub(super) const fn stream(&self) -> Option<&Stream> {
        match &self.stage {
            Stage::Open(stream, _) => Some(stream),
            Stage::Dialling(_)
            | Stage::Discarding(..)
            | Stage::Listening(_)
            | Stage::Naming(..)
            | Stage::None
            | Stage::Securing(..) => None,
        }
    }

    /// Turns the connection to TLS with what `handshake` makes, or lets the handshake that waits
    /// for the client's hello know whether it gets tickets.
    pub(super) fn secure(&mut self, tickets: Option<bool>, handshake: impl FnOnce() -> Handshake) {
        match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Open(stream, _) => {
                self.stage = Stage::Securing(Arc::clone(stream.socket()), handshake());
            }
            Stage::Securing(socket, mut waiting) => {
                waiting.set_tickets(tickets);
                self.stage = Stage::Securing(socket, waiting);
            }
            other @ (Stage::Dialling(_)
            | Stage::Discarding(..)
            | Stage::Listening(_)
            | Stage::Naming(..)
            | Stage::None) => {
                self.stage = other;
            }
        }
    }

    /// Whether a peer may have dialled who cannot be accepted.
    pub(super) const fn is_starved(&self) -> bool {
        matches!(&self.stage, Stage::Listening(offer) if offer.is_starved())
    }

    /// From now on all that comes is thrown away, until the end.
    pub(super) fn discard(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Open(stream, failure) => Stage::Discarding(stream, failure),
            other => other,
        };
    }

    /// What happens next. A connection that is `relaying` is the relay's to watch.
    pub(super) fn poll(&mut self, relaying: bool, context: &mut Context<'_>) -> Poll<DataEvent> {
        match &mut self.stage {
            Stage::None => Poll::Pending,
            Stage::Open(_, _) if relaying => Poll::Pending,
            Stage::Discarding(stream, failure) => {
                let mut room = DISCARD_BURST;
                ready!(poll_discard(stream.socket(), &mut room, context));
                if room == 0 {
                    give_way(context);
                    return Poll::Pending;
                }
                ready!(failure.poll(context));
                self.stage = Stage::None;
                Poll::Ready(DataEvent::Reset)
            }
            Stage::Open(_, failure) => {
                ready!(failure.poll(context));
                self.stage = Stage::None;
                Poll::Ready(DataEvent::Reset)
            }
            Stage::Securing(socket, handshake) => {
                let result = ready!(handshake.poll(socket, context));
                Poll::Ready(self.secured(result))
            }
            Stage::Dialling(dial) => {
                let dialled = ready!(dial.as_mut().poll(context));
                Poll::Ready(self.dialled(dialled))
            }
            Stage::Listening(offer) => match ready!(offer.poll_arrival(context)) {
                Arrival::Stranger => Poll::Ready(DataEvent::Stranger),
                Arrival::Peer(stream) => {
                    socket::arm_reset(&stream).ok();
                    self.open(stream);
                    Poll::Ready(DataEvent::Arrived)
                }
            },
            Stage::Naming(_, look_up) => {
                let named = ready!(look_up.as_mut().poll(context));
                Poll::Ready(self.named(named))
            }
        }
    }

    /// A handshake is over. A connection that failed it is reset.
    fn secured(&mut self, result: Result<Box<Channel>, HandshakeFault>) -> DataEvent {
        let stage = std::mem::replace(&mut self.stage, Stage::None);
        match (stage, result) {
            (Stage::Securing(socket, _), Ok(channel)) => {
                let failure = Failure::of(Arc::clone(&socket));
                let stream = Stream::secured(socket, *channel, self.tolerant);
                self.stage = Stage::Open(stream, failure);
                DataEvent::Secured
            }
            (_, Err(fault)) => DataEvent::Unsecured(fault),
            (_, Ok(_)) => DataEvent::Unsecured(HandshakeFault::Other),
        }
    }

    /// A dial is over.
    fn dialled(&mut self, dialled: io::Result<TcpStream>) -> DataEvent {
        if let Ok(stream) = dialled {
            self.open(stream);
            DataEvent::Dialled
        } else {
            self.stage = Stage::None;
            DataEvent::DialFailed
        }
    }

    /// A lookup is over.
    fn named(&mut self, named: Option<IpAddr>) -> DataEvent {
        if let Stage::Naming(offer, _) = std::mem::replace(&mut self.stage, Stage::None)
            && let Some(address) = named
        {
            let port = offer.address().port();
            self.stage = Stage::Listening(offer);
            return DataEvent::OfferReady(SocketAddr::new(address, port));
        }
        DataEvent::OfferFailed
    }

    /// The connection is there, armed; its listener, if any, is closed.
    fn open(&mut self, stream: TcpStream) {
        // An option that cannot be set says that the connection is broken: the watch sees it.
        socket::send_at_once(&stream).ok();
        let stream = Arc::new(stream);
        let failure = Failure::of(Arc::clone(&stream));
        self.stage = Stage::Open(Stream::clear(stream), failure);
    }

    /// The socket, if the connection is there.
    pub(super) const fn socket(&self) -> Option<&Arc<TcpStream>> {
        match &self.stage {
            Stage::Discarding(stream, _) | Stage::Open(stream, _) => Some(stream.socket()),
            Stage::Securing(socket, _) => Some(socket),
            Stage::Dialling(_) | Stage::Listening(_) | Stage::Naming(..) | Stage::None => None,
        }
    }

    /// Ends it, whatever its stage; returns what is to be lingered over.
    pub(super) fn end(&mut self, end: End, now: Instant) -> Option<Fading> {
        let stage = std::mem::replace(&mut self.stage, Stage::None);
        match (stage, end) {
            (Stage::Discarding(stream, _) | Stage::Open(stream, _), End::Fin) => {
                stream.announce_end();
                let socket = Arc::clone(stream.socket());
                let unsent = stream.has_unsent().then_some(stream);
                if unsent.is_none() {
                    socket::finish(&*socket).ok()?;
                }
                Some(Fading {
                    socket,
                    unsent,
                    room: DISCARD_BYTES,
                    until: later(now, LINGER),
                })
            }
            // Dropped while armed: reset.
            _ => None,
        }
    }
}

/// Throws away what comes, up to `room` bytes, which what came is taken from; ready at the end of
/// it, or when there is no room left.
fn poll_discard(stream: &TcpStream, room: &mut usize, context: &mut Context<'_>) -> Poll<()> {
    let mut buffer = [0; DISCARD_BUFFER_BYTES];
    while *room > 0 {
        ready!(stream.poll_read_ready(context)).ok();
        match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => *room = room.saturating_sub(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    Poll::Ready(())
}

/// A data connection that was ended in order and waits for its peer to do so.
pub(super) struct Fading {
    /// The connection.
    socket: Arc<TcpStream>,
    /// The same with its TLS, whose last bytes the socket has not taken: the FIN goes behind them.
    unsent: Option<Stream>,
    /// How many bytes more are thrown away: who sends on and on is waiting for nothing.
    room: usize,
    /// Until then at the latest.
    pub(super) until: Instant,
}

impl Fading {
    /// Ends it once the socket has all, then throws away what still comes; ready when the peer has
    /// ended too, or sends on and on.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(stream) = &self.unsent {
            // A connection that has broken is at its end for who reads it as well.
            ready!(stream.poll_flush(context)).ok();
            self.finish();
        }
        poll_discard(&self.socket, &mut self.room, context)
    }

    /// Sends FIN, if that is still to be done.
    fn finish(&mut self) {
        if self.unsent.take().is_some() {
            socket::finish(&*self.socket).ok();
        }
    }
}

impl Drop for Fading {
    fn drop(&mut self) {
        // Still armed it would be reset, and lose bytes of a transfer that was told complete: without
        // the end that TLS announces the peer sees a cut.
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use socket2::SockRef;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::gateway::clock;
    use crate::gateway::offer::Expected;
    use crate::gateway::ports::Ports;
    use crate::tls::tests::{VERSIONS, World, client, meet, server};
    use crate::upstream::connect;

    /// An offer on loopback for a peer on loopback.
    fn offer() -> (Offer, SocketAddr) {
        let ports = Arc::new(Ports::new(None, Box::new(|_, _| ())));
        let local = "127.0.0.1:0".parse().unwrap();
        let expected = Expected {
            peers: vec!["127.0.0.1".parse().unwrap()],
            balancers: Vec::new(),
            within: Duration::from_secs(10),
        };
        let offer = Offer::open(&ports, local, expected).unwrap();
        let address = offer.address();
        (offer, address)
    }

    /// A data connection that is there, and its peer.
    async fn opened() -> (DataLeg, TcpStream) {
        let mut leg = DataLeg::new(false);
        let (offer, address) = offer();
        leg.offer(offer);
        let peer = connect(address, None).await.unwrap();
        let event = poll_fn(|context| leg.poll(false, context)).await;
        assert_eq!(event, DataEvent::Arrived);
        (leg, peer)
    }

    #[tokio::test]
    async fn a_fin_is_all_that_was_written_and_no_reset() {
        let (mut leg, mut peer) = opened().await;
        peer.write_all(b"never read").await.unwrap();
        leg.stream().unwrap().socket().try_write(b"all of it").ok();
        leg.stream().unwrap().socket().writable().await.unwrap();
        let mut fading = leg.end(End::Fin, clock::instant()).unwrap();
        let mut read = Vec::new();
        peer.read_to_end(&mut read).await.unwrap();
        peer.shutdown().await.unwrap();
        poll_fn(|context| fading.poll(context)).await;
        drop(fading);
        assert!(peer.read(&mut [0; 8]).await.is_ok());
    }

    /// A data connection under TLS that its peer does not read from, until TLS holds what the socket
    /// does not take; its peer, and how many bytes it was given.
    async fn stuffed() -> (DataLeg, Stream, usize) {
        let world = World::new();
        let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
        let options = client(&world.path("ca.pem"), "ftp.example.com", VERSIONS[1]);
        let ends = meet(&server(&[identity]), &options).unwrap();
        let (mut leg, peer) = opened().await;
        let socket = Arc::clone(leg.socket().unwrap());
        let failure = Failure::of(Arc::clone(&socket));
        let stream = Stream::secured(socket, Channel::new(ends.server), false);
        let mut sent = 0;
        while !stream.has_unsent() {
            let write = poll_fn(|context| stream.poll_write(context, &[7; 10_000]));
            sent += write.await.unwrap();
        }
        leg.stage = Stage::Open(stream, failure);
        let peer = Stream::secured(Arc::new(peer), Channel::new(ends.client), false);
        (leg, peer, sent)
    }

    /// Reads to the end: how many bytes, and what the end was.
    async fn read_all(peer: &Stream) -> (usize, io::Result<()>) {
        let (mut buffer, mut read) = (vec![0; 64 * 1024], 0);
        loop {
            match poll_fn(|context| peer.poll_read(context, &mut buffer)).await {
                Ok(0) => return (read, Ok(())),
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (read, Err(error)),
            }
        }
    }

    #[tokio::test]
    async fn an_end_is_announced_that_the_socket_takes_later() {
        let (mut leg, peer, sent) = stuffed().await;
        let mut fading = leg.end(End::Fin, clock::instant()).unwrap();
        let state = poll_fn(|context| Poll::Ready(fading.poll(context))).await;
        assert!(state.is_pending());
        let read = async {
            let read = read_all(&peer).await;
            socket::shut_down(&**peer.socket()).unwrap();
            read
        };
        let ((read, end), ()) = tokio::join!(read, poll_fn(|context| fading.poll(context)));
        end.unwrap();
        assert_eq!(read, sent);
    }

    #[tokio::test]
    async fn an_end_that_the_socket_does_not_take_in_time_is_a_cut_and_no_reset() {
        let (mut leg, peer, _) = stuffed().await;
        drop(leg.end(End::Fin, clock::instant()).unwrap());
        let (read, end) = read_all(&peer).await;
        assert!(read > 0);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_connection_that_is_there_has_the_keepalive_that_it_is_given() {
        let (leg, _peer) = opened().await;
        let socket = SockRef::from(leg.socket().unwrap());
        assert!(!socket.keepalive().unwrap());
        leg.follow_keepalive(Duration::from_mins(1));
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
        DataLeg::new(false).follow_keepalive(Duration::from_mins(1));
    }

    #[tokio::test]
    async fn a_drop_is_a_reset() {
        let (leg, mut peer) = opened().await;
        drop(leg);
        let error = peer.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_reset_of_the_peer_is_told_and_a_fin_is_not() {
        let (mut leg, mut peer) = opened().await;
        peer.shutdown().await.unwrap();
        leg.stream().unwrap().socket().readable().await.unwrap();
        let state = poll_fn(|context| Poll::Ready(leg.poll(false, context))).await;
        assert!(state.is_pending());
        socket::arm_reset(&peer).unwrap();
        drop(peer);
        let event = poll_fn(|context| leg.poll(false, context)).await;
        assert_eq!(event, DataEvent::Reset);
        assert!(leg.stream().is_none());
    }

    #[tokio::test]
    async fn one_connection_is_accepted_and_no_second() {
        let mut leg = DataLeg::new(false);
        let (offer, address) = offer();
        leg.offer(offer);
        let _peer = connect(address, None).await.unwrap();
        poll_fn(|context| leg.poll(false, context)).await;
        let error = connect(address, None).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_name_without_an_address_fails_the_offer() {
        let mut leg = DataLeg::new(false);
        let (first, address) = offer();
        leg.offer_named(
            first,
            Box::pin(async { Some("203.0.113.7".parse().unwrap()) }),
        );
        let event = poll_fn(|context| leg.poll(false, context)).await;
        let advertised = SocketAddr::new("203.0.113.7".parse().unwrap(), address.port());
        assert_eq!(event, DataEvent::OfferReady(advertised));
        let (second, address) = offer();
        leg.offer_named(second, Box::pin(async { None }));
        let event = poll_fn(|context| leg.poll(false, context)).await;
        assert_eq!(event, DataEvent::OfferFailed);
        assert!(connect(address, None).await.is_err());
    }

    #[tokio::test]
    async fn a_failed_dial_is_told() {
        let mut leg = DataLeg::new(false);
        leg.dial(Box::pin(async {
            Err(io::ErrorKind::ConnectionRefused.into())
        }));
        let event = poll_fn(|context| leg.poll(false, context)).await;
        assert_eq!(event, DataEvent::DialFailed);
    }
}
