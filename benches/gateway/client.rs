//! A plain FTP client that blocks: in clear, or under TLS from `AUTH` or from the first byte on.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::certificates::NAME;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many sessions a client alone remembers.
const SESSIONS: usize = 8;
/// How much is written or read at once.
const CHUNK: usize = 256 * 1024;

/// Where a client goes and how it speaks there.
#[derive(Clone)]
pub(crate) struct Door {
    /// The control port.
    pub(crate) address: SocketAddr,
    /// TLS, if it is spoken.
    pub(crate) tls: Option<Tls>,
    /// Whether EPSV is understood.
    pub(crate) extended: bool,
}

impl Door {
    /// The same for a client that shares no session with others.
    pub(crate) fn alone(&self) -> Self {
        let mut door = self.clone();
        if let Some(tls) = &mut door.tls {
            let mut config = ClientConfig::clone(&tls.config);
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            tls.config = Arc::new(config);
        }
        door
    }
}

/// How TLS is spoken.
#[derive(Clone)]
pub(crate) struct Tls {
    /// From the first byte on, without AUTH.
    pub(crate) implicit: bool,
    /// Whom to trust, and sessions to resume.
    pub(crate) config: Arc<ClientConfig>,
}

/// A connection.
enum Wire {
    /// In clear.
    Clear(TcpStream),
    /// Under TLS.
    Secured(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Under TLS if that is spoken, its handshake made.
    fn new(stream: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        let Some(tls) = tls else {
            return Ok(Self::Clear(stream));
        };
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let connection =
            ClientConnection::new(Arc::clone(&tls.config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Secured(Box::new(stream)))
    }

    /// Whether it resumed a session.
    fn is_resumed(&self) -> bool {
        matches!(self, Self::Secured(stream)
            if stream.conn.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// Reads and forgets; in clear without a copy. 0 at the end.
    fn skip(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => Ok(recv(stream, buffer, RecvFlags::TRUNC)?.1),
            Self::Secured(stream) => stream.read(buffer),
        }
    }

    /// Writes all of it.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.write_all(bytes),
            Self::Secured(stream) => stream.write_all(bytes),
        }
    }

    /// Says that nothing more comes, and waits for the peer to say so too.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.shutdown(Shutdown::Write),
            Self::Secured(stream) => {
                stream.conn.send_close_notify();
                while stream.conn.wants_write() {
                    stream.conn.write_tls(&mut stream.sock)?;
                }
                stream.sock.shutdown(Shutdown::Write)
            }
        }
    }
}

/// A client with its control connection.
pub(crate) struct Client {
    /// The control connection.
    control: Wire,
    /// Where it goes.
    door: Door,
    /// The last reply.
    reply: Vec<u8>,
    /// What came behind it.
    unread: Vec<u8>,
    /// Whether the last data connection resumed a session.
    data_resumed: bool,
}

impl Client {
    /// Dials and hears the greeting; under TLS after that if it is spoken.
    pub(crate) fn dial(door: &Door) -> io::Result<Self> {
        let stream = TcpStream::connect(door.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (implicit, explicit) = match &door.tls {
            Some(tls) if tls.implicit => (Some(tls), None),
            other => (None, other.as_ref()),
        };
        let mut client = Self {
            control: Wire::new(stream, implicit)?,
            door: door.clone(),
            reply: Vec::new(),
            unread: Vec::new(),
            data_resumed: false,
        };
        client.hear("220")?;
        if let Some(tls) = explicit {
            client.command("AUTH TLS", "234")?;
            let Wire::Clear(stream) = &client.control else {
                return Err(ErrorKind::InvalidData.into());
            };
            client.control = Wire::new(stream.try_clone()?, Some(tls))?;
        }
        Ok(client)
    }

    /// Dials and logs in; ready for protected transfers if TLS is spoken.
    pub(crate) fn login(door: &Door) -> io::Result<Self> {
        let mut client = Self::dial(door)?;
        client.command("USER bench", "331")?;
        client.command("PASS bench", "230")?;
        Ok(client)
    }

    /// Asks for protected data connections.
    pub(crate) fn protect(&mut self) -> io::Result<()> {
        self.command("PBSZ 0", "200")?;
        self.command("PROT P", "200")
    }

    /// Whether the control connection resumed a session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.control.is_resumed()
    }

