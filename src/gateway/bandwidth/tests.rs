use super::*;
use crate::config;

/// The bandwidths of a listener with these keys.
fn bandwidth(keys: &str) -> Bandwidth {
    Bandwidth::new(&listener(keys))
}

/// A listener with these keys.
fn listener(keys: &str) -> Listener {
    let text = format!(
        "[listeners.main]\nbind = \"127.0.0.1:2121\"\nupstream = \"legacy\"\n{keys}\n\
         [upstreams.legacy]\naddress = \"10.0.0.5:21\"\n"
    );
    let loaded = config::parse(&text, "test.toml").unwrap();
    Listener::clone(loaded.settings.listeners.get("main").unwrap())
}

/// A user's name.
fn user(name: &'static str) -> Bytes {
    Bytes::from_static(name.as_bytes())
}

#[test]
fn without_a_key_there_is_no_cap() {
    let none = bandwidth("");
    assert!(
        none.throttle(Some(&user("ann")), System::Unix, None)
            .is_none()
    );
    assert!(
        none.throttle(None, System::Unix, Some(Arc::new(Cap::new(1024))))
            .is_some()
    );
}

#[test]
fn a_user_has_one_cap_for_all_sessions_and_the_first_glob_counts() {
    let some = bandwidth("user_bandwidth = { \"a*\" = \"1MiB/s\", \"*n\" = \"2MiB/s\" }");
    let of = |name| some.of_user(&user(name), System::Unix);
    let (one, other, third) = (of("ann").unwrap(), of("ann").unwrap(), of("anton").unwrap());
    assert!(Arc::ptr_eq(&one, &other) && !Arc::ptr_eq(&one, &third));
    assert!(of("john").is_some() && of("bob").is_none());
    assert!(some.throttle(None, System::Unix, None).is_none());
    drop((one, other, third));
    of("agnes").unwrap();
    let live = some.live.lock().unwrap();
    assert_eq!(live.len(), 1, "those who transfer no more are forgotten");
}

#[test]
fn names_that_the_server_takes_for_one_share_a_cap() {
    let some = bandwidth("user_bandwidth = { \"Ann\" = \"1MiB/s\" }");
    let of = |name| some.of_user(&user(name), System::Windows).unwrap();
    let (one, other) = (of("ann"), of("ANN"));
    assert!(Arc::ptr_eq(&one, &other));
    assert!(some.of_user(&user("ann"), System::Unix).is_none());
}

#[test]
fn a_reload_that_changes_nothing_is_seen() {
    let keys = "bandwidth = \"1MiB/s\"\nuser_bandwidth = { \"*\" = \"1KiB/s\" }";
    let some = bandwidth(keys);
    assert!(some.is_of(&listener(keys)));
    for other in [
        "bandwidth = \"1MiB/s\"",
        "bandwidth = \"2MiB/s\"\nuser_bandwidth = { \"*\" = \"1KiB/s\" }",
    ] {
        assert!(!some.is_of(&listener(other)));
    }
}

#[test]
fn a_session_has_one_cap_until_its_rate_changes() {
    let mut session = SessionBandwidth::default();
    assert!(session.cap(None).is_none());
    let first = session.cap(Some(1024)).unwrap();
    assert!(Arc::ptr_eq(&first, &session.cap(Some(1024)).unwrap()));
    assert!(!Arc::ptr_eq(&first, &session.cap(Some(2048)).unwrap()));
    assert!(session.cap(None).is_none());
}
