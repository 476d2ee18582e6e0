//! One end of a control connection that may break at any byte.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::security::{Security, Wire};

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// In order.
    Fin,
    /// Not in order.
    Reset,
}

/// One end of a control connection.
pub(crate) struct Lines {
    /// The connection.
    pub(crate) wire: Wire,
    /// What was read and is no line yet.
    pub(crate) rest: Vec<u8>,
}

impl Lines {
    /// Of a connection.
    pub(crate) fn new(stream: TcpStream) -> Self {
        // One that is gone already is found by a read.
        stream.set_nodelay(true).ok();
        ftpwarden::sys::socket::inline_urgent(&stream).ok();
        Self {
            wire: Wire::Clear(stream),
            rest: Vec::new(),
        }
    }

    /// The same under TLS.
    pub(crate) async fn turned(self, security: &Security) -> io::Result<Self> {
        let wire = security.turn(self.wire.into_socket()).await?;
        Ok(Self {
            wire,
            rest: self.rest,
        })
    }

    /// Sends bytes; those that a broken connection does not take are lost.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.wire.write_all(bytes).await.ok();
        self.wire.flush().await.ok();
    }

    /// The next line without its CR LF. To be dropped at any time without a loss.
    pub(crate) async fn line(&mut self) -> Result<Vec<u8>, Ended> {
        loop {
            if let Some(at) = self.rest.windows(2).position(|pair| pair == b"\r\n") {
                let mut line: Vec<u8> = self.rest.drain(..at + 2).collect();
                line.truncate(at);
                return Ok(line);
            }
            let read = match &mut self.wire {
                // Not the runtime's, which takes a short read for the last one: reads end early
                // before urgent data.
                Wire::Clear(stream) => match stream.readable().await {
                    Ok(()) => stream.try_read_buf(&mut self.rest),
                    Err(error) => Err(error),
                },
                Wire::Secured(stream) => stream.read_buf(&mut self.rest).await,
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(Ended::Reset),
                Ok(0) => return Err(Ended::Fin),
                Ok(_) => {}
            }
        }
    }
}
