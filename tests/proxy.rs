//! Behind a balancer, over sockets: whose header is believed, for whom, and what the client's
//! address is good for from then on. The balancer is 127.0.0.9, its clients are other addresses of
//! loopback, so that data connections can come straight from them.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[expect(dead_code, reason = "each suite uses a part of it")]
mod support;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ftpwarden::upstream::connect;
use support::{
    Bench, Control, GREETING, active_port, exchange, extended_passive, is_reset, login, passive,
    read_all, settings, within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The keys of a listener that believes the balancer.
const BELIEVED: &str = "accept_proxy_from = \"127.0.0.9\"";

/// How a header of version 2 begins, up to its command.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 1 for `client`.
fn line(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 203.0.113.7 40000 21\r\n").into_bytes()
}

/// One of version 2, with a record that means nothing here.
fn binary(client: &str) -> Vec<u8> {
    let client: std::net::Ipv4Addr = client.parse().unwrap();
    let block = [&client.octets()[..], &[203, 0, 113, 7, 156, 64, 0, 21]].concat();
    let record = [0xEA, 0, 2, 1, 2];
    [SIGNATURE, &[0x21, 0x11, 0, 17], &block, &record].concat()
}

/// One of version 2 that a balancer sends for itself.
fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0x00, 0, 0]].concat()
}

/// Dials from the balancer's address.
async fn dial(address: SocketAddr) -> Control {
    Control::dial_from(address, "127.0.0.9").await
}

/// A connection through the balancer that begins with `header`.
async fn announced(bench: &Bench, header: &[u8]) -> Control {
    let mut client = dial(bench.address()).await;
    client.send(header).await;
    client
}

/// A client behind the balancer that is logged in, and the server that it got.
async fn logged_in(bench: &Bench, header: &[u8]) -> (Control, Control) {
    let client = announced(bench, header).await;
    let (mut client, mut server) = bench.greet(client).await;
    login(&mut client, &mut server).await;
    (client, server)
}

/// Whether a connection ends without a byte, in order or not.
async fn is_closed(mut client: Control) -> bool {
    let mut bytes = Vec::new();
    let ended = within(client.stream.read_to_end(&mut bytes)).await;
    assert_eq!(bytes, b"", "{ended:?}");
    true
}

/// How many connections were turned away for `reason`.
fn turned_away(bench: &Bench, reason: &str, count: usize) -> bool {
    let name = "ftpwarden_sessions_rejected_total";
    bench.counts(&format!(
        "{name}{{listener=\"main\",reason=\"{reason}\"}} {count}"
    ))
}

