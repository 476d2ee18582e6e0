//! A gateway without descriptors says so and recovers. Alone in its file: the limit holds for the
//! whole process.

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

use std::fs::File;

use rustix::process::{Resource, Rlimit, setrlimit};
use support::{Bench, Control, within};
use tokio::net::TcpSocket;

#[tokio::test]
async fn out_of_descriptors_is_421_and_passes() {
    let bench = Bench::plain().await;
    let (_client, _server) = bench.logged_in().await;
    let first = TcpSocket::new_v4().unwrap();
    let second = TcpSocket::new_v4().unwrap();
    let limit = Rlimit {
        current: Some(256),
        maximum: Some(256),
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    let mut turned_away = Vec::new();
    for socket in [first, second] {
        let stream = within(socket.connect(bench.address())).await.unwrap();
        let mut client = Control::new(stream);
        client.hear_code("421 ").await;
        client.hear_end().await;
        turned_away.push(client);
    }
    assert!(
        bench.counts(
            "ftpwarden_sessions_rejected_total{listener=\"main\",reason=\"descriptors\"} 2"
        )
    );
    drop(held);
    let (_client, _server) = bench.greeted().await;
}
