//! The server's leg: TLS as the client has it, from the first byte, with a certificate of the
//! gateway's own, and with the version that the server has.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{
    Authority, Behind, Bench, Control, GREETING, Secure, VERSIONS, handshake, is_reset,
    passive_address, protect, record, secured_server, within,
};
use crate::support::{exchange, help, passive_pair};

/// The value of `versions` that has this one alone.
fn only(version: &SupportedProtocolVersion) -> &'static str {
    match version.version {
        ProtocolVersion::TLSv1_2 => "versions = \"1.2\"",
        _ => "versions = \"1.3\"",
    }
}

/// The server's end of a handshake.
async fn accept(config: &Arc<ServerConfig>, stream: TcpStream) -> Behind {
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    Secure::new(within(acceptor.accept(stream)).await.unwrap())
}

/// A server's end of a handshake that fails.
async fn refuse(config: &Arc<ServerConfig>, stream: TcpStream) -> String {
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    let accepted = within(acceptor.accept(stream)).await;
    accepted.err().unwrap().to_string()
}

/// A server that greets, and is asked for TLS.
async fn asked(bench: &Bench) -> Control {
    let mut server = bench.accept().await;
    server.say(GREETING).await;
    server.hear("AUTH TLS").await;
    server.say("234 Go on.").await;
    server
}

/// The reply to PASV of a server that listens.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
    let reply = format!("227 Entering Passive Mode (127,0,0,1,{high},{low}).");
    (listener, reply)
}

/// PASV of a client in clear at a server under TLS: where the client dials, and the server's
/// listener.
async fn passive(client: &mut Control, server: &mut Behind) -> (SocketAddr, TcpListener) {
    let (listener, reply) = listen().await;
    client.say("PASV").await;
    server.hear("PASV").await;
    server.say(&reply).await;
    (passive_address(&client.line().await), listener)
}

/// A download of a client in clear from a server under TLS, whose data connection resumes.
async fn download(client: &mut Control, server: &mut Behind, config: &Arc<ServerConfig>) {
    let (address, listener) = passive(client, server).await;
    let mut data = within(TcpStream::connect(address)).await.unwrap();
    client.say("RETR a").await;
    server.hear("RETR a").await;
    server.say("150 Here.").await;
    client.hear("150 Here.").await;
    let (peer, _) = within(listener.accept()).await.unwrap();
    let mut peer = accept(config, peer).await.stream;
    assert_eq!(
        peer.get_ref().1.handshake_kind(),
        Some(HandshakeKind::Resumed)
    );
    peer.write_all(b"abc").await.unwrap();
    peer.shutdown().await.unwrap();
    server.say("226 Done.").await;
    let mut received = Vec::new();
    within(data.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received, b"abc");
    client.hear("226 Done.").await;
}

/// A login of a client in clear at a server under TLS.
async fn log_in(client: &mut Control, server: &mut Behind) {
    client.say("USER test").await;
    server.hear("USER test").await;
    server.say("230 Welcome.").await;
    client.hear("230 Welcome.").await;
}

/// A gateway with TLS on either leg, the server's as the client's.
async fn matching(authority: &Authority) -> Bench {
    authority.issue("server", |_| ());
    let upstream = format!(
        "tls = {{ ca = '{}', server_name = \"server\", mode = \"match\" }}",
        authority.path("ca.pem").display()
    );
    Bench::start(&authority.listener("require = \"no\""), &upstream, "").await
}

/// What the gateway asks a server under TLS whose client has data in clear.
async fn protect_control(server: &mut Behind) {
    server.hear("PBSZ 0").await;
    server.say("200 PBSZ=0").await;
    server.hear("PROT C").await;
    server.say("200 Clear.").await;
}

#[tokio::test]
async fn what_a_server_under_tls_said_before_a_command_is_no_reply_to_it() {
    let authority = Authority::new();
    authority.issue("localhost", |_| ());
    let upstream = authority.upstream("mode = \"explicit\"");
    let bench = Bench::start("", &upstream, "").await;
    let config = Arc::new(authority.server("localhost", &VERSIONS));
    let (mut client, mut server) = secured_server(&bench, &config).await.unwrap();
    protect(&mut server).await;
    log_in(&mut client, &mut server).await;
    // Either leg is looked at first some time.
    for _ in 0..8 {
        // The gateway runs on this thread: it finds both.
        let (socket, tls) = server.stream.get_mut();
        let stray = record(tls, b"250 Nobody asked.\r\n", false);
        assert_eq!(socket.try_write(&stray).unwrap(), stray.len());
        assert_eq!(client.stream.try_write(b"NOOP\r\n").unwrap(), 6);
        server.hear("NOOP").await;
        server.say("200 Here.").await;
        client.hear("200 Here.").await;
    }
}

