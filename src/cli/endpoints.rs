//! The socket of the admin endpoints: bound at start, and anew when a reload moves it.
//!
//! Owns which address is served. Must not know what is answered there.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::admin;
use crate::gateway::advice;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// Admin endpoints that are served.
pub(super) struct Endpoints {
    /// Where, as the configuration has it.
    address: SocketAddr,
    /// Where, as the kernel has it: port 0 is any free port.
    pub(super) bound: SocketAddr,
    /// Ends them when it is dropped.
    _end: oneshot::Sender<()>,
}

/// What becomes of the admin endpoints.
pub(super) enum Change {
    /// They are served at this address.
    Begin(StdListener, SocketAddr),
    /// They are served no more.
    End,
    /// They stay as they are.
    Stay,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("[admin] cannot listen on {address}: {source}{}", advice(source))]
pub(super) struct AdminError {
    /// The address.
    address: SocketAddr,
    /// Why.
    source: io::Error,
}

impl Endpoints {
    /// Binds what `settings` want and `present` does not have. Needs no runtime.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(super) fn bind(settings: &Settings, present: Option<&Self>) -> Result<Change, AdminError> {
        let Some(wanted) = &settings.admin else {
            return Ok(Change::End);
        };
        let address = wanted.bind;
        if present.is_some_and(|present| present.address == address) {
            return Ok(Change::Stay);
        }
        let bind = || {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = bind().map_err(|source| AdminError { address, source })?;
        Ok(Change::Begin(listener, address))
    }

    /// Serves them as `change` has it. To be called within a runtime.
    pub(super) fn admit(present: &mut Option<Self>, change: Change, telemetry: &Arc<Telemetry>) {
        match change {
            Change::Stay => {}
            Change::End => *present = None,
            Change::Begin(listener, address) => match TcpListener::from_std(listener) {
                Ok(listener) => *present = Some(Self::serve(listener, address, telemetry)),
                Err(error) => tracing::error!(%error, "the admin endpoints cannot be served"),
            },
        }
    }

    /// Serves them.
    fn serve(listener: TcpListener, address: SocketAddr, telemetry: &Arc<Telemetry>) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let ended = async {
            // The sender is dropped and says nothing.
            ended.await.ok();
        };
        let bound = listener.local_addr().unwrap_or(address);
        tokio::spawn(admin::serve(listener, Arc::clone(telemetry), ended));
        Self {
            address,
            bound,
            _end: end,
        }
    }
}
