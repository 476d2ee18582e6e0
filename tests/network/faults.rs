//! Faults of a network by name: each with what the other side must be told, and when.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::lab::{Lab, Pair};
use super::run::{comes, now};
use super::server::content;
use super::support::{
    Bench, Control, GREETING, exchange, extended_passive, is_reset, login, passive_pair, pattern,
    read_all, reset, within,
};
use super::wire::{Fault, Link, When};

/// Bounds that are met soon, each of its own length.
const LIMITS: &str = "greeting_timeout = \"610ms\"\nlogin_timeout = \"1020ms\"\n\
    command_timeout = \"730ms\"\nreply_timeout = \"940ms\"\nidle_timeout = \"1250ms\"\n\
    data_connect_timeout = \"760ms\"\ntransfer_idle_timeout = \"800ms\"";

/// The bound of a login.
const LOGIN: Duration = Duration::from_millis(1020);
/// The bound of a line.
const COMMAND: Duration = Duration::from_millis(730);
/// That of a greeting.
const GREETED: Duration = Duration::from_millis(610);
/// That of a reply.
const REPLY: Duration = Duration::from_millis(940);
/// How long a client may be idle.
const IDLE: Duration = Duration::from_millis(1250);
/// How long nothing may move in a transfer.
const STILL: Duration = Duration::from_millis(800);

/// Writes until the connection breaks, which it must.
async fn write_until_broken(stream: &mut TcpStream) {
    let block = pattern(1 << 20);
    let mut written = 0_usize;
    while within(stream.write_all(&block)).await.is_ok() {
        written += block.len();
        assert!(written < 256 << 20, "nothing breaks it off");
    }
}

/// A transfer in which ten bytes have moved, with links that `token` silences.
async fn begun(
    lab: &Lab,
    verb: &str,
    near: &Link,
    far: &Link,
) -> (Control, Control, TcpStream, TcpStream) {
    let (mut client, mut server) = lab.logged_in(near.clone(), far.clone()).await;
    let pair = lab.pair(&mut client, &mut server, near.clone(), far.clone());
    let Pair {
        mut data, mut peer, ..
    } = pair.await;
    exchange(&mut client, &mut server, verb, "150 Go.").await;
    let (from, to) = if verb.starts_with("STOR") {
        (&mut data, &mut peer)
    } else {
        (&mut peer, &mut data)
    };
    from.write_all(b"ten bytes.").await.unwrap();
    within(to.read_exact(&mut [0; 10])).await.unwrap();
    (client, server, data, peer)
}

/// A partition between client and gateway, in a transfer.
async fn cut_from_the_client(verb: &str) {
    let lab = Lab::start("", LIMITS).await;
    let cut = CancellationToken::new();
    let (near, far) = (Link::cut_by(&cut), Link::FINE);
    let (_client, mut server, _data, mut peer) = begun(&lab, verb, &near, &far).await;
    cut.cancel();
    let began = now();
    if verb == "RETR file" {
        write_until_broken(&mut peer).await;
    } else {
        assert!(is_reset(peer).await, "the upload looks complete");
    }
    assert!(began.elapsed() >= STILL, "{:?}", began.elapsed());
    server.say("426 Broken.").await;
    // Nothing is heard of the client any more: it is given up as one that is idle.
    server.hear_end().await;
    assert!(began.elapsed() >= STILL + IDLE);
    drop(server);
    lab.over().await;
}

#[tokio::test]
async fn a_partition_from_the_client_in_a_transfer_breaks_it_at_the_server() {
    tokio::join!(
        cut_from_the_client("STOR file"),
        cut_from_the_client("RETR file")
    );
}

/// A partition between gateway and server, in a transfer.
async fn cut_from_the_server(verb: &str) {
    let lab = Lab::start("", LIMITS).await;
    let cut = CancellationToken::new();
    let (near, far) = (Link::FINE, Link::cut_by(&cut));
    let (mut client, _server, mut data, _peer) = begun(&lab, verb, &near, &far).await;
    cut.cancel();
    let began = now();
    if verb == "STOR file" {
        write_until_broken(&mut data).await;
    } else {
        assert!(is_reset(data).await, "the download looks complete");
    }
    assert!(began.elapsed() >= STILL, "{:?}", began.elapsed());
    client.hear_code("426 ").await;
    client.hear_code("421 ").await;
    client.hear_end().await;
    assert!(began.elapsed() >= STILL + REPLY);
    drop(client);
    lab.over().await;
}