/// Awaits that so many were turned away for want of a header.
async fn unannounced(bench: &Bench, count: usize) {
    within(async {
        while !turned_away(bench, "proxy_header", count) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The addresses of the clients that `/status` shows.
fn clients(bench: &Bench) -> Vec<String> {
    let sessions = bench.telemetry.status().sessions;
    let mut clients: Vec<String> = sessions
        .iter()
        .map(|session| session.client.to_string())
        .collect();
    clients.sort();
    clients
}

#[tokio::test]
async fn whom_a_balancer_names_is_the_client() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let (_first, _server) = logged_in(&bench, &line("192.0.2.1")).await;
    let (_second, _server) = logged_in(&bench, &binary("192.0.2.2")).await;
    let six = b"PROXY TCP6 2001:db8::3 2001:db8::9 40000 21\r\n";
    let (_third, _server) = logged_in(&bench, six).await;
    let shown = ["192.0.2.1:40000", "192.0.2.2:40000", "[2001:db8::3]:40000"];
    assert_eq!(clients(&bench), shown);
}

#[tokio::test]
async fn a_header_that_comes_with_the_first_command_leaves_it_alone() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let eager = [&line("192.0.2.1")[..], b"NOOP\r\n"].concat();
    let (mut client, mut server) = bench.greet(announced(&bench, &eager).await).await;
    server.hear("NOOP").await;
    server.say("200 Here.").await;
    client.hear("200 Here.").await;
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let bench = Bench::start(BELIEVED, "", "").await;
    for header in [line("192.0.2.1"), binary("192.0.2.1"), local()] {
        let mut client = dial(bench.address()).await;
        for byte in header {
            client.send(&[byte]).await;
            // The gateway runs on this thread: it reads what there is.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        bench.greet(client).await;
    }
}

#[tokio::test]
async fn a_balancer_without_a_header_is_closed_and_costs_no_dial() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let endless = vec![b'x'; 100_000];
    let bad = [
        &b"USER test\r\n"[..],
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 0.0.0.0 203.0.113.7 40000 21\r\n",
        b"\x16\x03\x01\x02",
        &[SIGNATURE, &[0x21, 0x11, 0, 3, 1, 2, 3]].concat(),
        &[SIGNATURE, &[0x21, 0x11, 0xFF, 0xFF]].concat(),
        &endless,
        &[b"PROXY UNKNOWN ", &endless[..]].concat(),
    ];
    for (index, bytes) in bad.iter().enumerate() {
        let mut client = dial(bench.address()).await;
        // All of it may not be taken any more.
        client.stream.write_all(bytes).await.ok();
        assert!(is_closed(client).await);
        unannounced(&bench, index + 1).await;
    }
    assert!(
        bench
            .counts("ftpwarden_replies_total{listener=\"main\",code=\"421\",origin=\"gateway\"} 0")
    );
    assert!(bench.counts("ftpwarden_sessions_total{listener=\"main\"} 0"));
    // Nobody was dialled: the next who is has the next client.
    let (_client, _server) = logged_in(&bench, &line("192.0.2.1")).await;
}

#[tokio::test]
async fn a_header_that_is_not_whole_ends_with_its_connection_or_its_time() {
    let limits = "[limits]\ntls_handshake_timeout = \"100ms\"";
    let bench = Bench::start(BELIEVED, "", limits).await;
    let header = line("192.0.2.1");
    // Ended within it, ended before it, and neither.
    let mut half = announced(&bench, &header[..20]).await;
    half.stream.shutdown().await.unwrap();
    assert!(is_closed(half).await);
    unannounced(&bench, 1).await;
    drop(dial(bench.address()).await);
    unannounced(&bench, 2).await;
    assert!(is_closed(announced(&bench, &header[..20]).await).await);
    assert!(is_closed(announced(&bench, b"").await).await);
    unannounced(&bench, 4).await;
    // Byte by byte it has the same time.
    let mut drips = dial(bench.address()).await;
    within(async {
        for byte in [SIGNATURE, &[0x21, 0x00, 2, 8], &[0; 520]].concat() {
            if drips.stream.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::select! {
                biased;
                _ = drips.stream.readable() => break,
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
            }
        }
    })
    .await;
    unannounced(&bench, 5).await;
}

#[tokio::test]
async fn a_header_of_somebody_else_is_not_believed() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let (mut client, _server) = bench.greeted().await;
    client.send(&line("192.0.2.1")).await;
    client.hear_code("500 ").await;
    client.hear_end().await;
    // The other form is no command either, until its QUIT, which is one.
    let (mut client, mut server) = bench.greeted().await;
    assert!(
        clients(&bench)
            .iter()
            .any(|client| client.starts_with("127.0.0.1:"))
    );
    client.send(&binary("192.0.2.1")).await;
    client.hear_code("500 ").await;
    server.hear("QUIT").await;
    assert!(turned_away(&bench, "proxy_header", 0));
    assert!(
        !clients(&bench)
            .iter()
            .any(|client| client.starts_with("192.0.2.1:"))
    );
}

