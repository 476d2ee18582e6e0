//! A client that counts what it reads, over TLS or in clear, to which anything may happen.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ftpwarden::sys::socket;
use ftpwarden::upstream::connect;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::content::File;

/// How long the gateway may take for anything, with all that goes wrong: its own bounds are
/// shorter.
const PATIENCE: Duration = Duration::from_mins(1);

/// Bytes that are moved at once.
const CHUNK_BYTES: usize = 65_536;

/// Why a session does not go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The gateway ended it, or said that it cannot do what was asked.
    Ended(String),
    /// What must not be.
    Wrong(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Ended(error.to_string())
    }
}

/// Fails with what must not be.
pub(crate) fn wrong<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Wrong(what.into()))
}

/// Awaits what is bounded by the gateway.
async fn within<T>(what: &str, event: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    match timeout(PATIENCE, event).await {
        Ok(result) => Ok(result?),
        Err(_) => wrong(format!("{what}: nothing happens")),
    }
}

/// A connection.
pub(crate) enum Wire {
    /// In clear.
    Clear(TcpStream),
    /// Gone in the turn to TLS.
    Closed,
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Its socket.
    pub(crate) fn socket(&self) -> io::Result<&TcpStream> {
        match self {
            Self::Clear(stream) => Ok(stream),
            Self::Closed => Err(io::ErrorKind::NotConnected.into()),
            Self::Tls(stream) => Ok(stream.get_ref().0),
        }
    }

    /// Reads some.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer).await,
            Self::Closed => Err(io::ErrorKind::NotConnected.into()),
            Self::Tls(stream) => stream.read(buffer).await,
        }
    }

    /// Writes all.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.write_all(bytes).await,
            Self::Closed => Err(io::ErrorKind::NotConnected.into()),
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Ends in order.
    async fn finish(&mut self) -> io::Result<()> {
        SockRef::from(self.socket()?).set_linger(None)?;
        match self {
            Self::Clear(stream) => stream.shutdown().await,
            Self::Closed => Err(io::ErrorKind::NotConnected.into()),
            Self::Tls(stream) => stream.shutdown().await,
        }
    }

    /// Ends with a reset.
    pub(crate) fn reset(self) {
        // A socket that is gone already is what is wanted.
        let _gone = self.socket().and_then(socket::arm_reset);
    }
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its code.
    pub(crate) code: u16,
    /// All of it.
    pub(crate) text: String,
}

impl Reply {
    /// The first one in `buffer`, and how long it is.
    fn first(buffer: &[u8]) -> Option<(Self, usize)> {
        let mut length = 0;
        for line in buffer.split_inclusive(|byte| *byte == b'\n') {
            if !line.ends_with(b"\n") {
                return None;
            }
            length += line.len();
            if line.starts_with(buffer.get(..3)?) && line.get(3) == Some(&b' ') {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let code = text.get(..3)?.parse().unwrap_or(0);
                return Some((Self { code, text }, length));
            }
        }
        None
    }
}

/// How data connections are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// EPRT.
    Eprt,
    /// EPSV.
    Epsv,
    /// PASV.
    Pasv,
    /// PORT.
    Port,
}

impl Mode {
    /// All.
    pub(crate) const ALL: [Self; 4] = [Self::Eprt, Self::Epsv, Self::Pasv, Self::Port];
}

/// What a data connection is to be made with.
pub(crate) enum Channel {
    /// The gateway listens.
    Dial(SocketAddr),
    /// The client does.
    Listen(TcpListener),
}

/// What came of a transfer's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    /// How many there were.
    pub(crate) bytes: usize,
    /// Whether their end was one in order.
    pub(crate) clean: bool,
}

/// A control connection.
pub(crate) struct Client {
    /// It.
    pub(crate) wire: Wire,
    /// What was read and not yet asked for.
    buffer: Vec<u8>,
    /// How often each code was read, preliminary ones included.
    pub(crate) codes: BTreeMap<u16, u64>,
    /// The client's own address.
    pub(crate) address: IpAddr,
    /// What data connections are secured with, once they are.
    secret: Option<Arc<ClientConfig>>,
}

impl Client {
    /// Of a connection that was dialled from `address`.
    pub(crate) fn of(stream: TcpStream, address: IpAddr) -> Self {
        Self {
            wire: Wire::Clear(stream),
            buffer: Vec::new(),
            codes: BTreeMap::new(),
            address,
            secret: None,
        }
    }

