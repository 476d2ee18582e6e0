//! A guided tour: an embedded FTP server, the gateway in front of it, and what an operator would
//! look at first. Everything is real and stays on loopback.
//!
//! `cargo run --release --example tour` stays up afterwards for a client of your own until
//! Ctrl-C; `-- --once` ends by itself. `-- --tls` makes a throw-away certificate and goes the
//! same way under TLS, which the server behind does not have.

#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    reason = "a tour that cannot go on stops"
)]

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ftpwarden::gateway::Gateway;
use ftpwarden::telemetry::Telemetry;
use ftpwarden::{admin, config};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use unftp_sbe_fs::Filesystem;

/// What the embedded server says to everybody who dials it.
const GREETING: &str = "Legacy FTP service of the accounts department";

/// The report that lies on the server.
const REPORT: &[u8] = b"account;balance\n4711;12.30\n";

/// A client or server that does not do what the tour expects is its end.
type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let has = |wanted: &str| std::env::args().skip(1).any(|argument| argument == wanted);
    let once = has("--once");
    let files = tempfile::tempdir()?;
    let secrets = tempfile::tempdir()?;
    let identity = if has("--tls") {
        Some(Identity::make(secrets.path())?)
    } else {
        None
    };
    std::fs::write(files.path().join("report.csv"), REPORT)?;
    let server = start_server(files.path().to_path_buf()).await?;

    heading("1. The configuration: a listener, an upstream, a policy");
    let text = configuration(server, identity.as_ref());
    print!("{text}");
    let loaded = config::parse(&text, "tour.toml")?;
    let settings = Arc::new(loaded.settings);
    let telemetry = Telemetry::install(&settings, &loaded.policies)?;
    let gateway = Gateway::start(settings, loaded.policies, Arc::clone(&telemetry))?;
    let addresses = gateway.local_addrs();
    let &(_, front) = addresses.first().ok_or("the gateway listens nowhere")?;
    let metrics = TcpListener::bind("127.0.0.1:0").await?;
    let metrics_at = metrics.local_addr()?;
    tokio::spawn(admin::serve(metrics, telemetry, std::future::pending()));

    heading("2. The greeting is the server's own, byte for byte");
    let direct = Client::dial(server).await?;
    let mut client = Client::dial(front).await?;
    println!("   direct:  {}", direct.greeting);
    println!("   gateway: {}", client.greeting);
    expect(direct.greeting == client.greeting, "the greetings differ")?;

    if let Some(identity) = &identity {
        heading("2a. TLS, of which the server behind knows nothing");
        client.command("USER anonymous", "530").await?;
        client = client.secure(identity.connector.clone()).await?;
    }

    heading("3. Log in and look around");
    client.command("USER anonymous", "331").await?;
    client.command("PASS tour@example.net", "230").await?;
    client.command("PWD", "257").await?;
    client.command("TYPE I", "200").await?;
    let listing = client.download("LIST").await?;
    print!("{}", indent(&String::from_utf8_lossy(&listing)));

    heading("4. An upload and a download, checked byte for byte");
    let payload: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    client.upload("STOR upload.bin", &payload).await?;
    let back = client.download("RETR upload.bin").await?;
    expect(back == payload, "the download differs from the upload")?;
    println!("   {} bytes up and down again, equal", back.len());

    heading("5. SITE and SMNT are refused, and the server never hears of them");
    client.command("SITE CHMOD 777 upload.bin", "502").await?;
    client.command("SMNT /", "502").await?;
    client.command("DELE report.csv", "550").await?;
    client.command("NOOP", "200").await?;

    heading("6. FEAT tells the truth: what is refused is not announced");
    client.command("FEAT", "211").await?;

    heading("7. Every reply is counted by its exact code");
    for line in counters(metrics_at).await? {
        println!("   {line}");
    }
    client.command("QUIT", "221").await?;

    heading("The tour is over");
    if once {
        gateway.drain().await;
        return Ok(());
    }
    println!("   The gateway stays up; log in as `anonymous` with any password:");
    let trust = identity.as_ref().map_or_else(String::new, |identity| {
        format!(" --ssl-reqd --cacert {}", identity.certificate.display())
    });
    println!("   curl -v{trust} ftp://{front}/report.csv");
    println!("   curl{trust} -Q 'SITE CHMOD 777 report.csv' ftp://{front}/     # 502");
    println!("   curl http://{metrics_at}/metrics");
    println!("   Ctrl-C ends it.");
    tokio::signal::ctrl_c().await?;
    gateway.drain().await;
    Ok(())
}

/// A throw-away certificate, and a client that believes it.
struct Identity {
    /// Its file.
    certificate: PathBuf,
    /// The file of its key.
    key: PathBuf,
    /// The client.
    connector: TlsConnector,
}

impl Identity {
    /// Makes one for 127.0.0.1, in files below `folder`.
    fn make(folder: &Path) -> Outcome<Self> {
        let names = vec!["127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            certificate,
            key,
            connector: TlsConnector::from(Arc::new(config)),
        })
    }
}

/// The gateway's configuration, in front of `server`.
fn configuration(server: SocketAddr, identity: Option<&Identity>) -> String {
    let tls = identity.map_or_else(String::new, |identity| {
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        format!("\n[listeners.main.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\nsession_reuse = \"required\"\n")
    });
    format!(
        r#"[listeners.main]
bind = "127.0.0.1:0"
upstream = "legacy"
policy = "accounts"
{tls}
[upstreams.legacy]
address = "{server}"

[policies.accounts]
extends = "standard"
rules = [ {{ name = "reports", commands = "@write", paths = "/report*", reply = "550 Reports are kept.", action = "deny" }} ]
"#
    )
}

