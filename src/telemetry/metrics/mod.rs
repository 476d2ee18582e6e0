//! Facts as numbers.
//!
//! Owns every metric's name, the registry that keeps the values, and the tables of handles by
//! which an event is counted without looking up a label. Must not know sockets, nor how the
//! values leave the process. There is no global recorder: each `Metrics` is on its own.

pub mod catalogue;
mod codes;
mod listener;
mod policy;
mod registry;
mod tls;
mod upstream;

use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString};

use crate::ftp::misbehaviour::{ClientFault, ServerFault};
use crate::ftp::security::TlsVersion;
use crate::session::event::{DataForm, DataOutcome};
use crate::session::{Channel, Leg};
use crate::telemetry::clock;
use catalogue::{CATALOGUE, Definition, Kind};
pub(super) use listener::ListenerTable;
pub(super) use policy::{Mode, PolicyTable, RuleRow};
use registry::Registry;
pub use upstream::DialResult;
pub(super) use upstream::{Dial, UpstreamTable};

/// What the facade wants to know of who registers.
const METADATA: Metadata<'static> = Metadata::new("ftpwarden", Level::INFO, None);

/// Makes handles of the metrics of the catalogue.
#[derive(Debug)]
pub(super) struct Registrar {
    /// Where the values are.
    recorder: Registry,
}

impl Registrar {
    /// The key of a metric with these label values, in the order of its definition.
    fn key(definition: &'static Definition, values: &[SharedString]) -> Key {
        debug_assert_eq!(definition.labels.len(), values.len(), "{}", definition.name);
        let labels: Vec<Label> = definition
            .labels
            .iter()
            .zip(values)
            .map(|(name, value)| Label::new(*name, value.clone()))
            .collect();
        Key::from_parts(definition.name, labels)
    }

    /// A counter; the same one for the same values.
    fn counter(&self, definition: &'static Definition, values: &[SharedString]) -> Counter {
        debug_assert_eq!(definition.kind, Kind::Counter, "{}", definition.name);
        self.recorder
            .register_counter(&Self::key(definition, values), &METADATA)
    }

    /// A gauge.
    fn gauge(&self, definition: &'static Definition, values: &[SharedString]) -> Gauge {
        debug_assert_eq!(definition.kind, Kind::Gauge, "{}", definition.name);
        self.recorder
            .register_gauge(&Self::key(definition, values), &METADATA)
    }

    /// A histogram.
    fn histogram(&self, definition: &'static Definition, values: &[SharedString]) -> Histogram {
        debug_assert_eq!(definition.kind, Kind::Histogram, "{}", definition.name);
        self.recorder
            .register_histogram(&Self::key(definition, values), &METADATA)
    }
}

/// What is counted for the whole process, and the recorder.
#[derive(Debug)]
pub(super) struct Metrics {
    /// Makes more handles.
    pub(super) registrar: Arc<Registrar>,
    /// Audit events that were lost.
    pub(super) audit_dropped: Counter,
    /// Whether commands are refused for want of the audit.
    audit_refusing: Gauge,
    /// The process's own numbers.
    process: metrics_process::Collector,
    /// By leg, mode and result.
    data_connections: Row<Row<Row<Counter>>>,
    /// By fault.
    client_faults: Row<Counter>,
    /// By fault.
    server_faults: Row<Counter>,
    /// Whether the last reload succeeded.
    reload_successful: Gauge,
    /// When the last one that did.
    reload_timestamp: Gauge,
    /// Bans at this moment.
    bans: Gauge,
}

/// Things by the index of an enum's variant.
type Row<T> = Box<[T]>;

/// The label value of a leg.
pub(super) const fn leg_name(leg: Leg) -> &'static str {
    match leg {
        Leg::Client => "client",
        Leg::Server => "server",
    }
}

/// A row of things, one for each of `all`, in the order of `index`.
fn row<K: Copy, V>(all: &[K], index: fn(K) -> usize, mut make: impl FnMut(K) -> V) -> Row<V> {
    let mut entries: Vec<(usize, V)> = all.iter().map(|key| (index(*key), make(*key))).collect();
    entries.sort_by_key(|(index, _)| *index);
    debug_assert!(
        entries.iter().map(|(index, _)| *index).eq(0..all.len()),
        "the list has each variant once"
    );
    entries.into_iter().map(|(_, value)| value).collect()
}

