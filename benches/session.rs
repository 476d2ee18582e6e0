//! How long one step of the dialogue takes: bytes in, actions out.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on stops"
)]

#[path = "cases/session.rs"]
mod case;

use case::{feed, made, session};
use divan::Bencher;
use ftpwarden::session::Leg;

fn main() {
    divan::main();
}

/// A command that goes through, and its reply.
#[divan::bench]
fn forwarded(bencher: Bencher<'_, '_>) {
    let mut session = session(&made());
    bencher.bench_local(|| {
        feed(&mut session, Leg::Client, b"NOOP\r\n")
            + feed(&mut session, Leg::Server, b"200 NOOP ok.\r\n")
    });
}

/// A command that is refused.
#[divan::bench]
fn refused(bencher: Bencher<'_, '_>) {
    let mut session = session(&made());
    bencher.bench_local(|| feed(&mut session, Leg::Client, b"SITE CHMOD 777 x\r\n"));
}

/// A hundred commands in one segment, all refused.
#[divan::bench]
fn refused_in_one_segment(bencher: Bencher<'_, '_>) {
    let segment = b"SITE CHMOD 777 x\r\n".repeat(100);
    let mut session = session(&made());
    bencher.bench_local(|| feed(&mut session, Leg::Client, &segment));
}

/// A FEAT reply, made true.
#[divan::bench]
fn features(bencher: Bencher<'_, '_>) {
    let reply = b"211-Features:\r\n AUTH TLS\r\n CLNT\r\n EPRT\r\n EPSV\r\n HOST\r\n LANG en-US*\r\n \
                  MDTM\r\n MFF modify;UNIX.group;UNIX.mode;\r\n MFMT\r\n \
                  MLST modify*;perm*;size*;type*;unique*;\r\n PBSZ\r\n PROT\r\n REST STREAM\r\n \
                  SITE COPY\r\n SITE MKDIR\r\n SITE SYMLINK\r\n SIZE\r\n TVFS\r\n UTF8\r\n211 End\r\n";
    let mut session = session(&made());
    bencher.bench_local(|| {
        feed(&mut session, Leg::Client, b"FEAT\r\n") + feed(&mut session, Leg::Server, reply)
    });
}

/// A listing over the control connection, relayed line by line.
#[divan::bench]
fn relayed_lines(bencher: Bencher<'_, '_>) {
    let inner = b" -rw-r--r-- 1 ann ann 1234 Nov 25 10:00 a\r\n".repeat(1_000);
    let reply = [b"213-Status:\r\n".as_slice(), &inner, b"213 End.\r\n"].concat();
    let mut session = session(&made());
    bencher.bench_local(|| {
        feed(&mut session, Leg::Client, b"STAT /\r\n") + feed(&mut session, Leg::Server, &reply)
    });
}

/// A login, from the dial to the 230.
#[divan::bench]
fn login(bencher: Bencher<'_, '_>) {
    let made = made();
    bencher.bench_local(|| session(&made));
}
