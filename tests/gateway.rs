//! The shell over real sockets: limits, both data directions, broken transfers, reload, drain.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[path = "support/deaf.rs"]
mod deaf;
mod support;

use std::fs;
use std::future::{Future, poll_fn};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use deaf::deafen;
use ftpwarden::gateway::{LaneThreads, StartError};
use ftpwarden::sys::socket;
use ftpwarden::upstream::connect;
use socket2::SockRef;
use support::{
    Bench, Control, GREETING, active_port, exchange, extended_passive, help, is_reset, login,
    passive, passive_address, passive_over_active, passive_pair, pattern, read_all, reset,
    settings, within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn the_greeting_arrives_byte_for_byte() {
    let bench = Bench::plain().await;
    let mut client = Control::dial(bench.address()).await;
    let mut server = bench.accept().await;
    let greeting = b"220-Caf\xC3\xA9 \xFF\t one\r\n no code here\r\n220 Ready. \r\n";
    server.send(greeting).await;
    assert_eq!(client.through(b"Ready. \r\n").await, greeting);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_421() {
    let bench = Bench::plain().await;
    let address = bench.address();
    let _nobody = deafen(bench.server).unwrap();
    let mut client = Control::dial(address).await;
    client.hear_code("421 ").await;
    client.hear_end().await;
}

/// A gateway that looks at short intervals for servers that are back.
async fn looking_often() -> Bench {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n\
         [upstreams.legacy]\naddress = \"{}\"\n",
        server.local_addr().unwrap()
    );
    Bench::prepared(&text, server, |prepared| {
        prepared.with_redials(Duration::from_millis(5))
    })
}

/// A client whose server cannot be reached.
async fn refused(address: SocketAddr) {
    let mut client = Control::dial(address).await;
    client.hear_code("421 ").await;
    client.hear_end().await;
}

#[tokio::test]
async fn a_server_that_is_back_is_found_without_a_client() {
    let bench = looking_often().await;
    let address = bench.address();
    let server = bench.server.local_addr().unwrap();
    let Bench {
        gateway,
        telemetry,
        server: listener,
    } = bench;
    let nobody = deafen(listener).unwrap();
    refused(address).await;
    let down = ["listener main: upstream legacy is down (refused)"];
    assert_eq!(telemetry.obstacles(), down);
    // It is dialled again and again, and stays down as long as it does not answer.
    let says = |line: &str| telemetry.render().lines().any(|found| found == line);
    let refused = |count: u32| {
        says(&format!(
            "ftpwarden_upstream_connects_total{{upstream=\"legacy\",result=\"refused\"}} {count}"
        ))
    };
    within(async {
        while !refused(3) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(telemetry.obstacles(), down);
    let back = nobody.listen(16).unwrap();
    let (mut dialled, _) = within(back.accept()).await.unwrap();
    assert_eq!(read_all(&mut dialled).await, b"", "something was said");
    within(async {
        while !telemetry.obstacles().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(says(&format!(
        "ftpwarden_upstream_up{{upstream=\"legacy\",address=\"{server}\"}} 1"
    )));
    // From then on only clients are a reason.
    let mut client = Control::dial(address).await;
    let (stream, _) = within(back.accept()).await.unwrap();
    let mut server = Control::new(stream);
    server.say(GREETING).await;
    client.hear(GREETING).await;
    login(&mut client, &mut server).await;
    assert!(says(
        "ftpwarden_upstream_connects_total{upstream=\"legacy\",result=\"connected\"} 2"
    ));
    drop((client, server));
    within(gateway.drain()).await;
}

#[tokio::test]
async fn a_server_that_was_taken_out_of_the_configuration_is_dialled_no_more() {
    let bench = looking_often().await;
    let address = bench.address();
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let Bench {
        gateway,
        telemetry,
        server,
    } = bench;
    let nobody = deafen(server).unwrap();
    refused(address).await;
    let loaded = settings(&format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n\
         [upstreams.legacy]\naddress = \"{}\"\n",
        other.local_addr().unwrap()
    ));
    gateway
        .reload(Arc::new(loaded.settings), loaded.policies)
        .unwrap();
    assert_eq!(telemetry.obstacles(), Vec::<String>::new());
    let back = nobody.listen(16).unwrap();
    // A session at the new address, which nobody but its client is the reason of.
    let mut client = Control::dial(address).await;
    let (stream, _) = within(other.accept()).await.unwrap();
    let mut server = Control::new(stream);
    server.say(GREETING).await;
    client.hear(GREETING).await;
    login(&mut client, &mut server).await;
    for listener in [back, other] {
        let dialled = poll_fn(|context| Poll::Ready(listener.poll_accept(context))).await;
        assert!(dialled.is_pending(), "somebody has dialled");
    }
}

#[tokio::test]
async fn a_gateway_that_is_its_own_upstream_makes_one_session_of_one_client() {
    for (bind, host) in [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.7"),
        ("[::1]", "[::1]"),
        ("[::]", "[::1]"),
    ] {
        let text = |upstream: &str| {
            format!(
                "[listeners.main]\nbind = \"{bind}:0\"\nupstream = \"legacy\"\n\
                 [upstreams.legacy]\naddress = \"{upstream}\"\n"
            )
        };
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bench = Bench::of(&text(&server.local_addr().unwrap().to_string()), server);
        // Its port is known once it is there.
        let port = bench.address().port();
        let loaded = settings(&text(&format!("{host}:{port}")));
        bench
            .gateway
            .reload(Arc::new(loaded.settings), loaded.policies)
            .unwrap();
        let dialled = bind
            .replace("0.0.0.0", "127.0.0.1")
            .replace("[::]", "[::1]");
        let address: SocketAddr = format!("{dialled}:{port}").parse().unwrap();
        let mut client = Control::dial(address).await;
        client.hear_code("421 ").await;
        client.hear_end().await;
        let once = "ftpwarden_sessions_total{listener=\"main\"} 1";
        assert!(bench.counts(once), "{bind} {host}");
        let looped = "ftpwarden_upstream_connects_total{upstream=\"legacy\",result=\"loop\"} 1";
        assert!(bench.counts(looped), "{bind} {host}");
        let down =
            format!("ftpwarden_upstream_up{{upstream=\"legacy\",address=\"{host}:{port}\"}} 0");
        assert!(bench.counts(&down), "{bind} {host}");
    }
}

#[tokio::test]
async fn a_server_on_the_same_machine_with_another_port_is_no_loop() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = server.local_addr().unwrap();
    let text = format!(
        "[listeners.main]\nbind = \"0.0.0.0:0\"\nupstream = \"legacy\"\n\
         [upstreams.legacy]\naddress = \"{upstream}\"\n"
    );
    let bench = Bench::of(&text, server);
    let port = bench.address().port();
    let client = Control::dial(SocketAddr::from(([127, 0, 0, 1], port))).await;
    bench.greet(client).await;
}

#[tokio::test]
async fn a_listener_takes_no_more_sessions_than_it_may() {
    let bench = Bench::start("sessions = 1", "", "").await;
    let (mut first, mut server) = bench.greeted().await;
    let mut second = Control::dial(bench.address()).await;
    second.hear_code("421 ").await;
    second.hear_end().await;
    exchange(&mut first, &mut server, "NOOP", "200 Here.").await;
    assert!(bench.counts(
        "ftpwarden_sessions_rejected_total{listener=\"main\",reason=\"listener_sessions\"} 1"
    ));
    assert_eq!(bench.gateway.sessions(), 1);
}

#[tokio::test]
async fn a_client_has_no_more_sessions_than_it_may() {
    let bench = Bench::start("", "", "[limits]\nsessions_per_client = 1\nsessions = 2").await;
    let (_first, _server) = bench.greeted().await;
    let mut second = Control::dial(bench.address()).await;
    second.hear_code("421 ").await;
    let other = Control::dial_from(bench.address(), "127.0.0.2").await;
    let (_other, _server) = bench.greet(other).await;
    let mut third = Control::dial_from(bench.address(), "127.0.0.3").await;
    third.hear_code("421 ").await;
    assert!(bench.counts(
        "ftpwarden_sessions_rejected_total{listener=\"main\",reason=\"client_sessions\"} 1"
    ));
    assert!(
        bench.counts("ftpwarden_sessions_rejected_total{listener=\"main\",reason=\"sessions\"} 1")
    );
}

#[tokio::test]
async fn what_a_server_said_behind_a_long_reply_is_no_reply_to_the_next_command() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    // As long as what is read at a time, as what is heard together, and twice that.
    for length in [2048, 4096, 8192, 16384] {
        let reply = help(length);
        client.send(b"HELP\r\nNOOP\r\n").await;
        server.hear("HELP").await;
        server
            .send(&[&reply[..], b"250 Nobody asked.\r\n"].concat())
            .await;
        assert_eq!(client.through(b"214 Done.\r\n").await, reply);
        server.hear("NOOP").await;
        server.say("200 Here.").await;
        client.hear("200 Here.").await;
    }
}

#[tokio::test]
async fn what_a_server_said_behind_a_long_reply_is_no_reply_when_a_command_comes_with_it() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    for length in [2048, 4096, 8192, 16384] {
        let reply = help(length);
        client.send(b"NOOP\r\nNOOP\r\n").await;
        server.hear("NOOP").await;
        // The leg that was looked at last has its turn behind the other one.
        server.say("214-Wait.").await;
        client.hear("214-Wait.").await;
        // The gateway runs on this thread: it finds both.
        let said = [&reply[..], b"250 Nobody asked.\r\n"].concat();
        assert_eq!(server.stream.try_write(&said).unwrap(), said.len());
        assert_eq!(client.stream.try_write(b"NOOP\r\n").unwrap(), 6);
        assert_eq!(client.through(b"214 Done.\r\n").await, reply);
        for _ in 0..2 {
            server.hear("NOOP").await;
            server.say("200 Here.").await;
            client.hear("200 Here.").await;
        }
    }
}

#[tokio::test]
async fn a_server_that_has_answered_quit_ends_first() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    exchange(&mut client, &mut server, "QUIT", "221 Goodbye.").await;
    client.hear_end().await;
    let early = socket::receive_now(&server.stream, &mut [0; 8]).unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
    drop(server);
    drop(client);
    within(bench.gateway.drain()).await;
}

