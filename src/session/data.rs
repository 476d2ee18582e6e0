//! The two data connections before and between transfers: what is offered, dialled and there.
//!
//! A server's words open no connection elsewhere, and neither do a client's (law L5).

use std::net::SocketAddr;

use super::deadline::Timer;
use super::{Action, Channel, DataForm, DataOutcome, End, Fact, Leg, Session};

mod setup;

pub(super) use setup::Setup;

/// How far the data connection of one leg has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Endpoint {
    /// It is there.
    Connected,
    /// It is being dialled.
    Dialling,
    /// It could not be had, or was reset.
    Failed,
    /// The peer is to dial it.
    Listening,
    /// There is none.
    None,
    /// It is there, and turning to TLS.
    Securing,
    /// It is to be dialled there.
    Target(SocketAddr),
}

/// The data connection of one leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataLeg {
    /// How it is made.
    pub(super) form: DataForm,
    /// How far it has come.
    pub(super) endpoint: Endpoint,
}

impl DataLeg {
    /// None yet.
    const NONE: Self = Self {
        form: DataForm::Pasv,
        endpoint: Endpoint::None,
    };
}

/// Both data connections, and what is known of the server's abilities.
#[derive(Debug)]
pub(super) struct DataPair {
    /// The client's.
    pub(super) client: DataLeg,
    /// The server's.
    pub(super) server: DataLeg,
    /// An unexpected peer has dialled the listener that is for the server, and was reset: it may have been
    /// the server, from another address.
    pub(super) turned_away: bool,
    /// For which leg a listener was asked for that the shell has not told of yet.
    offering: Option<Leg>,
    /// The gateway's address that the client dialled.
    pub(super) local: SocketAddr,
    /// The server has refused EPSV as unknown.
    lacks_epsv: bool,
    /// The server has refused EPRT as unknown.
    lacks_eprt: bool,
}

impl DataPair {
    /// None yet; the client dialled `local`.
    pub(super) const fn new(local: SocketAddr) -> Self {
        Self {
            client: DataLeg::NONE,
            server: DataLeg::NONE,
            turned_away: false,
            offering: None,
            local,
            lacks_epsv: false,
            lacks_eprt: false,
        }
    }

    /// The data connection of `leg`.
    pub(super) const fn leg(&self, leg: Leg) -> &DataLeg {
        match leg {
            Leg::Client => &self.client,
            Leg::Server => &self.server,
        }
    }

    /// The same, to be changed.
    const fn leg_mut(&mut self, leg: Leg) -> &mut DataLeg {
        match leg {
            Leg::Client => &mut self.client,
            Leg::Server => &mut self.server,
        }
    }

    /// Whether the shell holds anything for `leg`.
    pub(super) fn is_open(&self, leg: Leg) -> bool {
        !matches!(self.leg(leg).endpoint, Endpoint::None | Endpoint::Target(_))
    }

    /// The shell holds nothing for `leg` any more.
    pub(super) const fn forget(&mut self, leg: Leg) {
        self.leg_mut(leg).endpoint = Endpoint::None;
    }

    /// Whether a transfer verb may be forwarded.
    pub(super) const fn is_prepared(&self) -> bool {
        !matches!(self.client.endpoint, Endpoint::None | Endpoint::Failed)
            && !matches!(self.server.endpoint, Endpoint::None)
    }
}

impl Session {
    /// Bounds how long nobody may dial what is listened on, or use what is there.
    pub(super) fn watch_offers(&mut self) {
        let timeout = self.limits.data_connect_timeout;
        self.deadlines
            .arm(Timer::DataConnect, self.now.elapsed, timeout);
    }

    /// Bounds how long both data connections of a transfer may take. Before its preliminary reply a server
    /// may have a file fetched from tape; a client in active mode is not dialled then, and a server may not
    /// dial either: where nobody else is to come, its reply is all that is waited for.
    pub(super) fn watch_connections(&mut self) {
        let Some(transfer) = self.transfer.as_deref() else {
            return;
        };
        let is_servers_turn = match self.data.client.endpoint {
            Endpoint::Target(_) => true,
            Endpoint::Connected => self.data.server.endpoint == Endpoint::Listening,
            Endpoint::Dialling
            | Endpoint::Failed
            | Endpoint::Listening
            | Endpoint::None
            | Endpoint::Securing => false,
        };
        if is_servers_turn && !transfer.is_promised() {
            self.deadlines.disarm(Timer::DataConnect);
        } else if transfer.lacks_connection() {
            let timeout = self.limits.data_connect_timeout;
            self.deadlines
                .arm_once(Timer::DataConnect, self.now.elapsed, timeout);
        }
    }

    /// A data connection is there.
    pub(super) fn data_opened(&mut self, leg: Leg) {
        let expected = match self.data.leg(leg).endpoint {
            Endpoint::Dialling | Endpoint::Listening => true,
            Endpoint::Connected
            | Endpoint::Failed
            | Endpoint::None
            | Endpoint::Securing
            | Endpoint::Target(_) => false,
        };
        if !expected {
            self.push(Action::EndData {
                leg,
                end: End::Reset,
            });
            return;
        }
        self.note_data(leg, DataOutcome::Opened);
        if self.protection.is_data_private(leg) {
            self.data.leg_mut(leg).endpoint = Endpoint::Securing;
            self.push_secure_data(leg);
        } else {
            self.data.leg_mut(leg).endpoint = Endpoint::Connected;
        }
        if leg == Leg::Client {
            // The server is to see what a direct client would show it, and some wait only two
            // seconds after their 229.
            self.dial_server();
            self.rest_from_offer();
        }
        self.watch_connections();
        self.settle();
    }

