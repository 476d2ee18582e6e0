//! What a session under TLS on all of its connections holds, idle and at the most, counted by the
//! allocator. Alone in its file: the count is that of the whole process. The peers give their own
//! TLS up before it is looked at, and keep bare sockets: what is left is the gateway's.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

use std::alloc::System;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cap::Cap;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ProducesTickets;
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use support::{Bench, Control, GREETING, passive_address, reset, within};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// Counts what is allocated.
#[global_allocator]
static ALLOCATED: Cap<System> = Cap::new(System, usize::MAX);

/// How many sessions share what is counted.
const SESSIONS: usize = 10;

/// What `SECURITY.md` states of a session that is idle: with TLS towards the client alone, on both
/// legs, and after transfers that have left as many tickets as are kept.
const IDLE_BYTES: [usize; 3] = [20 << 10, 32 << 10, 48 << 10];

/// What it states of one at its worst.
const WORST_BYTES: usize = 1 << 20;

/// And with a server that has all kept that it can.
const HOSTILE_BYTES: usize = 2 << 20;

/// After so many downloads each side has more tickets than are kept.
const DOWNLOADS: usize = 9;

/// How long a peer takes nothing that will take nothing any more.
const STUCK: Duration = Duration::from_millis(500);

/// How many bytes a ticket of the server's has.
#[derive(Debug)]
struct Tickets(usize);

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        3600
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        Some(vec![b't'; self.0])
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Certificates, and what peers need of them.
struct Scene {
    /// Where they are.
    folder: tempfile::TempDir,
    /// The clients' configuration.
    client: Arc<ClientConfig>,
    /// The server's.
    server: Arc<ServerConfig>,
    /// The version, as the gateway's configuration has it.
    version: &'static str,
}

impl Scene {
    /// With this version, and a server whose tickets have so many bytes.
    fn new(version: &'static SupportedProtocolVersion, ticket: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        fs::write(path("ca.pem"), authority.pem()).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(path("cert.pem"), certificate.pem()).unwrap();
        fs::write(path("key.pem"), key.serialize_pem()).unwrap();

        let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(path("ca.pem")).unwrap())
            .unwrap();
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        let chain = vec![CertificateDer::from_pem_file(path("cert.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(path("key.pem")).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        server.ticketer = Arc::new(Tickets(ticket));
        // One more than a data connection takes.
        server.send_tls13_tickets = 2;
        Self {
            client: Arc::new(client),
            server: Arc::new(server),
            folder,
            version: match version.version {
                ProtocolVersion::TLSv1_2 => "1.2",
                _ => "1.3",
            },
        }
    }

    /// A file.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A gateway with TLS towards clients alone.
    async fn half_bench(&self) -> Bench {
        Bench::start(&self.listener(), "", "").await
    }

    /// The keys of a listener under TLS.
    fn listener(&self) -> String {
        format!(
            "tls = {{ certificate = '{}', key = '{}' }}",
            self.path("cert.pem").display(),
            self.path("key.pem").display(),
        )
    }

    /// A gateway with TLS on both legs.
    async fn bench(&self) -> Bench {
        let upstream = format!(
            "tls = {{ mode = \"implicit\", ca = '{}', server_name = \"localhost\", versions = \"{}\" }}",
            self.path("ca.pem").display(),
            self.version,
        );
        Bench::start(&self.listener(), &upstream, "").await
    }

    /// A client's handshake.
    async fn connect(&self, stream: TcpStream) -> Wire<client::TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::clone(&self.client));
        Wire::new(within(connector.connect(name, stream)).await.unwrap())
    }

    /// A server's handshake.
    async fn accept(&self, stream: TcpStream) -> Wire<server::TlsStream<TcpStream>> {
        stream.set_nodelay(true).unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        Wire::new(within(acceptor.accept(stream)).await.unwrap())
    }

    /// A client that turns to TLS, for data as well.
    async fn protect(&self, mut clear: Control) -> Wire<client::TlsStream<TcpStream>> {
        clear.say("AUTH TLS").await;
        clear.hear_code("234 ").await;
        let mut client = self.connect(clear.stream).await;
        for command in ["PBSZ 0", "PROT P"] {
            client.say(command).await;
            client.line().await;
        }
        client
    }