#[tokio::test]
async fn a_partition_from_the_server_in_a_transfer_is_told_to_the_client() {
    tokio::join!(
        cut_from_the_server("STOR file"),
        cut_from_the_server("RETR file")
    );
}

#[tokio::test]
async fn an_upload_whose_end_is_lost_is_never_complete() {
    // All of its bytes come through to the gateway, and nothing behind them; then to the server.
    for is_near in [true, false] {
        let lab = Lab::start("", LIMITS).await;
        let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
        let cut = Link::FINE.failing(&When::Byte(1000), Fault::Silence);
        let (near, far) = if is_near {
            (cut, Link::FINE)
        } else {
            (Link::FINE, cut)
        };
        let pair = lab.pair(&mut client, &mut server, near, far).await;
        let Pair {
            mut data, mut peer, ..
        } = pair;
        exchange(&mut client, &mut server, "STOR file", "150 Go.").await;
        data.write_all(&pattern(1000)).await.unwrap();
        data.shutdown().await.unwrap();
        if is_near {
            assert!(is_reset(peer).await, "the upload looks complete");
            server.say("226 Stored.").await;
            client.hear_code("426 ").await;
            drop((client, server));
        } else {
            within(peer.read_exact(&mut [0; 1000])).await.unwrap();
            // The server waits for the end, and says nothing.
            client.hear_code("426 ").await;
            client.hear_code("421 ").await;
            drop((client, server, peer));
        }
        lab.over().await;
    }
}

#[tokio::test]
async fn a_delay_on_one_leg_changes_no_order() {
    let slow = Link::FINE.paced(64 * 1024, Duration::from_millis(60));
    for (near, far) in [(slow.clone(), Link::FINE), (Link::FINE, slow)] {
        let lab = Lab::start("", "").await;
        let (mut client, mut server) = lab.logged_in(near, far).await;
        let began = now();
        client.send(b"SITE x\r\nNOOP\r\nSMNT /\r\nPWD\r\n").await;
        server.hear("NOOP").await;
        server.say("200 Here.").await;
        server.hear("PWD").await;
        server.say("257 \"/\" is it.").await;
        client.hear_code("502 ").await;
        client.hear("200 Here.").await;
        client.hear_code("502 ").await;
        client.hear("257 \"/\" is it.").await;
        assert!(began.elapsed() >= Duration::from_millis(120));
        exchange(&mut client, &mut server, "QUIT", "221 Bye.").await;
        client.hear_end().await;
        drop((client, server));
        lab.over().await;
    }
}

#[tokio::test]
async fn a_final_reply_waits_for_data_that_comes_later() {
    let lab = Lab::start("", "").await;
    let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
    let slow = Link::FINE.paced(1000, Duration::from_millis(10));
    let pair = lab.pair(&mut client, &mut server, Link::FINE, slow).await;
    let Pair {
        mut data,
        mut peer,
        far,
    } = pair;
    let sent = pattern(40_000);
    client.say("RETR file").await;
    server.hear("RETR file").await;
    peer.write_all(&sent).await.unwrap();
    drop(peer);
    server.say("150 Here.\r\n226 Done.").await;
    client.hear("150 Here.").await;
    client.hear("226 Done.").await;
    assert!(
        far.back.ended(),
        "226 overtook {} bytes",
        40_000 - far.back.bytes()
    );
    assert!(read_all(&mut data).await == sent, "not what was sent");
    drop((client, server));
    lab.over().await;
}

