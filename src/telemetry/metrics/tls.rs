//! TLS handshakes as numbers.

use metrics::{Counter, SharedString};

use super::{Registrar, catalogue, leg_name};
use crate::ftp::security::TlsVersion;
use crate::session::{Channel, Leg};
use crate::tls::fault::HandshakeFault;

/// The label value of a handshake that succeeded.
const OK: &str = "ok";

/// The label value of a version or a resumption that was never agreed on.
const NONE: &str = "none";

/// Makes the counters of all that a handshake may come to.
pub(super) fn expect_handshakes(registrar: &Registrar) {
    for leg in [Leg::Client, Leg::Server] {
        for channel in Channel::ALL {
            for version in TlsVersion::ALL {
                for resumed in [false, true] {
                    handshake(registrar, leg, channel, Ok((version, resumed))).increment(0);
                }
            }
            for result in HandshakeFault::NAMES {
                handshake(registrar, leg, channel, Err(result)).increment(0);
            }
        }
    }
}

/// The counter of handshakes with this result: version and resumption, or a fault's name.
pub(super) fn handshake(
    registrar: &Registrar,
    leg: Leg,
    channel: Channel,
    result: Result<(TlsVersion, bool), &'static str>,
) -> Counter {
    let (version, resumed, result) = match result {
        Ok((version, true)) => (version.name(), "true", OK),
        Ok((version, false)) => (version.name(), "false", OK),
        Err(fault) => (NONE, NONE, fault),
    };
    let values: [SharedString; 5] = [
        leg_name(leg).into(),
        channel.name().into(),
        version.into(),
        resumed.into(),
        result.into(),
    ];
    registrar.counter(catalogue::TLS_HANDSHAKES, &values)
}

#[cfg(test)]
mod tests;
