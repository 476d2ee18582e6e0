use std::future::poll_fn;
use std::task::Poll;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config;
use crate::relay::Relay;
use crate::tls::stream::Stream;

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
    let known = some.known.lock().unwrap();
    assert_eq!(known.len(), 1, "those who owe nothing are forgotten");
}

/// Whether a relay under `throttle` that has a kibibyte to move is held back before its first byte.
async fn is_held_back(throttle: Option<Throttle>) -> bool {
    let (mut writer, source) = pair().await;
    let (sink, _reader) = pair().await;
    let [source, sink] = [source, sink].map(|socket| Stream::clear(Arc::new(socket)));
    writer.write_all(&[7; 1024]).await.unwrap();
    let mut relay = Relay::new(source, sink, Arc::default(), Arc::default()).throttled(throttle);
    poll_fn(|context| {
        assert!(relay.poll(context).is_pending());
        if relay.is_held_back() {
            Poll::Ready(relay.moved() == 0)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Two ends of a connection over loopback.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

#[tokio::test]
async fn a_debt_outlives_its_transfer() {
    let mut some = bandwidth("user_bandwidth = { \"*\" = \"1KiB/s\" }");
    // A slice takes minutes.
    some.users[0].1 = 1;
    let of = |name| some.throttle(Some(&user(name)), System::Unix, None);
    assert!(!is_held_back(of("ann")).await);
    assert!(!is_held_back(of("ben")).await, "somebody else owes nothing");
    assert!(is_held_back(of("ann")).await);
    assert_eq!(some.known.lock().unwrap().len(), 2);
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
