use std::time::Duration;

use rustls::pki_types::UnixTime;

use super::{BYTES_MAX, COUNT_MAX, LIFETIME, Recent, Session};

/// Some seconds after the test began.
fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000 + seconds))
}

impl Recent {
    /// Keeps one that began at a time.
    fn keep(&self, key: &[u8], value: &[u8], began: UnixTime) {
        let (value, began) = (value.to_vec(), began.as_secs());
        self.put(key, Session { value, began });
    }

    /// What is kept for a key.
    fn value(&self, key: &[u8], now: UnixTime) -> Option<Vec<u8>> {
        self.get(key, now).map(|session| session.value)
    }
}

#[test]
fn a_session_is_resumed_until_it_is_too_old() {
    let recent = Recent::default();
    let end = LIFETIME.as_secs();
    recent.keep(b"key", b"value", at(0));
    recent.keep(b"later", b"value", at(1));
    for _ in 0..3 {
        assert_eq!(
            recent.value(b"key", at(end - 1)).as_deref(),
            Some(&b"value"[..])
        );
    }
    assert_eq!(recent.value(b"other", at(end - 1)), None);
    assert_eq!(recent.value(b"key", at(end)), None);
    assert_eq!(recent.lock().order.len(), 1);
    assert!(recent.value(b"later", at(end)).is_some());
    assert_eq!(recent.value(b"later", at(end + 1)), None);
    let entries = recent.lock();
    assert_eq!((entries.sessions.len(), entries.order.len()), (0, 0));
    assert_eq!(entries.bytes, 0);
}

#[test]
fn a_clock_that_is_set_back_makes_no_session_last_longer() {
    let recent = Recent::default();
    recent.keep(b"key", b"value", at(1000));
    assert_eq!(recent.value(b"key", at(999)), None);
    recent.keep(b"other", b"value", at(1001));
    recent.keep(b"set back", b"value", at(0));
    assert_eq!(recent.value(b"other", at(0)), None);
    assert!(recent.value(b"set back", at(0)).is_some());
}

#[test]
fn a_session_that_is_put_again_does_not_grow_younger() {
    let recent = Recent::default();
    let end = LIFETIME.as_secs();
    recent.keep(b"key", b"value", at(0));
    recent.keep(b"key", b"other", at(end / 2));
    let found = recent.value(b"key", at(end / 2));
    assert_eq!(found.as_deref(), Some(&b"value"[..]));
    assert_eq!(recent.value(b"key", at(end)), None);
}

#[test]
fn the_oldest_make_room() {
    let recent = Recent::default();
    let key = |number: usize| number.to_be_bytes();
    for number in 0..=COUNT_MAX {
        recent.keep(&key(number), b"", at(0));
    }
    assert_eq!(recent.value(&key(0), at(0)), None);
    assert!(recent.value(&key(1), at(0)).is_some());
    assert_eq!(recent.lock().order.len(), COUNT_MAX);
    // In bytes as well.
    let long = vec![0; BYTES_MAX / 4];
    for number in 0..100 {
        recent.keep(&key(COUNT_MAX + 1 + number), &long, at(0));
        assert!(recent.lock().bytes <= BYTES_MAX);
    }
    assert_eq!(recent.lock().sessions.len(), 3);
    assert!(recent.value(&key(COUNT_MAX + 100), at(0)).is_some());
    recent.keep(b"too long", &vec![0; BYTES_MAX], at(0));
    assert_eq!(recent.value(b"too long", at(0)), None);
    assert_eq!(recent.lock().sessions.len(), 3);
    assert!(!format!("{recent:?}").contains("value"));
    // Whatever the count says.
    recent.lock().bytes = usize::MAX;
    recent.keep(b"key", b"value", at(0));
    assert_eq!(recent.lock().sessions.len(), 1);
}
