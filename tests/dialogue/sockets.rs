//! Runs a conversation through a real gateway over real sockets on loopback.
//!
//! Every step waits for an event and never for a while. What each side receives is compared byte
//! for byte as in the core; silence is looked at before each step that makes something happen,
//! which finds what has come by then. Time steps of a moment need nothing: it passes by itself
//! while the next event is waited for. Longer ones are for the core alone.
//!
//! Under TLS it is the plaintext that is compared. A handshake that is to fail is answered with an
//! alert.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use ftpwarden::ftp::address;
use ftpwarden::gateway::Gateway;
use ftpwarden::session::{End, Leg, TlsOffer};
use ftpwarden::sys::socket;
use ftpwarden::telemetry::Telemetry;
use ftpwarden::tls::channel::Channel;
use ftpwarden::upstream::connect;
use rustls::Connection;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::core::{quote, tables};
use super::rules::{self, Tables};
use super::script::{self, DataStep, Piece, Script, ShellStep, Slot, Step, Text};
use super::secrets::{HANDSHAKE_FAILURE, PROTOCOL_VERSION, Secrets};
use crate::deaf::{deaf, deafen};

/// How long an event may take that is to come soon.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest time step that passes by itself.
const MOMENT: Duration = Duration::from_secs(2);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 16;

/// An address of loopback for one conversation alone: a port that is free again is not given to
/// another, whose end would then answer a dial that is to be refused.
fn own_address() -> IpAddr {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let [high, low] = LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 77, high, low).into()
}

/// Awaits `event`, which is to come soon.
async fn soon<T>(event: impl Future<Output = T>) -> Result<T, String> {
    timeout(PATIENCE, event)
        .await
        .map_err(|_| "it never came".to_owned())
}

/// The text of an error, in the form that `map_err` takes.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it away")]
fn told(error: io::Error) -> String {
    error.to_string()
}

/// One end of a connection.
struct Wire {
    /// The connection, unless it was reset from this end.
    stream: Option<TcpStream>,
    /// What was read and not yet asked for.
    unread: Vec<u8>,
    /// How it was seen to end.
    ended: Option<End>,
    /// Its protection.
    security: Security,
    /// What an end without `close_notify` is: control connections have it often.
    cut: End,
}

/// The protection of a connection.
enum Security {
    /// In clear.
    Clear,
    /// What comes belongs to a handshake.
    Turning,
    /// Under TLS.
    Tls(Box<Channel>),
    /// Its handshake has failed: what comes is thrown away.
    Failed,
}

impl Wire {
    /// Of a data connection.
    fn of_data(stream: TcpStream) -> Self {
        Self {
            cut: End::Reset,
            ..Self::new(stream)
        }
    }

    /// Of a connection. What is sent first has arrived first, on whichever of them.
    fn new(stream: TcpStream) -> Self {
        // One that is broken already says so when it is used.
        stream.set_nodelay(true).ok();
        Self {
            stream: Some(stream),
            unread: Vec::new(),
            ended: None,
            security: Security::Clear,
            cut: End::Fin,
        }
    }

    /// What comes from now on belongs to a handshake.
    fn await_tls(&mut self) {
        if matches!(self.security, Security::Clear) {
            self.security = Security::Turning;
        }
    }

    /// Turns to TLS.
    async fn turn(&mut self, connection: Connection) -> Result<(), String> {
        let stream = self.stream.as_ref().ok_or("it was reset from this end")?;
        let mut channel = Box::new(Channel::new(connection));
        let over = async {
            loop {
                match channel.handshake(
                    |raw| stream.try_read(raw),
                    |raw| stream.try_write_vectored(raw),
                ) {
                    Ok(true) => return Ok(()),
                    Ok(false) if channel.has_unsent() => stream.writable().await.map_err(told)?,
                    Ok(false) => stream.readable().await.map_err(told)?,
                    Err(failure) => return Err(format!("no TLS: {failure:?}")),
                }
            }
        };
        soon(over).await??;
        self.security = Security::Tls(channel);
        Ok(())
    }

    /// Refuses to turn to TLS; a server does so once there is a hello.
    async fn refuse_tls(&mut self, leg: Leg, alert: &[u8]) -> Result<(), String> {
        self.security = Security::Failed;
        let stream = self.stream.as_mut().ok_or("it was reset from this end")?;
        if leg == Leg::Server {
            soon(stream.peek(&mut [0])).await?.map_err(told)?;
        }
        soon(stream.write_all(alert)).await?.map_err(told)
    }