#[tokio::test]
async fn each_421_of_the_gateway_is_counted_once() {
    let bench = Bench::start("sessions = 1", "", "").await;
    let told = |count: u32| {
        let series = "ftpwarden_replies_total{listener=\"main\",code=\"421\",origin=\"gateway\"}";
        bench.counts(&format!("{series} {count}"))
    };
    assert!(told(0));
    let (mut idle, _server) = bench.greeted().await;
    let mut surplus = Control::dial(bench.address()).await;
    surplus.hear_code("421 ").await;
    surplus.hear_end().await;
    assert!(told(1), "one was turned away");
    // The kernel takes this connection, and the gateway finds it when it has begun to stop.
    let waiting = std::net::TcpStream::connect(bench.address()).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let mut waiting = Control::new(TcpStream::from_std(waiting).unwrap());
    let finish = async {
        waiting.hear_code("421 ").await;
        waiting.hear_end().await;
        idle.hear_code("421 ").await;
        idle.hear_end().await;
        drop(idle);
    };
    within(async { tokio::join!(bench.gateway.drain(), finish) }).await;
    assert!(
        bench.counts("ftpwarden_sessions_rejected_total{listener=\"main\",reason=\"drain\"} 1")
    );
    assert!(told(3), "one more was turned away, and one session ended");
}

