//! The handles of a listener.
//!
//! Owns what is created at zero: whatever an alert may wait for (refusals, failures, the codes
//! that are known) is there before the first event; the rest comes with its first event. An event
//! then costs an index and an atomic.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, SharedString};

use super::codes::{Codes, GATEWAY_CODES, SERVER_CODES};
use super::{Registrar, catalogue, row};
use crate::ftp::command::Name;
use crate::ftp::verb::Verb;
use crate::session::event::{LoginOutcome, TransferOutcome};
use crate::session::{Direction, Origin, Outcome};
use crate::telemetry::Rejection;

/// Every direction.
const DIRECTIONS: [Direction; 3] = [Direction::Download, Direction::List, Direction::Upload];

/// All that is counted for a listener.
#[derive(Debug)]
pub(in crate::telemetry) struct ListenerTable {
    /// Its name.
    pub(in crate::telemetry) name: Arc<str>,
    /// Time from command to reply.
    pub(in crate::telemetry) command_duration: Histogram,
    /// Sessions at this moment.
    pub(in crate::telemetry) sessions: Gauge,
    /// Sessions begun.
    pub(in crate::telemetry) sessions_total: Counter,
    /// How long they lasted.
    pub(in crate::telemetry) session_duration: Histogram,
    /// Makes the counters that come later.
    registrar: Arc<Registrar>,
    /// Replies by who made them.
    replies: Box<[Codes]>,
    /// By verb of the table, and the last for all others; by outcome.
    commands: Box<[Box<[OnceLock<Counter>]>]>,
    /// By reason.
    rejected: Box<[Counter]>,
    /// Clients that were banned.
    banned: Counter,
    /// By result.
    logins: Box<[Counter]>,
    /// By direction and result.
    transfers: Box<[Box<[Counter]>]>,
    /// By direction.
    transfer_bytes: Box<[Counter]>,
    /// By direction.
    transfer_duration: Box<[Histogram]>,
    /// TLS handshakes of data connections that did not resume.
    not_resumed: Counter,
    /// Whether they may.
    may_resume: AtomicBool,
    /// Ports of data connections, as a metric and for `/status`.
    ports: [(Gauge, AtomicU64); 2],
}

impl ListenerTable {
    /// The table of the listener called `name`; `codes` are those that the configuration names.
    pub(in crate::telemetry) fn new(
        registrar: &Arc<Registrar>,
        name: &Arc<str>,
        codes: &[u16],
    ) -> Self {
        let label = || SharedString::from(Arc::clone(name));
        let replies = row(
            &[Origin::Gateway, Origin::Server],
            |origin| origin as usize,
            |origin| {
                let known = match origin {
                    Origin::Gateway => [&GATEWAY_CODES[..], codes].concat(),
                    Origin::Server => SERVER_CODES.to_vec(),
                };
                Codes::new(registrar, catalogue::REPLIES, name, Some(origin), &known)
            },
        );
        let gauge = |definition| (registrar.gauge(definition, &[label()]), AtomicU64::new(0));
        let table = Self {
            name: Arc::clone(name),
            command_duration: registrar.histogram(catalogue::COMMAND_DURATION, &[label()]),
            sessions: registrar.gauge(catalogue::SESSIONS, &[label()]),
            sessions_total: registrar.counter(catalogue::SESSIONS_TOTAL, &[label()]),
            session_duration: registrar.histogram(catalogue::SESSION_DURATION, &[label()]),
            registrar: Arc::clone(registrar),
            replies,
            commands: Verb::ALL
                .iter()
                .map(Some)
                .chain([None])
                .map(|_| Outcome::ALL.iter().map(|_| OnceLock::new()).collect())
                .collect(),
            rejected: row(
                &Rejection::ALL,
                |reason| reason as usize,
                |reason| {
                    registrar.counter(
                        catalogue::SESSIONS_REJECTED,
                        &[label(), reason.name().into()],
                    )
                },
            ),
            banned: registrar.counter(catalogue::BANS_TOTAL, &[label()]),
            logins: row(
                &LoginOutcome::ALL,
                |result| result as usize,
                |result| registrar.counter(catalogue::LOGINS, &[label(), result.name().into()]),
            ),
            transfers: row(
                &DIRECTIONS,
                |direction| direction as usize,
                |direction| {
                    row(
                        &TransferOutcome::ALL,
                        |result| result as usize,
                        |result| {
                            registrar.counter(
                                catalogue::TRANSFERS,
                                &[label(), direction.name().into(), result.name().into()],
                            )
                        },
                    )
                },
            ),
            transfer_bytes: row(
                &DIRECTIONS,
                |direction| direction as usize,
                |direction| {
                    registrar.counter(
                        catalogue::TRANSFER_BYTES,
                        &[label(), direction.name().into()],
                    )
                },
            ),
            transfer_duration: row(
                &DIRECTIONS,
                |direction| direction as usize,
                |direction| {
                    registrar.histogram(
                        catalogue::TRANSFER_DURATION,
                        &[label(), direction.name().into()],
                    )
                },
            ),
            not_resumed: registrar.counter(catalogue::TLS_DATA_NOT_RESUMED, &[label()]),
            may_resume: AtomicBool::new(false),
            ports: [
                gauge(catalogue::PASSIVE_PORTS),
                gauge(catalogue::PASSIVE_PORTS_IN_USE),
            ],
        };
        for verb in Verb::ALL.iter().copied().map(Some).chain([None]) {
            table.command_counter(verb, Outcome::Denied);
            table.command_counter(verb, Outcome::Invalid);
        }
        table
    }

