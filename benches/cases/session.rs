//! A session under the standard policy, and how it is fed.

use std::sync::Arc;

use divan::black_box;
use ftpwarden::config;
use ftpwarden::policy::{Dialect, Judge};
use ftpwarden::session::{Action, ClientTls, Leg, Now, Profile, ServerTls, Session, Told};

/// What a session is made of.
pub(crate) struct Made {
    /// What it knows of its listener and its upstream.
    profile: Arc<Profile>,
    /// Who decides.
    judge: Arc<Judge>,
}

/// Reads the standard policy.
pub(crate) fn made() -> Made {
    let source = "[listeners.main]\nbind = \"127.0.0.1:2121\"\nupstream = \"legacy\"\n\
                  [upstreams.legacy]\naddress = \"127.0.0.1:21\"\n";
    let loaded = config::parse(source, "bench.toml").unwrap();
    let listener = &loaded.settings.listeners["main"];
    let upstream = &loaded.settings.upstreams["legacy"];
    let judge = Judge::new(
        Arc::clone(loaded.policies.get(&listener.policy).unwrap()),
        Arc::clone(loaded.policies.get(&upstream.policy).unwrap()),
        None,
        Dialect::default(),
        Vec::new(),
    );
    let profile = Profile {
        greeting: None,
        limits: Arc::clone(&loaded.settings.session_limits),
        data_mode: upstream.data_mode,
        client_tls: ClientTls::default(),
        server_tls: ServerTls::default(),
        line_bytes: upstream.line_bytes,
        data_addresses: Vec::new(),
        secret_words: Arc::default(),
        names_paths: false,
    };
    Made {
        profile: Arc::new(profile),
        judge: Arc::new(judge),
    }
}

/// A session, from the dial to the 230.
pub(crate) fn session(made: &Made) -> Session {
    let address = |text: &str| text.parse().unwrap();
    let mut session = Session::new(
        Arc::clone(&made.profile),
        Arc::clone(&made.judge),
        address("192.0.2.10:40000"),
        address("192.0.2.1:21"),
        Now::default(),
    );
    draw(&mut session);
    let told = Told::Connected(address("10.0.0.5:21"));
    session.tell(told, Now::default());
    draw(&mut session);
    feed(&mut session, Leg::Server, b"220 Ready.\r\n");
    feed(&mut session, Leg::Client, b"USER ann\r\n");
    feed(&mut session, Leg::Server, b"331 Password?\r\n");
    feed(&mut session, Leg::Client, b"PASS secret\r\n");
    feed(&mut session, Leg::Server, b"230 In.\r\n");
    session
}

/// Draws every action; returns how many bytes they hold.
fn draw(session: &mut Session) -> usize {
    let mut bytes = 0_usize;
    while let Some(action) = session.next_action() {
        match black_box(action) {
            Action::Reply(reply) => bytes += reply.len(),
            Action::Forward(permit) => bytes += permit.into_line().len(),
            Action::Note(fact) => session.recycle(fact),
            _ => {}
        }
    }
    bytes
}

/// Feeds bytes and draws what they cause.
pub(crate) fn feed(session: &mut Session, leg: Leg, bytes: &[u8]) -> usize {
    session.receive(leg, black_box(bytes), Now::default());
    draw(session)
}
