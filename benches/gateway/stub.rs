//! The FTP server behind every subject: it agrees to all and costs little.
//!
//! One thread, one event loop. A file is named by its length, what is stored is thrown away. Its
//! data ports are fixed and listened on all the time, so that a relay that reads no command can
//! forward them one to one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use crate::ports;

/// How much is written or read at once.
const CHUNK: usize = 256 * 1024;

/// The data ports that nobody uses, the one that was used longest ago first.
type Offers = Rc<RefCell<VecDeque<TcpListener>>>;

/// Serves at `host` until the process is killed.
pub(crate) fn run(host: Ipv4Addr, base: u16) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let control = ports::listen(SocketAddr::from((host, base)))?;
        let offers: io::Result<VecDeque<_>> = ports::data(base)
            .map(|port| ports::listen(SocketAddr::from((host, port))))
            .collect();
        let offers = Rc::new(RefCell::new(offers?));
        ports::say_ready();
        loop {
            let (stream, _) = control.accept().await?;
            let offers = Rc::clone(&offers);
            tokio::task::spawn_local(async move {
                let mut offer = None;
                // A client that goes is not an error of the bench's.
                session(&stream, &offers, &mut offer).await.ok();
                offers.borrow_mut().extend(offer);
            });
        }
    })
}

/// One session; `offer` is its data port, if it has one.
async fn session(
    control: &TcpStream,
    offers: &Offers,
    offer: &mut Option<TcpListener>,
) -> io::Result<()> {
    control.set_nodelay(true)?;
    say(control, "220 Stub.\r\n").await?;
    let mut pending = Vec::new();
    loop {
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let (verb, argument) = line
                .trim_end()
                .split_once(' ')
                .unwrap_or_else(|| (line.trim_end(), ""));
            match verb {
                "USER" => say(control, "331 Password?\r\n").await?,
                "PASS" => say(control, "230 In.\r\n").await?,
                "PWD" => say(control, "257 \"/\"\r\n").await?,
                "FEAT" => say(control, "211-Features:\r\n EPSV\r\n SIZE\r\n211 End\r\n").await?,
                "SYST" => say(control, "215 UNIX Type: L8\r\n").await?,
                "AUTH" => say(control, "502 No TLS.\r\n").await?,
                "EPSV" | "PASV" => say(control, &passive(verb, offers, offer)?).await?,
                "RETR" | "STOR" => {
                    let listener = offer.take().ok_or(ErrorKind::NotConnected)?;
                    let moved = transfer(control, &listener, verb, argument).await;
                    offers.borrow_mut().push_back(listener);
                    moved?;
                }
                "QUIT" => return say(control, "221 Bye.\r\n").await,
                _ => say(control, "200 Fine.\r\n").await?,
            }
        }
        control.readable().await?;
        let mut buffer = [0; 512];
        match control.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => pending.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes a data port, unless the session has one, and says which.
fn passive(verb: &str, offers: &Offers, offer: &mut Option<TcpListener>) -> io::Result<String> {
    if offer.is_none() {
        *offer = offers.borrow_mut().pop_front();
    }
    let listener = offer.as_ref().ok_or(ErrorKind::AddrNotAvailable)?;
    let address = listener.local_addr()?;
    let port = address.port();
    Ok(if verb == "EPSV" {
        format!("229 Passive (|||{port}|).\r\n")
    } else {
        let host = address.ip().to_string().replace('.', ",");
        format!("227 Passive ({host},{},{}).\r\n", port / 256, port % 256)
    })
}

/// One data connection, from its accept to the final reply.
async fn transfer(
    control: &TcpStream,
    listener: &TcpListener,
    verb: &str,
    argument: &str,
) -> io::Result<()> {
    let (data, _) = listener.accept().await?;
    say(control, "150 Data.\r\n").await?;
    if verb == "RETR" {
        send(&data, argument.parse().unwrap_or(0)).await?;
    } else {
        sink(&data).await?;
    }
    drop(data);
    say(control, "226 Done.\r\n").await
}

/// Writes `length` bytes.
async fn send(data: &TcpStream, mut length: usize) -> io::Result<()> {
    // One buffer for all: every file has the same bytes.
    static BYTES: [u8; CHUNK] = [7; CHUNK];
    while length > 0 {
        data.writable().await?;
        match data.try_write(&BYTES[..length.min(CHUNK)]) {
            Ok(bytes) => length -= bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads to the end; the kernel throws the bytes away without copying them.
async fn sink(data: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        data.readable().await?;
        let taken = data.try_io(Interest::READABLE, || {
            Ok(recv(data, &mut buffer[..], RecvFlags::TRUNC)?.1)
        });
        match taken {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes a reply, which a socket takes at once but for a client that reads nothing.
async fn say(control: &TcpStream, reply: &str) -> io::Result<()> {
    let mut rest = reply.as_bytes();
    while !rest.is_empty() {
        match control.try_write(rest) {
            Ok(bytes) => rest = &rest[bytes..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => control.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
