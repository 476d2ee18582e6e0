//! Those who mean ill, over sockets: guessers, floods, drips, peers that never read and peers that
//! never stop. Each of them meets a bound, and the others go on.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

use std::time::{Duration, Instant};

use support::{
    Bench, Control, GREETING, exchange, is_reset, login, passive, passive_pair, pattern, read_all,
    within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A moment of the real clock.
#[expect(
    clippy::disallowed_methods,
    reason = "how long something took at least"
)]
fn now() -> Instant {
    Instant::now()
}

/// A name and a password that the server refuses.
async fn guess(client: &mut Control, server: &mut Control) {
    exchange(client, server, "USER root", "331 Password?").await;
    client.say("PASS guess").await;
    server.hear("PASS guess").await;
    server.say("530 Login incorrect.").await;
}

/// `[limits]` under which guesses are answered at once, and `rest`.
fn quick(rest: &str) -> String {
    format!("[limits]\nfailed_login_delay = \"1ms\"\n{rest}")
}

/// Guesses until the client's address is banned, with a bound of two.
async fn banned(bench: &Bench) {
    let (mut client, mut server) = bench.greeted().await;
    for _ in 0..2 {
        guess(&mut client, &mut server).await;
        client.hear("530 Login incorrect.").await;
    }
    guess(&mut client, &mut server).await;
    client.hear_code("421 Too many failed logins").await;
    client.hear_end().await;
}

/// How many connections were turned away for `reason`.
fn turned_away(bench: &Bench, reason: &str, count: usize) -> bool {
    let name = "ftpwarden_sessions_rejected_total";
    bench.counts(&format!(
        "{name}{{listener=\"main\",reason=\"{reason}\"}} {count}"
    ))
}

/// How often the server was dialled.
fn dialled(bench: &Bench, count: usize) -> bool {
    let name = "ftpwarden_upstream_connects_total";
    bench.counts(&format!(
        "{name}{{upstream=\"legacy\",result=\"connected\"}} {count}"
    ))
}

#[tokio::test]
async fn a_guesser_is_banned_and_costs_no_dial() {
    let bench = Bench::start("", "", &quick("failed_logins = 2")).await;
    let (mut colleague, mut colleagues) = bench.logged_in().await;
    banned(&bench).await;
    for _ in 0..100 {
        let mut again = Control::dial(bench.address()).await;
        again.hear_code("421 Too many failed logins").await;
        again.hear_end().await;
    }
    assert!(turned_away(&bench, "banned", 100));
    assert!(dialled(&bench, 2));
    assert!(bench.counts("ftpwarden_bans 1"));
    assert!(bench.counts("ftpwarden_bans_total{listener=\"main\"} 1"));
    let shown = bench.telemetry.status().bans;
    assert_eq!(shown.first().unwrap().client.to_string(), "127.0.0.1");
    assert_eq!(shown.first().unwrap().failed_logins, 3);
    // Who was logged in goes on, and so does everybody else.
    exchange(&mut colleague, &mut colleagues, "NOOP", "200 Here.").await;
    let other = Control::dial_from(bench.address(), "127.0.0.2").await;
    let (_other, _server) = bench.greet(other).await;
}

#[tokio::test]
async fn guesses_are_counted_over_sessions_and_with_those_that_policy_refuses() {
    let limits = quick("failed_logins = 2");
    let policy = "[policies.own]\ndefault = \"allow\"\n\
                  rules = [{ commands = \"USER\", users = \"bob\", action = \"deny\" }]\n";
    let bench = Bench::start("policy = \"own\"", "", &format!("{policy}{limits}")).await;
    for _ in 0..2 {
        let (mut client, _server) = bench.greeted().await;
        client.say("USER bob").await;
        client.hear_code("331 ").await;
        client.say("PASS guess").await;
        client.hear_code("530 ").await;
    }
    let (mut client, mut server) = bench.greeted().await;
    guess(&mut client, &mut server).await;
    client.hear_code("421 ").await;
    client.hear_end().await;
}

#[tokio::test]
async fn a_session_that_has_not_logged_in_is_kept_out_by_a_ban() {
    let bench = Bench::start("", "", &quick("failed_logins = 2")).await;
    let (mut waiting, mut server) = bench.greeted().await;
    banned(&bench).await;
    waiting.say("USER root").await;
    waiting.hear_code("421 ").await;
    waiting.hear_end().await;
    server.hear_end().await;
}

