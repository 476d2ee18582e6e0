use std::collections::HashSet;

use super::{Sessions, base32};
use crate::telemetry::tests::{session, settings, telemetry};

#[test]
fn numbers_are_written_in_base_32() {
    assert_eq!(base32(0, 1), "0");
    assert_eq!(base32(31, 1), "z");
    assert_eq!(base32(32, 1), "10");
    assert_eq!(base32(0, 3), "000");
    assert_eq!(base32(u64::MAX, 13), "fzzzzzzzzzzzz");
}

#[test]
fn ids_are_unique_within_a_process_and_across_restarts() {
    let processes: HashSet<u64> = (0..100).map(|_| Sessions::new().process).collect();
    assert_eq!(processes.len(), 100);
    let telemetry = telemetry(&settings(None));
    let ids: HashSet<String> = (0..100).map(|_| session(&telemetry).id()).collect();
    assert_eq!(ids.len(), 100);
    for id in ids {
        let (prefix, _) = id.split_once('-').unwrap();
        assert_eq!(prefix, base32(telemetry.sessions.process, 13));
    }
}

#[test]
fn the_oldest_session_is_shown_first() {
    let telemetry = telemetry(&settings(None));
    let recorders: Vec<_> = (0..40).map(|_| session(&telemetry)).collect();
    let shown: Vec<String> = telemetry
        .sessions
        .show()
        .into_iter()
        .map(|s| s.id)
        .collect();
    let begun: Vec<String> = recorders
        .iter()
        .map(super::super::SessionRecorder::id)
        .collect();
    assert_eq!(shown, begun);
}
