//! Sockets: listening, options, urgent data, and how they end.

use std::fs;
use std::io::{self, IoSlice};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, sendmsg};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// The first port that anybody may listen on.
const UNPRIVILEGED: u16 = 1024;

/// How many unanswered keepalive probes mean that a peer is gone.
const KEEPALIVE_RETRIES: u32 = 4;

/// A listening, non-blocking socket. IPv6 sockets take IPv6 only, so that `0.0.0.0` and `[::]`
/// can share a port.
///
/// # Errors
/// The address cannot be bound, or the process is out of descriptors.
pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    // Connections of a former listener do not keep the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Takes a connection that waits at `listener`: one that does not block and that no runtime has.
///
/// # Errors
/// As of an accept; `WouldBlock` where none waits.
pub fn accept(listener: &impl AsFd) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (accepted, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((accepted.into(), peer.try_into()?))
}

/// Whether `address` is one of this machine. Nothing is sent.
pub fn is_own_address(address: IpAddr) -> bool {
    if address.is_loopback() {
        return true;
    }
    // Addresses that no machine has: RFC 5737, RFC 3849.
    let (any, nobodys) = match address {
        IpAddr::V4(_) => (
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::new(192, 0, 2, 1).into(),
        ),
        IpAddr::V6(_) => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 1).into(),
        ),
    };
    let bind = |address| UdpSocket::bind(SocketAddr::new(address, 0));
    let reached_from = |socket: UdpSocket| {
        socket.connect(SocketAddr::new(address, 9))?;
        socket.local_addr()
    };
    // The kernel reaches an address of its own from that address, but not the second one of an interface.
    // That one can be bound, which says nothing where any address can (`ip_nonlocal_bind`).
    bind(any)
        .and_then(reached_from)
        .is_ok_and(|from| from.ip() == address)
        || bind(address).is_ok() && bind(nobodys).is_err()
}

/// Switches off Nagle's delay.
///
/// # Errors
/// The socket is gone.
pub fn send_at_once(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_tcp_nodelay(true)
}

/// Switches off Nagle's delay and switches on keepalive: the first probe after `keepalive` of
/// silence, the peer is given up after as long again.
///
/// `TCP_USER_TIMEOUT` stays unset: it would replace the count of probes, and a peer that is
/// alive and does not read is the session's to judge.
///
/// # Errors
/// The socket is gone.
pub fn tune(socket: &impl AsFd, keepalive: Duration) -> io::Result<()> {
    send_at_once(socket)?;
    let socket = SockRef::from(socket);
    let second = Duration::from_secs(1);
    let probes = TcpKeepalive::new()
        .with_time(keepalive.max(second))
        .with_interval((keepalive / KEEPALIVE_RETRIES).max(second))
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&probes)
}

/// Keeps urgent data in the stream, where the Telnet bytes of an ABOR belong.
///
/// # Errors
/// The socket is gone.
pub fn inline_urgent(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_out_of_band_inline(true)
}

/// Sends one byte as urgent data.
///
/// # Errors
/// As of a write.
pub fn send_urgent(socket: &impl AsFd, byte: u8) -> io::Result<usize> {
    SockRef::from(socket).send_out_of_band(&[byte])
}

/// Sends the last bytes of a connection: they leave with its end, in one segment.
///
/// # Errors
/// As of a write.
pub fn send_last(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::MORE;
    Ok(rustix::net::send(socket, bytes, flags)?)
}

/// Writes what the kernel takes of `pieces` at this moment, whatever the runtime knows of it: it is told of
/// room only where a third of all that the socket may hold is free.
///
/// # Errors
/// As of a write; `WouldBlock` where there is no room.
pub fn send_now(socket: &impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let mut nothing = SendAncillaryBuffer::default();
    Ok(sendmsg(socket, pieces, &mut nothing, flags)?)
}

/// Reads what the kernel has at this moment, whatever the runtime knows of it.
///
/// # Errors
/// As of a read; `WouldBlock` where there is nothing.
pub fn receive_now(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (bytes, _) = rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT)?;
    Ok(bytes)
}