/// A client that falls silent when it has come so far, and the bound that ends that.
async fn client_gone(stage: &str, bound: Duration) {
    let lab = Lab::start("", LIMITS).await;
    let cut = CancellationToken::new();
    let (mut client, mut server) = lab.dialled(Link::cut_by(&cut), Link::FINE).await;
    let mut began = now();
    server.say(GREETING).await;
    client.hear(GREETING).await;
    if stage != "greeted" {
        login(&mut client, &mut server).await;
        began = now();
        lab.passive(&mut client, &mut server, Link::FINE).await;
    }
    if stage == "in a line" {
        client.send(b"NOOP\r\nNOO").await;
        server.hear("NOOP").await;
        server.say("200 Here.").await;
        client.hear("200 Here.").await;
    }
    cut.cancel();
    // Both ends of what is silent stay: nobody says that the client is gone.
    server.hear_end().await;
    assert!(began.elapsed() >= bound, "{stage}: {:?}", began.elapsed());
    drop(server);
    lab.over().await;
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_is_given_up() {
    tokio::join!(
        client_gone("greeted", LOGIN),
        client_gone("in a line", COMMAND),
        client_gone("idle", IDLE)
    );
}

/// A server that falls silent before its greeting, or owing a reply.
async fn server_gone(greeted: bool, bound: Duration) {
    let lab = Lab::start("", LIMITS).await;
    let cut = CancellationToken::new();
    let far = Link::cut_by(&cut);
    let mut began = now();
    let (mut client, mut server) = lab.dialled(Link::FINE, far).await;
    if greeted {
        server.say(GREETING).await;
        client.hear(GREETING).await;
        login(&mut client, &mut server).await;
        began = now();
        client.say("PWD").await;
        server.hear("PWD").await;
    }
    cut.cancel();
    server.say("257 \"/\" is it.").await;
    client.hear_code("421 ").await;
    client.hear_end().await;
    assert!(began.elapsed() >= bound, "{:?}", began.elapsed());
    drop(client);
    lab.over().await;
}

#[tokio::test]
async fn a_server_that_is_gone_without_a_word_is_told_to_the_client() {
    tokio::join!(server_gone(false, GREETED), server_gone(true, REPLY));
}

#[tokio::test]
async fn a_data_connection_that_is_lost_on_its_way_ends_the_transfer_and_not_the_session() {
    let lab = Lab::start("", "data_connect_timeout = \"360ms\"").await;
    let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
    let (address, listener, _) = lab.passive(&mut client, &mut server, Link::FINE).await;
    let lost = Link {
        lost: true,
        ..Link::FINE
    };
    // The client believes that it is connected, and is in no hurry.
    let mut data = lab.data(address, lost).await;
    let began = now();
    exchange(&mut client, &mut server, "STOR file", "150 Go.").await;
    data.write_all(b"all of it").await.unwrap();
    data.shutdown().await.unwrap();
    let (peer, _) = within(listener.accept()).await.unwrap();
    assert!(is_reset(peer).await, "an empty file looks complete");
    assert!(began.elapsed() >= Duration::from_millis(360));
    server.say("226 Stored, I think.").await;
    client.hear_code("426 ").await;
    exchange(&mut client, &mut server, "NOOP", "200 Here.").await;
    let ports = "ftpwarden_passive_ports_in_use{listener=\"main\"} 0";
    assert!(lab.bench.counts(ports), "the offer outlives its time");
    drop((client, server));
    lab.over().await;
}

#[tokio::test]
async fn ports_of_clients_that_vanished_come_back() {
    // An address of its own: nobody else has these ports.
    let lab = Lab::start("passive_ports = \"21500-21501\"", LIMITS).await;
    let cut = CancellationToken::new();
    let mut vanished = Vec::new();
    for _ in 0..2 {
        let (mut client, mut server) = lab.logged_in(Link::cut_by(&cut), Link::FINE).await;
        lab.passive(&mut client, &mut server, Link::FINE).await;
        vanished.push((client, server));
    }
    cut.cancel();
    let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
    client.say("PASV").await;
    server.hear("PASV").await;
    server.say("227 Passive (127,0,0,1,100,100)").await;
    client.hear_code("425 ").await;
    let free = || {
        let ports = "ftpwarden_passive_ports_in_use{listener=\"main\"} 0";
        lab.bench.counts(ports)
    };
    assert!(
        comes(Duration::from_secs(10), free).await,
        "the ports are lost"
    );
    let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
    let pair = lab
        .pair(&mut client, &mut server, Link::FINE, Link::FINE)
        .await;
    let Pair {
        mut data, mut peer, ..
    } = pair;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    peer.write_all(b"all of it").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, b"all of it");
    client.hear("226 Done.").await;
    drop((client, server, vanished));
    lab.over().await;
}