/// Starts an FTP server on a port of its own.
async fn start_server(root: PathBuf) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let root = root.clone();
            let server = libunftp::ServerBuilder::new(Box::new(move || {
                Filesystem::new(root.clone()).expect("the tour's directory is there")
            }))
            .greeting(GREETING)
            .passive_ports(49152..=65535)
            .build()
            .expect("the server's settings are complete");
            tokio::spawn(async move {
                if let Err(error) = server.service(stream).await {
                    eprintln!("   the server ended a session: {error:?}");
                }
            });
        }
    });
    Ok(address)
}

/// A connection, in clear or under TLS.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A plain FTP client that shows what it does.
struct Client {
    /// The control connection.
    control: BufReader<Box<dyn Wire>>,
    /// Where it leads to.
    host: IpAddr,
    /// The TLS that its connections are under.
    tls: Option<TlsConnector>,
    /// What the server, or the gateway for it, said first.
    greeting: String,
}

impl Client {
    /// Dials and reads the greeting.
    async fn dial(address: SocketAddr) -> Outcome<Self> {
        let control = TcpStream::connect(address).await?;
        let mut client = Self {
            control: BufReader::new(Box::new(control)),
            host: address.ip(),
            tls: None,
            greeting: String::new(),
        };
        client.greeting = client.reply().await?.join("\n");
        Ok(client)
    }

    /// Turns the control connection to TLS, and asks for private data connections.
    async fn secure(mut self, tls: TlsConnector) -> Outcome<Self> {
        self.command("AUTH TLS", "234").await?;
        let name = ServerName::from(self.host);
        let control = tls.connect(name, self.control.into_inner()).await?;
        let (_, connection) = control.get_ref();
        println!("   ({:?})", connection.protocol_version());
        self.control = BufReader::new(Box::new(control));
        self.tls = Some(tls);
        self.command("PBSZ 0", "200").await?;
        self.command("PROT P", "200").await?;
        Ok(self)
    }

    /// A data connection as the control connection is.
    async fn protect(&self, data: TcpStream) -> Outcome<Box<dyn Wire>> {
        Ok(match &self.tls {
            None => Box::new(data),
            Some(tls) => Box::new(tls.connect(ServerName::from(self.host), data).await?),
        })
    }

    /// Sends `line` and shows the reply, which must have `code`.
    async fn command(&mut self, line: &str, code: &str) -> Outcome<String> {
        let shown = if line.starts_with("PASS ") {
            "PASS ***"
        } else {
            line
        };
        println!("   > {shown}");
        self.control
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .await?;
        self.expect_reply(code).await
    }

    /// Reads and shows a reply, which must have `code`.
    async fn expect_reply(&mut self, code: &str) -> Outcome<String> {
        let reply = self.reply().await?;
        for line in &reply {
            println!("   < {line}");
        }
        let last = reply.last().cloned().unwrap_or_default();
        expect(last.starts_with(code), &format!("expected {code}"))?;
        Ok(last)
    }

    /// Reads one reply, of one line or several.
    async fn reply(&mut self) -> Outcome<Vec<String>> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            expect(
                self.control.read_line(&mut line).await? > 0,
                "the connection was closed",
            )?;
            let line = line.trim_end().to_owned();
            let first = lines.first().unwrap_or(&line);
            let ends = first.get(..3) == line.get(..3) && line.get(3..4) == Some(" ");
            lines.push(line);
            if ends {
                return Ok(lines);
            }
        }
    }

    /// Opens a data connection with EPSV.
    async fn data(&mut self) -> Outcome<TcpStream> {
        let reply = self.command("EPSV", "229").await?;
        let port = reply
            .split('|')
            .nth(3)
            .ok_or("no port in the reply")?
            .parse()?;
        Ok(TcpStream::connect((self.host, port)).await?)
    }

    /// Runs a transfer verb that sends data here.
    async fn download(&mut self, line: &str) -> Outcome<Vec<u8>> {
        let data = self.data().await?;
        self.command(line, "1").await?;
        let mut data = self.protect(data).await?;
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).await?;
        drop(data);
        self.expect_reply("226").await?;
        Ok(bytes)
    }

    /// Runs a transfer verb that takes data from here.
    async fn upload(&mut self, line: &str, bytes: &[u8]) -> Outcome<()> {
        let data = self.data().await?;
        self.command(line, "1").await?;
        let mut data = self.protect(data).await?;
        data.write_all(bytes).await?;
        data.shutdown().await?;
        self.expect_reply("226").await?;
        Ok(())
    }
}

/// The counters that the tour has moved, from `/metrics`.
async fn counters(address: SocketAddr) -> Outcome<Vec<String>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let shown = [
        "ftpwarden_replies_total",
        "ftpwarden_transfers_total",
        "ftpwarden_logins_total",
    ];
    Ok(text
        .lines()
        .filter(|line| shown.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect())
}

/// An error that says `what` unless `holds`.
fn expect(holds: bool, what: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// Announces a part of the tour.
fn heading(text: &str) {
    println!("\n== {text}");
}

/// `text` with three blanks before each line.
fn indent(text: &str) -> String {
    text.lines()
        .fold(String::new(), |all, line| all + "   " + line + "\n")
}
