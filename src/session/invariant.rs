//! What must hold between two events, checked where debug assertions are on.
//!
//! Owns the joint rules of the parts of a session. A rule that does not hold is a bug of the
//! session's, never of a peer's.

use super::Session;

#[cfg(not(debug_assertions))]
impl Session {
    /// Nothing is checked in a release.
    #[expect(clippy::unused_self, reason = "it is the same call in both builds")]
    pub(super) const fn check(&self) {}
}

#[cfg(debug_assertions)]
mod checked {
    use super::super::data::Endpoint;
    use super::super::deadline::Timer;
    use super::super::server::Abort;
    use super::super::state::{Phase, Stage};
    use super::Session;

    impl Session {
        /// Checks every joint rule.
        pub(in super::super) fn check(&self) {
            match self.phase {
                Phase::Closed => self.check_closed(),
                Phase::Serving => self.check_serving(),
                Phase::Connecting if self.protection.is_turning() => assert!(
                    self.deadlines.runs(Timer::Handshake),
                    "nothing bounds the handshake"
                ),
                Phase::Securing => assert!(
                    self.deadlines.runs(Timer::Handshake) || self.deadlines.runs(Timer::Reply),
                    "nothing bounds the server's protection"
                ),
                Phase::Connecting | Phase::Greeting => {
                    let again = self.protection.is_redialled();
                    assert!(
                        self.head.is_none() || again,
                        "a command is in work before the greeting"
                    );
                    assert!(
                        self.deadlines.runs(Timer::Greeting),
                        "nothing bounds the greeting"
                    );
                }
            }
            assert!(
                !self.reply_open || self.incoming.is_some() || self.phase == Phase::Closed,
                "a reply is open and none is coming in"
            );
        }

        /// The session is over.
        fn check_closed(&self) {
            assert!(self.head.is_none(), "a command is left without its end");
            assert!(self.transfer.is_none(), "a transfer outlives the session");
            assert!(self.status_owed.is_none(), "a STAT is left without its end");
            assert!(
                self.deadlines.next().is_none(),
                "a timer outlives the session"
            );
            for leg in [&self.data.client, &self.data.server] {
                assert!(
                    leg.endpoint == Endpoint::None,
                    "a data connection outlives the session"
                );
            }
        }

        /// Commands are worked on: whatever is waited for has a timer.
        fn check_serving(&self) {
            let transfers = matches!(
                self.head.as_ref().map(|head| &head.stage),
                Some(Stage::Transferring)
            );
            assert!(
                transfers == self.transfer.is_some(),
                "a transfer and its command go together"
            );
            assert!(
                self.status_owed.is_none() || self.transfer.is_some(),
                "a STAT is owed without a transfer"
            );
            assert!(
                matches!(self.abort, Abort::Idle | Abort::Own) || self.pipeline.owes_abort(),
                "an ABOR was sent that nobody asked for"
            );
            assert!(
                !matches!(self.abort, Abort::Idle | Abort::Own) || !self.pipeline.owes_abort(),
                "an ABOR was acted on and not sent"
            );
            assert!(
                !self.abort_overdue || self.transfer.is_none(),
                "a transfer runs before the overdue reply to ABOR"
            );
            let replies = self.deadlines.runs(Timer::Reply);
            assert!(
                !self.abort.is_awaited() || replies,
                "nothing bounds the reply to ABOR"
            );
            match self.head.as_ref().map(|head| &head.stage) {
                None if self.abort.is_awaited() || self.unfinished => {}
                None if self.protection.is_turning() => assert!(
                    self.deadlines.runs(Timer::Handshake),
                    "nothing bounds the handshake"
                ),
                None => {
                    assert!(self.pipeline.is_empty(), "nobody works on the queue");
                    assert!(
                        self.deadlines.runs(Timer::Idle),
                        "nothing bounds the idle time"
                    );
                }
                Some(Stage::Judging) => assert!(self.head.is_none(), "a command was put aside"),
                Some(Stage::Refusing(_)) => {
                    assert!(
                        self.deadlines.runs(Timer::Refusal),
                        "nothing ends a refusal"
                    );
                }
                Some(Stage::Preparing(setup)) if !setup.awaits_reply() => {}
                Some(Stage::Protecting) => assert!(
                    replies || self.deadlines.runs(Timer::Handshake),
                    "nothing bounds the server's protection"
                ),
                Some(
                    Stage::Forwarded | Stage::Learning | Stage::Preparing(_) | Stage::TakingBack(_),
                ) => assert!(replies, "nothing bounds a reply"),
                Some(Stage::Transferring) => self.check_transferring(replies),
            }
        }

        /// A transfer is under way.
        fn check_transferring(&self, replies: bool) {
            let Some(transfer) = &self.transfer else {
                return;
            };
            let bounded = replies
                || self.deadlines.runs(Timer::DataConnect)
                || self.deadlines.runs(Timer::Settle)
                || self.deadlines.runs(Timer::Stall)
                || transfer.awaits_shell();
            assert!(bounded, "nothing bounds a transfer");
            assert!(
                !transfer.is_running()
                    || transfer.awaits_shell()
                    || self.data.client.endpoint == Endpoint::Connected
                        && self.data.server.endpoint == Endpoint::Connected,
                "a relay runs without its connections"
            );
        }
    }
}
