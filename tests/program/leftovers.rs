//! Sessions, one after the other and at once, leave nothing behind.

use std::thread;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::server;

/// How many descriptors the pipes have that are kept for transfers to begin.
const KEPT: usize = 2 * 16;

/// One session with a transfer in it; every third client just goes.
fn session(gateway: &Gateway, number: usize) {
    let mut client = Client::login(gateway.address);
    assert_eq!(client.download("RETR 3000").len(), 3000);
    client.expect("SITE x", 502);
    if number.is_multiple_of(3) {
        // An offer that nobody takes up, and no QUIT.
        client.expect("EPSV", 229);
    } else {
        client.expect("QUIT", 221);
    }
}

#[test]
fn a_thousand_sessions_and_five_hundred_at_once_leave_nothing_behind() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "passive_ports = \"41000-42999\"", "");
    session(&gateway, 1);
    gateway.settles("ftpwarden_sessions", 0.0);
    let (descriptors, threads) = (gateway.descriptors(), gateway.threads());
    for number in 0..1000 {
        session(&gateway, number);
    }
    gateway.settles("ftpwarden_sessions", 0.0);
    gateway.settles("ftpwarden_passive_ports_in_use", 0.0);
    let mut clients: Vec<Client> = (0..500).map(|_| Client::login(gateway.address)).collect();
    gateway.settles("ftpwarden_sessions", 500.0);
    thread::scope(|scope| {
        for part in clients.chunks_mut(25) {
            scope.spawn(|| {
                for client in part {
                    assert_eq!(client.download("RETR 3000").len(), 3000);
                }
            });
        }
    });
    drop(clients);
    gateway.settles("ftpwarden_sessions", 0.0);
    gateway.settles("ftpwarden_passive_ports_in_use", 0.0);
    // A socket's descriptor is closed a moment after its session is counted out; a thread that has
    // rendered metrics stays for ten seconds.
    let held = || (gateway.descriptors(), gateway.threads());
    let began = crate::gateway::now();
    while (held().0 > descriptors + KEPT || held().1 > threads) && began.elapsed().as_secs() < 20 {
        thread::yield_now();
    }
    let left = gateway.descriptors();
    assert!(left <= descriptors + KEPT, "{left} descriptors are left");
    assert!(gateway.threads() <= threads, "threads are left");
    let refused = gateway.sum("ftpwarden_sessions_rejected_total", &[]);
    assert!(refused.abs() < 0.5, "{refused} were turned away");
}
