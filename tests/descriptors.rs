//! A gateway that has served many sessions holds no descriptor more than one that has served few.
//! Alone in its file: descriptors are counted for the whole process.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

use support::{Bench, exchange, passive, passive_pair, read_all, within};
use tokio::io::AsyncWriteExt;

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// One session: an offer that nobody takes, an upload, and an end without QUIT or with it.
async fn session(bench: &Bench, polite: bool) {
    let (mut client, mut server) = bench.logged_in().await;
    drop(passive(&mut client, &mut server).await);
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
    data.write_all(&[7; 1_000]).await.unwrap();
    drop(data);
    assert_eq!(read_all(&mut peer).await.len(), 1_000);
    drop(peer);
    exchange_final(&mut client, &mut server).await;
    if polite {
        exchange(&mut client, &mut server, "QUIT", "221 Goodbye.").await;
    }
}

/// The end of an upload.
async fn exchange_final(client: &mut support::Control, server: &mut support::Control) {
    server.say("226 Stored.").await;
    client.hear("226 Stored.").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_sessions_leave_nothing_behind() {
    let bench = Bench::plain().await;
    session(&bench, true).await;
    let idle = || async {
        within(async {
            while bench.gateway.sessions() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    idle().await;
    let before = descriptors();
    for number in 0..200 {
        session(&bench, number % 2 == 0).await;
    }
    idle().await;
    assert_eq!(descriptors(), before);
}
