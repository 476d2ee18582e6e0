//! TLS over real sockets: either leg, both, and everything that must not pass for it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test panics when it fails"
)]

#[path = "support/authority.rs"]
mod authority;
#[path = "tls/certificates.rs"]
mod certificates;
#[path = "tls/empty_records.rs"]
mod empty_records;
#[path = "tls/server_leg.rs"]
mod server_leg;
#[expect(dead_code, reason = "each suite uses a part of it")]
mod support;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use authority::Authority;
use ftpwarden::sys::socket::send_urgent;
use rcgen::CertificateParams;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ConnectionCommon, HandshakeKind, ProtocolVersion, ServerConfig,
    SupportedProtocolVersion,
};
use support::{
    Bench, Control, GREETING, is_reset, passive_address, pattern, read_all, reset, within,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Longer than it takes until a session is quiet.
const QUIET: Duration = Duration::from_millis(1500);

/// Versions that both must be tried with.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// One end of a control connection under TLS.
struct Secure<S> {
    /// It.
    stream: S,
    /// What was read and not yet asked for.
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Secure<S> {
    /// Of a connection.
    const fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends a line.
    async fn say(&mut self, line: &str) {
        within(self.stream.write_all(format!("{line}\r\n").as_bytes()))
            .await
            .unwrap();
        within(self.stream.flush()).await.unwrap();
    }

    /// The next line, without its CR LF.
    async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|part| part == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return String::from_utf8_lossy(&line[..at]).into_owned();
            }
            let read = within(self.stream.read_buf(&mut self.buffer))
                .await
                .unwrap();
            assert_ne!(read, 0, "ended within {:?}", self.buffer);
        }
    }

    /// The next line, which must be this one.
    async fn hear(&mut self, expected: &str) {
        assert_eq!(self.line().await, expected);
    }

    /// The next line, which must begin like this.
    async fn hear_code(&mut self, code: &str) {
        let line = self.line().await;
        assert!(line.starts_with(code), "{line} is no {code}");
    }
}

/// A client under TLS and the configuration that its data connections share.
struct Client {
    /// The control connection.
    control: Secure<client::TlsStream<TcpStream>>,
    /// The configuration.
    config: Arc<ClientConfig>,
}

/// The name that clients ask for.
fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// A handshake of a client's.
async fn handshake(
    config: &Arc<ClientConfig>,
    stream: TcpStream,
) -> io::Result<client::TlsStream<TcpStream>> {
    within(TlsConnector::from(Arc::clone(config)).connect(localhost(), stream)).await
}

impl Client {
    /// AUTH TLS in a session that was greeted.
    async fn auth(mut clear: Control, config: ClientConfig) -> Self {
        clear.say("AUTH TLS").await;
        clear.hear_code("234 ").await;
        let config = Arc::new(config);
        let stream = handshake(&config, clear.stream).await.unwrap();
        Self {
            control: Secure::new(stream),
            config,
        }
    }

    /// A command that goes through to a server in clear, and its reply.
    async fn exchange(&mut self, server: &mut Control, command: &str, reply: &str) {
        self.control.say(command).await;
        server.hear(command).await;
        server.say(reply).await;
        self.control.hear(reply).await;
    }

    /// Logs in and asks for private data connections.
    async fn log_in(&mut self, server: &mut Control) {
        self.exchange(server, "USER test", "230 Welcome.").await;
        self.control.say("PBSZ 0").await;
        self.control.hear_code("200 ").await;
        self.control.say("PROT P").await;
        self.control.hear_code("200 ").await;
    }

    /// Sets up passive data connections: where the client dials, and the server's listener.
    async fn passive(&mut self, server: &mut Control) -> (SocketAddr, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
        self.control.say("PASV").await;
        server.hear("PASV").await;
        server
            .say(&format!(
                "227 Entering Passive Mode (127,0,0,1,{high},{low})."
            ))
            .await;
        (passive_address(&self.control.line().await), listener)
    }