#[tokio::test]
async fn the_bounds_of_a_client_are_those_of_whom_the_header_names() {
    let limits = "[limits]\nsessions_per_client = 1";
    let bench = Bench::start(BELIEVED, "", limits).await;
    let (_one, _server) = logged_in(&bench, &line("192.0.2.1")).await;
    let (_two, _server) = logged_in(&bench, &line("192.0.2.2")).await;
    let mut third = announced(&bench, &binary("192.0.2.1")).await;
    third.hear_code("421 Too many sessions").await;
    third.hear_end().await;
    assert!(turned_away(&bench, "client_sessions", 1));
    // Those whom it cannot name are one client, and its own connections are none of theirs.
    let mut kept = vec![
        bench
            .greet(announced(&bench, b"PROXY UNKNOWN\r\n").await)
            .await,
    ];
    let mut another = announced(&bench, b"PROXY UNKNOWN\r\n").await;
    another.hear_code("421 Too many sessions").await;
    for _ in 0..3 {
        kept.push(bench.greet(announced(&bench, &local()).await).await);
    }
}

#[tokio::test]
async fn a_rate_is_that_of_a_client_and_never_the_balancers() {
    let limits = "[limits]\nconnection_rate = \"2/h\"";
    let bench = Bench::start(BELIEVED, "", limits).await;
    for client in 1..=5 {
        for _ in 0..2 {
            let header = binary(&format!("192.0.2.{client}"));
            bench.greet(announced(&bench, &header).await).await;
        }
    }
    let mut fast = announced(&bench, &binary("192.0.2.1")).await;
    fast.hear_code("421 Too many connections").await;
    // What it dials for itself, in either version, is not counted.
    for _ in 0..5 {
        bench.greet(announced(&bench, &local()).await).await;
        bench
            .greet(announced(&bench, &line("127.0.0.9")).await)
            .await;
    }
    // Those whom it cannot name are one client.
    for _ in 0..2 {
        bench
            .greet(announced(&bench, b"PROXY UNKNOWN\r\n").await)
            .await;
    }
    let mut fast = announced(&bench, b"PROXY UNKNOWN\r\n").await;
    fast.hear_code("421 Too many connections").await;
}

#[tokio::test]
async fn a_ban_is_that_of_a_client_and_never_the_balancers() {
    let limits = "[limits]\nfailed_login_delay = \"1ms\"\nfailed_logins = 1";
    let bench = Bench::start(BELIEVED, "", limits).await;
    for header in [line("192.0.2.1"), b"PROXY UNKNOWN\r\n".to_vec()] {
        let (mut client, mut server) = bench.greet(announced(&bench, &header).await).await;
        for reply in ["530 Login incorrect.", "421 Too many failed logins"] {
            exchange(&mut client, &mut server, "USER root", "331 Password?").await;
            client.say("PASS guess").await;
            server.hear("PASS guess").await;
            server.say("530 Login incorrect.").await;
            client.hear_code(reply).await;
        }
        let mut banned = announced(&bench, &header).await;
        banned.hear_code("421 Too many failed logins").await;
    }
    let (_other, _server) = logged_in(&bench, &line("192.0.2.2")).await;
    bench.greet(announced(&bench, &local()).await).await;
}

#[tokio::test]
async fn policy_judges_whom_the_header_names() {
    let policy = "[policies.own]\nextends = \"standard\"\n\
                  rules = [{ commands = \"DELE\", clients = \"192.0.2.0/24\", action = \"deny\" }]";
    let keys = format!("{BELIEVED}\npolicy = \"own\"");
    let bench = Bench::start(&keys, "", policy).await;
    let (mut inside, _server) = logged_in(&bench, &line("192.0.2.1")).await;
    inside.say("DELE a").await;
    inside.hear_code("502 ").await;
    let (mut outside, mut server) = logged_in(&bench, &line("198.51.100.1")).await;
    exchange(&mut outside, &mut server, "DELE a", "250 Gone.").await;
}