    /// Whether the last data connection resumed a session.
    pub(crate) const fn is_data_resumed(&self) -> bool {
        self.data_resumed
    }

    /// Says `line` and hears a reply that begins with `code`.
    pub(crate) fn command(&mut self, line: &str, code: &str) -> io::Result<()> {
        self.control.write_all(format!("{line}\r\n").as_bytes())?;
        self.hear(code)
    }

    /// Hears a reply that begins with `code`.
    fn hear(&mut self, code: &str) -> io::Result<()> {
        let mut buffer = [0; 512];
        let end = loop {
            if let Some(end) = end_of_reply(&self.unread) {
                break end;
            }
            let bytes = match &mut self.control {
                Wire::Clear(stream) => stream.read(&mut buffer)?,
                Wire::Secured(stream) => stream.read(&mut buffer)?,
            };
            self.unread.extend_from_slice(&buffer[..bytes]);
            if bytes == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        };
        self.reply.clear();
        self.reply.extend(self.unread.drain(..end));
        if self.reply.starts_with(code.as_bytes()) {
            return Ok(());
        }
        let reply = String::from_utf8_lossy(&self.reply);
        Err(io::Error::other(format!("{code} expected, got {reply:?}")))
    }

    /// Asks for a data port and dials it.
    fn data(&mut self) -> io::Result<TcpStream> {
        let port = if self.door.extended {
            self.command("EPSV", "229")?;
            let text = String::from_utf8_lossy(&self.reply);
            text.split('|').nth(3).and_then(|port| port.parse().ok())
        } else {
            self.command("PASV", "227")?;
            let text = String::from_utf8_lossy(&self.reply);
            let mut numbers = text.split(['(', ',', ')']).skip(5);
            let mut number = || numbers.next()?.parse::<u16>().ok();
            number().and_then(|high| Some(high * 256 + number()?))
        };
        let address = SocketAddr::new(self.door.address.ip(), port.ok_or(ErrorKind::InvalidData)?);
        let data = TcpStream::connect(address)?;
        data.set_read_timeout(Some(PATIENCE))?;
        data.set_write_timeout(Some(PATIENCE))?;
        Ok(data)
    }

    /// Begins a transfer; the server has said 150 when it returns.
    fn open(&mut self, command: &str) -> io::Result<Wire> {
        let data = self.data()?;
        self.command(command, "150")?;
        let wire = Wire::new(data, self.door.tls.as_ref())?;
        self.data_resumed = wire.is_resumed();
        Ok(wire)
    }

    /// Downloads `length` bytes.
    pub(crate) fn download(&mut self, length: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut data = self.open(&format!("RETR {length}"))?;
        let mut received = 0;
        loop {
            match data.skip(buffer)? {
                0 => break,
                bytes => received += bytes as u64,
            }
        }
        if received != length {
            return Err(io::Error::other(format!("{received} of {length} bytes")));
        }
        drop(data);
        self.hear("226")
    }

    /// Uploads `length` bytes.
    pub(crate) fn upload(&mut self, length: u64, buffer: &[u8]) -> io::Result<()> {
        let mut data = self.open("STOR bulk")?;
        let mut rest = length;
        while rest > 0 {
            let part = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
            data.write_all(&buffer[..part])?;
            rest -= part as u64;
        }
        data.finish()?;
        drop(data);
        self.hear("226")
    }

    /// Says goodbye.
    pub(crate) fn quit(mut self) -> io::Result<()> {
        self.command("QUIT", "221")
    }
}

/// Where the first reply ends, if all of it is there.
fn end_of_reply(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if line.ends_with(b"\n") && line.get(3) == Some(&b' ') {
            return Some(end);
        }
    }
    None
}

/// A buffer for transfers.
pub(crate) fn buffer() -> Vec<u8> {
    vec![7; CHUNK]
}