    /// A transfer verb with both of its data connections, the client's in clear yet.
    async fn begin(&mut self, server: &mut Control, command: &str) -> (TcpStream, TcpStream) {
        let (address, listener) = self.passive(server).await;
        let data = within(TcpStream::connect(address)).await.unwrap();
        self.control.say(command).await;
        server.hear(command).await;
        server.say("150 Here.").await;
        self.control.hear("150 Here.").await;
        let (peer, _) = within(listener.accept()).await.unwrap();
        (data, peer)
    }
}

/// A bench whose listener has TLS, and a client that is logged in over it.
async fn logged_in(
    authority: &Authority,
    keys: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> (Bench, Client, Control) {
    let bench = Bench::start(&authority.listener(keys), "", "").await;
    let (clear, mut server) = bench.greeted().await;
    let mut client = Client::auth(clear, authority.client(versions)).await;
    client.log_in(&mut server).await;
    (bench, client, server)
}

#[tokio::test]
async fn a_client_under_tls_downloads_from_a_server_in_clear() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (_bench, mut client, mut server) = logged_in(&authority, "", &[version]).await;
        let (data, mut peer) = client.begin(&mut server, "RETR a").await;
        let mut data = handshake(&client.config, data).await.unwrap();
        let bytes = pattern(3_000_000);
        let send = async {
            peer.write_all(&bytes).await.unwrap();
            drop(peer);
            server.say("226 Done.").await;
        };
        let mut received = Vec::new();
        let ((), read) =
            within(async { tokio::join!(send, data.read_to_end(&mut received)) }).await;
        // The end was announced: rustls says so by not complaining.
        read.unwrap();
        assert!(received == bytes, "{} bytes", received.len());
        client.control.hear("226 Done.").await;
    }
}

#[tokio::test]
async fn a_client_under_tls_uploads_to_a_server_in_clear() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (_bench, mut client, mut server) = logged_in(&authority, "", &[version]).await;
        let (data, mut peer) = client.begin(&mut server, "STOR a").await;
        let mut data = handshake(&client.config, data).await.unwrap();
        let bytes = pattern(3_000_000);
        let send = async {
            data.write_all(&bytes).await.unwrap();
            data.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let ((), read) =
            within(async { tokio::join!(send, peer.read_to_end(&mut received)) }).await;
        read.unwrap();
        assert!(received == bytes, "{} bytes", received.len());
        server.say("226 Done.").await;
        client.control.hear("226 Done.").await;
    }
}

#[tokio::test]
async fn an_upload_is_complete_whose_client_ends_its_control_connection_right_behind_it() {
    // More than two sockets hold: the end of the control connection passes a part of it.
    for length in [10, 3_000_000] {
        let authority = Authority::new();
        let (_bench, mut client, mut server) = logged_in(&authority, "", &VERSIONS).await;
        let (data, mut peer) = client.begin(&mut server, "STOR a").await;
        let mut data = handshake(&client.config, data).await.unwrap();
        let sent = pattern(length);
        let write = async {
            data.write_all(&sent).await.unwrap();
            data.shutdown().await.unwrap();
            client.control.stream.shutdown().await.unwrap();
        };
        let (received, ()) = tokio::join!(within(read_all(&mut peer)), write);
        assert!(received == sent, "the bytes are not those that were sent");
    }
}

#[tokio::test]
async fn an_upload_that_is_truncated_by_the_client_reaches_the_server_as_a_reset() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (_bench, mut client, mut server) = logged_in(&authority, "", &[version]).await;
        let (data, peer) = client.begin(&mut server, "STOR a").await;
        let mut data = handshake(&client.config, data).await.unwrap();
        data.write_all(b"half of it").await.unwrap();
        data.flush().await.unwrap();
        // A FIN of TCP without the close_notify of TLS.
        let (mut raw, _) = data.into_inner();
        raw.shutdown().await.unwrap();
        assert!(is_reset(peer).await);
        server.say("226 Done.").await;
        client.control.hear_code("426 ").await;
    }
}