impl Metrics {
    /// A registry with every metric described and all that belongs to no listener at zero.
    pub(super) fn new() -> Self {
        let recorder = Registry::default();
        for definition in CATALOGUE {
            let describe = match definition.kind {
                Kind::Counter => Registry::describe_counter,
                Kind::Gauge => Registry::describe_gauge,
                Kind::Histogram => Registry::describe_histogram,
            };
            let unit = Some(definition.unit);
            let (name, help) = (definition.name, definition.help);
            describe(&recorder, name.into(), unit, help.into());
            recorder.bound(name, definition.buckets);
        }
        let process = metrics_process::Collector::default();
        metrics::with_local_recorder(&recorder, || process.describe());
        let registrar = Arc::new(Registrar { recorder });
        registrar
            .gauge(catalogue::BUILD_INFO, &[env!("CARGO_PKG_VERSION").into()])
            .set(1.0);
        let metrics = Self {
            audit_dropped: registrar.counter(catalogue::AUDIT_EVENTS_DROPPED, &[]),
            audit_refusing: registrar.gauge(catalogue::AUDIT_REFUSING, &[]),
            process,
            data_connections: data_connections(&registrar),
            client_faults: row(
                &ClientFault::ALL,
                |fault| fault as usize,
                |fault| violations(&registrar, Leg::Client, fault.kind()),
            ),
            server_faults: row(
                &ServerFault::ALL,
                |fault| fault as usize,
                |fault| violations(&registrar, Leg::Server, fault.kind()),
            ),
            reload_successful: registrar.gauge(catalogue::RELOAD_SUCCESSFUL, &[]),
            reload_timestamp: registrar.gauge(catalogue::RELOAD_TIMESTAMP, &[]),
            bans: registrar.gauge(catalogue::BANS, &[]),
            registrar,
        };
        tls::expect_handshakes(&metrics.registrar);
        metrics.reloaded(true);
        metrics
    }

    /// The values in the text format of Prometheus, version 0.0.4.
    pub(super) fn render(&self) -> String {
        metrics::with_local_recorder(&self.registrar.recorder, || self.process.collect());
        self.registrar.recorder.render()
    }

    /// How many clients are banned.
    #[expect(clippy::cast_precision_loss, reason = "their number is bounded")]
    pub(super) fn show_bans(&self, bans: usize) {
        self.bans.set(bans as f64);
    }

    /// How many audit events were lost so far.
    pub(super) fn audit_lost(&self) -> u64 {
        let key = Registrar::key(catalogue::AUDIT_EVENTS_DROPPED, &[]);
        self.registrar.recorder.count(&key).unwrap_or_default()
    }

    /// Whether commands are refused because the audit cannot be written.
    pub(super) fn show_refusing(&self, refusing: bool) {
        self.audit_refusing.set(f64::from(u8::from(refusing)));
    }

    /// A reload ended.
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are far below what a double holds"
    )]
    pub(super) fn reloaded(&self, successful: bool) {
        self.reload_successful.set(f64::from(u8::from(successful)));
        if successful {
            self.reload_timestamp.set(clock::wall().as_second() as f64);
        }
    }

    /// A data connection came to be, or did not.
    pub(super) fn data_connection(&self, leg: Leg, form: DataForm, outcome: DataOutcome) {
        if let Some(counter) = self
            .data_connections
            .get(leg as usize)
            .and_then(|forms| forms.get(form as usize))
            .and_then(|outcomes| outcomes.get(outcome as usize))
        {
            counter.increment(1);
        }
    }

    /// A TLS handshake ended: version and resumption, or a fault's name. It is looked up by its
    /// labels, which is nothing beside a handshake.
    pub(super) fn handshake(
        &self,
        leg: Leg,
        channel: Channel,
        result: Result<(TlsVersion, bool), &'static str>,
    ) {
        tls::handshake(&self.registrar, leg, channel, result).increment(1);
    }

    /// When a certificate expires, in seconds since 1970-01-01 UTC.
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are far below what a double holds"
    )]
    pub(super) fn certificate_expiry(&self, listener: &str, certificate: &str, unix_time: i64) {
        let values = [listener.to_owned().into(), certificate.to_owned().into()];
        self.registrar
            .gauge(catalogue::TLS_CERTIFICATE_EXPIRY, &values)
            .set(unix_time as f64);
    }

    /// A listener does not show this certificate any more: no alert waits for it any longer.
    pub(super) fn retire_certificate(&self, listener: &str, certificate: &str) {
        let values = [listener.to_owned().into(), certificate.to_owned().into()];
        self.registrar
            .gauge(catalogue::TLS_CERTIFICATE_EXPIRY, &values)
            .set(f64::NAN);
    }

    /// A client broke the protocol.
    pub(super) fn client_fault(&self, fault: ClientFault) {
        if let Some(counter) = self.client_faults.get(fault as usize) {
            counter.increment(1);
        }
    }

    /// A server broke the protocol.
    pub(super) fn server_fault(&self, fault: ServerFault) {
        if let Some(counter) = self.server_faults.get(fault as usize) {
            counter.increment(1);
        }
    }
}

/// A counter of protocol violations.
fn violations(registrar: &Registrar, leg: Leg, kind: &'static str) -> Counter {
    registrar.counter(
        catalogue::PROTOCOL_VIOLATIONS,
        &[leg_name(leg).into(), kind.into()],
    )
}

/// The counters of data connections.
fn data_connections(registrar: &Registrar) -> Row<Row<Row<Counter>>> {
    row(
        &[Leg::Client, Leg::Server],
        |leg| leg as usize,
        |leg| {
            row(
                &DataForm::ALL,
                |form| form as usize,
                |form| {
                    row(
                        &DataOutcome::ALL,
                        |outcome| outcome as usize,
                        |outcome| {
                            registrar.counter(
                                catalogue::DATA_CONNECTIONS,
                                &[
                                    leg_name(leg).into(),
                                    form.name().into(),
                                    outcome.name().into(),
                                ],
                            )
                        },
                    )
                },
            )
        },
    )
}

#[cfg(test)]
mod tests;