#[tokio::test]
async fn a_session_makes_room_when_it_ends() {
    let bench = Bench::start("sessions = 1", "", "").await;
    for _ in 0..3 {
        let (mut client, mut server) = bench.greeted().await;
        exchange(&mut client, &mut server, "QUIT", "221 Goodbye.").await;
        client.hear_end().await;
        server.hear_end().await;
        drop((client, server));
        within(async {
            while bench.gateway.sessions() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn the_last_reply_survives_what_the_client_still_sends() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    client.send(b"QUIT\r\nNOOP\r\nNOOP\r\n").await;
    server.hear("QUIT").await;
    server.say("221 Goodbye.").await;
    client.send(b"NOOP\r\n").await;
    client.hear("221 Goodbye.").await;
    client.hear_end().await;
}

/// Runs a download of `length` bytes.
async fn downloads(length: usize) {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    client.say("RETR file").await;
    server.hear("RETR file").await;
    server.say("150 Here it comes.").await;
    client.hear("150 Here it comes.").await;
    let sent = pattern(length);
    let write = async {
        peer.write_all(&sent).await.unwrap();
        peer.shutdown().await.unwrap();
        server.say("226 Done.").await;
    };
    let (received, ()) = tokio::join!(read_all(&mut data), write);
    assert!(received == sent, "the bytes are not those that were sent");
    client.hear("226 Done.").await;
    let line = format!(
        "ftpwarden_transfer_bytes_total{{listener=\"main\",direction=\"download\"}} {length}"
    );
    assert!(bench.counts(&line), "{}", bench.telemetry.render());
}

#[tokio::test]
async fn an_empty_download_is_a_download() {
    downloads(0).await;
}

#[tokio::test]
async fn a_short_download_arrives() {
    downloads(1_000).await;
}

#[tokio::test]
async fn a_long_download_arrives() {
    downloads(20_000_003).await;
}

#[tokio::test]
async fn an_upload_arrives() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
    let sent = pattern(5_000_001);
    let write = async {
        data.write_all(&sent).await.unwrap();
        data.shutdown().await.unwrap();
    };
    let (received, ()) = tokio::join!(read_all(&mut peer), write);
    assert!(received == sent, "the bytes are not those that were sent");
    drop(peer);
    server.say("226 Stored.").await;
    client.hear("226 Stored.").await;
}

#[tokio::test]
async fn active_mode_goes_through_the_gateway_on_both_legs() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let [high, low] = own.to_be_bytes();
    client.say(&format!("PORT 127,0,0,1,{high},{low}")).await;
    let port = active_port(&server.line().await);
    assert_ne!(port, own, "the server was given the client's address");
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

#[tokio::test]
async fn a_name_that_has_no_address_matters_only_where_the_address_is_told() {
    let bench = Bench::start("passive_address = \"nowhere.invalid\"", "", "").await;
    let (mut client, mut server) = bench.logged_in().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = extended_passive(&mut client, &mut server, &listener).await;
    let mut data = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut peer, _) = within(listener.accept()).await.unwrap();
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    peer.write_all(b"all of it").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, b"all of it");
    client.hear("226 Done.").await;
    client.say("PASV").await;
    server.hear("PASV").await;
    server.say("227 Here (127,0,0,1,200,1).").await;
    client.hear_code("425 ").await;
}

#[tokio::test]
async fn a_reply_of_a_server_goes_on_behind_its_urgent_data() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    client.say("PWD").await;
    server.hear("PWD").await;
    // The gateway runs on this thread: it finds both pieces, and the byte between them.
    assert_eq!(server.stream.try_write(b"257 \"/\" i").unwrap(), 9);
    assert_eq!(socket::send_urgent(&server.stream, b'!').unwrap(), 1);
    assert_eq!(server.stream.try_write(b"s it\r\n").unwrap(), 6);
    client.hear("257 \"/\" is it").await;
}

#[tokio::test]
async fn ipv6_works_end_to_end() {
    let server = TcpListener::bind("[::1]:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let bench = Bench::start(
        "",
        "",
        &format!(
            "[listeners.six]\nbind = \"[::1]:0\"\nupstream = \"six\"\n\
             [upstreams.six]\naddress = \"{address}\""
        ),
    )
    .await;
    let addresses = bench.gateway.local_addrs();
    let (_, gateway) = addresses.iter().find(|(name, _)| &**name == "six").unwrap();
    let mut client = Control::dial(*gateway).await;
    let (stream, _) = within(server.accept()).await.unwrap();
    let mut server = Control::new(stream);
    server.say(GREETING).await;
    client.hear(GREETING).await;
    login(&mut client, &mut server).await;
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let port = extended_passive(&mut client, &mut server, &listener).await;
    let mut data = TcpStream::connect(("::1", port)).await.unwrap();
    let (mut peer, _) = within(listener.accept()).await.unwrap();
    exchange(&mut client, &mut server, "NLST", "150 Names.").await;
    peer.write_all(b"name\r\n").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, b"name\r\n");
    client.hear("226 Done.").await;
}

#[tokio::test]
async fn a_stranger_gets_no_data_connection() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (address, listener) = passive(&mut client, &mut server).await;
    let stranger = connect(address, Some("127.0.0.2:0".parse().unwrap())).await;
    assert!(is_reset(stranger.unwrap()).await);
    let mut data = connect(address, None).await.unwrap();
    let (mut peer, _) = within(listener.accept()).await.unwrap();
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    peer.write_all(b"for the client").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, b"for the client");
    let second = connect(address, None).await.unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::ConnectionRefused);
    client.hear("226 Done.").await;
}

