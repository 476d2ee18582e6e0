//! What clients do in each row.
//!
//! A load has two halves: what is prepared before the proxy's time is read, and what is measured.
//! Most run for a while and count; bulk transfers have a size.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Client, Door, buffer};
use crate::clock::{Deadline, now};

/// How much is done: little in a test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// How long a load runs that has no size.
    pub(crate) span: Duration,
    /// Bytes of a bulk row, over all its streams.
    pub(crate) bulk: u64,
    /// Sessions held in the idle rows.
    pub(crate) idle: usize,
    /// Clients that come at once.
    pub(crate) burst: usize,
}

/// What a load did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Units of work: cycles, commands, files, GiB.
    pub(crate) units: f64,
    /// How long they took.
    pub(crate) seconds: f64,
    /// The median of single operations, where one client does one after the other.
    pub(crate) p50: Option<Duration>,
    /// Clients that got nothing.
    pub(crate) lost: usize,
}

/// The second half of a load. It returns its clients, which go once the proxy's time is read.
pub(crate) type Measured = Box<dyn FnOnce() -> io::Result<(Outcome, Vec<Client>)>>;

/// A load.
pub(crate) type Load = fn(&Door, Scale) -> io::Result<Measured>;

/// The bytes of a small file.
const SMALL: u64 = 64 * 1024;
/// Clients at once that log in, and that fetch small files.
const LOGINS: usize = 64;
/// As above.
const FETCHERS: usize = 16;
/// Clients at once that make handshakes.
const HANDSHAKERS: usize = 8;
/// How long a client of a burst waits for the greeting.
const GREETED: Duration = Duration::from_secs(15);

/// Logins under way at once, each from connect to QUIT.
pub(crate) fn logins(door: &Door, scale: Scale) -> io::Result<Measured> {
    let door = door.clone();
    Ok(Box::new(move || {
        let clients = vec![(); LOGINS];
        repeat(clients, scale.span, |()| Client::login(&door)?.quit())
    }))
}

/// Logins under TLS, a full handshake each.
pub(crate) fn handshakes(door: &Door, scale: Scale) -> io::Result<Measured> {
    let door = door.clone();
    Ok(Box::new(move || {
        repeat(vec![(); HANDSHAKERS], scale.span, |()| {
            let client = Client::login(&door)?;
            if client.is_resumed() {
                return Err(io::Error::other("a session was resumed"));
            }
            client.quit()
        })
    }))
}

/// Logins under TLS that resume.
pub(crate) fn resumptions(door: &Door, scale: Scale) -> io::Result<Measured> {
    let door = door.clone();
    // Tickets are used once each: as many full handshakes as there are clients come first.
    let clients: io::Result<Vec<Client>> = (0..HANDSHAKERS).map(|_| Client::login(&door)).collect();
    clients?.into_iter().try_for_each(Client::quit)?;
    Ok(Box::new(move || {
        repeat(vec![(); HANDSHAKERS], scale.span, |()| {
            let client = Client::login(&door)?;
            if !client.is_resumed() {
                return Err(io::Error::new(
                    ErrorKind::Unsupported,
                    "no session was resumed",
                ));
            }
            client.quit()
        })
    }))
}

/// NOOPs of one client, one after the other.
pub(crate) fn noops(door: &Door, scale: Scale) -> io::Result<Measured> {
    one_by_one(door, scale, "NOOP", "200")
}

/// The same with a command that is refused.
pub(crate) fn refusals(door: &Door, scale: Scale) -> io::Result<Measured> {
    one_by_one(door, scale, "SITE CHMOD 777 x", "5")
}

/// One command of one client, again and again, each timed.
fn one_by_one(
    door: &Door,
    scale: Scale,
    line: &'static str,
    code: &'static str,
) -> io::Result<Measured> {
    let mut client = Client::login(door)?;
    Ok(Box::new(move || {
        let began = now();
        let times = time_commands(&mut client, scale.span, line, code)?;
        let outcome = Outcome {
            units: times.len() as f64,
            seconds: began.elapsed().as_secs_f64(),
            p50: median(times),
            lost: 0,
        };
        Ok((outcome, vec![client]))
    }))
}