#[tokio::test]
async fn active_mode_goes_to_whom_the_header_names() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let (mut client, mut server) = logged_in(&bench, &line("127.0.0.2")).await;
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
    // The balancer's address, and the one that the client dialled there.
    for other in ["127,0,0,9", "203,0,113,7", "127,0,0,1"] {
        client.say(&format!("PORT {other},{high},{low}")).await;
        client.hear_code("501 ").await;
    }
    client.say(&format!("PORT 127,0,0,2,{high},{low}")).await;
    let port = active_port(&server.line().await);
    server.say("200 Fine.").await;
    client.hear_code("200 ").await;
    client.say("LIST").await;
    server.hear("LIST").await;
    let mut peer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    server.say("150 Here it comes.").await;
    client.hear("150 Here it comes.").await;
    let (mut data, _) = within(listener.accept()).await.unwrap();
    peer.write_all(b"a line\r\n").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, b"a line\r\n");
    client.hear("226 Done.").await;
}

/// A download over data connections that are there.
async fn downloads(
    (client, server): (&mut Control, &mut Control),
    mut data: TcpStream,
    mut peer: TcpStream,
) {
    exchange(client, server, "RETR file", "150 Here.").await;
    peer.write_all(b"for the client").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, b"for the client");
    client.hear("226 Done.").await;
}

#[tokio::test]
async fn data_comes_straight_from_whom_the_header_names() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let (mut client, mut server) = logged_in(&bench, &line("127.0.0.2")).await;
    let (address, listener) = passive(&mut client, &mut server).await;
    // The address is the gateway's own, not the one that the header has.
    assert_eq!(address.ip(), bench.address().ip());
    let stranger = connect(address, Some("127.0.0.3:0".parse().unwrap())).await;
    assert!(is_reset(stranger.unwrap()).await);
    let data = connect(address, Some("127.0.0.2:0".parse().unwrap())).await;
    let (peer, _) = within(listener.accept()).await.unwrap();
    downloads((&mut client, &mut server), data.unwrap(), peer).await;
}

#[tokio::test]
async fn data_comes_straight_to_another_address_than_the_balancer_dialled() {
    let advertised = format!("{BELIEVED}\npassive_address = \"127.0.0.2\"");
    let bench = Bench::start(&advertised, "", "").await;
    let header = line("127.0.0.3");
    let (mut client, mut server) = logged_in(&bench, &header).await;
    let (address, listener) = passive(&mut client, &mut server).await;
    assert_eq!(address.ip().to_string(), "127.0.0.2");
    let stranger = connect(address, Some("127.0.0.4:0".parse().unwrap())).await;
    assert!(is_reset(stranger.unwrap()).await);
    let data = connect(address, Some("127.0.0.3:0".parse().unwrap())).await;
    let (peer, _) = within(listener.accept()).await.unwrap();
    downloads((&mut client, &mut server), data.unwrap(), peer).await;
    // The balancer brings them to where it dials.
    let (address, listener) = passive(&mut client, &mut server).await;
    let dialled = SocketAddr::new(bench.address().ip(), address.port());
    let mut data = dial(dialled).await;
    data.send(&header).await;
    let (peer, _) = within(listener.accept()).await.unwrap();
    downloads((&mut client, &mut server), data.stream, peer).await;
}