    /// Stops the timer of an offer that was taken, until the transfer verb comes.
    fn rest_from_offer(&mut self) {
        if self.transfer.is_none()
            && self.data.client.endpoint == Endpoint::Connected
            && self.data.server.endpoint != Endpoint::Listening
        {
            self.deadlines.disarm(Timer::DataConnect);
        }
    }

    /// Turns a data connection to TLS.
    fn push_secure_data(&mut self, leg: Leg) {
        let direction = self.transfer.as_ref().map(|transfer| transfer.direction());
        self.push(Action::SecureData { leg, direction });
    }

    /// The transfer verb is there: the client's data connection learns which way bytes will go.
    pub(super) fn direct_handshake(&mut self) {
        if self.data.client.endpoint == Endpoint::Securing {
            self.push_secure_data(Leg::Client);
        }
    }

    /// A data connection is under TLS.
    pub(super) fn data_secured(&mut self, leg: Leg) {
        if self.data.leg(leg).endpoint != Endpoint::Securing {
            return;
        }
        self.data.leg_mut(leg).endpoint = Endpoint::Connected;
        self.rest_from_offer();
        self.watch_connections();
        self.settle();
    }

    /// The handshake of a data connection failed (RFC 4217 §10.2).
    pub(super) fn data_unsecured(&mut self, leg: Leg) {
        if self.data.leg(leg).endpoint != Endpoint::Securing {
            return;
        }
        self.data.leg_mut(leg).endpoint = Endpoint::Failed;
        self.note_data(leg, DataOutcome::Failed);
        if self.transfer.is_some() {
            self.cut_unprotected(leg);
        } else {
            self.drop_data(End::Reset);
        }
        self.settle();
    }

    /// Dials the server's data connection if it is to be dialled.
    pub(super) fn dial_server(&mut self) {
        self.dial(Leg::Server);
    }

    /// Dials the data connection of `leg` if it is to be dialled.
    pub(super) fn dial(&mut self, leg: Leg) {
        if let Endpoint::Target(address) = self.data.leg(leg).endpoint {
            self.data.leg_mut(leg).endpoint = Endpoint::Dialling;
            self.push(Action::Dial { leg, address });
        }
    }

    /// A data connection could not be dialled. Towards the server that is no error until its
    /// reply says so: it may be about to refuse the transfer.
    pub(super) fn data_failed(&mut self, leg: Leg) {
        if self.data.leg(leg).endpoint != Endpoint::Dialling {
            return;
        }
        self.data.leg_mut(leg).endpoint = Endpoint::Failed;
        self.note_data(leg, DataOutcome::Failed);
        if leg == Leg::Client {
            self.cut_for_no_connection();
        }
        self.settle();
    }

    /// For want of descriptors nothing could be accepted. The server's connection, with all that it has sent,
    /// may wait at the listener: it counts as failed, and not as one that never came.
    pub(super) fn offer_starved(&mut self) {
        if self.data.server.endpoint != Endpoint::Listening {
            return;
        }
        self.note_data(Leg::Server, DataOutcome::Failed);
        if self.transfer.is_none() {
            self.drop_data(End::Reset);
            return;
        }
        self.data.server.endpoint = Endpoint::Failed;
        self.settle();
    }

    /// Somebody else dialled what is listened on for `leg` and was reset. It may have been the server
    /// with another address, which has sent all of a file to where nobody read it.
    pub(super) fn stranger_refused(&mut self, leg: Leg) {
        self.data.turned_away |= leg == Leg::Server;
        self.note_data(leg, DataOutcome::Stranger);
    }

    /// A data connection was reset before anything was relayed: the other side is shown the same.
    pub(super) fn data_reset(&mut self, leg: Leg) {
        if !matches!(
            self.data.leg(leg).endpoint,
            Endpoint::Connected | Endpoint::Securing
        ) {
            return;
        }
        if self.transfer.is_none() {
            self.drop_data(End::Reset);
            return;
        }
        self.data.leg_mut(leg).endpoint = Endpoint::Failed;
        self.push(Action::EndData {
            leg,
            end: End::Reset,
        });
        if leg == Leg::Client {
            self.client_data_reset();
        }
        self.settle();
    }

    /// Nobody dialled in time.
    pub(super) fn data_timed_out(&mut self) {
        for leg in [Leg::Client, Leg::Server] {
            let endpoint = self.data.leg(leg).endpoint;
            if endpoint == Endpoint::Securing {
                self.note(Fact::HandshakeTimeout {
                    leg,
                    channel: Channel::Data,
                });
            }
            if matches!(
                endpoint,
                Endpoint::Dialling | Endpoint::Listening | Endpoint::Securing
            ) {
                self.note_data(leg, DataOutcome::Timeout);
            }
        }
        if self.transfer.is_some() {
            self.cut_for_no_connection();
            self.settle();
        } else {
            self.drop_data(End::Reset);
        }
    }

    /// Ends both data connections, whatever their stage.
    pub(super) fn drop_data(&mut self, end: End) {
        self.deadlines.disarm(Timer::DataConnect);
        for leg in [Leg::Client, Leg::Server] {
            if self.data.is_open(leg) {
                self.push(Action::EndData { leg, end });
            }
            self.data.forget(leg);
        }
    }

    /// Lets nothing of a data connection outlive the session, nor a listener that is not there yet.
    pub(super) fn end_data(&mut self) {
        self.drop_data(End::Reset);
        if let Some(leg) = self.data.offering.take() {
            self.push(Action::EndData {
                leg,
                end: End::Reset,
            });
        }
    }

    /// Counts what became of a data connection.
    pub(super) fn note_data(&mut self, leg: Leg, outcome: DataOutcome) {
        let form = self.data.leg(leg).form;
        self.note(Fact::DataConnection { leg, form, outcome });
    }
}