    /// Takes what is there; whether something new came.
    fn take(&mut self) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        if self.ended.is_some() {
            return false;
        }
        let mut buffer = [0; 4096];
        let read = match &mut self.security {
            Security::Turning => return false,
            Security::Clear | Security::Failed => stream.try_read(&mut buffer),
            Security::Tls(channel) => channel.read(|raw| stream.try_read(raw), &mut buffer),
        };
        match read {
            Ok(0) => self.ended = Some(End::Fin),
            Ok(_) if matches!(self.security, Security::Failed) => {}
            Ok(bytes) => self.unread.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = Some(self.cut);
            }
            Err(_) => self.ended = Some(End::Reset),
        }
        true
    }

    /// Waits until something new came.
    async fn wait(&mut self) -> Result<(), String> {
        loop {
            if self.take() {
                return Ok(());
            }
            let stream = self.stream.as_ref().ok_or("it was reset from this end")?;
            soon(stream.ready(Interest::READABLE | Interest::ERROR))
                .await?
                .map_err(told)?;
        }
    }

    /// Receives exactly `expected`.
    async fn receive(&mut self, expected: &Pattern) -> Result<Vec<(Slot, String)>, String> {
        loop {
            match expected.find(&self.unread) {
                Found::Whole(length, slots) => {
                    self.unread.drain(..length);
                    return Ok(slots);
                }
                Found::Beginning if self.ended.is_none() => {
                    self.wait().await.map_err(|fault| {
                        format!("{fault}: {expected}\n    only {}", quote(&self.unread))
                    })?;
                }
                Found::Beginning | Found::Nothing => {
                    return Err(format!(
                        "it should be {expected}\n    and was {}, then {:?}",
                        quote(&self.unread),
                        self.ended
                    ));
                }
            }
        }
    }

    /// Sees the end, with nothing before it.
    async fn see_end(&mut self, expected: End) -> Result<(), String> {
        while self.ended.is_none() && self.unread.is_empty() {
            if self.stream.is_none() {
                return Ok(());
            }
            self.wait().await?;
        }
        if self.unread.is_empty() && self.ended == Some(expected) {
            Ok(())
        } else {
            Err(format!(
                "it should end with {expected:?} and ended with {:?} behind {}",
                self.ended,
                quote(&self.unread)
            ))
        }
    }

    /// Sends.
    async fn send(&mut self, bytes: &[u8], urgent: bool) -> Result<(), String> {
        let stream = self.stream.as_mut().ok_or("it was reset from this end")?;
        if let Security::Tls(channel) = &mut self.security {
            return soon(send_secured(stream, channel, bytes))
                .await?
                .map_err(told);
        }
        let (plain, last) = bytes.split_at(bytes.len() - usize::from(urgent));
        soon(stream.write_all(plain)).await?.map_err(told)?;
        if let [byte] = last {
            soon(stream.writable()).await?.map_err(told)?;
            socket::send_urgent(stream, *byte).map_err(told)?;
        }
        Ok(())
    }

    /// Ends it.
    async fn end(&mut self, end: End) -> Result<(), String> {
        match end {
            End::Fin => {
                let stream = self.stream.as_mut().ok_or("it was reset from this end")?;
                if let Security::Tls(channel) = &mut self.security {
                    channel.close(|raw| stream.try_write_vectored(raw));
                }
                soon(stream.shutdown()).await?.map_err(told)
            }
            End::Reset => {
                let stream = self.stream.take().ok_or("it was reset from this end")?;
                socket::arm_reset(&stream).map_err(told)
            }
        }
    }

    /// Nothing has come that was not asked for.
    fn silence(&mut self) -> Result<(), String> {
        self.take();
        if self.unread.is_empty() {
            Ok(())
        } else {
            Err(format!("nobody expected {}", quote(&self.unread)))
        }
    }
}