#[tokio::test]
async fn what_a_server_under_tls_said_behind_a_reply_is_no_reply_to_the_next_command() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (_bench, _, mut client, mut server) = logged_in(&authority, version).await;
        client.send(b"HELP\r\nNOOP\r\n").await;
        server.hear("HELP").await;
        // Two records, which come together, and the first is as much as is read at a time.
        let reply = help(2048);
        let (socket, tls) = server.stream.get_mut();
        let mut wire = record(tls, &reply, false);
        wire.extend(record(tls, b"250 Nobody asked.\r\n", false));
        assert_eq!(socket.try_write(&wire).unwrap(), wire.len());
        assert_eq!(client.through(b"214 Done.\r\n").await, reply);
        server.hear("NOOP").await;
        server.say("200 Two.").await;
        client.hear("200 Two.").await;
    }
}

#[tokio::test]
async fn with_match_a_client_in_clear_has_a_server_in_clear() {
    let authority = Authority::new();
    let bench = matching(&authority).await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    client.say("RETR a").await;
    server.hear("RETR a").await;
    server.say("150 Here.").await;
    client.hear("150 Here.").await;
    peer.write_all(b"abc").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    let mut received = Vec::new();
    within(data.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received, b"abc");
    client.hear("226 Done.").await;
}

#[tokio::test]
async fn with_match_a_client_under_tls_has_a_server_under_tls_and_prot_follows() {
    for version in VERSIONS {
        let authority = Authority::new();
        let bench = matching(&authority).await;
        let config = Arc::new(authority.server("server", &VERSIONS));
        let (mut clear, mut server) = bench.greeted().await;
        clear.say("AUTH TLS").await;
        server.hear("AUTH TLS").await;
        server.say("234 Go on.").await;
        let mut server = accept(&config, server.stream).await;
        protect_control(&mut server).await;
        // The client is answered once the server's leg is what it asks for.
        clear.hear_code("234 ").await;
        let client_config = Arc::new(authority.client(&[version]));
        let mut client = Secure::new(handshake(&client_config, clear.stream).await.unwrap());
        client.say("USER test").await;
        server.hear("USER test").await;
        server.say("230 Welcome.").await;
        client.hear("230 Welcome.").await;
        client.say("PBSZ 0").await;
        client.hear_code("200 ").await;
        let mut level = "C";
        for wanted in ["C", "P", "P", "C"] {
            client.say(&format!("PROT {wanted}")).await;
            client.hear_code("200 ").await;
            let (listener, reply) = listen().await;
            client.say("PASV").await;
            if wanted != level {
                server.hear(&format!("PROT {wanted}")).await;
                server.say("200 As you like.").await;
                level = wanted;
            }
            server.hear("PASV").await;
            server.say(&reply).await;
            let address = passive_address(&client.line().await);
            let mut data = within(TcpStream::connect(address)).await.unwrap();
            client.say("RETR a").await;
            server.hear("RETR a").await;
            server.say("150 Here.").await;
            client.hear("150 Here.").await;
            let (mut peer, _) = within(listener.accept()).await.unwrap();
            let mut received = Vec::new();
            if wanted == "P" {
                let (peer, data) =
                    tokio::join!(accept(&config, peer), handshake(&client_config, data));
                let (mut peer, mut data) = (peer.stream, data.unwrap());
                peer.write_all(b"abc").await.unwrap();
                peer.shutdown().await.unwrap();
                server.say("226 Done.").await;
                within(data.read_to_end(&mut received)).await.unwrap();
            } else {
                peer.write_all(b"abc").await.unwrap();
                drop(peer);
                server.say("226 Done.").await;
                within(data.read_to_end(&mut received)).await.unwrap();
            }
            assert_eq!(received, b"abc");
            client.hear("226 Done.").await;
        }
    }
}