/// Bytes enough to fill what kernels hold on the way, several times.
const MUCH: usize = 48 << 20;

#[tokio::test]
async fn a_slow_reader_is_alive_as_long_as_it_takes_a_little() {
    let lab = Lab::start("", "transfer_idle_timeout = \"800ms\"").await;
    let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
    let mut slow = Link::FINE.paced(256 * 1024, Duration::from_millis(20));
    slow.window = Some(64 * 1024);
    let pair = lab
        .pair(&mut client, &mut server, slow.clone(), Link::FINE)
        .await;
    let Pair {
        mut data,
        mut peer,
        far,
    } = pair;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    let sent = content(&format!("much-{MUCH}"));
    let began = now();
    let write = async {
        peer.write_all(&sent).await.unwrap();
        drop(peer);
        server.say("226 Done.").await;
    };
    let taken = async {
        assert!(comes(Duration::from_secs(30), || far.back.ended()).await);
        began.elapsed()
    };
    let (received, (), taken) = tokio::join!(read_all(&mut data), write, taken);
    // The gateway was held back for longer than a transfer may stand still.
    assert!(taken >= STILL * 2, "{taken:?}");
    assert!(received == sent, "not what was sent");
    client.hear("226 Done.").await;
    drop((client, server));
    lab.over().await;
}

/// Reads what comes for `time`, and returns how much that was.
async fn read_for(data: &mut TcpStream, time: Duration) -> usize {
    let (mut buffer, mut read, began) = (vec![0; 64 * 1024], 0, now());
    while began.elapsed() < time {
        let bytes = within(data.read(&mut buffer)).await.unwrap();
        assert!(bytes > 0, "the end came behind {read} bytes");
        read += bytes;
    }
    read
}

#[tokio::test]
async fn a_reader_is_alive_whose_progress_does_not_yet_make_room_to_speak_of() {
    for verb in ["RETR file", "STOR file"] {
        let lab = Lab::start("", "transfer_idle_timeout = \"800ms\"").await;
        let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
        let slow = Link::FINE.paced(8 * 1024, Duration::from_millis(20));
        let (near, far) = match verb {
            "RETR file" => (slow, Link::FINE),
            _ => (Link::FINE, slow),
        };
        let pair = lab.pair(&mut client, &mut server, near, far).await;
        let Pair { data, peer, .. } = pair;
        let (mut from, mut to) = match verb {
            "RETR file" => (peer, data),
            _ => (data, peer),
        };
        exchange(&mut client, &mut server, verb, "150 Go.").await;
        let write = tokio::spawn(async move {
            let block = pattern(1 << 20);
            while from.write_all(&block).await.is_ok() {}
        });
        // The kernel tells of room once a third of megabytes is free.
        let read = read_for(&mut to, STILL * 4).await;
        assert!(read < 4 << 20, "{read} bytes were read");
        reset(to);
        within(write).await.unwrap();
        server.say("426 Broken.").await;
        client.hear("426 Broken.").await;
        drop((client, server));
        lab.over().await;
    }
}

#[tokio::test]
async fn a_reader_that_stops_is_given_up() {
    let lab = Lab::start("", LIMITS).await;
    let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
    let mut slow = Link::FINE.paced(256 * 1024, Duration::from_millis(20));
    slow.back.fault = Some((When::Byte(1 << 20), Fault::Silence));
    let pair = lab.pair(&mut client, &mut server, slow, Link::FINE).await;
    let Pair { data, mut peer, .. } = pair;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    write_until_broken(&mut peer).await;
    server.say("426 Broken.").await;
    client.hear("426 Broken.").await;
    drop((client, server, data));
    lab.over().await;
}

