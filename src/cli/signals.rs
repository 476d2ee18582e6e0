//! Signals, as orders.
//!
//! Owns which signal means what. Must not know how an order is carried out.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// SIGTERM, SIGINT, SIGQUIT: come to an end.
    End,
    /// SIGUSR2: nothing, but it ends nothing either.
    Nothing,
    /// SIGHUP: load the configuration anew.
    Reload,
    /// SIGUSR1: reopen files.
    Reopen,
}

/// The signals that mean something.
#[derive(Debug)]
pub(super) struct Signals {
    /// SIGHUP.
    hangup: Signal,
    /// SIGINT.
    interrupt: Signal,
    /// SIGQUIT.
    quit: Signal,
    /// SIGTERM.
    terminate: Signal,
    /// SIGUSR1.
    user1: Signal,
    /// SIGUSR2.
    user2: Signal,
}

impl Signals {
    /// Hears them from now on; none of them ends the program by itself any more.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.hangup.recv() => Order::Reload,
            _ = self.interrupt.recv() => Order::End,
            _ = self.quit.recv() => Order::End,
            _ = self.terminate.recv() => Order::End,
            _ = self.user1.recv() => Order::Reopen,
            _ = self.user2.recv() => Order::Nothing,
        }
    }
}
