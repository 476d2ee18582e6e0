//! Whatever happens next, found and fed to the session.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::{Connecting, Driver, UNWRITTEN_BYTES};
use crate::gateway::data::DataEvent;
use crate::gateway::leg::{LegEvent, Read, later};
use crate::gateway::listener::canonical;
use crate::gateway::plan::secret_words;
use crate::gateway::{Orders, Stage, upstreams};
use crate::relay::{Ending, give_way};
use crate::session::event::EndReason;
use crate::session::{Channel, Direction, End, Leg, Secured, TlsOffer, Told};
use crate::settings::Settings;
use crate::sys::socket;
use crate::tls::fault::HandshakeFault;
use crate::tls::peer::{self, Peer};
use crate::upstream::Dialled;

/// How many bytes of a control connection are read at a time. The buffer is on the stack: a
/// session that waits holds none.
const READ_BYTES: usize = 2 * 1024;

/// How much of what the server has said is heard together: a reply that ends within has what was said
/// behind it.
const HEARD_BYTES: usize = 4 * READ_BYTES;

/// How many bytes more are heard, one by one, where that ends with a line, until the next line has
/// begun: a reply that ends there has that behind it.
const BEGINNING_BYTES: usize = 16;

/// How often the server is read before the client's bytes are fed: more than its socket holds
/// unless it never stops talking.
const READS_BEFORE_CLIENT: usize = 512;

/// How many bursts of an upload are moved, each of a MiB or more, once its client's control connection
/// has ended: as much as two sockets hold.
const LATE_BURSTS: usize = 16;

/// How many who have dialled are looked at then, until one of them is the client with its upload.
const LATE_COMERS: usize = 16;

/// A session is quiet in which for this long nobody has said anything and no data connection came.
const QUIET: Duration = Duration::from_secs(1);

