//! A gateway between a server and a client that do, line by line, what a test says.
//!
//! Nothing waits for a while: every step waits for an event, and [`within`] bounds the wait so
//! that a test that would hang fails.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test panics when it fails"
)]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ftpwarden::config::{self, Loaded};
use ftpwarden::gateway::{Gateway, Lanes, Prepared};
use ftpwarden::sys::socket;
use ftpwarden::telemetry::Telemetry;
use ftpwarden::upstream::connect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long an event may take that is to come soon.
const PATIENCE: Duration = Duration::from_secs(20);

/// The greeting of the scripted server.
pub(crate) const GREETING: &str = "220 Scripted server ready.";

/// Awaits `event`, which is to come soon.
pub(crate) async fn within<F: Future>(event: F) -> F::Output {
    timeout(PATIENCE, event)
        .await
        .expect("what the test waits for never came")
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xFF).unwrap())
        .collect()
}

/// A server's reply to HELP of so many bytes.
pub(crate) fn help(bytes: usize) -> Vec<u8> {
    let (head, tail) = (&b"214-Help.\r\n "[..], b"\r\n214 Done.\r\n");
    let filler = vec![b'x'; bytes - head.len() - tail.len()];
    [head, &filler, tail].concat()
}

/// Reads a configuration that must be right.
pub(crate) fn settings(text: &str) -> Loaded {
    config::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

/// A gateway, and the server behind it.
pub(crate) struct Bench {
    /// The gateway.
    pub(crate) gateway: Gateway,
    /// Its telemetry.
    pub(crate) telemetry: Arc<Telemetry>,
    /// The server that its upstream names.
    pub(crate) server: TcpListener,
}

impl Bench {
    /// With keys of the listener, of the upstream, and further tables.
    pub(crate) async fn start(listener: &str, upstream: &str, rest: &str) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = text(server.local_addr().unwrap(), listener, upstream, rest);
        Self::of(&text, server)
    }

    /// With nothing but what is needed, on lanes of its own.
    pub(crate) async fn plain_on(lanes: Lanes) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = text(server.local_addr().unwrap(), "", "", "");
        Self::on(lanes, &text, server, |prepared| prepared)
    }

    /// With a configuration of its own, and a server that it may name.
    pub(crate) fn of(text: &str, server: TcpListener) -> Self {
        Self::prepared(text, server, |prepared| prepared)
    }

    /// The same, with a last change before it begins to accept.
    pub(crate) fn prepared(
        text: &str,
        server: TcpListener,
        change: impl FnOnce(Prepared) -> Prepared,
    ) -> Self {
        Self::on(Lanes::here(), text, server, change)
    }

    /// The same, on lanes of its own.
    pub(crate) fn on(
        lanes: Lanes,
        text: &str,
        server: TcpListener,
        change: impl FnOnce(Prepared) -> Prepared,
    ) -> Self {
        let loaded = settings(text);
        let telemetry = Telemetry::install(&loaded.settings, &loaded.policies).unwrap();
        let prepared = Prepared::new(
            Arc::new(loaded.settings),
            loaded.policies,
            Arc::clone(&telemetry),
        );
        Self {
            gateway: Gateway::open(change(prepared.unwrap()), lanes).unwrap(),
            telemetry,
            server,
        }
    }

    /// With nothing but what is needed.
    pub(crate) async fn plain() -> Self {
        Self::start("", "", "").await
    }

    /// Reloads, with the same server.
    pub(crate) fn reload(&self, listener: &str, upstream: &str, rest: &str) {
        let loaded = settings(&text(
            self.server.local_addr().unwrap(),
            listener,
            upstream,
            rest,
        ));
        self.gateway
            .reload(Arc::new(loaded.settings), loaded.policies)
            .unwrap();
    }

    /// Where the gateway listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.local_addrs().first().unwrap().1
    }

    /// A client and the server that it got, up to and with the greeting.
    pub(crate) async fn greeted(&self) -> (Control, Control) {
        let client = Control::dial(self.address()).await;
        self.greet(client).await
    }

    /// The same for a client that has dialled.
    pub(crate) async fn greet(&self, mut client: Control) -> (Control, Control) {
        let mut server = self.accept().await;
        server.say(GREETING).await;
        client.hear(GREETING).await;
        (client, server)
    }

    /// The server's side of the next session.
    pub(crate) async fn accept(&self) -> Control {
        let (stream, _) = within(self.server.accept()).await.unwrap();
        Control::new(stream)
    }

    /// A client that is logged in and the server that it got.
    pub(crate) async fn logged_in(&self) -> (Control, Control) {
        let (mut client, mut server) = self.greeted().await;
        login(&mut client, &mut server).await;
        (client, server)
    }

    /// A line of the metrics.
    pub(crate) fn counts(&self, line: &str) -> bool {
        self.telemetry.render().lines().any(|found| found == line)
    }
}

/// A configuration of one listener and one upstream.
fn text(server: SocketAddr, listener: &str, upstream: &str, rest: &str) -> String {
    format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n{listener}\n\
         [upstreams.legacy]\naddress = \"{server}\"\n{upstream}\n{rest}\n"
    )
}

/// Logs in.
pub(crate) async fn login(client: &mut Control, server: &mut Control) {
    exchange(client, server, "USER test", "331 Password?").await;
    exchange(client, server, "PASS secret", "230 Welcome.").await;
}

/// A command that goes through and its reply.
pub(crate) async fn exchange(
    client: &mut Control,
    server: &mut Control,
    command: &str,
    reply: &str,
) {
    client.say(command).await;
    server.hear(command).await;
    server.say(reply).await;
    client.hear(reply).await;
}