#[tokio::test]
async fn a_download_that_is_cut_by_the_server_ends_without_close_notify() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (_bench, mut client, mut server) = logged_in(&authority, "", &[version]).await;
        let (data, mut peer) = client.begin(&mut server, "RETR a").await;
        let mut data = handshake(&client.config, data).await.unwrap();
        peer.write_all(b"half of it").await.unwrap();
        let mut half = [0; 10];
        within(data.read_exact(&mut half)).await.unwrap();
        reset(peer);
        let mut rest = Vec::new();
        within(data.read_to_end(&mut rest)).await.unwrap_err();
        server.say("226 Done.").await;
        client.control.hear_code("426 ").await;
    }
}

#[tokio::test]
async fn data_connections_resume_the_session_of_their_control_connection() {
    for version in VERSIONS {
        let authority = Authority::new();
        let keys = "session_reuse = \"required\"";
        let (_bench, mut client, mut server) = logged_in(&authority, keys, &[version]).await;
        for _ in 0..4 {
            let (data, mut peer) = client.begin(&mut server, "RETR a").await;
            let mut data = handshake(&client.config, data).await.unwrap();
            let sending = tokio::spawn(async move {
                peer.write_all(b"abc").await.unwrap();
            });
            let mut received = Vec::new();
            within(data.read_to_end(&mut received)).await.unwrap();
            assert_eq!(received, b"abc");
            assert_eq!(
                data.get_ref().1.handshake_kind(),
                Some(HandshakeKind::Resumed)
            );
            sending.await.unwrap();
            server.say("226 Done.").await;
            client.control.hear("226 Done.").await;
        }
    }
}

#[tokio::test]
async fn a_data_connection_that_does_not_resume_is_522_where_it_must() {
    for version in VERSIONS {
        let authority = Authority::new();
        let keys = "session_reuse = \"required\"";
        let (bench, mut client, mut server) = logged_in(&authority, keys, &[version]).await;
        let (data, peer) = client.begin(&mut server, "RETR a").await;
        let fresh = Arc::new(authority.client(&[version]));
        let refused = match handshake(&fresh, data).await {
            Err(_) => true,
            Ok(mut data) => within(data.read(&mut [0; 8])).await.is_err(),
        };
        assert!(refused);
        assert!(is_reset(peer).await);
        server.say("426 Broken.").await;
        client.control.hear_code("522 ").await;
        assert!(bench.gateway.sessions() == 1, "the session lives on");
    }
}

#[tokio::test]
async fn a_ticket_of_one_session_is_worth_nothing_in_another() {
    for version in VERSIONS {
        let authority = Authority::new();
        let keys = "session_reuse = \"required\"";
        let (bench, one, _its_server) = logged_in(&authority, keys, &[version]).await;
        let (clear, mut server) = bench.greeted().await;
        let mut other = Client::auth(clear, authority.client(&[version])).await;
        other.log_in(&mut server).await;
        let (data, peer) = other.begin(&mut server, "RETR a").await;
        let refused = match handshake(&one.config, data).await {
            Err(_) => true,
            Ok(mut data) => within(data.read(&mut [0; 8])).await.is_err(),
        };
        assert!(refused);
        assert!(is_reset(peer).await);
        server.say("426 Broken.").await;
        other.control.hear_code("522 ").await;
    }
}