/// Where events come from, beside orders, which come first, and the deadline, which comes last.
/// Each has its turn to be looked at first, so that none starves the others.
const SOURCES: [fn(&mut Driver, &mut Context<'_>) -> Poll<()>; 7] = [
    |driver, context| driver.poll_leg(Leg::Client, context),
    |driver, context| driver.poll_leg(Leg::Server, context),
    |driver, context| driver.poll_data(Leg::Client, context),
    |driver, context| driver.poll_data(Leg::Server, context),
    Driver::poll_relay,
    Driver::poll_connect,
    Driver::poll_fading,
];

impl Driver {
    /// Waits for one event and feeds it to the session; ready when something may be to be done.
    /// Before the deadline what has come is looked at: a gateway that stood still finds both at once,
    /// and must not give up what it did not look for. Each source has its turn, and then whoever
    /// never stops has had it.
    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.poll_orders(context).is_ready() {
            return Poll::Ready(());
        }
        let is_hurried = usize::from(self.unhurried) >= SOURCES.len();
        if !is_hurried && self.poll_sources(context).is_ready() {
            self.unhurried = self.unhurried.saturating_add(1);
            return Poll::Ready(());
        }
        self.unhurried = 0;
        if self.poll_alarm(context).is_ready() {
            self.expire(context);
            return Poll::Ready(());
        }
        if is_hurried {
            return self.poll_sources(context);
        }
        Poll::Pending
    }

    /// The next source in turn of which something has come.
    fn poll_sources(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (before, after) = SOURCES.split_at(usize::from(self.turn).min(SOURCES.len()));
        for (turn, source) in (self.turn..).zip(after).chain((0..).zip(before)) {
            if source(self, context).is_ready() {
                self.turn = turn.saturating_add(1);
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// A reload, or the gateway is stopping.
    fn poll_orders(&mut self, context: &Context<'_>) -> Poll<()> {
        let bell = &self.shared.bell;
        self.seat.get_or_insert_with(|| bell.sit(context.waker()));
        if !self.orders.has_changed().unwrap_or_default() {
            return Poll::Pending;
        }
        let Orders { plan, stage } = self.orders.borrow_and_update().clone();
        if !Arc::ptr_eq(&plan, &self.plan) {
            if let Some(judge) = plan.judge_again(&self.route, &mut self.bench) {
                if let Some(recorder) = &mut self.recorder {
                    recorder.judge_changed(&plan.policies);
                }
                self.told.push_back(Told::JudgeChanged(judge));
            }
            self.follow_limits(&plan.settings);
            let secrets = secret_words(&plan.settings);
            if secrets != secret_words(&self.plan.settings) {
                self.told.push_back(Told::SecretsChanged(secrets));
            }
            self.plan = plan;
        }
        self.follow(stage);
        Poll::Ready(())
    }

    /// Bounds change at once (the rest of a session's settings does not).
    fn follow_limits(&mut self, settings: &Settings) {
        let former = &self.plan.settings;
        let limits = &settings.session_limits;
        if former.session_limits != *limits {
            self.told.push_back(Told::LimitsChanged(Arc::clone(limits)));
        }
        let keepalive = settings.limits.keepalive;
        if former.limits.keepalive != keepalive {
            for leg in [Leg::Client, Leg::Server] {
                self.legs.of(leg).follow_keepalive(keepalive);
                self.data.of(leg).follow_keepalive(keepalive);
            }
        }
    }

    /// Passes on that the gateway is stopping.
    pub(super) fn follow(&mut self, stage: Stage) {
        if stage == self.stage {
            return;
        }
        self.stage = stage;
        match stage {
            Stage::Running => {}
            Stage::Draining => self.told.push_back(Told::Drain),
            Stage::Ending => self.told.push_back(Told::End(EndReason::Drain)),
        }
    }

    /// A deadline of the session's or of a connection's end, which has come when it is ready.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let next = self.next_deadline();
        self.alarm.poll(next, &mut self.clock, context)
    }

    /// How long a peer may take nothing of what it is told.
    fn stall_limit(&self) -> Duration {
        self.plan.settings.session_limits.idle_timeout
    }

    /// The next deadline.
    fn next_deadline(&self) -> Option<Instant> {
        let session = self.session.deadline();
        [
            session.and_then(|elapsed| self.clock.at(elapsed)),
            self.legs.client.deadline(self.stall_limit()),
            self.legs.server.deadline(self.stall_limit()),
            self.held_end.map(|(_, until)| until),
            self.quiet_at,
            self.fading.iter().map(|fading| fading.until).min(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    fn expire(&mut self, context: &mut Context<'_>) {
        let now = self.clock.now();
        let instant = self.clock.instant();
        self.fading.retain(|fading| fading.until > instant);
        if self.quiet_at.is_some_and(|at| at <= instant) {
            self.quiet_at = None;
            self.use_quiet(context);
        }
        for leg in [Leg::Client, Leg::Server] {
            let stall_limit = self.stall_limit();
            if let Some(end) = self.legs.of_mut(leg).expire(instant, stall_limit) {
                self.session.ended(leg, end, now);
                return;
            }
        }
        let is_due = self
            .session
            .deadline()
            .is_some_and(|due| due <= now.elapsed);
        if is_due && self.data.server.is_starved() {
            // First of all: the deadline may be the one by which a server has not come.
            self.data.server.end(End::Reset, instant);
            self.told.push_back(Told::OfferStarved);
        } else if is_due {
            self.session.expire(now);
        }
    }

    /// Something has come: what is for quiet times is put off.
    fn put_off_quiet(&mut self) {
        self.quiet_at = Some(later(self.clock.instant(), QUIET));
    }

    /// It is quiet: there is time for what an active session can do without, keepalive above all.
    fn use_quiet(&mut self, context: &mut Context<'_>) {
        let keepalive = self.plan.settings.limits.keepalive;
        self.legs.server.follow_keepalive(keepalive);
        self.data.client.follow_keepalive(keepalive);
        self.data.server.follow_keepalive(keepalive);
        if self.legs.client.may_hide_bytes()
            && let Some(end) = self.read_client_now()
        {
            self.leg_ended(Leg::Client, end, context);
        }
        if self.legs.client.may_hide_bytes() && self.legs.client.is_open() {
            // It may not be read yet.
            self.put_off_quiet();
        }
    }

    /// Whether a leg may be read.
    fn may_read(&self, leg: Leg) -> bool {
        let client_takes = self.legs.client.queued() < UNWRITTEN_BYTES;
        let server_takes = self.legs.server.queued() < UNWRITTEN_BYTES;
        client_takes && (server_takes || leg == Leg::Server) && self.session.reads(leg)
    }

    /// A control connection.
    fn poll_leg(&mut self, leg: Leg, context: &mut Context<'_>) -> Poll<()> {
        let may_read = self.may_read(leg);
        let now = self.clock.instant();
        match ready!(self.legs.of_mut(leg).poll(may_read, now, context)) {
            LegEvent::Progress => {}
            LegEvent::Ended(end) => self.leg_ended(leg, end, context),
            LegEvent::Secured => self.leg_secured(leg),
            LegEvent::Unsecured(fault) => self.leg_unsecured(leg, fault),
            LegEvent::Readable => {
                let is_news = self.legs.of(leg).is_news();
                let mut buffer = [0; READ_BYTES];
                match self.legs.of_mut(leg).read(&mut buffer) {
                    Read::Again => {
                        give_way(context);
                        return Poll::Pending;
                    }
                    // The rest of a record may hide behind urgent data.
                    Read::Nothing if self.legs.of(leg).may_hide_bytes() => self.put_off_quiet(),
                    Read::Nothing => {}
                    Read::Bytes(bytes)
                        if leg == Leg::Server && self.legs.server.may_have_come() =>
                    {
                        let first = buffer.get(..bytes).unwrap_or_default();
                        let heard = self.hear_server_out(first);
                        self.receive(leg, Some(&heard), is_news);
                    }
                    Read::Bytes(bytes) => self.receive(leg, buffer.get(..bytes), is_news),
                    Read::Ended(end) => self.leg_ended(leg, end, context),
                }
            }
        }
        Poll::Ready(())
    }

    /// A control connection is under TLS.
    fn leg_secured(&mut self, leg: Leg) {
        let channel = self.legs.of(leg).channel();
        let Some(peer) = channel.and_then(|channel| peer::of(channel.connection())) else {
            return;
        };
        let secured = Secured {
            version: peer.version,
            subject: peer.subject.clone(),
        };
        if leg == Leg::Server
            && let (Some(connector), Some(session)) = (&self.route.connector, &self.server_tls)
        {
            connector.remember(session);
        }
        self.note_handshake(leg, Channel::Control, Ok(&peer));
        self.told.push_back(Told::Secured { leg, secured });
    }

    /// The handshake of a control connection failed. One who speaks in clear where TLS comes
    /// first is told so.
    fn leg_unsecured(&mut self, leg: Leg, fault: HandshakeFault) {
        let implicit = self.route.profile.client_tls.offer == TlsOffer::Implicit;
        if leg == Leg::Client && implicit && fault == HandshakeFault::Plaintext {
            self.legs
                .client
                .say_in_clear(b"500 This port speaks TLS.\r\n");
        }
        self.note_handshake(leg, Channel::Control, Err(fault));
        let session = self.server_tls.as_ref();
        let may_try_others = session.is_some_and(|session| session.may_try_others(fault));
        self.told
            .push_back(if leg == Leg::Server && may_try_others {
                Told::VersionRefused
            } else {
                Told::Unsecured(leg)
            });
    }

    /// Bytes of a control connection; `is_news` where the runtime has told of their coming.
    fn receive(&mut self, leg: Leg, bytes: Option<&[u8]>, is_news: bool) {
        self.put_off_quiet();
        match leg {
            Leg::Client => self.hear_server_first(is_news),
            Leg::Server => self.see_client_first(),
        }
        let now = self.clock.now();
        if leg == Leg::Client && self.shared.telemetry.refuses_commands() {
            self.session.tell(Told::End(EndReason::Audit), now);
            // What is in work is finished first, and may be broken off by what has come.
            self.session.receive(leg, bytes.unwrap_or_default(), now);
        } else if leg == Leg::Client && self.is_kept_out() {
            self.session.tell(Told::End(EndReason::Banned), now);
        } else {
            self.session.receive(leg, bytes.unwrap_or_default(), now);
        }
    }

    /// Whether the client was banned before it has logged in; who has is not cut off.
    fn is_kept_out(&self) -> bool {
        self.session.user().is_none()
            && self.session.peer(Leg::Client).is_some_and(|client| {
                let guard = &self.shared.guard;
                guard.is_banned(client.ip(), self.clock.instant())
            })
    }

    /// Feeds what the server has said before the client's bytes: it was there before the command that these
    /// become, so it is no reply to it (law L2). The runtime tells of bytes in the order in which they came:
    /// where the client's are new to it, it knows of all of the server's that are older.
    fn hear_server_first(&mut self, is_news: bool) {
        if is_news && !self.legs.server.may_have_come() {
            return;
        }
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_BEFORE_CLIENT {
            if !self.may_read(Leg::Server) || !self.legs.server.is_open() {
                break;
            }
            let (bytes, end) = self.legs.server.read_now(&mut buffer);
            let now = self.clock.now();
            if bytes > 0 {
                self.see_client_first();
                let first = buffer.get(..bytes).unwrap_or_default();
                if bytes < READ_BYTES {
                    self.session.receive(Leg::Server, first, now);
                } else {
                    let heard = self.hear_server_out(first);
                    self.session.receive(Leg::Server, &heard, now);
                }
                self.draw();
            }
            if let Some(end) = end {
                self.session.ended(Leg::Server, end, now);
                self.draw();
            }
            if bytes < READ_BYTES {
                break;
            }
        }
    }

    /// A client that has reset its data connection by now has lost what was passed on to it and not read,
    /// and what the server says next may be that it has it all (law L3). The kernel is asked once in a
    /// transfer: where its bytes are through, before the server's word on it.
    fn see_client_first(&mut self) {
        if self.relay.is_none()
            && self.session.awaits_report()
            && self.data.client.socket().is_some_and(socket::is_broken)
        {
            let now = self.clock.now();
            self.data.client.end(End::Reset, self.clock.instant());
            self.session.tell(Told::DataReset(Leg::Client), now);
            self.draw();
        }
    }

    /// The `first` bytes of the server together with what it has said by now behind them: what nobody has
    /// asked for is no reply to a command that waits for the one before it (law L2).
    fn hear_server_out(&mut self, first: &[u8]) -> Vec<u8> {
        let mut heard = first.to_vec();
        let mut buffer = [0; READ_BYTES];
        loop {
            let room = match heard.len() {
                ..HEARD_BYTES => buffer.as_mut_slice(),
                _ if !heard.ends_with(b"\n") => break,
                _ => buffer.get_mut(..1).unwrap_or_default(),
            };
            let most = room.len();
            let (bytes, end) = self.legs.server.read_now(room);
            heard.extend_from_slice(buffer.get(..bytes).unwrap_or_default());
            if let Some(end) = end {
                // A refusal that is held back is not cut short by it.
                self.legs.server.put_off(end);
            }
            if bytes < most || heard.len() >= HEARD_BYTES + BEGINNING_BYTES {
                break;
            }
        }
        heard
    }

    /// A control connection has ended. The client's is told after the end of an upload whose
    /// data had all come by then: that upload is complete.
    fn leg_ended(&mut self, leg: Leg, end: End, context: &mut Context<'_>) {
        if leg == Leg::Client && end == End::Fin && self.upload_has_come(context) {
            self.client_end = Some(end);
        } else {
            let now = self.clock.now();
            self.session.ended(leg, end, now);
        }
    }

    /// Whether an upload runs, or has just ended, whose end the client has sent.
    fn upload_has_come(&mut self, context: &mut Context<'_>) -> bool {
        let Some(running) = &mut self.relay else {
            // The server's data connection may be late: what the client has sent waits for it.
            return self.session.awaits_upload() && self.client_came_and_ended(context);
        };
        if running.direction != Direction::Upload {
            return false;
        }
        // Bytes and their end may wait in the client's kernel for room in ours, while the end of the
        // control connection has passed them.
        for _ in 0..LATE_BURSTS {
            let moved = running.relay.moved();
            if let Poll::Ready(ending) = running.relay.poll_late(context) {
                self.relay_over(ending);
                return true;
            }
            if running.relay.moved() == moved {
                break;
            }
        }
        // The runtime may not have told of it yet.
        let stream = self.data.client.stream();
        stream.is_some_and(|stream| socket::has_peer_ended(stream.socket()))
    }

    /// Whether the client's data connection is there, let in only now if need be, and has its end already.
    fn client_came_and_ended(&mut self, context: &mut Context<'_>) -> bool {
        for _ in 0..LATE_COMERS {
            if self.data.client.socket().is_some()
                || self.poll_data(Leg::Client, context).is_pending()
            {
                break;
            }
        }
        self.data
            .client
            .socket()
            .is_some_and(socket::has_peer_ended)
    }

    /// The relay.
    fn poll_relay(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(running) = &mut self.relay else {
            return Poll::Pending;
        };
        let ending = ready!(running.relay.poll(context));
        let is_upload = running.direction == Direction::Upload;
        self.relay_over(ending);
        if is_upload && ending == Ending::Source {
            // What the client said before that on its control connection, ABOR above all, comes
            // first (RFC 959 §4.1.3), and the end of the control connection after.
            let end = self.read_client_now();
            // It may have been read before: it is told once.
            self.client_end = self.client_end.or(end);
        }
        Poll::Ready(())
    }

    /// Reads what the client has sent by now, whatever the runtime knows of it; returns its end, if
    /// that has come.
    fn read_client_now(&mut self) -> Option<End> {
        if !self.may_read(Leg::Client) || !self.legs.client.is_open() {
            return None;
        }
        let mut buffer = [0; READ_BYTES];
        let (bytes, end) = self.legs.client.read_now(&mut buffer);
        if bytes > 0 {
            self.receive(Leg::Client, buffer.get(..bytes), false);
        }
        end
    }

    /// A data connection.
    fn poll_data(&mut self, leg: Leg, context: &mut Context<'_>) -> Poll<()> {
        if leg == Leg::Server && self.held_end.is_some() {
            // The session has ended it: nothing is told of it any more.
            return Poll::Pending;
        }
        let relaying = self.relay.is_some();
        let told = match ready!(self.data.of_mut(leg).poll(relaying, context)) {
            DataEvent::Arrived => Told::PeerArrived(leg),
            DataEvent::Dialled => Told::Dialled(leg),
            DataEvent::DialFailed => Told::DialFailed(leg),
            DataEvent::OfferFailed => Told::OfferFailed(leg),
            DataEvent::OfferReady(address) => Told::OfferReady { leg, address },
            DataEvent::Reset => Told::DataReset(leg),
            DataEvent::Secured if !self.is_of_its_peer(leg) => {
                self.data.of_mut(leg).end(End::Reset, self.clock.instant());
                let fault = HandshakeFault::OtherCertificate;
                self.note_handshake(leg, Channel::Data, Err(fault));
                Told::DataUnsecured(leg)
            }
            DataEvent::Secured => {
                self.data_secured(leg);
                Told::DataSecured(leg)
            }
            DataEvent::Unsecured(fault) => {
                self.note_handshake(leg, Channel::Data, Err(fault));
                Told::DataUnsecured(leg)
            }
            DataEvent::Stranger => Told::StrangerRefused(leg),
        };
        self.put_off_quiet();
        self.told.push_back(told);
        Poll::Ready(())
    }

    /// Whether a data connection shows the certificate of its control connection (RFC 4217 §15.1):
    /// another one is as good for the handshake, and is somebody else's.
    fn is_of_its_peer(&self, leg: Leg) -> bool {
        let Some(control) = self.legs.of(leg).channel() else {
            return true;
        };
        let data = self.data.of(leg).stream();
        data.and_then(|data| {
            data.with_connection(|data| peer::shows_the_same(control.connection(), data))
        })
        .unwrap_or(true)
    }

    /// A data connection is under TLS.
    fn data_secured(&mut self, leg: Leg) {
        let peer = self
            .data
            .of(leg)
            .stream()
            .and_then(|stream| stream.with_connection(peer::of)?);
        if let Some(peer) = peer {
            self.note_handshake(leg, Channel::Data, Ok(&peer));
        }
    }

    /// A handshake is over.
    fn note_handshake(
        &mut self,
        leg: Leg,
        channel: Channel,
        result: Result<&Peer, HandshakeFault>,
    ) {
        if let Some(recorder) = &mut self.recorder {
            recorder.handshake(leg, channel, result);
        }
    }

    /// The dial of the upstream.
    fn poll_connect(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(connecting) = &mut self.connecting else {
            return Poll::Pending;
        };
        let dialled = ready!(Connecting::as_mut(connecting).poll(context));
        self.connecting = None;
        upstreams::note_dial(&self.shared, &self.route.upstream, dialled.as_ref().err());
        let told = dialled.map_or(Told::ConnectFailed, |dialled| self.connected(dialled));
        self.told.push_back(told);
        Poll::Ready(())
    }

    /// The upstream is there.
    fn connected(&mut self, dialled: Dialled) -> Told {
        let server = canonical(dialled.server);
        let local = canonical(dialled.local);
        // An option that cannot be set says that the connection is broken: the first read tells.
        socket::send_at_once(&dialled.stream).ok();
        self.legs.server.open(dialled.stream);
        self.server_local = Some(local);
        Told::Connected(server)
    }

    /// Data connections that wait for their peer's end.
    fn poll_fading(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let before = self.fading.len();
        self.fading
            .retain_mut(|fading| fading.poll(context).is_pending());
        if self.fading.len() < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
