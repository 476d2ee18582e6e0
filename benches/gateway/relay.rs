//! What a gateway is compared with: a relay that reads nothing of what it moves.
//!
//! In clear it splices data connections and copies control connections; with TLS in front of clear
//! it is rustls and a buffer. Every port of the range is forwarded to the same port of the stub.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use ftpwarden::sys::splice::Pipe;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use crate::{certificates, ports};

/// Bytes of a pipe.
const PIPE: usize = 1024 * 1024;
/// Bytes of the buffer between TLS and clear, as the gateway has them for long transfers.
const BUFFER: usize = 256 * 1024;
/// How much of a control connection is moved at once.
const CONTROL: usize = 4_096;

/// Pipes that are empty and unused.
type Pipes = Rc<RefCell<Vec<Pipe>>>;

/// Relays what comes to `host` until the process is killed; under TLS if there are certificates.
pub(crate) fn run(host: Ipv4Addr, base: u16, certificates: Option<&Path>) -> io::Result<()> {
    let acceptor = match certificates {
        Some(folder) => Some(TlsAcceptor::from(Arc::new(server(folder)?))),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let pipes = Pipes::default();
        let control = ports::listen(SocketAddr::from((host, base)))?;
        for port in ports::data(base) {
            let listener = ports::listen(SocketAddr::from((host, port)))?;
            let (acceptor, pipes) = (acceptor.clone(), Rc::clone(&pipes));
            spawn_local(accept(listener, port, acceptor, Some(pipes)));
        }
        ports::say_ready();
        accept(control, base, acceptor, None).await
    })
}

/// The relay's side of TLS.
fn server(folder: &Path) -> io::Result<ServerConfig> {
    let (chain, key) = certificates::load(folder)?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(io::Error::other)
}

/// Takes what comes to one port; with pipes, it is a data port.
async fn accept(
    listener: TcpListener,
    port: u16,
    acceptor: Option<TlsAcceptor>,
    pipes: Option<Pipes>,
) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let (acceptor, pipes) = (acceptor.clone(), pipes.clone());
        spawn_local(async move {
            match acceptor {
                None => clear(&client, port, pipes.as_ref()).await,
                // Boxed, so that a session in clear does not hold room for TLS.
                Some(acceptor) => Box::pin(secured(client, port, &acceptor, pipes.is_some())).await,
            }
        });
    }
}

/// Dials the stub.
async fn dial(port: u16) -> io::Result<TcpStream> {
    let server = TcpStream::connect((ports::STUB, port)).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Both ways of a pair in clear.
async fn clear(client: &TcpStream, port: u16, pipes: Option<&Pipes>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = dial(port).await?;
    tokio::try_join!(
        one_way(client, &server, pipes),
        one_way(&server, client, pipes)
    )?;
    Ok(())
}

/// Moves what one side sends to the other, to its end.
async fn one_way(source: &TcpStream, sink: &TcpStream, pipes: Option<&Pipes>) -> io::Result<()> {
    loop {
        source.readable().await?;
        let moved = match pipes {
            Some(pipes) => splice(source, sink, pipes).await,
            None => copy(source, sink).await,
        };
        match moved {
            Ok(0) => return SockRef::from(sink).shutdown(Shutdown::Write),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Moves what a control connection has; nothing is held between two steps.
async fn copy(source: &TcpStream, sink: &TcpStream) -> io::Result<usize> {
    // What the sink does not take at once, which is next to never.
    let mut rest = Vec::new();
    let bytes = copy_once(source, sink, &mut rest)?;
    let mut start = 0;
    while start < rest.len() {
        sink.writable().await?;
        match sink.try_write(&rest[start..]) {
            Ok(bytes) => start += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// One read and one write, with a buffer on the stack.
fn copy_once(source: &TcpStream, sink: &TcpStream, rest: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; CONTROL];
    let bytes = source.try_read(&mut buffer)?;
    let taken = match sink.try_write(&buffer[..bytes]) {
        Ok(taken) => taken,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    rest.extend_from_slice(&buffer[taken..bytes]);
    Ok(bytes)
}

/// Moves what a data connection has, by a pipe that others use before and after.
async fn splice(source: &TcpStream, sink: &TcpStream, pipes: &Pipes) -> io::Result<usize> {
    let kept = pipes.borrow_mut().pop();
    let mut pipe = if let Some(pipe) = kept {
        pipe
    } else {
        let mut pipe = Pipe::new()?;
        pipe.widen(PIPE);
        pipe
    };
    let filled = source.try_io(Interest::READABLE, || pipe.fill(source));
    while pipe.held() > 0 {
        match sink.try_io(Interest::WRITABLE, || pipe.drain(sink)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => sink.writable().await?,
            Err(error) => return Err(error),
        }
    }
    pipes.borrow_mut().push(pipe);
    filled
}

/// Both ways of a pair whose client speaks TLS.
async fn secured(
    client: TcpStream,
    port: u16,
    acceptor: &TlsAcceptor,
    is_data: bool,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    // The stub says 150 once it is dialled, and only then the client begins its handshake.
    let (server, client) = tokio::join!(dial(port), acceptor.accept(client));
    let (mut server, mut client) = (server?, client?);
    if !is_data {
        return copy_bidirectional(&mut client, &mut server)
            .await
            .map(|_| ());
    }
    let (mut down, mut up) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        tokio::select! {
            bytes = server.read(&mut down) => match bytes? {
                0 => return client.shutdown().await,
                bytes => client.write_all(&down[..bytes]).await?,
            },
            bytes = client.read(&mut up) => match bytes? {
                0 => return server.shutdown().await,
                bytes => server.write_all(&up[..bytes]).await?,
            },
        }
    }
}