/// How long each of the commands takes that fit in a while.
pub(crate) fn time_commands(
    client: &mut Client,
    span: Duration,
    line: &str,
    code: &str,
) -> io::Result<Vec<Duration>> {
    let deadline = Deadline::after(span);
    let mut times = Vec::new();
    while !deadline.is_over() {
        let began = now();
        client.command(line, code)?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// The middle one.
pub(crate) fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// Downloads of small files, a data connection each.
pub(crate) fn small_files(door: &Door, scale: Scale) -> io::Result<Measured> {
    let clients = transferring(door, FETCHERS)?;
    Ok(Box::new(move || {
        let clients = clients.into_iter().map(|client| (client, buffer()));
        repeat(clients.collect(), scale.span, |(client, buffer)| {
            client.download(SMALL, buffer)
        })
    }))
}

/// The same under TLS, with data connections that resume the session of their control connection.
pub(crate) fn resumed_files(door: &Door, scale: Scale) -> io::Result<Measured> {
    let clients: io::Result<Vec<Client>> = (0..FETCHERS)
        .map(|_| {
            let mut client = Client::login(&door.alone())?;
            client.protect()?;
            Ok(client)
        })
        .collect();
    let clients = clients?;
    Ok(Box::new(move || {
        let clients = clients.into_iter().map(|client| (client, buffer()));
        repeat(clients.collect(), scale.span, |(client, buffer)| {
            client.download(SMALL, buffer)?;
            if client.is_data_resumed() {
                return Ok(());
            }
            Err(io::Error::new(
                ErrorKind::Unsupported,
                "no session was resumed",
            ))
        })
    }))
}

/// One large download.
pub(crate) fn download(door: &Door, scale: Scale) -> io::Result<Measured> {
    bulk(door, scale, 1, true)
}

/// Four at once.
pub(crate) fn downloads(door: &Door, scale: Scale) -> io::Result<Measured> {
    bulk(door, scale, 4, true)
}

/// One large upload.
pub(crate) fn upload(door: &Door, scale: Scale) -> io::Result<Measured> {
    bulk(door, scale, 1, false)
}

/// Four at once.
pub(crate) fn uploads(door: &Door, scale: Scale) -> io::Result<Measured> {
    bulk(door, scale, 4, false)
}

/// Streams that share the bytes of a bulk row.
fn bulk(door: &Door, scale: Scale, streams: usize, down: bool) -> io::Result<Measured> {
    let clients = transferring(door, streams)?;
    Ok(Box::new(move || {
        let length = scale.bulk / streams as u64;
        let (mut outcome, clients) = repeat(clients, Duration::ZERO, |client| {
            let mut buffer = buffer();
            if down {
                client.download(length, &mut buffer)
            } else {
                client.upload(length, &buffer)
            }
        })?;
        outcome.units = scale.bulk as f64 / f64::from(1 << 30);
        Ok((outcome, clients))
    }))
}

/// Clients that are ready for transfers.
fn transferring(door: &Door, count: usize) -> io::Result<Vec<Client>> {
    (0..count)
        .map(|_| {
            let mut client = Client::login(door)?;
            if door.tls.is_some() {
                client.protect()?;
            }
            Ok(client)
        })
        .collect()
}

/// Clients that all come at once and want a greeting.
pub(crate) fn burst(door: &Door, scale: Scale) -> io::Result<Measured> {
    let address = door.address;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(Box::new(move || {
        let (greeted, seconds) = runtime.block_on(come(address, scale.burst));
        let outcome = Outcome {
            units: greeted as f64,
            seconds,
            p50: None,
            lost: scale.burst - greeted,
        };
        Ok((outcome, Vec::new()))
    }))
}

/// Dials `count` times; how many were greeted, and when the last of them.
async fn come(address: SocketAddr, count: usize) -> (usize, f64) {
    let began = now();
    let mut clients = JoinSet::new();
    for _ in 0..count {
        clients.spawn(timeout(GREETED, greeting(address)));
    }
    let mut greeted: Vec<(tokio::net::TcpStream, Instant)> = Vec::new();
    while let Some(client) = clients.join_next().await {
        greeted.extend(client.into_iter().flatten().flatten());
    }
    let last = greeted.iter().map(|(_, when)| *when).max();
    let seconds = last.map_or(0.0, |last| last.duration_since(began).as_secs_f64());
    (greeted.len(), seconds)
}

/// One of them; its connection stays open until all are served.
async fn greeting(address: SocketAddr) -> io::Result<(tokio::net::TcpStream, Instant)> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let mut code = [0; 3];
    stream.read_exact(&mut code).await?;
    if code == *b"220" {
        Ok((stream, now()))
    } else {
        Err(ErrorKind::ConnectionRefused.into())
    }
}

/// Does `work` with each of `workers` in a thread of its own, again and again for a while, once at
/// least. What is left of clients among the workers is returned.
fn repeat<W: Worker + Send>(
    workers: Vec<W>,
    span: Duration,
    work: impl Fn(&mut W) -> io::Result<()> + Sync,
) -> io::Result<(Outcome, Vec<Client>)> {
    let began = now();
    let deadline = Deadline::after(span);
    let done: io::Result<Vec<(usize, W)>> = thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut worker| {
                scope.spawn(move || -> io::Result<(usize, W)> {
                    let mut count = 0;
                    while count == 0 || !deadline.is_over() {
                        work(&mut worker)?;
                        count += 1;
                    }
                    Ok((count, worker))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
            })
            .collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    let done = done?;
    let outcome = Outcome {
        units: done.iter().map(|(count, _)| *count as f64).sum(),
        seconds,
        ..Outcome::default()
    };
    let clients = done.into_iter().filter_map(|(_, worker)| worker.client());
    Ok((outcome, clients.collect()))
}

/// What a thread of a load works with.
trait Worker {
    /// Its client, if it keeps one.
    fn client(self) -> Option<Client>;
}

impl Worker for () {
    fn client(self) -> Option<Client> {
        None
    }
}

impl Worker for Client {
    fn client(self) -> Option<Client> {
        Some(self)
    }
}

impl Worker for (Client, Vec<u8>) {
    fn client(self) -> Option<Client> {
        Some(self.0)
    }
}