    /// The sockets of a session whose server is in clear.
    async fn half(&self, bench: &Bench) -> [TcpStream; 2] {
        let (clear, mut server) = bench.greeted().await;
        let mut client = self.protect(clear).await;
        for (command, reply) in [
            ("USER test", "331 Password?"),
            ("PASS secret", "230 Welcome."),
        ] {
            client.say(command).await;
            server.hear(command).await;
            server.say(reply).await;
            client.hear(reply).await;
        }
        [client.stream.into_inner().0, server.stream]
    }

    /// A session that is logged in and has protected its data.
    async fn log_in(&self, bench: &Bench) -> Pair {
        let mut clear = Control::dial(bench.address()).await;
        let (stream, _) = within(bench.server.accept()).await.unwrap();
        let mut server = self.accept(stream).await;
        server.say(GREETING).await;
        clear.hear(GREETING).await;
        for command in ["PBSZ 0", "PROT P"] {
            server.hear(command).await;
            server.say("200 Fine.").await;
        }
        let client = self.protect(clear).await;
        let mut pair = Pair { client, server };
        pair.exchange("USER test", "331 Password?").await;
        pair.exchange("PASS secret", "230 Welcome.").await;
        pair
    }
}

/// One end of a connection under TLS.
struct Wire<S> {
    /// It.
    stream: S,
    /// What was read and not yet asked for.
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Of a connection.
    const fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends a line.
    async fn say(&mut self, line: &str) {
        let line = format!("{line}\r\n");
        within(self.stream.write_all(line.as_bytes()))
            .await
            .unwrap();
        within(self.stream.flush()).await.unwrap();
    }

    /// The next line, without its CR LF.
    async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|part| part == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            }
            let read = within(self.stream.read_buf(&mut self.buffer)).await;
            assert_ne!(read.unwrap(), 0, "ended within {:?}", self.buffer);
        }
    }

    /// The next line, which must be this one.
    async fn hear(&mut self, expected: &str) {
        assert_eq!(self.line().await, expected);
    }

    /// Writes until nothing more is taken.
    async fn fill(&mut self, block: &[u8]) {
        let mut written = 0;
        loop {
            let rest = block.get(written % block.len()..).unwrap();
            match timeout(STUCK, self.stream.write(rest)).await {
                Ok(bytes) => written += bytes.unwrap(),
                Err(_) => break,
            }
        }
    }
}

/// Both ends of a session.
struct Pair {
    /// The client's.
    client: Wire<client::TlsStream<TcpStream>>,
    /// The server's.
    server: Wire<server::TlsStream<TcpStream>>,
}

impl Pair {
    /// A command that goes through and its reply.
    async fn exchange(&mut self, command: &str, reply: &str) {
        self.client.say(command).await;
        self.server.hear(command).await;
        self.server.say(reply).await;
        self.client.hear(reply).await;
    }

    /// A transfer verb with both of its data connections, under TLS.
    async fn begin(&mut self, scene: &Scene, command: &str) -> Data {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.client.say("PASV").await;
        self.server.hear("PASV").await;
        let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
        self.server
            .say(&format!("227 Passive (127,0,0,1,{high},{low})."))
            .await;
        let address: SocketAddr = passive_address(&self.client.line().await);
        let data = within(TcpStream::connect(address)).await.unwrap();
        self.client.say(command).await;
        self.server.hear(command).await;
        let (peer, _) = within(listener.accept()).await.unwrap();
        let (data, peer) = tokio::join!(scene.connect(data), scene.accept(peer));
        Data { data, peer }
    }

    /// The bare sockets: what these ends knew of TLS is gone.
    fn bare(self) -> [TcpStream; 2] {
        [
            self.client.stream.into_inner().0,
            self.server.stream.into_inner().0,
        ]
    }
}

/// Both ends of a transfer.
struct Data {
    /// The client's.
    data: Wire<client::TlsStream<TcpStream>>,
    /// The server's.
    peer: Wire<server::TlsStream<TcpStream>>,
}

impl Data {
    /// As that of [`Pair`].
    fn bare(self) -> [TcpStream; 2] {
        [
            self.data.stream.into_inner().0,
            self.peer.stream.into_inner().0,
        ]
    }

    /// A whole download.
    async fn finish(mut self, pair: &mut Pair) {
        pair.server.say("150 Here.").await;
        pair.client.hear("150 Here.").await;
        self.peer.stream.write_all(b"all of it").await.unwrap();
        self.peer.stream.shutdown().await.unwrap();
        pair.server.say("226 Done.").await;
        let mut bytes = Vec::new();
        within(self.data.stream.read_to_end(&mut bytes))
            .await
            .unwrap();
        assert_eq!(bytes, b"all of it");
        pair.client.hear("226 Done.").await;
    }
}

