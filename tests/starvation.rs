//! A server that dials a gateway without descriptors is not one that never came. Alone in its file:
//! the limit holds for the whole process.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

use std::fs::File;
use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Bench, is_reset, passive_over_active, within};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

/// Sets how many descriptors this process may have.
fn limit(current: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

#[tokio::test]
async fn a_listing_whose_connection_cannot_be_accepted_is_not_told_to_be_complete() {
    let bench = Bench::start("", "data_mode = \"active\"", "").await;
    let (mut client, mut server) = bench.logged_in().await;
    let (data, port) = passive_over_active(&mut client, &mut server).await;
    client.say("LIST").await;
    server.hear("LIST").await;
    server.say("150 Here it comes.").await;
    client.hear("150 Here it comes.").await;
    let socket = TcpSocket::new_v4().unwrap();
    let whole = getrlimit(Resource::Nofile).maximum;
    limit(Some(256));
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    // The kernel takes it, with all that it sends. It is not closed: that would free a descriptor.
    let dialled = SocketAddr::from(([127, 0, 0, 1], port));
    let mut peer = within(socket.connect(dialled)).await.unwrap();
    peer.write_all(b"a file\r\n").await.unwrap();
    peer.shutdown().await.unwrap();
    server.say("226 Transfer complete.").await;
    client.hear_code("426").await;
    assert!(is_reset(data).await, "an empty listing looks complete");
    drop((held, peer));
    limit(whole);
    drop(bench.greeted().await);
}