#[tokio::test]
async fn a_client_that_comes_again_resumes_and_its_data_connections_resume_what_is_new() {
    for version in VERSIONS {
        let authority = Authority::new();
        let keys = "session_reuse = \"required\"";
        let (bench, one, _its_server) = logged_in(&authority, keys, &[version]).await;
        let (clear, mut server) = bench.greeted().await;
        let mut again = Client::auth(clear, ClientConfig::clone(&one.config)).await;
        again.log_in(&mut server).await;
        let name = if version.version == ProtocolVersion::TLSv1_2 {
            "1.2"
        } else {
            "1.3"
        };
        assert!(bench.counts(&format!(
            "ftpwarden_tls_handshakes_total{{leg=\"client\",channel=\"control\",version=\"{name}\",\
             resumed=\"true\",result=\"ok\"}} 1"
        )));
        let (data, mut peer) = again.begin(&mut server, "RETR a").await;
        let mut data = handshake(&again.config, data).await.unwrap();
        peer.write_all(b"abc").await.unwrap();
        drop(peer);
        let mut received = Vec::new();
        within(data.read_to_end(&mut received)).await.unwrap();
        assert_eq!(received, b"abc");
        server.say("226 Done.").await;
        again.control.hear("226 Done.").await;
    }
}

/// What TLS makes of a line, and of its end behind that if `closes`.
fn record<Side>(tls: &mut ConnectionCommon<Side>, line: &[u8], closes: bool) -> Vec<u8> {
    io::Write::write_all(&mut tls.writer(), line).unwrap();
    if closes {
        tls.send_close_notify();
    }
    let mut wire = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut wire).unwrap();
    }
    wire
}

#[tokio::test]
async fn a_record_is_heard_whose_last_byte_is_urgent() {
    let authority = Authority::new();
    let (_bench, mut client, mut server) = logged_in(&authority, "", &VERSIONS).await;
    // The first time at once, then behind one that was found while the session was quiet, at last
    // when it has long been so.
    for quiet in [false, false, true] {
        let (socket, tls) = client.control.stream.get_mut();
        let mut record = record(tls, b"NOOP\r\n", false);
        if quiet {
            let silence = tokio::time::timeout(QUIET, socket.peek(&mut [0])).await;
            assert!(silence.is_err(), "nobody has said anything");
        }
        // All of it has come before the gateway looks, and a read stops before the urgent byte.
        let last = record.pop().unwrap();
        assert_eq!(socket.try_write(&record).unwrap(), record.len());
        send_urgent(socket, last).unwrap();
        server.hear("NOOP").await;
        server.say("200 Here.").await;
        client.control.hear("200 Here.").await;
    }
}

#[tokio::test]
async fn an_end_that_comes_with_a_command_is_heard_without_that_of_the_connection() {
    for version in VERSIONS {
        let authority = Authority::new();
        let (_bench, mut client, mut server) = logged_in(&authority, "", &[version]).await;
        let (socket, tls) = client.control.stream.get_mut();
        let wire = record(tls, b"NOOP\r\n", true);
        assert_eq!(socket.try_write(&wire).unwrap(), wire.len());
        server.hear("NOOP").await;
        server.say("200 Here.").await;
        client.control.hear("200 Here.").await;
        server.hear_end().await;
    }
}

#[tokio::test]
async fn what_the_server_said_before_a_command_under_tls_is_no_reply_to_it() {
    let authority = Authority::new();
    let (_bench, mut client, mut server) = logged_in(&authority, "", &VERSIONS).await;
    // Either leg is looked at first some time.
    for _ in 0..8 {
        let (socket, tls) = client.control.stream.get_mut();
        let record = record(tls, b"NOOP\r\n", false);
        // The gateway runs on this thread: it finds both.
        let stray = b"250 Nobody asked.\r\n";
        assert_eq!(server.stream.try_write(stray).unwrap(), stray.len());
        assert_eq!(socket.try_write(&record).unwrap(), record.len());
        server.hear("NOOP").await;
        server.say("200 Here.").await;
        client.control.hear("200 Here.").await;
    }
}

#[tokio::test]
async fn a_command_behind_auth_in_clear_is_never_executed() {
    let authority = Authority::new();
    let bench = Bench::start(&authority.listener("require = \"no\""), "", "").await;
    let (mut client, mut server) = bench.greeted().await;
    client.send(b"AUTH TLS\r\nNOOP\r\n").await;
    client.hear_code("421 ").await;
    client.hear_end().await;
    server.hear_end().await;
    assert!(bench.counts(
        "ftpwarden_protocol_violations_total{leg=\"client\",kind=\"injected_plaintext\"} 1"
    ));
}