#[tokio::test]
async fn a_ban_ends() {
    let limits = quick("failed_logins = 2\nban_time = \"1ms\"");
    let bench = Bench::start("", "", &limits).await;
    banned(&bench).await;
    let (mut client, mut server) = within(async {
        loop {
            let mut client = Control::dial(bench.address()).await;
            tokio::select! {
                line = client.line() => assert!(line.starts_with("421 "), "{line}"),
                server = bench.accept() => break (client, server),
            }
        }
    })
    .await;
    server.say(GREETING).await;
    client.hear(GREETING).await;
    assert!(bench.counts("ftpwarden_bans 0"));
}

#[tokio::test]
async fn a_reload_without_a_bound_lifts_bans() {
    let bench = Bench::start("", "", &quick("failed_logins = 2")).await;
    banned(&bench).await;
    bench.reload("", "", &quick("failed_logins = 0"));
    let (mut client, mut server) = bench.greeted().await;
    for _ in 0..10 {
        guess(&mut client, &mut server).await;
        client.hear("530 Login incorrect.").await;
    }
}

#[tokio::test]
async fn each_refusal_takes_longer_and_keeps_the_order() {
    let limits = "[limits]\nfailed_login_delay = \"100ms\"";
    let bench = Bench::start("", "", limits).await;
    let (mut client, mut server) = bench.greeted().await;
    for failure in 1..=3 {
        client.say("USER root").await;
        server.hear("USER root").await;
        server.say("331 Password?").await;
        client.hear("331 Password?").await;
        let began = now();
        client.send(b"PASS guess\r\nNOOP\r\n").await;
        server.hear("PASS guess").await;
        server.say("530 Login incorrect.").await;
        client.hear("530 Login incorrect.").await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(100) * failure, "{took:?}");
        server.hear("NOOP").await;
        server.say("200 Here.").await;
        client.hear("200 Here.").await;
    }
}

#[tokio::test]
async fn a_server_that_ends_behind_its_refusal_does_not_shorten_it() {
    let limits = "[limits]\nfailed_login_delay = \"100ms\"";
    let bench = Bench::start("", "", limits).await;
    let (mut client, mut server) = bench.greeted().await;
    exchange(&mut client, &mut server, "USER root", "331 Password?").await;
    let began = now();
    client.say("PASS guess").await;
    server.hear("PASS guess").await;
    server
        .say("530 Login incorrect.\r\n421 Too many attempts.")
        .await;
    drop(server);
    client.hear("530 Login incorrect.").await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    client.hear("421 Too many attempts.").await;
    client.hear_end().await;
}

#[tokio::test]
async fn a_refused_name_and_a_refused_password_take_the_same_time() {
    let rest = "[policies.own]\ndefault = \"allow\"\n\
                rules = [{ commands = \"USER\", users = \"bob\", action = \"deny\" }]\n\
                [limits]\nfailed_login_delay = \"200ms\"";
    let bench = Bench::start("policy = \"own\"", "", rest).await;
    let (mut client, mut server) = bench.greeted().await;
    // The exact times are those of `login/wrong-password` and `login/user-refused-by-policy`.
    client.say("USER bob").await;
    client.hear_code("331 ").await;
    let began = now();
    client.say("PASS guess").await;
    client.hear_code("530 ").await;
    assert!(began.elapsed() >= Duration::from_millis(200));
    exchange(&mut client, &mut server, "USER ann", "331 Password?").await;
    let began = now();
    client.say("PASS guess").await;
    server.hear("PASS guess").await;
    server.say("530 Login incorrect.").await;
    client.hear_code("530 ").await;
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn who_connects_too_fast_is_turned_away_without_a_dial() {
    let bench = Bench::start("", "", "[limits]\nconnection_rate = \"3/h\"").await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(bench.greeted().await);
    }
    for _ in 0..50 {
        let mut client = Control::dial(bench.address()).await;
        client.hear_code("421 Too many connections").await;
        client.hear_end().await;
    }
    assert!(turned_away(&bench, "connection_rate", 50));
    assert!(dialled(&bench, 3));
    let other = Control::dial_from(bench.address(), "127.0.0.2").await;
    let (_other, _server) = bench.greet(other).await;
}

#[tokio::test]
async fn a_flood_of_connections_leaves_those_who_are_there_alone() {
    let bench = Bench::start("", "", "[limits]\nsessions = 5").await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(bench.logged_in().await);
    }
    let mut flood = Vec::new();
    for _ in 0..500 {
        flood.push(Control::dial(bench.address()).await);
    }
    for (client, server) in &mut sessions {
        exchange(client, server, "NOOP", "200 Here.").await;
    }
    for client in &mut flood {
        client.hear_code("421 ").await;
        client.hear_end().await;
    }
    assert!(turned_away(&bench, "sessions", 500));
    assert_eq!(bench.gateway.sessions(), 5);
}

