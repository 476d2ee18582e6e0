//! What a session wants done, done.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{Driver, FADING, Running};
use crate::ftp::address::Family;
use crate::gateway::leg::{ControlLeg, later};
use crate::gateway::offer::{self, Expected, Offer};
use crate::gateway::upstreams;
use crate::relay::{Ending, Relay};
use crate::session::event::EndReason;
use crate::session::{Action, Direction, End, Fact, Leg, LoginOutcome, OwnCommand, RelayEnd, Told};
use crate::settings::Advertised;
use crate::sys::socket;
use crate::tls::handshake::Handshake;
use crate::upstream;

/// How long the end of a data connection waits for what precedes it on the control connection.
const HELD_END: Duration = Duration::from_secs(10);

impl Driver {
    /// Does one thing.
    pub(super) fn act(&mut self, action: Action) {
        let now = self.clock.instant();
        match action {
            Action::Ask(command) => self.ask(command),
            Action::AwaitServerEnd => self.legs.server.await_end(now),
            Action::Close(leg, end) => self.close(leg, end, now),
            Action::Connect => self.connect(now),
            Action::Dial { leg, address } => self.dial(leg, address, now),
            Action::DiscardData(leg) => self.data.of_mut(leg).discard(),
            Action::EndData { leg, end } => self.end_data(leg, end, now),
            Action::Forward(permit) => self.legs.server.queue(permit.into_line()),
            Action::Measure => {
                let running = self.relay.as_mut();
                let held_back = running
                    .is_some_and(|running| running.relay.push() || running.relay.is_held_back());
                let bytes = self.measure();
                self.told.push_back(Told::Measured { bytes, held_back });
            }
            Action::Note(fact) => self.note(fact, now),
            Action::Offer { leg, family } => self.offer(leg, family, now),
            Action::Relay(direction) => self.relay(direction),
            Action::Reply(bytes) => self.legs.client.queue(bytes),
            Action::SecureData { leg, direction } => self.secure_data(leg, direction),
            Action::StartTls(leg) => self.start_tls(leg),
        }
    }

    /// Writes one of the gateway's own commands; ABOR as RFC 959 §4.1.3 has it.
    fn ask(&mut self, command: OwnCommand) {
        let server = &mut self.legs.server;
        if let Some([in_band @ .., urgent, mark]) = command.urgent() {
            server.queue(Bytes::from_static(in_band));
            server.queue_urgent(*urgent);
            server.queue(Bytes::copy_from_slice(&[*mark]));
        }
        server.queue(command.line());
    }

    /// Turns a control connection to TLS, with a session of its own that its data connections
    /// may resume and nobody else's.
    fn start_tls(&mut self, leg: Leg) {
        let handshake = match leg {
            Leg::Client => self.route.acceptor.as_ref().map(|acceptor| {
                let session = Arc::new(acceptor.session());
                self.client_tls = Some(Arc::clone(&session));
                Handshake::of_client(session)
            }),
            Leg::Server => self.route.connector.as_ref().map(|connector| {
                let session = Arc::new(match &self.server_tls {
                    Some(refused) => connector.session_after(refused),
                    None => connector.session(),
                });
                let handshake = Handshake::of_server(&session, false);
                self.server_tls = Some(session);
                handshake
            }),
        };
        match handshake {
            Some(handshake) => self.legs.of_mut(leg).secure(handshake),
            None => self.told.push_back(Told::Unsecured(leg)),
        }
    }

    /// Turns a data connection to TLS, or lets its handshake know which way bytes go.
    fn secure_data(&mut self, leg: Leg, direction: Option<Direction>) {
        let tickets = direction.map(|direction| direction != Direction::Upload);
        match (leg, &self.client_tls, &self.server_tls) {
            (Leg::Client, Some(session), _) => self.data.client.secure(tickets, || {
                Handshake::of_client_data(Arc::clone(session), tickets)
            }),
            (Leg::Server, _, Some(session)) => self
                .data
                .server
                .secure(tickets, || Handshake::of_server(session, true)),
            (Leg::Client, None, _) | (Leg::Server, _, None) => {
                self.told.push_back(Told::DataUnsecured(leg));
            }
        }
    }

    /// Closes a control connection.
    fn close(&mut self, leg: Leg, end: End, now: Instant) {
        if leg == Leg::Server {
            self.connecting = None;
        }
        self.legs.of_mut(leg).close(end, now);
    }

    /// Begins to dial the upstream. A connection whose TLS was refused is given up for it.
    fn connect(&mut self, now: Instant) {
        self.legs.server = ControlLeg::of_server();
        self.dialled_at = Some(now);
        let (shared, upstream) = (Arc::clone(&self.shared), Arc::clone(&self.route.upstream));
        self.connecting = Some(Box::pin(upstreams::dial(shared, upstream, now)));
    }

    /// How many bytes of the transfer the relay has moved so far, or did.
    fn measure(&self) -> u64 {
        let running = self.relay.as_ref();
        running.map_or(self.moved, |running| running.relay.moved())
    }

