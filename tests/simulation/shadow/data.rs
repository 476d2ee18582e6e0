//! Where data connections go (L5), what is relayed over them and how they end (L3).

use std::net::SocketAddr;

use ftpwarden::session::event::RelayEnd;
use ftpwarden::session::{Direction, End, Leg, ServerTls};

use super::{Held, Moving, Shadow, is_upload, side};

impl Shadow {
    /// A data connection was to be dialled.
    pub(super) fn dialled(&mut self, leg: Leg, address: SocketAddr) -> Held {
        let expected = match leg {
            Leg::Client => self.client_target,
            Leg::Server => self.server_target,
        };
        law!(
            Some(address) == expected,
            "L5: the {leg:?}'s data connection goes to {address}, not {expected:?}"
        );
        law!(
            address.port() >= 1024,
            "L5: a data connection goes to port {}",
            address.port()
        );
        Ok(())
    }

    /// A relay began.
    pub(super) fn relayed(&mut self, direction: Direction) -> Held {
        let Some(front) = self.owed.front().filter(|front| front.transfers()) else {
            return Err("L3: a relay begins without a transfer".into());
        };
        let upload = direction == Direction::Upload;
        law!(
            upload == is_upload(front.verb()),
            "L3: {} is relayed as {direction:?}",
            front.verb()
        );
        let [client, server] = &self.data;
        law!(
            client.open && server.open,
            "L3: a relay begins without its connections"
        );
        let private = self.circumstances.private;
        law!(
            client.secured == private,
            "L7: data of the client's goes {} TLS",
            if private { "without" } else { "under" }
        );
        let private = match self.profile.server_tls {
            ServerTls::Explicit | ServerTls::Implicit => true,
            ServerTls::Match => self.circumstances.server_secured && private,
            ServerTls::Off => false,
        };
        law!(
            server.secured == private,
            "L7: data of the server's goes {} TLS",
            if private { "without" } else { "under" }
        );
        law!(self.moving.is_none(), "L3: a second relay of one transfer");
        self.moving = Some(Moving {
            direction,
            moved: 0,
            end: None,
            client_gone: false,
        });
        Ok(())
    }

    /// Whether every byte of the transfer in work arrived, as a witness of everything would say.
    pub(super) fn is_whole(&self, upload: bool) -> bool {
        let [client, server] = &self.data;
        let (source, sink) = if upload {
            (client, server)
        } else {
            (server, client)
        };
        match &self.moving {
            Some(moving) => {
                moving.end == Some(RelayEnd::Source)
                    && moving.moved == source.sent
                    && source.peer_end == Some(End::Fin)
                    && (upload || sink.end == Some(End::Fin))
                    && (!upload || !moving.client_gone)
            }
            None => !upload && server.sent == 0,
        }
    }

    /// The gateway ended a data connection that was there.
    pub(super) fn ended_data(&mut self, leg: Leg, end: End) -> Held {
        let connection = &mut self.data[side(leg)];
        connection.open = false;
        connection.end = Some(end);
        if end == End::Reset {
            return Ok(());
        }
        let refused = self
            .owed
            .front()
            .and_then(|front| front.answer.as_ref())
            .map(|reply| reply.code >= 300);
        let server_lost = self.gone[1].is_some() && refused.is_none();
        let Some(moving) = &self.moving else {
            let pending = self
                .owed
                .front()
                .is_some_and(|front| front.transfers() && front.answer.is_none());
            law!(
                leg == Leg::Client || !pending,
                "L3: an upload that was not relayed ends in order"
            );
            return Ok(());
        };
        if moving.direction.sink() != leg {
            return Ok(());
        }
        let source = &self.data[side(moving.direction.source())];
        let whole = moving.end == Some(RelayEnd::Source) && moving.moved == source.sent;
        if leg == Leg::Client {
            let silent = moving.moved == 0 && refused == Some(true);
            law!(whole || silent, "L3: a download that was cut ends in order");
            law!(
                moving.moved == 0 || refused != Some(true),
                "L3: a download that the server calls broken ends in order"
            );
            law!(
                !server_lost,
                "L3: a download whose control connection was lost ends in order"
            );
        } else {
            law!(
                whole || refused.is_some(),
                "L3: an upload that was cut ends in order"
            );
            law!(
                whole || moving.moved == 0,
                "L3: a part of an upload ends in order"
            );
            law!(
                !moving.client_gone,
                "L3: an upload whose control connection ended first ends in order"
            );
        }
        Ok(())
    }
}