#[tokio::test]
async fn slow_clients_on_the_control_connection_are_given_up() {
    let bench = Bench::start("", "", "[limits]\ncommand_timeout = \"200ms\"").await;
    let (mut drips, _server) = bench.logged_in().await;
    drips.send(b"N").await;
    drips.hear_code("421 ").await;
    drips.hear_end().await;
    // Whole commands do not prolong a login.
    let bench = Bench::start("", "", "[limits]\nlogin_timeout = \"400ms\"").await;
    let (mut busy, mut server) = bench.greeted().await;
    let serve = async {
        while server.stream.readable().await.is_ok() {
            let mut bytes = [0; 1024];
            match server.stream.try_read(&mut bytes) {
                Ok(0) => break,
                Ok(_) => server.say("200 Here.").await,
                Err(_) => {}
            }
        }
    };
    let keep_busy = async {
        loop {
            // The write may meet the end: the read tells.
            busy.stream.write_all(b"NOOP\r\n").await.ok();
            let line = busy.line().await;
            if line.starts_with("421 ") {
                break;
            }
            assert_eq!(line, "200 Here.");
        }
    };
    within(async { tokio::join!(serve, keep_busy) }).await;
}

#[tokio::test]
async fn data_connections_on_which_nothing_moves_are_given_up() {
    let limits = "[limits]\ntransfer_idle_timeout = \"200ms\"";
    let bench = Bench::start("", "", limits).await;
    // An upload that never begins.
    let (mut client, mut server) = bench.logged_in().await;
    let (data, peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
    assert!(is_reset(data).await && is_reset(peer).await);
    server.say("426 Broken.").await;
    client.hear_code("426 ").await;
    // A download that nobody reads.
    let (data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    let block = pattern(1 << 20);
    let flood = async {
        let mut written = 0_usize;
        while peer.write_all(&block).await.is_ok() {
            written += block.len();
        }
        written
    };
    let written = within(flood).await;
    assert!(written < 64 << 20, "{written} bytes were taken");
    drop(data);
}

#[tokio::test]
async fn ten_thousand_passive_commands_hold_one_port() {
    const BATCH: usize = 25;
    const BATCHES: usize = 400;
    let bench = Bench::start("", "", "").await;
    let (mut client, mut server) = bench.logged_in().await;
    let serve = async {
        for _ in 0..BATCH * BATCHES {
            server.hear("PASV").await;
            server
                .say("227 Entering Passive Mode (127,0,0,1,200,1).")
                .await;
        }
        server
    };
    let flood = async {
        for _ in 0..BATCHES {
            client.send(&b"PASV\r\n".repeat(BATCH)).await;
            for _ in 0..BATCH {
                client.hear_code("227 ").await;
            }
        }
        client
    };
    let (mut server, mut client) = tokio::join!(serve, flood);
    assert!(bench.counts("ftpwarden_passive_ports_in_use{listener=\"main\"} 1"));
    exchange(&mut client, &mut server, "QUIT", "221 Goodbye.").await;
    client.hear_end().await;
    assert!(bench.counts("ftpwarden_passive_ports_in_use{listener=\"main\"} 0"));
}

#[tokio::test]
async fn a_flood_of_commands_is_read_no_further_than_its_bound() {
    let bench = Bench::start("", "", "[limits]\nreply_timeout = \"1s\"").await;
    let (mut client, mut server) = bench.logged_in().await;
    // The server answers none of them.
    let flood = b"CWD /somewhere\r\n".repeat(4096);
    let write = async {
        let mut written = 0_usize;
        while client.stream.write_all(&flood).await.is_ok() {
            written += flood.len();
        }
        written
    };
    // What the kernel holds, and little more.
    let written = within(write).await;
    assert!(written < 64 << 20, "{written} bytes were taken");
    server.hear("CWD /somewhere").await;
    server.hear_end().await;
}

#[tokio::test]
async fn a_flood_of_refused_commands_never_reaches_the_server() {
    const COMMANDS: usize = 20_000;
    let bench = Bench::start("", "", "").await;
    let (client, mut server) = bench.logged_in().await;
    let (mut read, mut write) = client.stream.into_split();
    let flood = async {
        write
            .write_all(&b"SITE EXEC x\r\n".repeat(COMMANDS))
            .await
            .unwrap();
        write.write_all(b"QUIT\r\n").await.unwrap();
    };
    let hear = async {
        let mut heard = Vec::new();
        read.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let serve = async {
        server.hear("QUIT").await;
        server.say("221 Goodbye.").await;
    };
    let ((), heard, ()) = within(async { tokio::join!(flood, hear, serve) }).await;
    let heard = String::from_utf8(heard).unwrap();
    let refusals = heard.lines().filter(|line| line.starts_with("502 "));
    assert_eq!(refusals.count(), COMMANDS);
    assert_eq!(heard.lines().last(), Some("221 Goodbye."));
}

#[tokio::test]
async fn a_client_that_never_stops_asking_starves_nobody() {
    let bench = Bench::plain().await;
    let (flood, _server) = bench.logged_in().await;
    let (mut other, mut others) = bench.logged_in().await;
    // The gateway has the same thread: it sees nothing of this before all of it is there.
    let lines = b"SMNT x\r\n".repeat(16 * 1024);
    let written = flood.stream.try_write(&lines).unwrap();
    other.stream.try_write(b"NOOP\r\n").unwrap();
    others.hear("NOOP").await;
    others.say("200 Here.").await;
    other.hear("200 Here.").await;
    let asked = written / b"SMNT x\r\n".len();
    let series = "ftpwarden_commands_total{listener=\"main\",command=\"SMNT\",outcome=\"denied\"} ";
    let rendered = bench.telemetry.render();
    let line = rendered.lines().find_map(|line| line.strip_prefix(series));
    let answered: usize = line.unwrap().parse().unwrap();
    assert!(asked > 4096, "{asked} commands are no flood");
    assert!(answered < asked / 2, "{answered} of {asked} came first");
}

#[tokio::test]
async fn a_server_that_never_stops_talking_starves_nobody() {
    // As far as it may.
    let limits = "[limits]\nviolations = 1000000";
    let bench = Bench::start("", "", limits).await;
    let (mut client, server) = bench.logged_in().await;
    let (mut other, mut others) = bench.logged_in().await;
    let (mut heard, mut talks) = server.stream.into_split();
    let noise = b"200 I have something to say.\r\n".repeat(4096);
    let talk = async { while talks.write_all(&noise).await.is_ok() {} };
    let ask = async {
        for _ in 0..2 {
            client.say("SITE x").await;
            client.hear_code("502 ").await;
            exchange(&mut other, &mut others, "NOOP", "200 Here.").await;
        }
        drop(client);
        let mut rest = Vec::new();
        heard.read_to_end(&mut rest).await.ok();
    };
    within(async { tokio::join!(talk, ask) }).await;
}

#[tokio::test]
async fn a_server_that_never_stops_talking_is_left() {
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut other, mut others) = bench.logged_in().await;
    let noise = b"200 I have something to say.\r\n".repeat(4096);
    within(async { while server.stream.write_all(&noise).await.is_ok() {} }).await;
    client.hear_code("421 ").await;
    client.hear_end().await;
    let series = "ftpwarden_protocol_violations_total{leg=\"server\",kind=\"unsolicited\"} 51";
    assert!(bench.counts(series));
    exchange(&mut other, &mut others, "NOOP", "200 Here.").await;
}

#[tokio::test]
async fn a_greeting_of_a_mebibyte_has_its_bounds() {
    let bench = Bench::plain().await;
    // In lines, it is relayed byte for byte.
    let mut client = Control::dial(bench.address()).await;
    let mut server = bench.accept().await;
    let lines = b"220-A long, long welcome.\r\n".repeat(40_000);
    let greeting = [lines.as_slice(), b"220 Ready.\r\n"].concat();
    assert!(greeting.len() > 1 << 20);
    let (heard, ()) = tokio::join!(client.through(b"220 Ready.\r\n"), server.send(&greeting));
    assert!(heard == greeting, "the greeting is not the server's");
    login(&mut client, &mut server).await;
    // In one line, it is none.
    let mut client = Control::dial(bench.address()).await;
    let mut server = bench.accept().await;
    server.stream.write_all(b"220 ").await.unwrap();
    let line = vec![b'x'; 1 << 20];
    // The gateway ends the session long before it is written.
    server.stream.write_all(&line).await.ok();
    client.hear_code("421 ").await;
    client.hear_end().await;
}

/// How long a download of `bytes` takes under these keys, and whether it is whole.
async fn download(listener: &str, limits: &str, bytes: usize) -> Duration {
    let bench = Bench::start(listener, "", &format!("[limits]\n{limits}")).await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    let sent = pattern(bytes);
    let began = now();
    let write = async {
        peer.write_all(&sent).await.unwrap();
        drop(peer);
        server.say("226 Done.").await;
    };
    let (received, ()) = tokio::join!(read_all(&mut data), write);
    let took = began.elapsed();
    assert!(received == sent, "the bytes are not those that were sent");
    client.hear("226 Done.").await;
    took
}

#[tokio::test]
async fn a_session_moves_no_more_than_its_bandwidth() {
    // A tenth of a second may be made up for, and the last slice is on its way at once.
    let copied = download("", "session_bandwidth = \"4MiB/s\"", 4 << 20).await;
    assert!(copied >= Duration::from_millis(800), "{copied:?}");
    let spliced = download("", "session_bandwidth = \"32MiB/s\"", 32 << 20).await;
    assert!(spliced >= Duration::from_millis(800), "{spliced:?}");
}

#[tokio::test]
async fn short_transfers_do_not_escape_a_bandwidth() {
    let bench = Bench::start("", "", "[limits]\nsession_bandwidth = \"100KiB/s\"").await;
    let (mut client, mut server) = bench.logged_in().await;
    let began = now();
    for _ in 0..20 {
        let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
        exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
        peer.write_all(&pattern(5000)).await.unwrap();
        drop(peer);
        server.say("226 Done.").await;
        read_all(&mut data).await;
        client.hear("226 Done.").await;
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(700), "{took:?}");
}

#[tokio::test]
async fn a_user_moves_no_more_than_the_users_bandwidth() {
    let keys = "user_bandwidth = { \"t*\" = \"1MiB/s\" }";
    let took = download(keys, "", 1 << 20).await;
    assert!(took >= Duration::from_millis(800), "{took:?}");
    let keys = "user_bandwidth = { \"others\" = \"1KiB/s\" }";
    download(keys, "", 1 << 20).await;
}

/// Both data connections and both control connections.
type Upload = (TcpStream, TcpStream, Control, Control);

#[tokio::test]
async fn all_sessions_of_a_listener_share_its_bandwidth() {
    let bench = Bench::start("bandwidth = \"2MiB/s\"", "", "").await;
    let mut uploads = Vec::new();
    for _ in 0..2 {
        let (mut client, mut server) = bench.logged_in().await;
        let (data, peer) = passive_pair(&mut client, &mut server).await;
        exchange(&mut client, &mut server, "STOR file", "150 Go on.").await;
        uploads.push((data, peer, client, server));
    }
    let began = now();
    let move_all = async |(mut data, mut peer, _client, _server): Upload| {
        let sent = pattern(1 << 20);
        let write = async {
            data.write_all(&sent).await.unwrap();
            drop(data);
        };
        let (received, ()) = tokio::join!(read_all(&mut peer), write);
        assert!(received == sent, "the bytes are not those that were sent");
    };
    let (one, other) = (uploads.remove(0), uploads.remove(0));
    tokio::join!(move_all(one), move_all(other));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(700), "{took:?}");
}

#[tokio::test]
async fn a_transfer_that_is_held_back_does_not_stand_still() {
    // A slice waits for half a second: far longer than a transfer may stand still.
    let limits = "session_bandwidth = \"1KiB/s\"\ntransfer_idle_timeout = \"40ms\"";
    let bench = Bench::start("", "", &format!("[limits]\n{limits}")).await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    // All of it is there before the transfer begins: whatever is late is the gateway's doing.
    let sent = pattern(2048);
    peer.write_all(&sent).await.unwrap();
    peer.shutdown().await.unwrap();
    let began = now();
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data).await, sent);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    client.hear("226 Done.").await;
}

#[tokio::test]
async fn a_transfer_that_is_held_back_ends_with_its_client() {
    let bench = Bench::start("", "", "[limits]\nsession_bandwidth = \"1KiB/s\"").await;
    let (mut client, mut server) = bench.logged_in().await;
    let (data, mut peer) = passive_pair(&mut client, &mut server).await;
    exchange(&mut client, &mut server, "RETR file", "150 Here.").await;
    peer.write_all(&pattern(100_000)).await.unwrap();
    support::reset(data);
    assert!(is_reset(peer).await);
    server.say("426 Broken.").await;
    client.hear_code("426 ").await;
    // The endpoints are free for the next one.
    passive(&mut client, &mut server).await;
}
