//! One TLS handshake over a socket, as the TLS server of a client or the TLS client of a server.
//!
//! Owns which configuration it takes and what must have come of it. Must not know what the
//! channel is for, beyond whether it is a data connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::{ClientConnection, HandshakeKind, ServerConnection};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::channel::{Channel, Failure};
use super::client::ClientSession;
use super::fault::HandshakeFault;
use super::server::{ServerSession, UNRECOGNIZED_NAME};
use super::stream::{receive, send};

/// A handshake that is under way, or waits for the peer's first byte.
pub struct Handshake {
    /// How far it has come.
    stage: Stage,
    /// Whether it is a data connection's that must resume.
    must_resume: bool,
}

/// What a client's connection is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// Control.
    Control,
    /// Data; whether the client gets tickets with it, once that is known.
    Data(Option<bool>),
}

/// How long a hello that comes before its transfer verb waits for it. Most clients that are early
/// send the verb without waiting for the handshake (curl).
const PATIENCE: Duration = Duration::from_secs(1);

/// How far a handshake has come.
enum Stage {
    /// The client's hello has not come.
    Awaiting {
        /// Its session.
        session: Arc<ServerSession>,
        /// What it is for.
        purpose: Purpose,
        /// Runs while the hello is there and it is not known which way bytes will go.
        patience: Option<Pin<Box<Sleep>>>,
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
                purpose: Purpose::Control,
                patience: None,
            },
            must_resume: false,
        }
    }

    /// Of a client's data connection; `tickets` is None while it is not known which way bytes
    /// will go. One whose bytes go to us gets none: a client that only writes would close with
    /// them unread, and reset what it sent.
    pub fn of_client_data(session: Arc<ServerSession>, tickets: Option<bool>) -> Self {
        Self {
            must_resume: session.requires_reuse(),
            stage: Stage::Awaiting {
                session,
                purpose: Purpose::Data(tickets),
                patience: None,
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
    pub const fn set_tickets(&mut self, given: Option<bool>) {
        if let Stage::Awaiting {
            purpose: Purpose::Data(tickets),
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
                Stage::Awaiting {
                    session,
                    purpose,
                    patience,
                } => {
                    // The runtime's word for readiness comes too early for a new socket.
                    let mut first = [0];
                    let peeked = socket.poll_peek(context, &mut ReadBuf::new(&mut first));
                    if !matches!(ready!(peeked), Ok(1..)) {
                        return Poll::Ready(Err(HandshakeFault::Closed));
                    }
                    if matches!(purpose, Purpose::Data(None)) {
                        let sleep = patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
                        ready!(sleep.as_mut().poll(context));
                    }
                    let config = match purpose {
                        Purpose::Control => session.control(),
                        Purpose::Data(tickets) => session.data(tickets.unwrap_or(false)),
                    };
                    self.stage = ServerConnection::new(config)
                        .map_or(Stage::Failed, |connection| {
                            Stage::Running(Box::new(Channel::new(connection)))
                        });
                }
                Stage::Failed => return Poll::Ready(Err(HandshakeFault::Other)),
                Stage::Running(channel) => {
                    match channel.handshake(|raw| receive(socket, raw), |raw| send(socket, raw)) {
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
            channel.flush(|raw| send(socket, raw)).ok();
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