#[tokio::test]
async fn who_dials_for_himself_finds_no_port_at_another_address() {
    let bench = Bench::start("passive_address = \"127.0.0.2\"", "", "").await;
    let (mut client, mut server) = bench.logged_in().await;
    let (address, _listener) = passive(&mut client, &mut server).await;
    let refused = connect(address, None).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_client_behind_a_balancer_is_dialled_from_where_its_network_is() {
    let second =
        format!("[listeners.second]\nbind = \"127.0.0.8:0\"\nupstream = \"legacy\"\n{BELIEVED}");
    let bench = Bench::start("", "", &second).await;
    let addresses = bench.gateway.local_addrs();
    let (_, address) = addresses
        .iter()
        .find(|(name, _)| &**name == "second")
        .unwrap();
    // The first comes through the balancer, the second by itself.
    for (from, header, source) in [
        ("127.0.0.9", line("127.0.0.3"), "127.0.0.1"),
        ("127.0.0.3", Vec::new(), "127.0.0.8"),
    ] {
        let mut client = Control::dial_from(*address, from).await;
        client.send(&header).await;
        let (mut client, mut server) = bench.greet(client).await;
        login(&mut client, &mut server).await;
        let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
        client.say(&format!("PORT 127,0,0,3,{high},{low}")).await;
        let port = active_port(&server.line().await);
        server.say("200 Fine.").await;
        client.hear_code("200 ").await;
        client.say("LIST").await;
        server.hear("LIST").await;
        let _peer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        server.say("150 Here it comes.").await;
        client.hear("150 Here it comes.").await;
        let (_data, from) = within(listener.accept()).await.unwrap();
        assert_eq!(from.ip().to_string(), source);
    }
}

#[tokio::test]
async fn data_comes_through_the_balancer_if_it_says_for_whom() {
    let limits = "[limits]\ntls_handshake_timeout = \"100ms\"";
    let bench = Bench::start(BELIEVED, "", limits).await;
    let (mut client, mut server) = logged_in(&bench, &binary("192.0.2.1")).await;
    let (address, listener) = passive(&mut client, &mut server).await;
    // Without a header, with one that is none, for somebody else, for itself: strangers all.
    for header in [b"".to_vec(), b"x".to_vec(), line("192.0.2.7"), local()] {
        let mut stranger = dial(address).await;
        stranger.send(&header).await;
        assert!(is_reset(stranger.stream).await);
    }
    // Nor is a header believed of anybody else.
    let mut liar = connect(address, None).await.unwrap();
    liar.write_all(&line("192.0.2.1")).await.ok();
    assert!(is_reset(liar).await);
    let mut data = dial(address).await;
    data.send(&line("192.0.2.1")).await;
    let (peer, _) = within(listener.accept()).await.unwrap();
    downloads((&mut client, &mut server), data.stream, peer).await;
    let second = connect(address, None).await.unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_upload_through_the_balancer_begins_behind_its_header() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let (mut client, mut server) = logged_in(&bench, &binary("192.0.2.1")).await;
    let (address, listener) = passive(&mut client, &mut server).await;
    let mut data = dial(address).await;
    data.send(&[&binary("192.0.2.1")[..], b"all of it"].concat())
        .await;
    drop(data);
    let (mut peer, _) = within(listener.accept()).await.unwrap();
    exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
    assert_eq!(read_all(&mut peer).await, b"all of it");
    drop(peer);
    server.say("226 Stored.").await;
    client.hear("226 Stored.").await;
}

#[tokio::test]
async fn a_client_of_the_other_family_is_served_through_the_balancer() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let header = b"PROXY TCP6 2001:db8::3 2001:db8::9 40000 21\r\n";
    let (mut client, mut server) = logged_in(&bench, header).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = extended_passive(&mut client, &mut server, &listener).await;
    let address = SocketAddr::new(bench.address().ip(), port);
    let mut data = dial(address).await;
    data.send(header).await;
    let (peer, _) = within(listener.accept()).await.unwrap();
    downloads((&mut client, &mut server), data.stream, peer).await;
    // And nowhere else than to its own address.
    client.say("EPRT |1|127.0.0.9|40000|").await;
    client.hear_code("501 ").await;
    client.say("EPRT |2|2001:db8::4|40000|").await;
    client.hear_code("501 ").await;
}