#[tokio::test]
async fn with_match_a_client_whose_server_has_no_tls_gets_none_and_no_clear_text_either() {
    let authority = Authority::new();
    let bench = matching(&authority).await;
    let (mut client, mut server) = bench.greeted().await;
    client.say("AUTH TLS").await;
    server.hear("AUTH TLS").await;
    server.say("500 What?").await;
    client.hear_code("421 ").await;
    client.hear_end().await;
    server.hear_end().await;
}

/// A gateway whose server begins with TLS.
async fn implicit(authority: &Authority, keys: &str) -> Bench {
    authority.issue("localhost", |_| ());
    let upstream = authority.upstream(&format!("mode = \"implicit\"{keys}"));
    Bench::start("", &upstream, "").await
}

/// A client in clear that has logged in at a server which begins with TLS.
async fn logged_in(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> (Bench, Arc<ServerConfig>, Control, Behind) {
    let bench = implicit(authority, &format!(", {}", only(version))).await;
    let config = Arc::new(authority.server("localhost", &[version]));
    let mut client = Control::dial(bench.address()).await;
    let mut server = accept(&config, bench.accept().await.stream).await;
    server.say(GREETING).await;
    client.hear(GREETING).await;
    protect(&mut server).await;
    log_in(&mut client, &mut server).await;
    (bench, config, client, server)
}

#[tokio::test]
async fn a_server_with_implicit_tls_says_nothing_in_clear() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (_bench, config, mut client, mut server) = logged_in(&authority, version).await;
        for _ in 0..2 {
            download(&mut client, &mut server, &config).await;
        }
    }
}

#[tokio::test]
async fn a_servers_end_that_comes_with_a_reply_is_heard_without_that_of_the_connection() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (_bench, _, mut client, mut server) = logged_in(&authority, version).await;
        client.say("NOOP").await;
        server.hear("NOOP").await;
        let (socket, tls) = server.stream.get_mut();
        let wire = record(tls, b"200 Here.\r\n", true);
        assert_eq!(socket.try_write(&wire).unwrap(), wire.len());
        client.hear("200 Here.").await;
        client.hear_code("421 ").await;
        client.hear_end().await;
    }
}

#[tokio::test]
async fn a_server_that_greets_in_clear_where_tls_comes_first_is_not_believed() {
    let authority = Authority::new();
    let bench = implicit(&authority, "").await;
    let mut client = Control::dial(bench.address()).await;
    let mut server = bench.accept().await;
    server.say(GREETING).await;
    client.hear_code("421 ").await;
    client.hear_end().await;
    assert!(bench.counts(
        "ftpwarden_tls_handshakes_total{leg=\"server\",channel=\"control\",version=\"none\",\
         resumed=\"none\",result=\"plaintext\"} 1"
    ));
}