/// Sends under TLS.
async fn send_secured(
    stream: &TcpStream,
    channel: &mut Channel,
    mut bytes: &[u8],
) -> io::Result<()> {
    loop {
        let sent = if bytes.is_empty() {
            channel.flush(|raw| stream.try_write_vectored(raw))
        } else {
            channel
                .write(|raw| stream.try_write_vectored(raw), bytes)
                .map(|taken| bytes = &bytes[taken..])
        };
        match sent {
            Ok(()) if bytes.is_empty() && !channel.has_unsent() => return Ok(()),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
}

/// Bytes to be received, with what is known only then.
struct Pattern(Text);

/// What was found of a pattern.
enum Found {
    /// The bytes can still become it.
    Beginning,
    /// They cannot.
    Nothing,
    /// So many bytes of them are it, and its slots are these.
    Whole(usize, Vec<(Slot, String)>),
}

impl Pattern {
    /// Looks for it at the start of `bytes`.
    fn find(&self, bytes: &[u8]) -> Found {
        let mut rest = bytes;
        let mut slots = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Bytes(plain) => {
                    let length = plain.len().min(rest.len());
                    if rest[..length] != plain[..length] {
                        return Found::Nothing;
                    }
                    if length < plain.len() {
                        return Found::Beginning;
                    }
                    rest = &rest[length..];
                }
                Piece::Slot(slot) => {
                    let belongs = |byte: &&u8| {
                        byte.is_ascii_digit()
                            || matches!(
                                (slot, byte),
                                (Slot::Active | Slot::Offer, b',')
                                    | (Slot::ActiveEprt, b'|' | b'.' | b':' | b'a'..=b'f')
                            )
                    };
                    let length = rest.iter().take_while(belongs).count();
                    if length == rest.len() {
                        return Found::Beginning;
                    }
                    let text = String::from_utf8_lossy(&rest[..length]).into_owned();
                    slots.push((*slot, text));
                    rest = &rest[length..];
                }
            }
        }
        Found::Whole(bytes.len() - rest.len(), slots)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => formatter.write_str(&quote(bytes))?,
                Piece::Slot(slot) => write!(formatter, "{slot:?}")?,
            }
        }
        Ok(())
    }
}

/// Where a side is dialled.
enum Listener {
    /// Nowhere.
    None,
    /// Here.
    Open(TcpListener),
    /// Here, and the dial is refused.
    Deaf(#[expect(dead_code, reason = "is held, so that nobody else listens there")] TcpSocket),
}

impl Listener {
    /// Accepts the next connection.
    async fn accept(&self) -> Result<TcpStream, String> {
        let Self::Open(listener) = self else {
            return Err("nobody listens".into());
        };
        let (stream, _) = soon(listener.accept()).await?.map_err(told)?;
        Ok(stream)
    }

    /// Accepts no more.
    fn refuse(&mut self) -> Result<(), String> {
        if let Self::Open(listener) = std::mem::replace(self, Self::None) {
            *self = Self::Deaf(deafen(listener).map_err(told)?);
        }
        Ok(())
    }
}

/// One of the two sides.
struct Side {
    /// Its control connection; the server has none where it was not dialled.
    control: Option<Wire>,
    /// Its data connection.
    data: Option<Wire>,
    /// Its own data listener.
    listener: Listener,
    /// Where the gateway waits for it.
    offered: Option<SocketAddr>,
    /// Its address.
    host: IpAddr,
}

impl Side {
    /// With nothing yet.
    const fn new(host: IpAddr) -> Self {
        Self {
            control: None,
            data: None,
            listener: Listener::None,
            offered: None,
            host,
        }
    }

    /// Its control connection.
    fn control(&mut self) -> Result<&mut Wire, String> {
        self.control.as_mut().ok_or_else(|| "it has none".into())
    }

    /// Dials the gateway's offer.
    async fn dial_data(&self) -> Result<io::Result<TcpStream>, String> {
        let address = self.offered.ok_or("nothing was offered")?;
        soon(connect(address, Some(SocketAddr::new(self.host, 0)))).await
    }