#[tokio::test]
async fn an_upload_that_the_client_breaks_is_reset_at_the_server() {
    for bytes in [1_000, 2_000_000] {
        let bench = Bench::plain().await;
        let (mut client, mut server) = bench.logged_in().await;
        let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
        exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
        let sent = pattern(bytes);
        let mut received = vec![0; bytes];
        let (written, read) = tokio::join!(data.write_all(&sent), peer.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        reset(data);
        assert!(is_reset(peer).await);
        server.say("226 Stored.").await;
        client.hear_code("426 ").await;
    }
}

#[tokio::test]
async fn a_download_that_the_server_breaks_is_reset_at_the_client() {
    for bytes in [1_000, 2_000_000] {
        let bench = Bench::plain().await;
        let (mut client, mut server) = bench.logged_in().await;
        let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
        exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
        let sent = pattern(bytes);
        let mut received = vec![0; bytes];
        let (written, read) = tokio::join!(peer.write_all(&sent), data.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        reset(peer);
        server.say("226 Done.").await;
        client.hear_code("426 ").await;
        assert!(is_reset(data).await);
    }
}

#[tokio::test]
async fn a_download_whose_client_goes_is_reset_at_the_server() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (data, peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    // The source says nothing: the sink alone tells.
    reset(data);
    assert!(is_reset(peer).await);
    server.say("426 Broken.").await;
    client.hear_code("426 ").await;
}

#[tokio::test]
async fn a_reset_before_the_transfer_is_passed_on() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (data, peer) = passive_pair(&mut client, &mut server).await;
    // The gateway has seen its connection by then: a reset is not a failed dial.
    exchange(&mut client, &mut server, "NOOP", "200 Here.").await;
    reset(peer);
    assert!(is_reset(data).await);
    client.say("RETR file").await;
    client.hear_code("425 ").await;
}

/// Whether the kernel will ask `peer` of the socket `own`, of this process, whether it is there.
fn has_keepalive(own: SocketAddr, peer: SocketAddr) -> bool {
    let written = |address: SocketAddr| match address {
        SocketAddr::V4(address) => {
            let number = u32::from_le_bytes(address.ip().octets());
            format!("{number:08X}:{:04X}", address.port())
        }
        SocketAddr::V6(_) => unreachable!(),
    };
    let ends = format!(" {} {} ", written(own), written(peer));
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let row = table.lines().find(|row| row.contains(&ends)).unwrap();
    // Which timer runs: 2 is that of keepalive.
    row.split_whitespace().nth(5).unwrap().starts_with("02:")
}

#[tokio::test]
async fn a_quiet_session_has_keepalive_on_every_connection() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (data, peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    for stream in [&client.stream, &server.stream, &data, &peer] {
        let (peer, own) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        within(async {
            while !has_keepalive(own, peer) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_line_is_heard_whose_first_byte_is_urgent() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    // All of it has come before the gateway looks, and a read stops before the urgent byte.
    client.stream.try_write(b"NOOP\r\n").unwrap();
    socket::send_urgent(&client.stream, 0xFF).unwrap();
    client.stream.try_write(b"\xF2PWD\r\n").unwrap();
    server.hear("NOOP").await;
    server.say("200 Here.").await;
    client.hear("200 Here.").await;
    server.hear("PWD").await;
}

#[tokio::test]
async fn an_abort_is_urgent_and_precedes_the_end_of_an_upload() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
    data.write_all(b"a part of it").await.unwrap();
    // As a client does that follows RFC 959 §4.1.3, and ends its data right behind.
    client.send(b"\xFF\xF4").await;
    socket::send_urgent(&client.stream, 0xFF).unwrap();
    client.send(b"\xF2ABOR\r\n").await;
    drop(data);
    assert!(is_reset(peer).await, "the upload looks complete");
    socket::inline_urgent(&server.stream).unwrap();
    let heard = server.through(b"\r\n").await;
    let forms: [&[u8]; 2] = [b"\xFF\xF4\xFF\xF2ABOR\r\n", b"\xFF\xF4\xF2ABOR\r\n"];
    assert!(forms.contains(&heard.as_slice()), "{heard:?}");
    server.say("426 Aborted.").await;
    server.say("226 ABOR done.").await;
    client.hear("426 Aborted.").await;
    client.hear("226 ABOR done.").await;
}

#[tokio::test]
async fn an_aborted_download_is_thrown_away_until_the_server_has_heard_of_it() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    let chunk = pattern(32 << 20);
    let write = async {
        // A server of one thread hears nothing while its data connection takes nothing.
        peer.write_all(&chunk).await.unwrap();
        socket::inline_urgent(&server.stream).unwrap();
        server.through(b"ABOR\r\n").await;
        drop(peer);
        server.say("426 Aborted.").await;
        server.say("226 ABOR done.").await;
    };
    let abort = async {
        data.read_exact(&mut [0; 1000]).await.unwrap();
        client.say("ABOR").await;
        client.hear("426 Aborted.").await;
        client.hear("226 ABOR done.").await;
    };
    tokio::join!(write, abort);
    assert!(is_reset(data).await, "the download looks complete");
}

#[tokio::test]
async fn an_upload_is_complete_when_its_data_ended_before_the_control_connection() {
    for length in [10, 3_000_000] {
        let bench = Bench::plain().await;
        let (mut client, mut server) = bench.logged_in().await;
        let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
        exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
        let sent = pattern(length);
        let write = async {
            data.write_all(&sent).await.unwrap();
            data.shutdown().await.unwrap();
            client.stream.shutdown().await.unwrap();
        };
        let (received, ()) = tokio::join!(read_all(&mut peer), write);
        assert!(received == sent, "the bytes are not those that were sent");
        drop(peer);
        server.say("226 Stored.").await;
        client.hear("226 Stored.").await;
    }
}

#[tokio::test]
async fn an_upload_waits_for_a_server_that_dials_behind_the_end_of_its_client() {
    let bench = Bench::start("", "data_mode = \"active\"", "").await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, port) = passive_over_active(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
    data.write_all(b"all of it").await.unwrap();
    drop(data);
    client.stream.shutdown().await.unwrap();
    // The gateway runs on this thread.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut peer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(read_all(&mut peer).await, b"all of it");
    drop(peer);
    server.say("226 Stored.").await;
    client.hear("226 Stored.").await;
}

#[tokio::test]
async fn what_a_transfer_moved_is_counted_when_a_control_connection_breaks() {
    for breaks_client in [false, true] {
        let bench = Bench::plain().await;
        let (client, server, data, peer) = half_an_upload(&bench).await;
        let (broken, _other) = if breaks_client {
            (client, server)
        } else {
            (server, client)
        };
        reset(broken.stream);
        assert!(is_reset(peer).await);
        drop(data);
        let name = "ftpwarden_transfer_bytes_total{listener=\"main\",direction=\"upload\"} 12";
        within(async {
            while !bench.counts(name) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// An upload of which a part has come to the server: client, server and their data connections.
async fn half_an_upload(bench: &Bench) -> (Control, Control, TcpStream, TcpStream) {
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
    data.write_all(b"a part of it").await.unwrap();
    within(peer.read_exact(&mut [0; 12])).await.unwrap();
    (client, server, data, peer)
}

#[tokio::test]
async fn an_upload_is_broken_when_the_control_connection_ended_first() {
    let bench = Bench::plain().await;
    let (client, _server, data, peer) = half_an_upload(&bench).await;
    drop(client);
    assert!(is_reset(peer).await);
    drop(data);
}

/// Stands still, and the whole runtime with it, until a session that has just become quiet is to look
/// once more at what its client may have sent. The task that calls is woken with it, and before: what comes
/// then is found by chance, as the runtime has not told of it.
#[expect(clippy::disallowed_methods, reason = "the gateway stands still")]
async fn stand_still() {
    let mut nap = std::pin::pin!(tokio::time::sleep(Duration::from_millis(200)));
    let begun = poll_fn(|context| Poll::Ready(nap.as_mut().poll(context).is_pending()));
    assert!(begun.await);
    std::thread::sleep(Duration::from_millis(1300));
    nap.await;
}

#[tokio::test]
async fn an_upload_is_broken_too_when_the_end_that_came_first_is_found_by_chance() {
    let bench = Bench::plain().await;
    let (mut client, _server, data, peer) = half_an_upload(&bench).await;
    stand_still().await;
    client.stream.shutdown().await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(data);
    assert!(is_reset(peer).await, "the upload looks complete");
}

#[tokio::test]
async fn an_upload_is_complete_too_when_all_of_it_is_found_by_chance() {
    // What has come before was copied, or was so much that the rest is spliced; the rest is small, or as
    // much as two sockets hold, and then its end is still with the client.
    for (before, rest) in [(12, 12), (12, 3 << 20), (600_000, 12), (600_000, 3 << 20)] {
        let bench = Bench::plain().await;
        let (mut client, mut server) = bench.logged_in().await;
        let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
        SockRef::from(&data).set_send_buffer_size(rest).unwrap();
        exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
        let mut sent = pattern(before + rest);
        let mut received = vec![0; before];
        let read = within(peer.read_exact(&mut received));
        let (_, written) = tokio::join!(read, data.write_all(&sent[..before]));
        written.unwrap();
        stand_still().await;
        let mut length = before;
        while let Ok(bytes @ 1..) = data.try_write(&sent[length..]) {
            length += bytes;
        }
        assert!(length > before);
        sent.truncate(length);
        data.shutdown().await.unwrap();
        client.stream.shutdown().await.unwrap();
        received.extend(read_all(&mut peer).await);
        assert!(
            received == sent,
            "{before} bytes and what came behind them are cut"
        );
        drop(peer);
        server.say("226 Stored.").await;
        client.hear("226 Stored.").await;
    }
}

#[tokio::test]
async fn a_gateway_that_dies_completes_no_transfer() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    peer.write_all(b"a part of it").await.unwrap();
    within(data.read_exact(&mut [0; 12])).await.unwrap();
    bench.gateway.end_now().await;
    assert!(is_reset(data).await);
    assert!(is_reset(peer).await);
    client.hear_code("421 ").await;
    client.hear_end().await;
}

#[tokio::test]
async fn ports_that_are_all_in_use_are_425() {
    // Below the range that the kernel takes ports from.
    let (port, free) = within(async {
        let mut port = 21_500_u16;
        loop {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => break (port, listener),
                Err(_) => port += 1,
            }
        }
    })
    .await;
    drop(free);
    let bench = Bench::start(&format!("passive_ports = \"{port}-{port}\""), "", "").await;
    let (mut first, mut first_server) = bench.logged_in().await;
    let (mut second, mut second_server) = bench.logged_in().await;
    let (address, _listener) = passive(&mut first, &mut first_server).await;
    assert_eq!(address.port(), port);
    assert!(bench.counts("ftpwarden_passive_ports_in_use{listener=\"main\"} 1"));
    second.say("PASV").await;
    second_server.hear("PASV").await;
    second_server
        .say("227 Entering Passive Mode (127,0,0,1,100,100).")
        .await;
    second.hear_code("425 ").await;
    // A new one takes the place of the old one's.
    let (address, _listener) = passive(&mut first, &mut first_server).await;
    assert_eq!(address.port(), port);
}

#[tokio::test]
async fn a_flood_of_passive_commands_holds_one_port() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    for _ in 0..300 {
        passive(&mut client, &mut server).await;
    }
    assert!(bench.counts("ftpwarden_passive_ports_in_use{listener=\"main\"} 1"));
    exchange(&mut client, &mut server, "QUIT", "221 Goodbye.").await;
    client.hear_end().await;
    assert!(bench.counts("ftpwarden_passive_ports_in_use{listener=\"main\"} 0"));
}

#[tokio::test]
async fn what_is_advertised_can_be_another_address() {
    let bench = Bench::start("passive_address = \"203.0.113.7\"", "", "").await;
    let (mut client, mut server) = bench.logged_in().await;
    let (address, _listener) = passive(&mut client, &mut server).await;
    assert_eq!(address.ip().to_string(), "203.0.113.7");
    let data = connect(([127, 0, 0, 1], address.port()).into(), None).await;
    assert!(data.is_ok());
}

#[tokio::test]
async fn a_client_that_reads_nothing_stops_the_server_and_is_given_up() {
    let limits = "[limits]\nidle_timeout = \"1s\"\nreply_bytes = \"1GiB\"";
    let bench = Bench::start("", "", limits).await;
    let (mut client, mut server) = bench.logged_in().await;
    client.say("STAT .").await;
    server.hear("STAT .").await;
    // An endless listing: the gateway stops reading it long before the limit of a reply.
    let flood = async {
        server.say("213-Status follows:").await;
        let line = [b" ".as_slice(), &[b'x'; 8_000], b"\r\n"].concat();
        let mut written = 0;
        while server.stream.write_all(&line).await.is_ok() {
            written += line.len();
        }
        written
    };
    // What the kernel holds on both legs, and little more.
    let written = within(flood).await;
    assert!(written < 64 << 20, "{written} bytes were taken");
    drop(client);
}

#[tokio::test]
async fn a_drain_says_421_to_the_idle_and_lets_transfers_finish() {
    let bench = Bench::plain().await;
    let (mut idle, _idle_server) = bench.logged_in().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    let address = bench.address();
    let finish = async {
        idle.hear_code("421 ").await;
        idle.hear_end().await;
        drop(idle);
        assert!(TcpStream::connect(address).await.is_err());
        peer.write_all(b"all of it").await.unwrap();
        drop(peer);
        server.say("226 Done.").await;
        assert_eq!(read_all(&mut data).await, b"all of it");
        client.hear("226 Done.").await;
        client.hear_code("421 ").await;
        drop((client, server));
    };
    within(async { tokio::join!(bench.gateway.drain(), finish) }).await;
    assert_eq!(bench.gateway.sessions(), 0);
    assert!(!bench.telemetry.obstacles().is_empty());
}

#[tokio::test]
async fn a_drain_waits_for_the_sessions_of_all_lanes() {
    let threads = LaneThreads::start_some(NonZeroUsize::new(2).unwrap()).unwrap();
    let bench = Bench::plain_on(threads.lanes()).await;
    let mut transfers = Vec::new();
    for _ in 0..4 {
        let (mut client, mut server) = bench.logged_in().await;
        let (data, peer) = passive_pair(&mut client, &mut server).await;
        exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
        transfers.push((client, server, data, peer));
    }
    let gateway = &bench.gateway;
    let finish = async {
        for (mut client, mut server, mut data, mut peer) in transfers {
            // It is draining by now, and waits.
            assert!(gateway.sessions() > 0);
            peer.write_all(b"all of it").await.unwrap();
            drop(peer);
            server.say("226 Done.").await;
            assert_eq!(read_all(&mut data).await, b"all of it");
            client.hear("226 Done.").await;
            client.hear_code("421 ").await;
        }
    };
    within(async { tokio::join!(gateway.drain(), finish) }).await;
    assert_eq!(gateway.sessions(), 0);
}

#[tokio::test]
async fn a_drain_ends_what_does_not_finish_in_time() {
    let bench = Bench::start("", "", "[limits]\ndrain_timeout = \"1s\"").await;
    let (mut client, mut server) = bench.logged_in().await;
    let (data, peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    within(bench.gateway.drain()).await;
    assert!(is_reset(data).await);
    assert!(is_reset(peer).await);
    client.hear_code("421 ").await;
    client.hear_end().await;
}

#[tokio::test]
async fn a_reload_keeps_sessions_and_changes_their_policy() {
    let bench = Bench::plain().await;
    let address = bench.address();
    let (mut client, mut server) = bench.logged_in().await;
    exchange(&mut client, &mut server, "DELE one", "250 Gone.").await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    bench.reload("policy = \"read-only\"", "", "");
    assert_eq!(
        bench.address(),
        address,
        "a listener that stayed was touched"
    );
    peer.write_all(b"all of it").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, b"all of it");
    client.hear("226 Done.").await;
    client.say("DELE two").await;
    client.hear_code("502 ").await;
    exchange(&mut client, &mut server, "NOOP", "200 Here.").await;
    let (mut late, mut late_server) = bench.logged_in().await;
    late.say("DELE three").await;
    late.hear_code("502 ").await;
    exchange(&mut late, &mut late_server, "NOOP", "200 Here.").await;
}

#[tokio::test]
async fn a_reload_between_a_client_and_its_session_is_followed() {
    let bench = Bench::plain().await;
    // The kernel alone answers: the runtime has one thread, and this is it.
    let client = std::net::TcpStream::connect(bench.address()).unwrap();
    client.set_nonblocking(true).unwrap();
    let client = Control::new(TcpStream::from_std(client).unwrap());
    // A task among the gateway's has its turn between the one that accepts and the session's.
    let reloaded = tokio::spawn(async move {
        while bench.gateway.sessions() == 0 {
            tokio::task::yield_now().await;
        }
        let limits = "[limits]\nreply_line_bytes = \"1KiB\"";
        bench.reload("policy = \"read-only\"", "", limits);
        bench
    });
    let bench = within(reloaded).await.unwrap();
    let (mut client, mut server) = bench.greet(client).await;
    login(&mut client, &mut server).await;
    client.say("DELE one").await;
    client.hear_code("502 ").await;
    client.say("STAT /").await;
    server.hear("STAT /").await;
    server.say(&format!("211-{}", "x".repeat(2000))).await;
    client.hear_code("421 ").await;
}

#[tokio::test]
async fn a_reload_bounds_live_sessions_anew() {
    let bench = Bench::plain().await;
    // One that is idle, and one whose command the server leaves without an answer.
    let (mut idle, mut idle_server) = bench.logged_in().await;
    let (mut owed, mut owed_server) = bench.logged_in().await;
    owed.say("NOOP").await;
    owed_server.hear("NOOP").await;
    bench.reload("", "", "[limits]\nreply_timeout = \"1ms\"");
    owed.hear_code("421 ").await;
    owed.hear_end().await;
    bench.reload("", "", "");
    exchange(&mut idle, &mut idle_server, "NOOP", "200 Here.").await;
    bench.reload("", "", "[limits]\nidle_timeout = \"1ms\"");
    idle.hear_code("421 ").await;
    idle.hear_end().await;
}

#[tokio::test]
async fn ports_that_a_reload_has_replaced_are_not_taken_for_those_in_force() {
    let bench = Bench::start("passive_ports = \"21300-21399\"", "", "").await;
    let total = |count| format!("ftpwarden_passive_ports{{listener=\"main\"}} {count}");
    let in_use = |count| format!("ftpwarden_passive_ports_in_use{{listener=\"main\"}} {count}");
    let (mut client, mut server) = bench.logged_in().await;
    let (_, _listener) = passive(&mut client, &mut server).await;
    assert!(bench.counts(&total(100)) && bench.counts(&in_use(1)));
    bench.reload("passive_ports = \"21400-21409\"", "", "");
    assert!(bench.counts(&total(10)) && bench.counts(&in_use(0)));
    // The session has the ports that it began with.
    let (_, _listener) = passive(&mut client, &mut server).await;
    assert!(bench.counts(&total(10)) && bench.counts(&in_use(0)));
    let (mut other, mut its_server) = bench.logged_in().await;
    let (_, _listener) = passive(&mut other, &mut its_server).await;
    assert!(bench.counts(&total(10)) && bench.counts(&in_use(1)));
}

#[tokio::test]
async fn ports_of_a_listener_that_was_gone_for_a_while_are_known_again() {
    let second = |ports: &str| {
        format!(
            "[listeners.second]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n\
             passive_ports = \"{ports}\""
        )
    };
    let bench = Bench::start("", "", &second("21500-21599")).await;
    let in_use = |count| format!("ftpwarden_passive_ports_in_use{{listener=\"second\"}} {count}");
    let addresses = bench.gateway.local_addrs();
    let (_, address) = addresses
        .iter()
        .find(|(name, _)| &**name == "second")
        .unwrap();
    let client = Control::dial(*address).await;
    let (mut client, mut server) = bench.greet(client).await;
    login(&mut client, &mut server).await;
    let (_, _listener) = passive(&mut client, &mut server).await;
    assert!(bench.counts(&in_use(1)));
    bench.reload("", "", "");
    assert!(bench.counts(&in_use(1)));
    bench.reload("", "", &second("21500-21599"));
    assert!(bench.counts(&in_use(1)), "the same ports are in use");
    bench.reload("", "", "");
    bench.reload("", "", &second("21600-21609"));
    assert!(bench.counts(&in_use(0)));
    let (_, _listener) = passive(&mut client, &mut server).await;
    assert!(bench.counts(&in_use(0)), "they are others");
}

#[tokio::test]
async fn a_reload_opens_and_closes_listeners() {
    let second = "[listeners.second]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"";
    let bench = Bench::start("", "", second).await;
    let of = |name: &str| {
        let addresses = bench.gateway.local_addrs();
        addresses
            .into_iter()
            .find(|(found, _)| &**found == name)
            .map(|(_, address)| address)
    };
    let (first, gone) = (of("main").unwrap(), of("second").unwrap());
    let client = Control::dial(gone).await;
    let (mut client, mut server) = bench.greet(client).await;
    let third = "[listeners.third]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"";
    bench.reload("", "", third);
    assert_eq!(of("main"), Some(first));
    assert_eq!(of("second"), None);
    let new = Control::dial(of("third").unwrap()).await;
    let (_new, _server) = bench.greet(new).await;
    within(async {
        while TcpStream::connect(gone).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    exchange(&mut client, &mut server, "NOOP", "200 Here.").await;
}

#[tokio::test]
async fn a_reload_that_cannot_bind_changes_nothing() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().map(|address| (taken, address));
    let (_taken, address) = taken.unwrap();
    let upstream = bench.server.local_addr().unwrap();
    let loaded = settings(&format!(
        "[listeners.other]\nbind = \"{address}\"\nupstream = \"legacy\"\npolicy = \"read-only\"\n\
         [upstreams.legacy]\naddress = \"{upstream}\"\n"
    ));
    let before = bench.gateway.local_addrs();
    let error = bench
        .gateway
        .reload(Arc::new(loaded.settings), loaded.policies)
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StartError::Bind { .. }));
    assert!(text.starts_with(&format!("listener `other` cannot listen on {address}: ")));
    assert_eq!(bench.gateway.local_addrs(), before);
    exchange(&mut client, &mut server, "DELE one", "250 Gone.").await;
    let (_late, _server) = bench.logged_in().await;
}

#[tokio::test]
async fn a_session_outlives_its_listener_and_follows_its_policy_while_there_is_one() {
    let with = |allowed: &str| {
        format!("[policies.own]\nallow = [\"@session\", {allowed}]\n[limits]\nsessions = 10")
    };
    let second = "[listeners.second]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n\
                  policy = \"own\"\n";
    let bench = Bench::start("", "", &format!("{second}{}", with("\"DELE\""))).await;
    let addresses = bench.gateway.local_addrs();
    let (_, address) = addresses
        .iter()
        .find(|(name, _)| &**name == "second")
        .unwrap();
    let client = Control::dial(*address).await;
    let (mut client, mut server) = bench.greet(client).await;
    login(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "DELE one", "250 Gone.").await;
    // The listener goes, its policy changes.
    bench.reload("", "", &with("\"RMD\""));
    client.say("DELE two").await;
    client.hear_code("502 ").await;
    exchange(&mut client, &mut server, "RMD one", "250 Gone.").await;
    // Its policy goes as well.
    bench.reload("", "", "");
    client.say("DELE three").await;
    client.hear_code("502 ").await;
    exchange(&mut client, &mut server, "RMD two", "250 Gone.").await;
}

/// A download of `bytes` whose 150 was relayed, and both of its data connections.
async fn downloading(
    client: &mut Control,
    server: &mut Control,
    bytes: &[u8],
) -> (TcpStream, TcpStream) {
    let (data, mut peer) = passive_pair(client, server).await;
    client.say("RETR file").await;
    server.hear("RETR file").await;
    server.say("150 Here it comes.").await;
    client.hear("150 Here it comes.").await;
    peer.write_all(bytes).await.unwrap();
    (data, peer)
}

#[tokio::test]
async fn a_download_is_not_complete_whose_client_was_gone_before_the_server_said_so() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    // Whose turn it is to be looked at first changes from one to the next.
    for _ in 0..10 {
        let (data, mut peer) = downloading(&mut client, &mut server, &[b'x'; 1000]).await;
        peer.shutdown().await.unwrap();
        // The gateway ends its side once all is passed on.
        assert_eq!(read_all(&mut peer).await, b"");
        // It runs on this thread: it finds both, and the client has read nothing.
        reset(data);
        let reply = b"226 Transfer complete.\r\n";
        assert_eq!(server.stream.try_write(reply).unwrap(), reply.len());
        client.hear_code("426 ").await;
    }
    assert!(bench.counts(
        "ftpwarden_transfers_total{listener=\"main\",direction=\"download\",result=\"aborted\"} 10"
    ));
}

#[tokio::test]
async fn a_download_is_not_complete_whose_client_was_gone_before_its_end_came() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    for _ in 0..10 {
        let (data, peer) = downloading(&mut client, &mut server, &[b'x'; 1000]).await;
        // The relay is idle once the client has something to read.
        data.peek(&mut [0]).await.unwrap();
        socket::shut_down(&peer).unwrap();
        reset(data);
        let reply = b"226 Transfer complete.\r\n";
        assert_eq!(server.stream.try_write(reply).unwrap(), reply.len());
        assert!(is_reset(peer).await);
        client.hear_code("426 ").await;
    }
}