/// Whether bytes wait to be read, be it behind urgent data.
///
/// # Errors
/// As of a read.
pub fn has_unread(socket: &impl AsFd) -> io::Result<bool> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match rustix::net::recv(socket, &mut [0], flags) {
        Ok((bytes, _)) => Ok(bytes > 0),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the peer of a connection has ended it by now, with a FIN or a reset, be there bytes before
/// that or not, and whatever the runtime knows of it.
pub fn has_peer_ended(socket: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::RDHUP)];
    let answered = poll(&mut asked, Some(&Timespec::default()));
    answered.is_ok_and(|ended| ended > 0)
}

/// Whether a connection that nobody has ended on our side is broken by now: reset, or given up, whatever
/// the runtime knows of it. The error stays where it is.
pub fn is_broken(socket: &impl AsFd) -> bool {
    // What says so is told unasked.
    let mut asked = [PollFd::new(socket, PollFlags::empty())];
    let answered = poll(&mut asked, Some(&Timespec::default()));
    answered.is_ok_and(|broken| broken > 0)
}

/// From now on closing the socket resets the connection: also when the process dies.
///
/// # Errors
/// The socket is gone.
pub fn arm_reset(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Lets a bind to port 0 choose the address alone, and the connect the port: one that is free
/// towards that peer, however many connections to others wait in `TIME_WAIT`.
///
/// # Errors
/// The kernel does not know that.
pub fn bind_address_only(socket: &impl AsFd) -> io::Result<()> {
    setsockopt(socket, IpBindAddressNoPort, &true)?;
    Ok(())
}

/// The ports that the kernel takes where any will do, as they were when this was asked first;
/// none that is privileged.
pub fn ephemeral_ports() -> RangeInclusive<u16> {
    static PORTS: OnceLock<RangeInclusive<u16>> = OnceLock::new();
    PORTS
        .get_or_init(|| {
            let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
            let text = text.unwrap_or_default();
            let mut ports = text.split_whitespace().map(str::parse);
            match (ports.next(), ports.next()) {
                (Some(Ok(first)), Some(Ok(last))) if last >= UNPRIVILEGED => {
                    UNPRIVILEGED.max(first).min(last)..=last
                }
                _ => 32768..=60999,
            }
        })
        .clone()
}

/// Sends FIN after all that was written; for a socket that was never armed.
///
/// # Errors
/// The connection is broken already.
pub fn shut_down(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).shutdown(Shutdown::Write)
}

/// Takes back [`arm_reset`] and sends FIN after all that was written.
///
/// # Errors
/// The connection is broken already.
pub fn finish(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_linger(None)?;
    socket.shutdown(Shutdown::Write)
}

/// A descriptor that is held so that there is one to give when there are no others.
#[derive(Debug)]
pub struct Spare(Option<Socket>);

impl Spare {
    /// Takes one, if there is one.
    pub fn take() -> Self {
        Self(Socket::new(Domain::IPV4, Type::STREAM, None).ok())
    }

    /// Gives it up; returns whether there was one.
    pub fn give(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// Whether an error of `accept` says that the process or the system is out of something that
/// comes back with time; all others concern the one connection.
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Two ends of a connection over loopback.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        (dialled, accepted)
    }