    /// Its data connection.
    fn data(&mut self) -> Result<&mut Wire, String> {
        self.data.as_mut().ok_or_else(|| "it has none".into())
    }
}

/// A conversation under way.
struct Stage {
    /// The gateway.
    gateway: Arc<Gateway>,
    /// Its configuration.
    tables: Tables,
    /// The server's address.
    server_address: String,
    /// Where the gateway listens.
    bind: String,
    /// The client.
    client: Side,
    /// The server.
    server: Side,
    /// Dials that are to be refused once what happened before was seen.
    refused: Vec<Leg>,
    /// Where the server is dialled.
    listener: Listener,
    /// The server's next step begins with a connection that is still to be accepted.
    to_be_accepted: bool,
    /// What both sides need for TLS.
    secrets: Secrets,
}

/// Why `script` cannot run here; None if it can.
///
/// # Errors
/// It cannot, and does not say so.
pub(crate) fn excuse(script: &Script) -> Result<Option<&str>, String> {
    let waits = script
        .lines
        .iter()
        .any(|line| matches!(&line.step, Step::Wait(time) if *time > MOMENT));
    match &script.pure_only {
        Some(reason) => Ok(Some(reason)),
        None if waits => Err("it waits for long: write `sockets: no (virtual time)`".into()),
        None => Ok(None),
    }
}

/// Runs `script`.
///
/// # Errors
/// What differs, and at which line.
pub(crate) async fn run(script: &Script) -> Result<(), String> {
    let mut stage = Stage::start(script).await?;
    for line in script::prologue(script.after) {
        stage
            .perform(&script::known_step(line))
            .await
            .map_err(|message| format!("before the file, at `{line}`: {message}"))?;
    }
    for line in &script.lines {
        stage
            .perform(&line.step)
            .await
            .map_err(|message| format!("line {}: {message}", line.number))?;
    }
    stage.finish().await
}

impl Stage {
    /// A gateway, a server behind it and a client that has dialled.
    async fn start(script: &Script) -> Result<Self, String> {
        let place = own_address();
        let loopback = |v6: bool| {
            if v6 {
                Ipv6Addr::LOCALHOST.into()
            } else {
                place
            }
        };
        let (near, far) = (loopback(script.client_v6), loopback(script.server_v6));
        let bind = SocketAddr::new(near, 0).to_string();
        let socket = deaf(SocketAddr::new(far, 0)).map_err(told)?;
        let server = socket.local_addr().map_err(told)?;
        let listener = if script.unreachable {
            Listener::Deaf(socket)
        } else {
            Listener::Open(socket.listen(BACKLOG).map_err(told)?)
        };
        let secrets = Secrets::new();
        let tables = secrets.with_files(tables(script));
        let loaded = rules::load(&tables.source(&bind, &server.to_string()))?;
        // Behind implicit TLS the server is dialled once the client is under TLS.
        let tls = loaded.settings.listeners["main"].tls.as_ref();
        let dials_at_once = tls.is_none_or(|tls| tls.offer.offer != TlsOffer::Implicit);
        let telemetry = Telemetry::install(&loaded.settings, &loaded.policies).map_err(told)?;
        let gateway = Gateway::start(Arc::new(loaded.settings), loaded.policies, telemetry)
            .map_err(|error| error.to_string())?;
        let address = gateway.local_addrs()[0].1;
        let source = Some(SocketAddr::new(near, 0));
        let stream = soon(connect(address, source)).await?.map_err(told)?;
        let mut stage = Self {
            client: Side::new(stream.local_addr().map_err(told)?.ip()),
            gateway: Arc::new(gateway),
            tables,
            server_address: server.to_string(),
            bind,
            server: Side::new(server.ip()),
            refused: Vec::new(),
            listener,
            to_be_accepted: false,
            secrets,
        };
        stage.client.control = Some(Wire::new(stream));
        if dials_at_once {
            stage.accept().await?;
        }
        Ok(stage)
    }

    /// The server accepts its next control connection, if it can be reached.
    async fn accept(&mut self) -> Result<(), String> {
        self.to_be_accepted = false;
        if matches!(self.listener, Listener::Open(_)) {
            let stream = self.listener.accept().await?;
            socket::inline_urgent(&stream).map_err(told)?;
            self.server.control = Some(Wire::new(stream));
        }
        Ok(())
    }

    /// The handshake of a control connection is carried out, or refused.
    async fn turned(&mut self, leg: Leg, done: bool) -> Result<(), String> {
        let connection = self.secrets.connection(leg)?;
        let control = self.side(leg).control()?;
        if !done {
            return control.refuse_tls(leg, &HANDSHAKE_FAILURE).await;
        }
        control.turn(connection).await?;
        if leg == Leg::Client && self.server.control.is_none() {
            self.accept().await?;
        }
        Ok(())
    }

    /// One of the two sides.
    const fn side(&mut self, leg: Leg) -> &mut Side {
        match leg {
            Leg::Client => &mut self.client,
            Leg::Server => &mut self.server,
        }
    }