    /// Turns to TLS.
    pub(crate) async fn secure(&mut self, config: &ClientConfig) -> Result<(), Trouble> {
        let mut config = config.clone();
        // Tickets of one session are worth nothing in another.
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        if let Wire::Clear(stream) = std::mem::replace(&mut self.wire, Wire::Closed) {
            self.wire = handshake(&config, stream).await?;
            self.secret = Some(config);
        }
        Ok(())
    }

    /// Whether data connections are under TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.secret.is_some()
    }

    /// Sends bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        within("sending", self.wire.write(bytes)).await
    }

    /// Sends a line.
    pub(crate) async fn say(&mut self, line: &str) -> Result<(), Trouble> {
        self.send(format!("{line}\r\n").as_bytes()).await
    }

    /// The next reply, whatever it is.
    async fn any_reply(&mut self) -> Result<Reply, Trouble> {
        let (reply, length) = self.hear().await?;
        self.buffer.drain(..length);
        *self.codes.entry(reply.code).or_default() += 1;
        Ok(reply)
    }

    /// The next reply, which is still to be read, and its length. May be given up between.
    async fn hear(&mut self) -> Result<(Reply, usize), Trouble> {
        loop {
            if let Some(heard) = Reply::first(&self.buffer) {
                return Ok(heard);
            }
            let mut chunk = vec![0; 4096];
            let read = within("a reply", self.wire.read(&mut chunk)).await?;
            if read == 0 {
                let rest = String::from_utf8_lossy(&self.buffer);
                return Err(Trouble::Ended(format!("the end behind {rest:?}")));
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    /// The next reply; behind one that ends the session nothing may come.
    pub(crate) async fn reply(&mut self) -> Result<Reply, Trouble> {
        let reply = self.any_reply().await?;
        if reply.code == 421 {
            self.closes().await?;
            return Err(Trouble::Ended(reply.text));
        }
        Ok(reply)
    }

    /// Sends a line and reads its reply.
    pub(crate) async fn ask(&mut self, line: &str) -> Result<Reply, Trouble> {
        self.say(line).await?;
        self.reply().await
    }

    /// The same, for a reply that must have `code`, unless the session ends.
    pub(crate) async fn expect(&mut self, line: &str, code: u16) -> Result<Reply, Trouble> {
        let reply = self.ask(line).await?;
        if reply.code != code {
            return Err(refused(line, &reply));
        }
        Ok(reply)
    }

    /// Reads to the end: nothing more may come.
    pub(crate) async fn closes(&mut self) -> Result<(), Trouble> {
        match self.any_reply().await {
            Ok(reply) => wrong(format!("{:?} where nothing may come", reply.text)),
            Err(Trouble::Ended(_)) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Says goodbye, where it may be, and reads all replies to the end.
    pub(crate) async fn leave(&mut self) -> Result<(), Trouble> {
        if let Err(Trouble::Wrong(what)) = self.say("QUIT").await {
            return wrong(what);
        }
        loop {
            match self.any_reply().await {
                Ok(_) => {}
                Err(Trouble::Ended(_)) => return Ok(()),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Reads to the end, whatever comes.
    pub(crate) async fn ends(&mut self) -> Result<(), Trouble> {
        let mut chunk = vec![0; 4096];
        while within("an end", self.wire.read(&mut chunk)).await? > 0 {}
        Ok(())
    }

    /// Prepares a data connection.
    pub(crate) async fn prepare(&mut self, mode: Mode) -> Result<Channel, Trouble> {
        let host = self.wire.socket()?.peer_addr()?.ip();
        match mode {
            Mode::Epsv => {
                let reply = self.expect("EPSV", 229).await?;
                let port = reply
                    .text
                    .split('|')
                    .nth(3)
                    .and_then(|port| port.parse().ok());
                port.map(|port| Channel::Dial(SocketAddr::new(host, port)))
                    .ok_or(Trouble::Wrong(reply.text))
            }
            Mode::Pasv => {
                let reply = self.expect("PASV", 227).await?;
                let numbers = reply.text.split(['(', ')']).nth(1).unwrap_or_default();
                let numbers: Vec<u8> = numbers.split(',').flat_map(str::parse).collect();
                match numbers[..] {
                    [127, 0, 0, 1, high, low] => {
                        let port = u16::from_be_bytes([high, low]);
                        Ok(Channel::Dial(SocketAddr::new(host, port)))
                    }
                    _ => wrong(reply.text),
                }
            }
            Mode::Eprt | Mode::Port => {
                let listener = TcpListener::bind((self.address, 0)).await?;
                let port = listener.local_addr()?.port();
                let line = if mode == Mode::Eprt {
                    format!("EPRT |1|{}|{port}|", self.address)
                } else {
                    let host = self.address.to_string().replace('.', ",");
                    format!("PORT {host},{},{}", port >> 8, port & 255)
                };
                self.expect(&line, 200).await?;
                Ok(Channel::Listen(listener))
            }
        }
    }

    /// Dials a data connection, where it is for the client to do so.
    pub(crate) async fn dial(&self, channel: Channel) -> Result<Dialled, Trouble> {
        let source = SocketAddr::new(self.address, 0);
        Ok(match channel {
            Channel::Dial(address) => {
                let stream = within("a dial", connect(address, Some(source))).await?;
                // Whatever becomes of the client, what was cut off must not look complete.
                socket::arm_reset(&stream)?;
                Dialled::There(stream)
            }
            Channel::Listen(listener) => Dialled::Awaited(listener),
        })
    }

    /// The data connection once its transfer has begun; none where it is refused after all.
    pub(crate) async fn open(&mut self, dialled: Dialled) -> Result<Opened, Trouble> {
        let stream = match dialled {
            Dialled::There(stream) => stream,
            Dialled::Awaited(listener) => {
                let waits = tokio::select! {
                    biased;
                    accepted = within("a data connection", listener.accept()) => Some(accepted?.0),
                    heard = self.hear() => { heard?; None }
                };
                match waits {
                    Some(stream) => stream,
                    // A short transfer may be over before anybody here has heard of its begin: the
                    // kernel knows.
                    None => match listener.into_std()?.accept() {
                        Ok((stream, _)) => {
                            stream.set_nonblocking(true)?;
                            TcpStream::from_std(stream)?
                        }
                        Err(_) => return Ok(Opened::Refused(self.reply().await?)),
                    },
                }
            }
        };
        socket::arm_reset(&stream)?;
        Ok(match self.secret.clone() {
            None => Opened::Wire(Wire::Clear(stream)),
            Some(config) => match handshake(&config, stream).await {
                Ok(wire) => Opened::Wire(wire),
                Err(Trouble::Wrong(what)) => return wrong(what),
                // The reply says why.
                Err(Trouble::Ended(_)) => Opened::Refused(self.reply().await?),
            },
        })
    }
}

/// A data connection before its transfer has begun.
pub(crate) enum Dialled {
    /// The gateway dials.
    Awaited(TcpListener),
    /// It is there.
    There(TcpStream),
}

/// What became of a data connection.
pub(crate) enum Opened {
    /// The transfer is over before it began.
    Refused(Reply),
    /// It is there.
    Wire(Wire),
}

/// A handshake.
async fn handshake(config: &Arc<ClientConfig>, stream: TcpStream) -> Result<Wire, Trouble> {
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = within("a handshake", connector.connect(name, stream)).await?;
    Ok(Wire::Tls(Box::new(stream)))
}

/// That a line was refused.
pub(crate) fn refused(line: &str, reply: &Reply) -> Trouble {
    Trouble::Ended(format!("{line}: {:?}", reply.text))
}

/// Receives `file` from an offset to its end or another; what comes must be right.
pub(crate) async fn receive(
    wire: &mut Wire,
    file: File,
    from: usize,
    to: usize,
) -> Result<Moved, Trouble> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = from;
    while bytes < to {
        match within("data", wire.read(&mut buffer)).await {
            Ok(0) => {
                // All is there, and the gateway may know: a reset would take it back.
                wire.finish().await.ok();
                return Ok(Moved { bytes, clean: true });
            }
            Ok(read) if file.has(bytes, &buffer[..read]) => bytes += read,
            Ok(_) => return wrong(format!("{} differs behind {bytes}", file.name())),
            Err(Trouble::Ended(_)) => break,
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(Moved {
        bytes,
        clean: false,
    })
}

/// Sends `file` from an offset to another, and ends in order if that is its end.
pub(crate) async fn transmit(
    wire: &mut Wire,
    file: File,
    from: usize,
    to: usize,
) -> Result<Moved, Trouble> {
    let mut bytes = from;
    let end = file.bytes.min(to);
    while bytes < end {
        let part = file.part(bytes, CHUNK_BYTES.min(end - bytes));
        match within("data", wire.write(part)).await {
            Ok(()) => bytes += part.len(),
            Err(Trouble::Ended(_)) => {
                return Ok(Moved {
                    bytes,
                    clean: false,
                });
            }
            Err(trouble) => return Err(trouble),
        }
    }
    let clean = end == file.bytes && wire.finish().await.is_ok();
    Ok(Moved { bytes, clean })
}