    /// Hands a fact to telemetry.
    fn note(&mut self, mut fact: Fact, now: Instant) {
        if let Fact::TransferEnded { bytes, .. } = &mut fact {
            // A session that ends a running transfer knows what it was told last.
            *bytes = self.measure();
        }
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        if matches!(fact, Fact::Greeted)
            && let Some(since) = self.dialled_at.take()
        {
            recorder.greeted(now.saturating_duration_since(since));
        }
        let failed = matches!(
            fact,
            Fact::Login {
                outcome: LoginOutcome::Denied | LoginOutcome::Failure,
                ..
            }
        );
        recorder.note(&fact);
        if matches!(fact, Fact::TransferBegan { .. }) {
            self.moved = 0;
        }
        self.session.recycle(fact);
        if failed && self.session.user().is_none() {
            self.count_failed_login(now);
        }
    }

    /// Counts a failed login for the client's address: its refusal takes the longer, or the client
    /// is banned. Who is logged in already guesses nothing.
    fn count_failed_login(&mut self, now: Instant) {
        let Some(client) = self.session.peer(Leg::Client).map(|peer| peer.ip()) else {
            return;
        };
        let limits = &self.plan.settings.limits;
        let failed = self.shared.guard.failed_login(client, limits, now);
        if failed.is_new {
            let listener = &self.route.listener.name;
            let telemetry = &self.shared.telemetry;
            telemetry.banned(listener, client, failed.count, limits.ban_time);
        }
        self.told.push_back(if failed.banned {
            Told::End(EndReason::Banned)
        } else {
            Told::FailedLogins {
                count: failed.count,
            }
        });
    }

    /// Listens for a data connection.
    fn offer(&mut self, leg: Leg, family: Family, now: Instant) {
        self.forget_data(leg, now);
        if self.try_offer(leg, family).is_none() {
            self.told.push_back(Told::OfferFailed(leg));
        }
    }

    /// The same; None where no listener can be had.
    fn try_offer(&mut self, leg: Leg, family: Family) -> Option<()> {
        let local = self.local(leg)?;
        if Family::of(local.ip()) != family {
            return None;
        }
        let peer = self.session.peer(leg)?.ip();
        let (ports, peers, balancers) = match leg {
            // A balancer may bring data connections as well: it says for whom.
            Leg::Client => {
                let balancers = self.route.listener.accept_proxy_from.clone();
                (&self.route.passive, vec![peer], balancers)
            }
            Leg::Server => {
                let further = self.route.upstream.data_addresses.iter();
                let further = further.map(IpAddr::to_canonical);
                let peers = std::iter::once(peer).chain(further).collect();
                (&self.route.active, peers, Vec::new())
            }
        };
        let expected = Expected {
            peers,
            balancers,
            within: self.plan.settings.session_limits.tls_handshake_timeout,
        };
        // Behind a balancer a client may be of another family than the connection is.
        let peer_family = Family::of(peer);
        let advertised = match leg {
            Leg::Client => offer::choose(&self.route.listener.passive_address, peer),
            Leg::Server => &Advertised::Local,
        };
        let mut at = local;
        if self.is_brought && *advertised != Advertised::Local {
            // Clients come straight to what is advertised, and the balancer to what it has dialled: who
            // they are is what counts.
            at = everywhere(family);
        }
        let offer = Offer::open(ports, at, expected).ok()?;
        let bound = offer.address();
        let data = self.data.of_mut(leg);
        let address = match advertised {
            Advertised::Name(name) if self.session.tells_address() => {
                let names = Arc::clone(&self.shared.advertised_names);
                let look_up = offer::look_up(names, Arc::clone(name), peer_family);
                data.offer_named(offer, Box::pin(look_up));
                return Some(());
            }
            // 229 has no address: one of the other family does no harm there.
            Advertised::Address(address) if Family::of(*address) == peer_family => *address,
            Advertised::Address(_) | Advertised::Local | Advertised::Name(_) => local.ip(),
        };
        data.offer(offer);
        let address = SocketAddr::new(address, bound.port());
        self.told.push_back(Told::OfferReady { leg, address });
        Some(())
    }

    /// Dials a data connection, from the gateway's own address on that leg; a client that a balancer has
    /// brought, from whichever leads to it.
    fn dial(&mut self, leg: Leg, mut address: SocketAddr, now: Instant) {
        self.forget_data(leg, now);
        let upstream = &self.route.upstream;
        let chosen = match leg {
            Leg::Client => None,
            Leg::Server => upstream.source_address,
        };
        let is_brought = leg == Leg::Client && self.is_brought;
        let source = chosen
            .map(|address| SocketAddr::new(address, 0))
            .or_else(|| self.local(leg).filter(|_| !is_brought))
            .filter(|source| source.is_ipv4() == address.is_ipv4())
            .map(without_port);
        if let (SocketAddr::V6(target), Some(SocketAddr::V6(peer))) =
            (&mut address, self.session.peer(leg))
            && target.ip() == peer.ip()
        {
            // A link-local address means nothing without the link.
            target.set_scope_id(peer.scope_id());
        }
        let limit = upstream.connect_timeout;
        let connect = upstream::connect_data(address, source);
        self.data.of_mut(leg).dial(match leg {
            // The session has its own deadline for that.
            Leg::Client => Box::pin(connect),
            Leg::Server => Box::pin(async move { timeout(limit, connect).await? }),
        });
    }