    /// Performs one step.
    async fn perform(&mut self, step: &Step) -> Result<(), String> {
        if matches!(
            step,
            Step::Send { .. }
                | Step::End(..)
                | Step::Shell(_)
                | Step::Data(
                    _,
                    DataStep::Open | DataStep::Stranger | DataStep::Send(_) | DataStep::End(_)
                )
        ) {
            self.silence()?;
            self.see_refusals().await?;
        }
        let goes_on = matches!(
            step,
            Step::Send {
                leg: Leg::Server,
                ..
            } | Step::Receive {
                leg: Leg::Server,
                ..
            } | Step::Turning(Leg::Server)
        );
        if self.to_be_accepted && goes_on {
            self.accept().await?;
        }
        match step {
            Step::Send { leg, text, urgent } => {
                let bytes = self.render(text).await?;
                self.side(*leg).control()?.send(&bytes, *urgent).await
            }
            Step::Receive { leg, text } => {
                let pattern = Pattern(text.clone());
                let slots = self.side(*leg).control()?.receive(&pattern).await?;
                for (slot, text) in slots {
                    self.learn(slot, &text)?;
                }
                Ok(())
            }
            Step::End(leg, end) => self.side(*leg).control()?.end(*end).await,
            Step::Ended(leg, end) => match &mut self.side(*leg).control {
                Some(control) => control.see_end(*end).await,
                None => Ok(()),
            },
            Step::Data(leg, step) => self.data(*leg, step).await,
            Step::Turning(leg) => {
                self.side(*leg).control()?.await_tls();
                Ok(())
            }
            Step::Turned(leg, done) => self.turned(*leg, *done).await,
            Step::VersionRefused => {
                self.to_be_accepted = true;
                let control = self.server.control()?;
                control.refuse_tls(Leg::Server, &PROTOCOL_VERSION).await
            }
            Step::Fact { .. } | Step::Wait(_) => Ok(()),
            Step::Shell(step) => self.shell(step),
        }
    }

    /// Something of a data connection.
    async fn data(&mut self, leg: Leg, step: &DataStep) -> Result<(), String> {
        match step {
            DataStep::Open => {
                let side = self.side(leg);
                let stream = side.dial_data().await?.map_err(told)?;
                side.data = Some(Wire::of_data(stream));
                Ok(())
            }
            DataStep::Refused => {
                self.refused.push(leg);
                Ok(())
            }
            DataStep::Stranger => {
                let address = self.side(leg).offered.ok_or("nothing was offered")?;
                let source = "127.0.0.2:0".parse().ok();
                match soon(connect(address, source)).await? {
                    Ok(stream) => Wire::new(stream).see_end(End::Reset).await,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
                    Err(error) => Err(told(error)),
                }
            }
            DataStep::Refuse => self.side(leg).listener.refuse(),
            DataStep::Turning(_) => {
                self.side(leg).data()?.await_tls();
                Ok(())
            }
            DataStep::Turned(true) => {
                let connection = self.secrets.connection(leg)?;
                self.side(leg).data()?.turn(connection).await
            }
            DataStep::Turned(false) => {
                let data = self.side(leg).data()?;
                data.refuse_tls(leg, &HANDSHAKE_FAILURE).await
            }
            DataStep::Ignore | DataStep::Read | DataStep::Stall => {
                Err("it needs the core's network: write `sockets: no (reason)`".into())
            }
            DataStep::Send(text) => {
                let bytes = self.render(text).await?;
                self.side(leg).data()?.send(&bytes, false).await
            }
            DataStep::End(end) => self.side(leg).data()?.end(*end).await,
            DataStep::WasOpened => {
                let side = self.side(leg);
                let stream = side.listener.accept().await?;
                side.data = Some(Wire::of_data(stream));
                Ok(())
            }
            DataStep::Received(text) => {
                let pattern = Pattern(text.clone());
                self.side(leg).data()?.receive(&pattern).await.map(|_| ())
            }
            DataStep::Ended(end) => self.side(leg).data()?.see_end(*end).await,
        }
    }