/// Sets up passive data connections: the client's own, and the server's listener.
pub(crate) async fn passive(
    client: &mut Control,
    server: &mut Control,
) -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    client.say("PASV").await;
    server.hear("PASV").await;
    let [high, low] = port.to_be_bytes();
    server
        .say(&format!(
            "227 Entering Passive Mode (127,0,0,1,{high},{low})."
        ))
        .await;
    let line = client.line().await;
    (passive_address(&line), listener)
}

/// The address in a 227.
pub(crate) fn passive_address(line: &str) -> SocketAddr {
    let numbers = line
        .strip_prefix("227 Entering Passive Mode (")
        .and_then(|rest| rest.strip_suffix(")."))
        .unwrap_or_else(|| panic!("not a 227 of the gateway's: {line}"));
    let numbers: Vec<u8> = numbers
        .split(',')
        .map(|number| number.parse().unwrap())
        .collect();
    let [a, b, c, d, high, low] = numbers[..] else {
        panic!("not six numbers: {line}");
    };
    SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
}

/// EPSV, answered with the server's `listener`: the gateway's port in its own 229.
pub(crate) async fn extended_passive(
    client: &mut Control,
    server: &mut Control,
    listener: &TcpListener,
) -> u16 {
    client.say("EPSV").await;
    server.hear("EPSV").await;
    let port = listener.local_addr().unwrap().port();
    server.say(&format!("229 Extended (|||{port}|)")).await;
    let line = client.line().await;
    line.split('|').nth(3).unwrap().parse().unwrap()
}

/// The port in the `PORT` that the gateway has sent to a server, with its own address.
pub(crate) fn active_port(line: &str) -> u16 {
    let numbers = line
        .strip_prefix("PORT 127,0,0,1,")
        .unwrap_or_else(|| panic!("not a PORT of the gateway's: {line}"));
    let (high, low) = numbers.split_once(',').unwrap();
    u16::from_be_bytes([high.parse().unwrap(), low.parse().unwrap()])
}

/// PASV of a client at a server in active mode: the client's data connection, and the port that the server is
/// to dial.
pub(crate) async fn passive_over_active(
    client: &mut Control,
    server: &mut Control,
) -> (TcpStream, u16) {
    client.say("PASV").await;
    let port = active_port(&server.line().await);
    server.say("200 PORT command successful.").await;
    let address = passive_address(&client.line().await);
    (connect(address, None).await.unwrap(), port)
}

/// Both data connections in passive mode.
pub(crate) async fn passive_pair(
    client: &mut Control,
    server: &mut Control,
) -> (TcpStream, TcpStream) {
    let (address, listener) = passive(client, server).await;
    let data = connect(address, None).await.unwrap();
    let (peer, _) = within(listener.accept()).await.unwrap();
    (data, peer)
}

/// Resets a connection.
pub(crate) fn reset(stream: TcpStream) {
    socket::arm_reset(&stream).unwrap();
    drop(stream);
}

/// Whether a connection ends with a reset, whatever comes before.
pub(crate) async fn is_reset(mut stream: TcpStream) -> bool {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.is_err()
}

/// All that comes until a FIN.
pub(crate) async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

/// One end of a control connection.
pub(crate) struct Control {
    /// The connection.
    pub(crate) stream: TcpStream,
    /// What was read and not yet asked for.
    buffer: Vec<u8>,
}

impl Control {
    /// Of a connection.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Dials.
    pub(crate) async fn dial(address: SocketAddr) -> Self {
        Self::new(within(TcpStream::connect(address)).await.unwrap())
    }

    /// Dials from an address of its own.
    pub(crate) async fn dial_from(address: SocketAddr, source: &str) -> Self {
        let source = SocketAddr::new(source.parse().unwrap(), 0);
        Self::new(within(connect(address, Some(source))).await.unwrap())
    }

    /// Sends a line.
    pub(crate) async fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n").as_bytes()).await;
    }

    /// Sends bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next line, without its CR LF.
    pub(crate) async fn line(&mut self) -> String {
        let line = self.through(b"\r\n").await;
        let line = String::from_utf8(line).unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    /// The next line, which must be this one.
    pub(crate) async fn hear(&mut self, expected: &str) {
        for expected in expected.split("\r\n") {
            assert_eq!(self.line().await, expected);
        }
    }

    /// The next line, which must begin like this.
    pub(crate) async fn hear_code(&mut self, code: &str) {
        let line = self.line().await;
        assert!(line.starts_with(code), "{line} is no {code}");
    }

    /// All bytes through `end`.
    pub(crate) async fn through(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.buffer.windows(end.len()).position(|part| part == end);
            if let Some(at) = found {
                return self.buffer.drain(..at + end.len()).collect();
            }
            // Not `read`: the runtime takes a short read for the last one, and reads end early
            // before urgent data.
            let came = timeout(PATIENCE, self.stream.readable()).await;
            assert!(came.is_ok(), "nothing came after {:?}", self.buffer);
            let read = match self.stream.try_read_buf(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                read => read.unwrap(),
            };
            assert_ne!(read, 0, "ended within {:?}", self.buffer);
        }
    }

    /// Its end, in order and with nothing before it.
    pub(crate) async fn hear_end(&mut self) {
        let rest = read_all(&mut self.stream).await;
        assert!(
            self.buffer.is_empty() && rest.is_empty(),
            "not an end: {rest:?}"
        );
    }
}