    /// Begins to relay between the two data connections.
    fn relay(&mut self, direction: Direction) {
        let source = self.data.of(direction.source()).stream();
        let sink = self.data.of(direction.sink()).stream();
        let (Some(source), Some(sink), Some(recorder)) = (source, sink, &self.recorder) else {
            let end = if source.is_none() {
                RelayEnd::SourceBroke
            } else {
                RelayEnd::SinkBroke
            };
            self.moved = 0;
            self.relayed = Some((0, end));
            return;
        };
        let session = self
            .bandwidth
            .cap(self.plan.settings.limits.session_bandwidth);
        let relay = Relay::new(
            source.clone(),
            sink.clone(),
            Arc::clone(&self.shared.pool),
            recorder.transfer_bytes(),
        )
        .throttled(self.route.bandwidth.throttle(
            self.session.user(),
            self.route.upstream.system,
            session,
        ));
        self.relay = Some(Box::new(Running { relay, direction }));
    }

    /// Ends the data connection of a leg, and the relay with it. The end of the server's waits
    /// until all that was written before it on the control connection is out: an ABOR must not
    /// be overtaken by the end of the upload that it breaks off.
    fn end_data(&mut self, leg: Leg, mut end: End, now: Instant) {
        if let Some(running) = &self.relay
            && leg == running.direction.sink()
            && running.relay.holds_bytes()
        {
            // Bytes that were taken and not given on cannot end in order.
            end = End::Reset;
        }
        self.cut_relay();
        if leg == Leg::Server {
            self.legs.server.flush(now);
            if self.legs.server.queued() > 0 {
                self.held_end = Some((end, later(now, HELD_END)));
                return;
            }
        }
        self.finish_data(leg, end, now);
    }

    /// Cuts the relay, if one runs or its end is still to be told.
    fn cut_relay(&mut self) {
        if let Some(running) = self.relay.take() {
            self.moved = running.relay.moved();
            self.relayed = Some((self.moved, RelayEnd::Cut));
        } else if let Some((_, end @ RelayEnd::Source)) = &mut self.relayed {
            *end = RelayEnd::Cut;
        }
    }

    /// Ends the data connection of a leg now.
    fn finish_data(&mut self, leg: Leg, end: End, now: Instant) {
        if let Some(fading) = self.data.of_mut(leg).end(end, now) {
            if self.fading.len() >= FADING {
                self.fading.remove(0);
            }
            self.fading.push(fading);
        }
    }

    /// Makes room for the next data connection of a leg.
    fn forget_data(&mut self, leg: Leg, now: Instant) {
        self.cut_relay();
        let held = if leg == Leg::Server {
            self.held_end.take()
        } else {
            None
        };
        let end = held.map_or(End::Reset, |(end, _)| end);
        self.finish_data(leg, end, now);
    }

    /// Ends the server's data connection if what precedes that is out, or its time is.
    pub(super) fn release_held_end(&mut self, now: Instant) {
        if let Some((end, until)) = self.held_end
            && (self.legs.server.queued() == 0 || until <= now)
        {
            self.held_end = None;
            self.finish_data(Leg::Server, end, now);
        }
    }

    /// Whether the data connection that bytes go to in `direction` is broken, told of or not.
    fn is_sink_broken(&self, direction: Direction) -> bool {
        let sink = self.data.of(direction.sink()).socket();
        sink.is_some_and(socket::is_broken)
    }

    /// The relay is over; the session is told after what it is fed first. A data connection that
    /// broke is of no use any more.
    pub(super) fn relay_over(&mut self, ending: Ending) {
        let Some(running) = self.relay.take() else {
            return;
        };
        let (end, broken) = match ending {
            // Bytes that it had may not have arrived.
            Ending::Source if self.is_sink_broken(running.direction) => {
                (RelayEnd::SinkBroke, Some(running.direction.sink()))
            }
            Ending::Source => (RelayEnd::Source, None),
            Ending::SinkBroke => (RelayEnd::SinkBroke, Some(running.direction.sink())),
            Ending::SourceBroke => (RelayEnd::SourceBroke, Some(running.direction.source())),
        };
        self.moved = running.relay.moved();
        self.relayed = Some((self.moved, end));
        if let Some(leg) = broken {
            let now = self.clock.instant();
            self.data.of_mut(leg).end(End::Reset, now);
        }
    }
}

/// The same address, any port.
const fn without_port(mut address: SocketAddr) -> SocketAddr {
    address.set_port(0);
    address
}

/// All addresses of a family, any port.
const fn everywhere(family: Family) -> SocketAddr {
    let address = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(address, 0)
}