    /// Something of the gateway.
    fn shell(&mut self, step: &ShellStep) -> Result<(), String> {
        let gateway = Arc::clone(&self.gateway);
        match step {
            ShellStep::Drain => {
                tokio::spawn(async move { gateway.drain().await });
            }
            ShellStep::Stop => {
                tokio::spawn(async move { gateway.end_now().await });
            }
            ShellStep::Policy(lines) => {
                self.tables.policy = vec![lines.clone()];
                let source = self.tables.source(&self.bind, &self.server_address);
                let loaded = rules::load(&source)?;
                gateway
                    .reload(Arc::new(loaded.settings), loaded.policies)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Nobody has received anything that was not expected.
    fn silence(&mut self) -> Result<(), String> {
        for leg in [Leg::Client, Leg::Server] {
            let side = self.side(leg);
            let wires = [(&mut side.control, "control"), (&mut side.data, "data")];
            for (wire, name) in wires {
                if let Some(wire) = wire {
                    wire.silence()
                        .map_err(|fault| format!("{leg:?} on {name}: {fault}"))?;
                }
            }
        }
        Ok(())
    }

    /// Dials that are to be refused are: by nobody who listens, or with a reset where the
    /// connection came before the listener was gone.
    async fn see_refusals(&mut self) -> Result<(), String> {
        for leg in std::mem::take(&mut self.refused) {
            let side = self.side(leg);
            if side.offered.is_none() {
                continue;
            }
            if let Ok(stream) = side.dial_data().await? {
                Wire::new(stream)
                    .see_end(End::Reset)
                    .await
                    .map_err(|fault| format!("{leg:?} was let in: {fault}"))?;
            }
        }
        Ok(())
    }

    /// Whatever happened, a client that vanishes leaves nothing behind.
    async fn finish(&mut self) -> Result<(), String> {
        self.silence()?;
        self.see_refusals().await?;
        if let Some(control) = &mut self.client.control
            && control.stream.is_some()
        {
            control.end(End::Reset).await?;
        }
        self.client.data = None;
        self.server.data = None;
        let gateway = Arc::clone(&self.gateway);
        let over = async {
            while gateway.sessions() > 0 {
                if let Some(control) = &mut self.server.control {
                    control.take();
                }
                tokio::task::yield_now().await;
            }
        };
        soon(over)
            .await
            .map_err(|_| "the session outlives its client".to_owned())
    }

    /// `text` with its slots filled in.
    async fn render(&mut self, text: &Text) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for piece in text {
            match piece {
                Piece::Bytes(plain) => bytes.extend_from_slice(plain),
                Piece::Slot(slot) => bytes.extend(self.fill(*slot).await?),
            }
        }
        Ok(bytes)
    }

    /// What `slot` stands for: a listener that is made now.
    async fn fill(&mut self, slot: Slot) -> Result<Vec<u8>, String> {
        let leg = match slot {
            Slot::Target | Slot::TargetEprt | Slot::TargetPort => Leg::Client,
            Slot::Pasv | Slot::PasvPorts | Slot::Epsv => Leg::Server,
            Slot::Active | Slot::ActiveEprt | Slot::Offer | Slot::OfferPort => {
                return Err(format!("{slot:?} is the gateway's to say"));
            }
        };
        let side = self.side(leg);
        let listener = TcpListener::bind((side.host, 0)).await.map_err(told)?;
        let address = listener.local_addr().map_err(told)?;
        side.listener = Listener::Open(listener);
        script::write_address(slot, address)
    }

    /// Takes in what a slot was found to be.
    fn learn(&mut self, slot: Slot, text: &str) -> Result<(), String> {
        let bad = || format!("{slot:?} cannot be {text}");
        match slot {
            Slot::Offer => {
                self.client.offered = Some(address::parse_port(text.as_bytes()).ok_or_else(bad)?);
            }
            Slot::OfferPort => {
                let port = text.parse().map_err(|_| bad())?;
                self.client.offered = Some(SocketAddr::new(self.client.host, port));
            }
            Slot::Active => {
                self.server.offered = Some(address::parse_port(text.as_bytes()).ok_or_else(bad)?);
            }
            Slot::ActiveEprt => {
                let address = address::parse_eprt(text.as_bytes()).map_err(|_| bad())?;
                self.server.offered = Some(address);
            }
            Slot::Target
            | Slot::TargetEprt
            | Slot::TargetPort
            | Slot::Pasv
            | Slot::PasvPorts
            | Slot::Epsv => return Err(bad()),
        }
        Ok(())
    }
}