#[tokio::test]
async fn a_slow_writer_is_alive_as_long_as_it_sends_a_little() {
    let lab = Lab::start("", LIMITS).await;
    let (mut client, mut server) = lab.logged_in(Link::FINE, Link::FINE).await;
    let mut slow = Link::FINE.paced(100, Duration::from_millis(60));
    let pair = lab
        .pair(&mut client, &mut server, slow.clone(), Link::FINE)
        .await;
    let Pair {
        mut data, mut peer, ..
    } = pair;
    exchange(&mut client, &mut server, "STOR file", "150 Go.").await;
    let sent = pattern(4500);
    let began = now();
    data.write_all(&sent).await.unwrap();
    data.shutdown().await.unwrap();
    assert!(read_all(&mut peer).await == sent, "not what was sent");
    assert!(began.elapsed() >= STILL * 3, "{:?}", began.elapsed());
    drop(peer);
    server.say("226 Stored.").await;
    client.hear("226 Stored.").await;
    drop(data);
    // One that stops is given up.
    slow.there.fault = Some((When::Byte(1000), Fault::Silence));
    let pair = lab.pair(&mut client, &mut server, slow, Link::FINE).await;
    let Pair { mut data, peer, .. } = pair;
    exchange(&mut client, &mut server, "STOR file", "150 Go.").await;
    data.write_all(&sent).await.unwrap();
    assert!(is_reset(peer).await, "the upload looks complete");
    server.say("226 Stored.").await;
    client.hear_code("426 ").await;
    drop((client, server, data));
    lab.over().await;
}

/// How far a login came.
const STAGES: usize = 6;

/// A session at a stage of its login: dialled, greeted, USER, its 331, PASS, its 230.
async fn at_stage(lab: &Lab, stage: usize) -> (Control, Control) {
    let (mut client, mut server) = lab.dialled(Link::FINE, Link::FINE).await;
    if stage >= 1 {
        server.say(GREETING).await;
        client.hear(GREETING).await;
    }
    for (sent, answered, line, reply) in [
        (2, 3, "USER test", "331 Password?"),
        (4, 5, "PASS secret", "230 Welcome."),
    ] {
        if stage >= sent {
            client.say(line).await;
            server.hear(line).await;
        }
        if stage >= answered {
            server.say(reply).await;
            client.hear(reply).await;
        }
    }
    (client, server)
}

#[tokio::test]
async fn a_client_that_is_reset_at_any_stage_of_its_login_leaves_nothing() {
    for stage in 0..STAGES {
        let lab = Lab::start("", "").await;
        let (client, mut server) = at_stage(&lab, stage).await;
        reset(client.stream);
        // Not a byte more than what was sent whole.
        server.hear_end().await;
        drop(server);
        lab.over().await;
    }
}

#[tokio::test]
async fn a_server_that_goes_at_any_stage_of_a_login_is_told_to_the_client() {
    for stage in 0..STAGES {
        for is_reset in [true, false] {
            let lab = Lab::start("", "").await;
            let (mut client, server) = at_stage(&lab, stage).await;
            if is_reset {
                reset(server.stream);
            } else {
                drop(server);
            }
            client.hear_code("421 ").await;
            client.hear_end().await;
            drop(client);
            lab.over().await;
        }
    }
}

#[tokio::test]
async fn a_session_keeps_the_server_that_it_has_when_its_upstream_moves() {
    let mut bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let moved = tokio::net::TcpListener::bind("127.0.0.9:0").await.unwrap();
    let former = std::mem::replace(&mut bench.server, moved);
    bench.reload("", "", "");
    drop(former);
    // The next session is at the new address, its data as well.
    let (mut next, mut other) = bench.logged_in().await;
    assert_eq!(
        other.stream.local_addr().unwrap().ip().to_string(),
        "127.0.0.9"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.9:0").await.unwrap();
    let port = extended_passive(&mut next, &mut other, &listener).await;
    let _data = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    within(listener.accept()).await.unwrap();
    // This one's are where they were.
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    peer.write_all(b"all of it").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, b"all of it");
    client.hear("226 Done.").await;
}