#[tokio::test]
async fn a_foreign_protocol_is_refused_and_ftp_is_agreed_on() {
    for version in VERSIONS {
        let authority = Authority::new();
        let bench = Bench::start(&authority.listener(""), "", "").await;
        for (names, agreed) in [
            (vec![b"http/1.1".to_vec(), b"h2".to_vec()], None),
            (
                vec![b"h2".to_vec(), b"ftp".to_vec()],
                Some(b"ftp".as_slice()),
            ),
        ] {
            let (mut clear, _server) = bench.greeted().await;
            clear.say("AUTH TLS").await;
            clear.hear_code("234 ").await;
            let mut config = authority.client(&[version]);
            config.alpn_protocols = names;
            let result = handshake(&Arc::new(config), clear.stream).await;
            if agreed.is_some() {
                let stream = result.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
            } else {
                let error = result.unwrap_err().to_string();
                assert!(error.contains("NoApplicationProtocol"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_handshake_that_fails_ends_the_connection_in_order_and_at_once() {
    let authority = Authority::new();
    let bench = Bench::start(&authority.listener(""), "", "").await;
    for last_word in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[21, 3, 3, 0, 2, 2, 40]] {
        let (mut client, mut server) = bench.greeted().await;
        client.say("AUTH TLS").await;
        client.hear_code("234 ").await;
        client.send(last_word).await;
        client.hear_end().await;
        server.hear_end().await;
    }
}

#[tokio::test]
async fn nothing_is_said_in_clear_to_a_client_that_is_turning_to_tls() {
    let authority = Authority::new();
    let bench = Bench::start(&authority.listener(""), "", "").await;
    let (mut client, _server) = bench.greeted().await;
    client.say("AUTH TLS").await;
    client.hear_code("234 ").await;
    within(async { tokio::join!(bench.gateway.end_now(), client.hear_end()) }).await;
}

#[tokio::test]
async fn a_name_that_no_certificate_has_is_refused() {
    let authority = Authority::new();
    let bench = Bench::start(&authority.listener(""), "", "").await;
    let (mut clear, _server) = bench.greeted().await;
    clear.say("AUTH TLS").await;
    clear.hear_code("234 ").await;
    let connector = TlsConnector::from(Arc::new(authority.client(&VERSIONS)));
    let name = ServerName::try_from("bank.example").unwrap();
    let error = within(connector.connect(name, clear.stream))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[tokio::test]
async fn one_who_speaks_in_clear_to_an_implicit_listener_is_told_so() {
    let authority = Authority::new();
    let bench = Bench::start(&authority.listener("mode = \"implicit\""), "", "").await;
    let mut client = Control::dial(bench.address()).await;
    client.send(b"GET / HTTP/1.1\r\n\r\n").await;
    client.hear("500 This port speaks TLS.").await;
}

#[tokio::test]
async fn an_implicit_listener_begins_with_tls_and_private_data() {
    let authority = Authority::new();
    let bench = Bench::start(&authority.listener("mode = \"implicit\""), "", "").await;
    let stream = within(TcpStream::connect(bench.address())).await.unwrap();
    implicit(&bench, &authority, stream, b"").await;
}

#[tokio::test]
async fn a_header_precedes_the_hello_of_an_implicit_listener_and_of_data() {
    let authority = Authority::new();
    let tls = authority.listener("mode = \"implicit\"");
    let keys = format!("accept_proxy_from = \"127.0.0.0/8\"\n{tls}");
    let bench = Bench::start(&keys, "", "").await;
    let header = b"PROXY TCP4 192.0.2.1 203.0.113.7 40000 990\r\n";
    let mut stream = within(TcpStream::connect(bench.address())).await.unwrap();
    stream.write_all(header).await.unwrap();
    implicit(&bench, &authority, stream, header).await;
}

/// A session over implicit TLS, with what its data connections begin with.
async fn implicit(bench: &Bench, authority: &Authority, stream: TcpStream, header: &[u8]) {
    let config = Arc::new(authority.client(&VERSIONS));
    let mut client = Client {
        control: Secure::new(handshake(&config, stream).await.unwrap()),
        config,
    };
    let mut server = bench.accept().await;
    server.say(GREETING).await;
    client.control.hear(GREETING).await;
    client
        .exchange(&mut server, "USER test", "230 Welcome.")
        .await;
    let (mut data, mut peer) = client.begin(&mut server, "RETR a").await;
    data.write_all(header).await.unwrap();
    let mut data = handshake(&client.config, data).await.unwrap();
    peer.write_all(b"abc").await.unwrap();
    drop(peer);
    let mut received = Vec::new();
    within(data.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received, b"abc");
    server.say("226 Done.").await;
    client.control.hear("226 Done.").await;
    // QUIT is answered under TLS, and its end announced.
    client.exchange(&mut server, "QUIT", "221 Bye.").await;
    let mut rest = Vec::new();
    within(client.control.stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(rest.is_empty());
}

/// The server's side of a gateway that speaks TLS to it.
type Behind = Secure<server::TlsStream<TcpStream>>;

/// A session of a client in clear before a server under explicit TLS; the client has its greeting.
async fn secured_server(
    bench: &Bench,
    config: &Arc<ServerConfig>,
) -> io::Result<(Control, Behind)> {
    let mut client = Control::dial(bench.address()).await;
    let mut server = bench.accept().await;
    server.say(GREETING).await;
    client.hear(GREETING).await;
    server.hear("AUTH TLS").await;
    server.say("234 Go on.").await;
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    match within(acceptor.accept(server.stream)).await {
        Ok(stream) => Ok((client, Secure::new(stream))),
        Err(error) => {
            client.hear_code("421 ").await;
            client.hear_end().await;
            Err(error)
        }
    }
}

/// What the gateway asks a server under TLS before it works on commands.
async fn protect(server: &mut Behind) {
    server.hear("PBSZ 0").await;
    server.say("200 PBSZ=0").await;
    server.hear("PROT P").await;
    server.say("200 Private.").await;
}

#[tokio::test]
async fn a_server_under_tls_gets_private_data_connections_that_resume() {
    for version in VERSIONS {
        let authority = Authority::new();
        authority.issue("localhost", |_| ());
        let name = if *version == rustls::version::TLS12 {
            "1.2"
        } else {
            "1.3"
        };
        let keys = format!("mode = \"explicit\", versions = [\"{name}\"]");
        let bench = Bench::start("", &authority.upstream(&keys), "").await;
        let config = Arc::new(authority.server("localhost", &[version]));
        let (mut client, mut server) = secured_server(&bench, &config).await.unwrap();
        protect(&mut server).await;
        client.say("USER test").await;
        server.hear("USER test").await;
        server.say("230 Welcome.").await;
        client.hear("230 Welcome.").await;
        for upload in [false, true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
            client.say("PASV").await;
            server.hear("PASV").await;
            server
                .say(&format!(
                    "227 Entering Passive Mode (127,0,0,1,{high},{low})."
                ))
                .await;
            let address = passive_address(&client.line().await);
            let mut data = within(TcpStream::connect(address)).await.unwrap();
            let verb = if upload { "STOR a" } else { "RETR a" };
            client.say(verb).await;
            server.hear(verb).await;
            server.say("150 Here.").await;
            client.hear("150 Here.").await;
            let (peer, _) = within(listener.accept()).await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let mut peer = within(acceptor.accept(peer)).await.unwrap();
            assert_eq!(
                peer.get_ref().1.handshake_kind(),
                Some(HandshakeKind::Resumed)
            );
            let bytes = pattern(1_000_000);
            let mut received = Vec::new();
            if upload {
                let send = async {
                    data.write_all(&bytes).await.unwrap();
                    data.shutdown().await.unwrap();
                };
                within(async { tokio::join!(send, peer.read_to_end(&mut received)).1 })
                    .await
                    .unwrap();
            } else {
                let send = async {
                    peer.write_all(&bytes).await.unwrap();
                    peer.shutdown().await.unwrap();
                };
                within(async { tokio::join!(send, data.read_to_end(&mut received)).1 })
                    .await
                    .unwrap();
            }
            assert!(received == bytes, "{} bytes", received.len());
            server.say("226 Done.").await;
            client.hear("226 Done.").await;
        }
    }
}

#[tokio::test]
async fn a_download_that_the_server_truncates_reaches_the_client_as_a_reset() {
    let authority = Authority::new();
    authority.issue("localhost", |_| ());
    let bench = Bench::start("", &authority.upstream("mode = \"explicit\""), "").await;
    let config = Arc::new(authority.server("localhost", &VERSIONS));
    let (mut client, mut server) = secured_server(&bench, &config).await.unwrap();
    protect(&mut server).await;
    client.say("USER test").await;
    server.hear("USER test").await;
    server.say("230 Welcome.").await;
    client.hear("230 Welcome.").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
    client.say("PASV").await;
    server.hear("PASV").await;
    server
        .say(&format!(
            "227 Entering Passive Mode (127,0,0,1,{high},{low})."
        ))
        .await;
    let address = passive_address(&client.line().await);
    let data = within(TcpStream::connect(address)).await.unwrap();
    client.say("RETR a").await;
    server.hear("RETR a").await;
    server.say("150 Here.").await;
    client.hear("150 Here.").await;
    let (peer, _) = within(listener.accept()).await.unwrap();
    let mut peer = within(TlsAcceptor::from(config).accept(peer))
        .await
        .unwrap();
    peer.write_all(b"half of it").await.unwrap();
    peer.flush().await.unwrap();
    let (mut raw, _) = peer.into_inner();
    raw.shutdown().await.unwrap();
    assert!(is_reset(data).await);
    server.say("226 Done.").await;
    client.hear_code("426 ").await;
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_gets_no_command() {
    type Change = fn(&mut CertificateParams);
    let expired: Change = |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    let authority = Authority::new();
    authority.issue("localhost", expired);
    authority.issue("other.example", |_| ());
    let foreign = Authority::new();
    foreign.issue("localhost", |_| ());
    for (config, why) in [
        (authority.server("localhost", &VERSIONS), "expired"),
        (authority.server("other.example", &VERSIONS), "wrong_name"),
        (foreign.server("localhost", &VERSIONS), "unknown_authority"),
    ] {
        let bench = Bench::start("", &authority.upstream("mode = \"explicit\""), "").await;
        let error = secured_server(&bench, &Arc::new(config)).await;
        assert!(error.is_err(), "{why}");
    }
}

#[tokio::test]
async fn a_reply_in_clear_behind_234_is_never_believed() {
    let authority = Authority::new();
    let bench = Bench::start("", &authority.upstream("mode = \"explicit\""), "").await;
    let mut client = Control::dial(bench.address()).await;
    let mut server = bench.accept().await;
    server.say(GREETING).await;
    client.hear(GREETING).await;
    server.hear("AUTH TLS").await;
    server.send(b"234 Go on.\r\n230 Logged in.\r\n").await;
    client.hear_code("421 ").await;
    client.hear_end().await;
    assert!(bench.counts(
        "ftpwarden_protocol_violations_total{leg=\"server\",kind=\"injected_plaintext\"} 1"
    ));
}

#[tokio::test]
async fn a_server_that_refuses_tls_gets_no_credentials() {
    let authority = Authority::new();
    let bench = Bench::start("", &authority.upstream("mode = \"explicit\""), "").await;
    let mut client = Control::dial(bench.address()).await;
    let mut server = bench.accept().await;
    server.say(GREETING).await;
    client.hear(GREETING).await;
    client.send(b"USER test\r\nPASS secret\r\n").await;
    server.hear("AUTH TLS").await;
    server.say("500 What?").await;
    client.hear_code("421 ").await;
    client.hear_end().await;
    server.hear_end().await;
}

#[tokio::test]
async fn certificates_that_have_changed_are_shown_to_new_sessions() {
    let authority = Authority::new();
    let bench = Bench::start(&authority.listener(""), "", "").await;
    let shown = |client: &Client| {
        let (_, connection) = client.control.stream.get_ref();
        connection.peer_certificates().unwrap()[0].clone()
    };
    let (clear, mut server) = bench.greeted().await;
    let mut before = Client::auth(clear, authority.client(&VERSIONS)).await;
    assert!(!bench.gateway.renew_tls().unwrap());
    authority.issue("localhost", |_| ());
    assert!(bench.gateway.renew_tls().unwrap());
    let (clear, _other_server) = bench.greeted().await;
    let after = Client::auth(clear, authority.client(&VERSIONS)).await;
    assert!(shown(&before) != shown(&after));
    before
        .exchange(&mut server, "USER test", "331 Go on.")
        .await;
    // What cannot be used leaves the former one in force.
    fs::write(authority.path("localhost.pem"), "no certificate").unwrap();
    bench.gateway.renew_tls().unwrap_err();
    let (clear, _other_server) = bench.greeted().await;
    let still = Client::auth(clear, authority.client(&VERSIONS)).await;
    assert!(shown(&still) == shown(&after));
}

#[tokio::test]
async fn a_client_in_active_mode_is_the_tls_client_all_the_same() {
    let authority = Authority::new();
    let keys = "session_reuse = \"required\"";
    let (_bench, mut client, mut server) = logged_in(&authority, keys, &VERSIONS).await;
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
        client
            .control
            .say(&format!("PORT 127,0,0,1,{high},{low}"))
            .await;
        let offered = server.line().await;
        let numbers = offered.strip_prefix("PORT ").unwrap();
        let target = passive_address(&format!("227 Entering Passive Mode ({numbers})."));
        server.say("200 Fine.").await;
        client.control.hear_code("200 ").await;
        client.control.say("RETR a").await;
        server.hear("RETR a").await;
        let mut peer = within(TcpStream::connect(target)).await.unwrap();
        server.say("150 Here.").await;
        client.control.hear("150 Here.").await;
        peer.write_all(b"abc").await.unwrap();
        drop(peer);
        let (data, _) = within(listener.accept()).await.unwrap();
        let mut data = handshake(&client.config, data).await.unwrap();
        let mut received = Vec::new();
        within(data.read_to_end(&mut received)).await.unwrap();
        assert_eq!(received, b"abc");
        server.say("226 Done.").await;
        client.control.hear("226 Done.").await;
    }
}

#[tokio::test]
async fn many_transfers_in_a_row_use_nothing_up() {
    for version in VERSIONS {
        let authority = Authority::new();
        let keys = "session_reuse = \"required\"";
        let (_bench, mut client, mut server) = logged_in(&authority, keys, &[version]).await;
        for round in 0..40 {
            // rustls spends a ticket with each connection, and an upload gives none back.
            if round % 2 == 0 {
                let (data, mut peer) = client.begin(&mut server, "RETR a").await;
                let mut data = handshake(&client.config, data).await.unwrap();
                peer.write_all(b"abc").await.unwrap();
                drop(peer);
                // The end of the data waits for it.
                server.say("226 Done.").await;
                let mut received = Vec::new();
                within(data.read_to_end(&mut received)).await.unwrap();
                assert_eq!(received, b"abc");
            } else {
                let (data, mut peer) = client.begin(&mut server, "STOR a").await;
                let mut data = handshake(&client.config, data).await.unwrap();
                data.write_all(b"abc").await.unwrap();
                data.shutdown().await.unwrap();
                let mut received = Vec::new();
                within(peer.read_to_end(&mut received)).await.unwrap();
                assert_eq!(received, b"abc");
                server.say("226 Done.").await;
            }
            client.control.hear("226 Done.").await;
        }
    }
}