#[tokio::test]
async fn an_upload_is_not_complete_whose_server_was_gone_before_its_end_came() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    for _ in 0..10 {
        let (mut data, peer) = passive_pair(&mut client, &mut server).await;
        client.say("STOR file").await;
        server.hear("STOR file").await;
        server.say("150 Go.").await;
        client.hear("150 Go.").await;
        data.write_all(b"some of it").await.unwrap();
        peer.peek(&mut [0]).await.unwrap();
        socket::shut_down(&data).unwrap();
        reset(peer);
        let reply = b"226 Transfer complete.\r\n";
        assert_eq!(server.stream.try_write(reply).unwrap(), reply.len());
        client.hear_code("426 ").await;
        assert!(is_reset(data).await);
    }
}

/// The server has stored an upload whose client is gone: it hears the end, and no session is left.
async fn stored_and_over(bench: &Bench, mut server: Control) {
    server.say("226 Done.").await;
    server.hear_end().await;
    drop(server);
    within(bench.gateway.drain()).await;
}

#[tokio::test]
async fn a_client_that_ends_with_its_upload_leaves_no_session() {
    // More than that two sockets may not hold, and the end of the data cannot come through.
    for length in [10, 1_000_000, 2_000_000, 3_000_000] {
        let bench = Bench::plain().await;
        let (mut client, mut server) = bench.logged_in().await;
        let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
        client.say("STOR a").await;
        server.hear("STOR a").await;
        server.say("150 Go.").await;
        client.hear("150 Go.").await;
        // The server takes nothing until the client has ended both of its connections.
        data.write_all(&pattern(length)).await.unwrap();
        drop(data);
        drop(client);
        // The gateway runs on this thread: it sees what the kernel has.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let received = read_all(&mut peer).await;
        assert_eq!(received.len(), length);
        drop(peer);
        stored_and_over(&bench, server).await;
    }
}