    #[test]
    fn addresses_of_this_machine_are_told_from_others() {
        for own in ["127.0.0.1", "127.9.8.7", "::1"] {
            assert!(is_own_address(own.parse().unwrap()), "{own}");
        }
        for other in ["198.51.100.7", "2001:db8::7"] {
            assert!(!is_own_address(other.parse().unwrap()), "{other}");
        }
        // That by which others are reached, where there is one.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("198.51.100.7:9").is_ok() {
            assert!(is_own_address(socket.local_addr().unwrap().ip()));
        }
    }

    #[test]
    fn both_families_share_a_port() {
        let four = listen("0.0.0.0:0".parse().unwrap(), 8).unwrap();
        let port = four.local_addr().unwrap().port();
        let six = listen(format!("[::]:{port}").parse().unwrap(), 8).unwrap();
        assert_eq!(six.local_addr().unwrap().port(), port);
    }

    #[test]
    fn a_port_that_listens_is_not_bound_twice() {
        let first = listen("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        let error = listen(first.local_addr().unwrap(), 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_urgent_byte_stays_in_its_place() {
        let (mut ours, mut theirs) = pair();
        inline_urgent(&theirs).unwrap();
        ours.write_all(b"\xFF\xF4").unwrap();
        assert_eq!(send_urgent(&ours, 0xFF).unwrap(), 1);
        ours.write_all(b"\xF2ABOR\r\n").unwrap();
        drop(ours);
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"\xFF\xF4\xFF\xF2ABOR\r\n");
    }

    #[test]
    fn an_armed_socket_resets_when_dropped() {
        let (ours, mut theirs) = pair();
        arm_reset(&ours).unwrap();
        drop(ours);
        let error = theirs.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_finished_socket_ends_in_order() {
        let (mut ours, mut theirs) = pair();
        arm_reset(&ours).unwrap();
        ours.write_all(b"all").unwrap();
        finish(&ours).unwrap();
        drop(ours);
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"all");
    }

    #[test]
    fn keepalive_is_set() {
        let (ours, _theirs) = pair();
        tune(&ours, Duration::from_mins(1)).unwrap();
        let socket = SockRef::from(&ours);
        assert!(socket.keepalive().unwrap());
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
        assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), 15);
    }

    #[test]
    fn what_comes_back_with_time_is_told_from_what_concerns_one_connection() {
        let error = |number: i32| io::Error::from_raw_os_error(number);
        for number in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert!(is_exhausted(&error(number)), "{}", error(number));
        }
        for number in [libc::ECONNABORTED, libc::EPERM, libc::EPROTO] {
            assert!(!is_exhausted(&error(number)), "{}", error(number));
        }
    }

    #[test]
    fn what_a_listener_has_its_connections_have() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 8).unwrap();
        tune(&listener, Duration::from_mins(1)).unwrap();
        inline_urgent(&listener).unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, peer) = loop {
            // The socket does not block, not even for the moment of a handshake on loopback.
            match accept(&listener) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                accepted => break accepted.unwrap(),
            }
        };
        assert_eq!(peer, dialled.local_addr().unwrap());
        let error = accepted.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let socket = SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert!(socket.out_of_band_inline().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
        assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), 15);
    }

    #[test]
    fn an_end_is_seen_behind_bytes_that_nobody_has_read() {
        let (mut ours, theirs) = pair();
        assert!(!has_peer_ended(&theirs));
        ours.write_all(b"all").unwrap();
        assert!(!has_peer_ended(&theirs));
        shut_down(&ours).unwrap();
        assert!(has_peer_ended(&theirs));
        assert!(!has_peer_ended(&ours));
    }

    #[test]
    fn a_reset_is_seen_and_an_end_in_order_is_none() {
        let (ours, mut theirs) = pair();
        assert!(!is_broken(&theirs));
        shut_down(&ours).unwrap();
        assert!(!is_broken(&theirs));
        arm_reset(&ours).unwrap();
        drop(ours);
        assert!(is_broken(&theirs) && is_broken(&theirs));
        assert!(theirs.write(b"more").is_err(), "the error is still there");
    }

    #[test]
    fn what_is_unread_is_seen_behind_urgent_data_and_stays() {
        let (mut ours, mut theirs) = pair();
        assert!(!has_unread(&theirs).unwrap());
        assert_eq!(send_urgent(&ours, b'!').unwrap(), 1);
        assert!(!has_unread(&theirs).unwrap(), "no byte of the stream");
        ours.write_all(b"all").unwrap();
        assert!(has_unread(&theirs).unwrap());
        shut_down(&ours).unwrap();
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"all");
        assert!(!has_unread(&theirs).unwrap());
    }

    #[test]
    fn writing_now_does_not_wait() {
        let (ours, mut theirs) = pair();
        let pieces = [IoSlice::new(b"AB"), IoSlice::new(b"OR")];
        assert_eq!(send_now(&ours, &pieces).unwrap(), 4);
        let block = vec![0; 1 << 20];
        let error = loop {
            match send_now(&ours, &[IoSlice::new(&block)]) {
                Ok(bytes) => assert!(bytes > 0),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let mut read = [0; 4];
        theirs.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"ABOR");
    }

    #[test]
    fn reading_now_does_not_wait() {
        let (mut ours, theirs) = pair();
        let mut buffer = [0; 8];
        let error = receive_now(&theirs, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        ours.write_all(b"ABOR").unwrap();
        assert_eq!(receive_now(&theirs, &mut buffer).unwrap(), 4);
    }
}