/// Awaits the end of every session.
async fn all_gone(bench: &Bench) {
    within(async {
        while bench.gateway.sessions() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What one session holds of what is allocated beyond `before` and `blocks`.
fn each(before: usize, blocks: usize) -> usize {
    ALLOCATED.allocated().saturating_sub(before + blocks) / SESSIONS
}

/// What a session holds that is idle: with TLS towards the client alone, on both legs, and after
/// transfers.
async fn idle(scene: &Scene) -> [usize; 3] {
    let bench = scene.half_bench().await;
    // What is allocated once is not a session's.
    drop(scene.half(&bench).await);
    all_gone(&bench).await;
    let before = ALLOCATED.allocated();
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        sessions.push(scene.half(&bench).await);
    }
    let half = each(before, 0);
    drop(sessions);

    let bench = scene.bench().await;
    let mut warm = scene.log_in(&bench).await;
    warm.begin(scene, "RETR file").await.finish(&mut warm).await;
    drop(warm.bare());
    all_gone(&bench).await;
    let before = ALLOCATED.allocated();
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        sessions.push(scene.log_in(&bench).await.bare());
    }
    let whole = each(before, 0);
    drop(sessions);
    all_gone(&bench).await;

    let before = ALLOCATED.allocated();
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        let mut pair = scene.log_in(&bench).await;
        for _ in 0..DOWNLOADS {
            pair.begin(scene, "RETR file").await.finish(&mut pair).await;
        }
        sessions.push(pair.bare());
    }
    let used = each(before, 0);
    drop(sessions);
    all_gone(&bench).await;
    [half, whole, used]
}

/// What a session holds at its worst.
async fn worst(scene: &Scene) -> usize {
    let bench = scene.bench().await;
    drop(scene.log_in(&bench).await.bare());
    all_gone(&bench).await;
    let commands = format!("CWD /{}\r\n", "d".repeat(500)).repeat(1000);
    let lines = format!("150-{}\r\n", "x".repeat(60_000)).repeat(10);
    let blocks = Arc::new((commands, lines, vec![b'b'; 1 << 20]));
    let before = ALLOCATED.allocated();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..SESSIONS {
        let mut pair = scene.log_in(&bench).await;
        for _ in 0..DOWNLOADS {
            pair.begin(scene, "RETR file").await.finish(&mut pair).await;
        }
        let mut data = pair.begin(scene, "RETR file").await;
        let blocks = Arc::clone(&blocks);
        tasks.spawn(async move {
            // Commands that wait for their turn, and those behind them; a reply that the client
            // does not read, and half a line of it; a file that it does not read.
            pair.client.fill(blocks.0.as_bytes()).await;
            pair.server.fill(blocks.1.as_bytes()).await;
            data.peer.fill(&blocks.2).await;
            (pair.bare(), data.bare())
        });
    }
    let sessions = tasks.join_all().await;
    let held = each(before, 0);
    assert_eq!(bench.gateway.sessions(), SESSIONS);
    for stream in sessions
        .into_iter()
        .flat_map(|(control, data)| [control, data])
        .flatten()
    {
        reset(stream);
    }
    all_gone(&bench).await;
    held
}

#[tokio::test]
async fn a_session_under_tls_stays_below_its_stated_memory() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let scene = Scene::new(version, 250);
        let held = idle(&scene).await;
        println!("{version:?}, idle: {held:?}");
        for (held, stated) in held.into_iter().zip(IDLE_BYTES) {
            assert!(held <= stated, "{version:?}: {held} bytes, not {stated}");
        }
        let held = worst(&scene).await;
        println!("{version:?}, at its worst: {held}");
        assert!(held <= WORST_BYTES, "{version:?}: {held} bytes");
        // The state is the worst indeed: what is there in clear, and what waits for the client's
        // data connection.
        assert!(held >= 512 << 10, "{version:?}: {held} bytes only");
        let hostile = worst(&Scene::new(version, 30_000)).await;
        println!("{version:?}, with long tickets: {hostile}");
        assert!(hostile <= HOSTILE_BYTES, "{version:?}: {hostile} bytes");
        // A server over TLS 1.3 sends as many tickets as it likes.
        if version.version == ProtocolVersion::TLSv1_3 {
            let tickets = hostile.saturating_sub(held);
            assert!(tickets >= 128 << 10, "{tickets} bytes of tickets were kept");
        }
    }
}
