//! A client's TLS: one authority for all runs, and a connection in clear or under it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::Authority;

/// The authority, and the keys of a listener that shows a certificate of its.
static AUTHORITY: LazyLock<(Authority, String)> = LazyLock::new(|| {
    let authority = Authority::new();
    let listener = authority.listener("require = \"no\"");
    (authority, listener)
});

/// The keys of a listener that clients may turn to TLS.
pub(crate) fn listener() -> &'static str {
    &AUTHORITY.1
}

/// How a client does its TLS: each resumes what it had itself.
#[derive(Clone)]
pub(crate) struct Security(Arc<ClientConfig>);

impl Security {
    /// Of either version.
    pub(crate) fn new(is_old: bool) -> Self {
        let version = if is_old {
            &rustls::version::TLS12
        } else {
            &rustls::version::TLS13
        };
        Self(Arc::new(AUTHORITY.0.client(&[version])))
    }

    /// Turns a connection to TLS.
    pub(crate) async fn turn(&self, stream: TcpStream) -> io::Result<Wire> {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::clone(&self.0));
        let stream = connector.connect(name, stream).await?;
        Ok(Wire::Secured(Box::new(stream)))
    }
}

/// A connection.
pub(crate) enum Wire {
    /// In clear.
    Clear(TcpStream),
    /// Under TLS.
    Secured(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// The connection below.
    pub(crate) fn into_socket(self) -> TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Secured(stream) => stream.into_inner().0,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secured(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secured(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(context),
            Self::Secured(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secured(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