#[tokio::test]
async fn an_upload_whose_client_was_gone_before_it_was_let_in_is_whole() {
    for _ in 0..20 {
        let bench = Bench::start("", "data_mode = \"active\"", "").await;
        let (mut client, mut server) = bench.logged_in().await;
        client.say("PASV").await;
        let port = active_port(&server.line().await);
        server.say("200 PORT command successful.").await;
        let address = passive_address(&client.line().await);
        client.say("STOR a").await;
        server.hear("STOR a").await;
        server.say("150 Go.").await;
        client.hear("150 Go.").await;
        // What came last was at the server's data connection: the client's comes behind all others.
        let mut peer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let opened =
            "ftpwarden_data_connections_total{leg=\"server\",mode=\"port\",result=\"opened\"} 1";
        within(async {
            while !bench.counts(opened) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // The gateway runs on this thread: it finds all of that at once.
        let mut data = std::net::TcpStream::connect(address).unwrap();
        data.write_all(b"a small file").unwrap();
        drop((data, client));
        assert_eq!(read_all(&mut peer).await, b"a small file");
        drop(peer);
        stored_and_over(&bench, server).await;
    }
}

#[tokio::test]
async fn an_upload_whose_active_client_was_gone_before_it_was_reached_is_whole() {
    for _ in 0..20 {
        let bench = Bench::plain().await;
        let (mut client, mut server) = bench.logged_in().await;
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let [high, low] = own.local_addr().unwrap().port().to_be_bytes();
        client.say(&format!("PORT 127,0,0,1,{high},{low}")).await;
        let port = active_port(&server.line().await);
        server.say("200 PORT command successful.").await;
        client.hear_code("200 ").await;
        client.say("STOR a").await;
        server.hear("STOR a").await;
        let mut control = client.stream.into_std().unwrap();
        control.set_nonblocking(false).unwrap();
        // Mostly the client has done all of that before the gateway looks who has come.
        let sender = std::thread::spawn(move || {
            let mut reply = [0; 9];
            control.read_exact(&mut reply).unwrap();
            let (mut data, _) = own.accept().unwrap();
            data.write_all(b"a small file").unwrap();
            drop((data, control));
        });
        let peer = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(server.stream.try_write(b"150 Go.\r\n").unwrap(), 9);
        peer.set_nonblocking(true).unwrap();
        let mut peer = TcpStream::from_std(peer).unwrap();
        assert_eq!(read_all(&mut peer).await, b"a small file");
        sender.join().unwrap();
        drop(peer);
        server.say("226 Done.").await;
        server.hear_end().await;
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the gateway stands still")]
async fn a_gateway_that_stood_still_looks_who_came_before_it_gives_up() {
    let bench = Bench::start("", "data_mode = \"active\"", "").await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, port) = passive_over_active(&mut client, &mut server).await;
    client.say("RETR file").await;
    server.hear("RETR file").await;
    server.say("150 Here it comes.").await;
    client.hear("150 Here it comes.").await;
    server.say("226 Transfer complete.").await;
    let told = r#"ftpwarden_server_replies_total{upstream="legacy",code="226"} 1"#;
    within(async {
        while !bench.counts(told) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The server dials only now, and the whole runtime stands still beyond the moment that a
    // connection may trail behind the reply.
    let mut peer = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    peer.write_all(b"a file").unwrap();
    drop(peer);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(read_all(&mut data).await, b"a file");
    client.hear("226 Transfer complete.").await;
}