#[tokio::test]
async fn what_is_advertised_is_of_the_clients_family() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let six = format!(
        "[listeners.six]\nbind = \"[::1]:0\"\nupstream = \"six\"\naccept_proxy_from = \"::1\"\n\
         passive_address = \"203.0.113.7\"\n[upstreams.six]\naddress = \"{}\"",
        server.local_addr().unwrap()
    );
    let bench = Bench::start("", "", &six).await;
    let addresses = bench.gateway.local_addrs();
    let (_, address) = addresses.iter().find(|(name, _)| &**name == "six").unwrap();
    let mut client = Control::dial(*address).await;
    client.send(&line("192.0.2.1")).await;
    let mut server = Control::new(within(server.accept()).await.unwrap().0);
    server.say(GREETING).await;
    client.hear(GREETING).await;
    login(&mut client, &mut server).await;
    let (advertised, listener) = passive(&mut client, &mut server).await;
    assert_eq!(advertised.ip().to_string(), "203.0.113.7");
    let mut data = Control::dial(SocketAddr::new(address.ip(), advertised.port())).await;
    data.send(&line("192.0.2.1")).await;
    let (peer, _) = within(listener.accept()).await.unwrap();
    downloads((&mut client, &mut server), data.stream, peer).await;
}

#[tokio::test]
async fn a_reload_changes_who_is_believed() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.greet(dial(bench.address()).await).await;
    bench.reload(BELIEVED, "", "");
    assert!(is_closed(announced(&bench, b"USER test\r\n").await).await);
    let (_named, _server) = logged_in(&bench, &line("192.0.2.1")).await;
    exchange(&mut client, &mut server, "NOOP", "200 Here.").await;
    bench.reload("", "", "");
    let (_direct, _server) = bench.greet(dial(bench.address()).await).await;
}

#[tokio::test]
async fn who_is_turned_away_is_counted_under_the_name_that_a_reload_gave() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let legacy = server.local_addr().unwrap();
    // An address that no other test uses, so that nobody takes the port meanwhile.
    let free = TcpListener::bind("127.0.0.18:0").await.unwrap();
    let door = free.local_addr().unwrap();
    drop(free);
    let named = |name: &str| {
        format!(
            "[listeners.{name}]\nbind = \"{door}\"\nupstream = \"legacy\"\n{BELIEVED}\n\
             [upstreams.legacy]\naddress = \"{legacy}\"\n"
        )
    };
    let bench = Bench::of(&named("main"), server);
    assert!(is_closed(announced(&bench, b"USER test\r\n").await).await);
    assert!(turned_away(&bench, "proxy_header", 1));
    let renamed = settings(&named("edge"));
    let reloaded = bench
        .gateway
        .reload(Arc::new(renamed.settings), renamed.policies);
    reloaded.unwrap();
    assert!(is_closed(announced(&bench, b"USER test\r\n").await).await);
    let name = "ftpwarden_sessions_rejected_total{listener=\"edge\"";
    assert!(bench.counts(&format!("{name},reason=\"proxy_header\"}} 1")));
}

#[tokio::test]
async fn connections_whose_header_is_awaited_have_a_bound() {
    let bench = Bench::start(BELIEVED, "", "[limits]\nsessions = 2").await;
    let mut first = announced(&bench, b"PROXY ").await;
    let mut second = announced(&bench, b"PROXY ").await;
    let mut third = dial(bench.address()).await;
    third.hear_code("421 Too many sessions").await;
    assert!(turned_away(&bench, "sessions", 1));
    first.send(&line("192.0.2.1")[6..]).await;
    second.send(&line("192.0.2.1")[6..]).await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let mut server = bench.accept().await;
        server.say(GREETING).await;
        servers.push(server);
    }
    first.hear(GREETING).await;
    second.hear(GREETING).await;
    assert_eq!(bench.gateway.sessions(), 2);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_header() {
    let bench = Bench::start(BELIEVED, "", "").await;
    let mut client = announced(&bench, b"PROXY ").await;
    // What the balancer dials next is taken behind it.
    bench.greet(announced(&bench, &local()).await).await;
    let told = async {
        client.hear_code("421 Service is stopping").await;
    };
    within(async { tokio::join!(bench.gateway.drain(), told) }).await;
}