    /// Creates the codes of a changed configuration at zero.
    pub(in crate::telemetry) fn expect_codes(&self, codes: &[u16]) {
        if let Some(replies) = self.replies.get(Origin::Gateway as usize) {
            for code in codes {
                replies.at(*code);
            }
        }
    }

    /// A reply was sent to a client.
    pub(in crate::telemetry) fn reply(&self, code: u16, origin: Origin) {
        if let Some(codes) = self.replies.get(origin as usize) {
            codes.count(code);
        }
    }

    /// The counter of a verb, None for all that the table does not have.
    fn command_counter(&self, verb: Option<Verb>, outcome: Outcome) -> Option<&Counter> {
        let index = verb.map_or(Verb::ALL.len(), |verb| verb as usize);
        let slot = self.commands.get(index)?.get(outcome as usize)?;
        Some(slot.get_or_init(|| {
            self.registrar.counter(
                catalogue::COMMANDS,
                &[
                    Arc::clone(&self.name).into(),
                    verb.map_or("other", Verb::name).into(),
                    outcome.name().into(),
                ],
            )
        }))
    }

    /// A command has had its final reply.
    pub(in crate::telemetry) fn command(&self, name: Option<&Name>, outcome: Outcome) {
        if let Some(counter) = self.command_counter(name.and_then(Name::known), outcome) {
            counter.increment(1);
        }
    }

    /// A connection was turned away.
    pub(in crate::telemetry) fn rejected(&self, reason: Rejection) {
        if let Some(counter) = self.rejected.get(reason as usize) {
            counter.increment(1);
        }
    }

    /// A client was banned.
    pub(in crate::telemetry) fn banned(&self) {
        self.banned.increment(1);
    }

    /// A login ended.
    pub(in crate::telemetry) fn login(&self, result: LoginOutcome) {
        if let Some(counter) = self.logins.get(result as usize) {
            counter.increment(1);
        }
    }

    /// A transfer ended.
    pub(in crate::telemetry) fn transfer(
        &self,
        direction: Direction,
        result: TransferOutcome,
        seconds: f64,
    ) {
        if let Some(counter) = self
            .transfers
            .get(direction as usize)
            .and_then(|results| results.get(result as usize))
        {
            counter.increment(1);
        }
        if let Some(histogram) = self.transfer_duration.get(direction as usize) {
            histogram.record(seconds);
        }
    }

    /// A transfer moved bytes.
    pub(in crate::telemetry) fn transferred(&self, direction: Direction, bytes: u64) {
        if let Some(counter) = self.transfer_bytes.get(direction as usize)
            && bytes > 0
        {
            counter.increment(bytes);
        }
    }

    /// Whether data connections of its clients may resume the session of their control connection.
    pub(in crate::telemetry) fn let_resume(&self, may_resume: bool) {
        self.may_resume.store(may_resume, Ordering::Relaxed);
    }

    /// A client's data connection came under TLS without resuming a session, or was refused for it.
    pub(in crate::telemetry) fn not_resumed(&self) {
        if self.may_resume.load(Ordering::Relaxed) {
            self.not_resumed.increment(1);
        }
    }

    /// How many passive ports there are and how many are taken.
    #[expect(
        clippy::cast_precision_loss,
        reason = "there are no more than 65536 ports"
    )]
    pub(in crate::telemetry) fn set_ports(&self, total: usize, in_use: usize) {
        for ((gauge, value), count) in self.ports.iter().zip([total, in_use]) {
            gauge.set(count as f64);
            value.store(count as u64, Ordering::Relaxed);
        }
    }

    /// What was last told of passive ports: all of them, and those in use.
    pub(in crate::telemetry) fn ports(&self) -> (u64, u64) {
        let [(_, total), (_, in_use)] = &self.ports;
        (
            total.load(Ordering::Relaxed),
            in_use.load(Ordering::Relaxed),
        )
    }
}
