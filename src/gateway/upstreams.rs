//! Dials of upstreams: for sessions, and to find out whether one that could not be reached is back.
//!
//! Sessions dial when clients come, and a balancer sends none to a gateway that is not ready: somebody
//! must look. That is one dial at a time; nothing is written, and what answers is closed at once. A server
//! whose last dial succeeded, or who was never dialled, is left alone. Must not know what is said on a
//! connection.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::clock::instant;
use super::{Orders, Shared, Stage};
use crate::settings::Upstream;
use crate::telemetry::DialResult;
use crate::upstream::{self, Dialled, Fault, Target};

/// How often a server whose last dial failed is dialled.
pub(super) const REDIAL_EVERY: Duration = Duration::from_secs(15);

/// Dials `upstream`, but not where the gateway itself listens.
///
/// # Errors
/// As of [`upstream::dial`].
pub(super) async fn dial(
    shared: Arc<Shared>,
    upstream: Arc<Upstream>,
    now: Instant,
) -> Result<Dialled, Fault> {
    let target = Target {
        host: Arc::clone(&upstream.host),
        port: upstream.port,
        source: upstream.source_address,
        timeout: upstream.connect_timeout,
    };
    let is_ours = |address| shared.leads_here(address);
    upstream::dial(&target, &shared.upstream_names, now, is_ours).await
}

/// A dial of `upstream` ended.
pub(super) fn note_dial(shared: &Shared, upstream: &Upstream, fault: Option<&Fault>) {
    let result = fault.map_or(DialResult::Connected, dial_result);
    let error = fault.map(|fault| fault as &dyn Error);
    let telemetry = &shared.telemetry;
    telemetry.upstream_connect(&upstream.name, &upstream.address(), result, error);
}

/// How telemetry calls a dial that failed.
const fn dial_result(fault: &Fault) -> DialResult {
    match fault {
        Fault::Name(_) => DialResult::Name,
        Fault::Refused(_) => DialResult::Refused,
        Fault::Unreachable(_) => DialResult::Unreachable,
        Fault::Timeout => DialResult::Timeout,
        Fault::Local(_) => DialResult::Local,
        Fault::Loop => DialResult::Loop,
    }
}

/// Dials upstreams whose last dial failed, `every` so often, until the gateway stops.
pub(super) async fn look_after(shared: Arc<Shared>, every: Duration) {
    let mut orders = shared.orders.subscribe();
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while orders.borrow_and_update().stage == Stage::Running {
        tokio::select! {
            biased;
            // Who gives orders is there as long as what is shared.
            _ = orders.changed() => {}
            _ = turns.tick() => look_round(&shared, &mut orders).await,
        }
    }
}

/// Dials each upstream whose last dial failed. A reload, or the end, gives up what is under way: the
/// server may be at another address by then.
async fn look_round(shared: &Arc<Shared>, orders: &mut watch::Receiver<Orders>) {
    let plan = Arc::clone(&orders.borrow().plan);
    for upstream in plan.settings.upstreams.values() {
        if !shared.telemetry.is_down(&upstream.name) {
            continue;
        }
        let dialling = dial(Arc::clone(shared), Arc::clone(upstream), instant());
        let dialled = tokio::select! {
            biased;
            _ = orders.changed() => return,
            dialled = dialling => dialled,
        };
        note_dial(shared, upstream, dialled.as_ref().err());
    }
}
