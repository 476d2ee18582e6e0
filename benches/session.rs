//! How long one step of the dialogue takes: bytes in, actions out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on stops"
)]

use std::sync::Arc;

use divan::{Bencher, black_box};
use ftpwarden::config;
use ftpwarden::policy::{Dialect, Judge};
use ftpwarden::session::{Action, ClientTls, Leg, Now, Profile, ServerTls, Session, Told};

fn main() {
    divan::main();
}

/// A session that is logged in under the standard policy.
fn session() -> Session {
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
        secret_words: Vec::new(),
    };
    let address = |text: &str| text.parse().unwrap();
    let mut session = Session::new(
        Arc::new(profile),
        Arc::new(judge),
        address("192.0.2.10:40000"),
        address("192.0.2.1:21"),
        Now::default(),
    );
    draw(&mut session);
    let told = Told::Connected {
        server: address("10.0.0.5:21"),
        local: address("10.0.0.1:39000"),
    };
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
        match black_box(&action) {
            Action::Reply(reply) => bytes += reply.len(),
            Action::Forward(permit) => bytes += permit.line().len(),
            _ => {}
        }
    }
    bytes
}

/// Feeds bytes and draws what they cause.
fn feed(session: &mut Session, leg: Leg, bytes: &[u8]) -> usize {
    session.receive(leg, black_box(bytes), Now::default());
    draw(session)
}

/// A command that goes through, and its reply.
#[divan::bench]
fn forwarded(bencher: Bencher<'_, '_>) {
    let mut session = session();
    bencher.bench_local(|| {
        feed(&mut session, Leg::Client, b"NOOP\r\n")
            + feed(&mut session, Leg::Server, b"200 NOOP ok.\r\n")
    });
}

/// A command that is refused.
#[divan::bench]
fn refused(bencher: Bencher<'_, '_>) {
    let mut session = session();
    bencher.bench_local(|| feed(&mut session, Leg::Client, b"SITE CHMOD 777 x\r\n"));
}

/// A hundred commands in one segment, all refused.
#[divan::bench]
fn refused_in_one_segment(bencher: Bencher<'_, '_>) {
    let segment = b"SITE CHMOD 777 x\r\n".repeat(100);
    let mut session = session();
    bencher.bench_local(|| feed(&mut session, Leg::Client, &segment));
}

/// A FEAT reply, made true.
#[divan::bench]
fn features(bencher: Bencher<'_, '_>) {
    let reply = b"211-Features:\r\n AUTH TLS\r\n CLNT\r\n EPRT\r\n EPSV\r\n HOST\r\n LANG en-US*\r\n \
                  MDTM\r\n MFF modify;UNIX.group;UNIX.mode;\r\n MFMT\r\n \
                  MLST modify*;perm*;size*;type*;unique*;\r\n PBSZ\r\n PROT\r\n REST STREAM\r\n \
                  SITE COPY\r\n SITE MKDIR\r\n SITE SYMLINK\r\n SIZE\r\n TVFS\r\n UTF8\r\n211 End\r\n";
    let mut session = session();
    bencher.bench_local(|| {
        feed(&mut session, Leg::Client, b"FEAT\r\n") + feed(&mut session, Leg::Server, reply)
    });
}

/// A listing over the control connection, relayed line by line.
#[divan::bench]
fn relayed_lines(bencher: Bencher<'_, '_>) {
    let inner = b" -rw-r--r-- 1 ann ann 1234 Nov 25 10:00 a\r\n".repeat(1_000);
    let reply = [b"213-Status:\r\n".as_slice(), &inner, b"213 End.\r\n"].concat();
    let mut session = session();
    bencher.bench_local(|| {
        feed(&mut session, Leg::Client, b"STAT /\r\n") + feed(&mut session, Leg::Server, &reply)
    });
}

/// A login, from the dial to the 230.
#[divan::bench]
fn login(bencher: Bencher<'_, '_>) {
    bencher.bench_local(session);
}
