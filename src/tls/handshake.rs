//! One TLS handshake over a socket, as the TLS server of a client or the TLS client of a server.
//!
//! Owns which configuration it takes and what must have come of it. Must not know what the
//! channel is for, beyond whether it is a data connection.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ClientConnection, HandshakeKind, ServerConnection};
use tokio::net::TcpStream;

use super::channel::{Channel, Failure};
use super::client::ClientSession;
use super::fault::HandshakeFault;
use super::server::{ServerSession, UNRECOGNIZED_NAME};

/// A handshake that is under way, or waits for the peer's first byte.
pub struct Handshake {
    /// How far it has come.
    stage: Stage,
    /// Whether it is a data connection's that must resume.
    must_resume: bool,
}

/// How far a handshake has come.
enum Stage {
    /// The client's hello has not come.
    Awaiting {
        /// Its session.
        session: Arc<ServerSession>,
        /// None: a control connection. Else whether it gets tickets.
        tickets: Option<bool>,
    },
    /// The configuration does not make a connection.
    Failed,
    /// It is under way.
    Running(Box<Channel>),
}

impl Handshake {
    /// Of a client's control connection.
    pub const fn of_client(session: Arc<ServerSession>) -> Self {
        Self {
            stage: Stage::Awaiting {
                session,
                tickets: None,
            },
            must_resume: false,
        }
    }

    /// Of a client's data connection. One whose bytes go to us gets no tickets: a client that
    /// only writes would close with them unread, and reset what it sent.
    pub fn of_client_data(session: Arc<ServerSession>, tickets: bool) -> Self {
        Self {
            must_resume: session.requires_reuse(),
            stage: Stage::Awaiting {
                session,
                tickets: Some(tickets),
            },
        }
    }

    /// Of the server's control or data connection.
    pub fn of_server(session: &ClientSession, is_data: bool) -> Self {
        let connection = ClientConnection::new(session.config(), session.server_name());
        Self {
            must_resume: is_data && session.requires_reuse(),
            stage: connection.map_or(Stage::Failed, |connection| {
                Stage::Running(Box::new(Channel::new(connection)))
            }),
        }
    }

    /// It is known which way bytes will go, if the hello has not come yet.
    pub fn set_tickets(&mut self, given: bool) {
        if let Stage::Awaiting {
            tickets: Some(tickets),
            ..
        } = &mut self.stage
        {
            *tickets = given;
        }
    }

    /// Moves it on; ready when it is over. Not to be polled after that.
    pub fn poll(
        &mut self,
        socket: &TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<Result<Box<Channel>, HandshakeFault>> {
        loop {
            match &mut self.stage {
                Stage::Awaiting { session, tickets } => {
                    if ready!(socket.poll_read_ready(context)).is_err() {
                        return Poll::Ready(Err(HandshakeFault::Closed));
                    }
                    let config =
                        tickets.map_or_else(|| session.control(), |given| session.data(given));
                    self.stage = ServerConnection::new(config)
                        .map_or(Stage::Failed, |connection| {
                            Stage::Running(Box::new(Channel::new(connection)))
                        });
                }
                Stage::Failed => return Poll::Ready(Err(HandshakeFault::Other)),
                Stage::Running(channel) => {
                    match channel.handshake(|raw| socket.try_read(raw), |raw| socket.try_write(raw))
                    {
                        Ok(true) => break,
                        Ok(false) => {
                            if channel.has_unsent() {
                                if ready!(socket.poll_write_ready(context)).is_err() {
                                    return Poll::Ready(Err(HandshakeFault::Closed));
                                }
                            } else if ready!(socket.poll_read_ready(context)).is_err() {
                                return Poll::Ready(Err(HandshakeFault::Closed));
                            }
                        }
                        Err(failure) => {
                            let fault = fault(&failure);
                            refuse(channel, socket, fault);
                            return Poll::Ready(Err(fault));
                        }
                    }
                }
            }
        }
        let Stage::Running(channel) = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return Poll::Ready(Err(HandshakeFault::Other));
        };
        let resumed = channel.connection().handshake_kind() == Some(HandshakeKind::Resumed);
        Poll::Ready(if self.must_resume && !resumed {
            Err(HandshakeFault::NotResumed)
        } else {
            Ok(channel)
        })
    }
}

/// Tells the peer why its handshake failed, if the socket takes it at once.
fn refuse(channel: &mut Channel, socket: &TcpStream, fault: HandshakeFault) {
    match fault {
        // RFC 6066 §3 has an alert of its own for it, which rustls does not send.
        HandshakeFault::Name => {
            socket.try_write(&UNRECOGNIZED_NAME).ok();
        }
        // What does not speak TLS has no use for an alert.
        HandshakeFault::Plaintext => {}
        _ => {
            channel.flush(|raw| socket.try_write(raw)).ok();
        }
    }
}

/// A failure by its reason.
fn fault(failure: &Failure) -> HandshakeFault {
    match failure {
        Failure::Io(error) if error.kind() == io::ErrorKind::Interrupted => HandshakeFault::Other,
        Failure::Io(_) => HandshakeFault::Closed,
        Failure::Plaintext => HandshakeFault::Plaintext,
        Failure::Tls(error) => HandshakeFault::from(error),
    }
}
