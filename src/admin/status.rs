//! What `/status` and `/readyz` answer.
//!
//! Owns their bodies. All that came from a peer is escaped by telemetry; here it is made harmless
//! in a browser as well, whatever that takes the body for.

use crate::telemetry::Telemetry;

/// The body of `/status`: JSON without a character that HTML gives a meaning to.
pub(super) fn status(telemetry: &Telemetry) -> String {
    let json = serde_json::to_string(&telemetry.status()).unwrap_or_default();
    let mut body = String::with_capacity(json.len().saturating_add(1));
    for character in json.chars() {
        // Outside of strings JSON has none of these.
        match character {
            '<' => body.push_str("\\u003c"),
            '>' => body.push_str("\\u003e"),
            '&' => body.push_str("\\u0026"),
            other => body.push(other),
        }
    }
    body.push('\n');
    body
}

/// Whether the gateway is ready, and the body of `/readyz`: the reasons where it is not.
pub(super) fn readiness(telemetry: &Telemetry) -> (bool, String) {
    let obstacles = telemetry.obstacles();
    if obstacles.is_empty() {
        return (true, "ready\n".to_owned());
    }
    (false, obstacles.join("\n") + "\n")
}