#[tokio::test]
async fn the_gateways_certificate_is_shown_to_a_server_that_asks() {
    for version in VERSIONS {
        let (authority, own) = (Authority::new(), Authority::new());
        authority.issue("localhost", |_| ());
        own.issue("gateway", |_| ());
        let upstream = authority.upstream(&format!(
            "mode = \"explicit\", {}, certificate = '{}', key = '{}'",
            only(version),
            own.path("gateway.pem").display(),
            own.path("gateway.key").display(),
        ));
        let bench = Bench::start("", &upstream, "").await;
        let config = Arc::new(authority.server_demanding("localhost", &[version], &own));
        let (mut client, mut server) = secured_server(&bench, &config).await.unwrap();
        let (_, connection) = server.stream.get_ref();
        assert_eq!(
            connection.peer_certificates(),
            Some(&own.chain("gateway")[..])
        );
        protect(&mut server).await;
        log_in(&mut client, &mut server).await;
        download(&mut client, &mut server, &config).await;
    }
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_no_command_without_one() {
    for version in VERSIONS {
        let (authority, own) = (Authority::new(), Authority::new());
        authority.issue("localhost", |_| ());
        let upstream = authority.upstream(&format!("mode = \"explicit\", {}", only(version)));
        let bench = Bench::start("", &upstream, "").await;
        let config = Arc::new(authority.server_demanding("localhost", &[version], &own));
        let error = secured_server(&bench, &config).await.err().unwrap();
        assert!(error.to_string().contains("no certificates"), "{error}");
    }
}

/// An authority, and a gateway before a server with other versions than the first that is tried.
async fn falling_back(keys: &str) -> (Authority, Bench) {
    let authority = Authority::new();
    authority.issue("localhost", |_| ());
    let bench = Bench::start("", &authority.upstream(keys), "").await;
    (authority, bench)
}

/// How often a handshake with the server came to this.
fn handshakes(bench: &Bench, version: &str, resumed: &str, result: &str, times: u32) -> bool {
    bench.counts(&format!(
        "ftpwarden_tls_handshakes_total{{leg=\"server\",channel=\"control\",\
         version=\"{version}\",resumed=\"{resumed}\",result=\"{result}\"}} {times}"
    ))
}

#[tokio::test]
async fn a_server_that_lacks_the_first_version_is_dialled_again_in_the_same_session() {
    for (versions, has) in [
        ("", VERSIONS[1]),
        (", versions = [\"1.3\", \"1.2\"]", VERSIONS[0]),
    ] {
        let (authority, bench) = falling_back(&format!("mode = \"explicit\"{versions}")).await;
        let config = Arc::new(authority.server("localhost", &[has]));
        let mut client = Control::dial(bench.address()).await;
        let first = asked(&bench).await;
        client.hear(GREETING).await;
        refuse(&config, first.stream).await;
        // The client has its greeting, and hears nothing of the second one.
        let mut again = bench.accept().await;
        again.send(b"220-Scripted server\r\n").await;
        again.send(b"220 is ready again.\r\n").await;
        again.hear("AUTH TLS").await;
        again.say("234 Go on.").await;
        let mut server = accept(&config, again.stream).await;
        protect(&mut server).await;
        log_in(&mut client, &mut server).await;
        download(&mut client, &mut server, &config).await;
        // The next session begins with what the server has.
        let (mut client, mut server) = secured_server(&bench, &config).await.unwrap();
        protect(&mut server).await;
        log_in(&mut client, &mut server).await;
        assert!(handshakes(&bench, "none", "none", "version", 1));
    }
}

#[tokio::test]
async fn a_server_with_implicit_tls_is_dialled_again_before_its_greeting() {
    let (authority, bench) = falling_back("mode = \"implicit\"").await;
    let config = Arc::new(authority.server("localhost", &[VERSIONS[1]]));
    let mut client = Control::dial(bench.address()).await;
    refuse(&config, bench.accept().await.stream).await;
    let mut server = accept(&config, bench.accept().await.stream).await;
    server.say(GREETING).await;
    client.hear(GREETING).await;
    protect(&mut server).await;
    log_in(&mut client, &mut server).await;
    download(&mut client, &mut server, &config).await;
}

#[tokio::test]
async fn with_match_the_server_is_dialled_again_while_the_client_waits_for_its_234() {
    let authority = Authority::new();
    let bench = matching(&authority).await;
    let config = Arc::new(authority.server("server", &[VERSIONS[1]]));
    let (mut clear, mut server) = bench.greeted().await;
    // What the server does not keep does not stand in the way.
    exchange(&mut clear, &mut server, "SYST", "215 UNIX Type: L8").await;
    clear.say("AUTH TLS").await;
    server.hear("AUTH TLS").await;
    server.say("234 Go on.").await;
    refuse(&config, server.stream).await;
    let again = asked(&bench).await;
    let mut server = accept(&config, again.stream).await;
    protect_control(&mut server).await;
    clear.hear_code("234 ").await;
    let config = Arc::new(authority.client(&VERSIONS));
    let mut client = Secure::new(handshake(&config, clear.stream).await.unwrap());
    client.say("USER test").await;
    server.hear("USER test").await;
    server.say("230 Welcome.").await;
    client.hear("230 Welcome.").await;
}

#[tokio::test]
async fn with_match_a_server_that_keeps_something_is_not_dialled_again() {
    let authority = Authority::new();
    let bench = matching(&authority).await;
    let config = Arc::new(authority.server("server", &[VERSIONS[1]]));
    for (name, expected) in [("OPTS UTF8 ON", "421 "), ("SYST", "234 ")] {
        let (mut clear, mut server) = bench.greeted().await;
        exchange(&mut clear, &mut server, name, "200 Fine.").await;
        clear.say("AUTH TLS").await;
        server.hear("AUTH TLS").await;
        server.say("234 Go on.").await;
        refuse(&config, server.stream).await;
        if expected == "234 " {
            let again = asked(&bench).await;
            let mut server = accept(&config, again.stream).await;
            protect_control(&mut server).await;
        }
        clear.hear_code(expected).await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_every_version_is_dialled_twice_and_never_in_clear() {
    for mode in ["explicit", "implicit"] {
        let (authority, bench) = falling_back(&format!("mode = \"{mode}\"")).await;
        // Each attempt finds the version that it does not offer.
        let configs = [VERSIONS[1], VERSIONS[0]].map(|has| authority.server("localhost", &[has]));
        let mut client = Control::dial(bench.address()).await;
        for config in configs {
            let config = Arc::new(config);
            let server = if mode == "explicit" {
                asked(&bench).await
            } else {
                bench.accept().await
            };
            refuse(&config, server.stream).await;
        }
        if mode == "explicit" {
            client.hear(GREETING).await;
        }
        client.hear_code("421 ").await;
        client.hear_end().await;
        assert!(handshakes(&bench, "none", "none", "version", 2));
    }
}

#[tokio::test]
async fn a_server_that_is_gone_when_it_is_dialled_again_ends_the_session() {
    let (authority, bench) = falling_back("mode = \"explicit\"").await;
    let config = Arc::new(authority.server("localhost", &[VERSIONS[1]]));
    let mut client = Control::dial(bench.address()).await;
    let first = asked(&bench).await;
    client.hear(GREETING).await;
    client.send(b"USER test\r\n").await;
    refuse(&config, first.stream).await;
    let mut again = bench.accept().await;
    again.say("421 Too many users.").await;
    client.hear("421 Too many users.").await;
    client.hear_end().await;
    again.hear_end().await;
}

#[tokio::test]
async fn a_certificate_that_is_refused_is_no_reason_to_dial_again() {
    let (authority, bench) = falling_back("mode = \"explicit\"").await;
    authority.issue("other.example", |_| ());
    let config = Arc::new(authority.server("other.example", &VERSIONS));
    let error = secured_server(&bench, &config).await;
    assert!(error.is_err());
    assert!(handshakes(&bench, "none", "none", "wrong_name", 1));
    assert!(
        bench.counts(
            "ftpwarden_upstream_connects_total{upstream=\"legacy\",result=\"connected\"} 1"
        )
    );
}

#[tokio::test]
async fn a_data_connection_with_another_certificate_of_the_server_is_refused() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (bench, _, mut client, mut server) = logged_in(&authority, version).await;
        // As good as the first one, and perhaps somebody else's.
        authority.issue("localhost", |_| ());
        let other = Arc::new(authority.server("localhost", &[version]));
        let (address, listener) = passive(&mut client, &mut server).await;
        let data = within(TcpStream::connect(address)).await.unwrap();
        client.say("STOR a").await;
        server.hear("STOR a").await;
        server.say("150 Here.").await;
        client.hear("150 Here.").await;
        let (peer, _) = within(listener.accept()).await.unwrap();
        let acceptor = TlsAcceptor::from(other);
        if let Ok(mut peer) = within(acceptor.accept(peer)).await {
            let read = within(peer.read(&mut [0; 8])).await;
            assert!(read.is_err(), "{version:?} {read:?}");
        }
        assert!(is_reset(data).await);
        server.say("226 Stored.").await;
        client.hear_code("426 ").await;
        assert!(bench.counts(
            "ftpwarden_tls_handshakes_total{leg=\"server\",channel=\"data\",version=\"none\",\
             resumed=\"none\",result=\"other_certificate\"} 1"
        ));
    }
}

#[tokio::test]
async fn a_handshake_that_a_server_never_ends_is_counted() {
    let authority = Authority::new();
    authority.issue("localhost", |_| ());
    let upstream = authority.upstream("mode = \"explicit\"");
    let limits = "[limits]\ntls_handshake_timeout = \"100ms\"\n";
    let bench = Bench::start("", &upstream, limits).await;
    let mut client = Control::dial(bench.address()).await;
    let _silent = asked(&bench).await;
    client.hear(GREETING).await;
    client.hear_code("421 ").await;
    assert!(handshakes(&bench, "none", "none", "timeout", 1));
}
