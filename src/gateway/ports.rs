//! The ports that data connections are listened for on.
//!
//! Ports come in the order of a cryptographic generator, never outside their range and never
//! twice at once; a reservation gives its port back when it is dropped.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::sys::socket;

/// How many connections may wait on a data port: strangers must not crowd out the peer.
const BACKLOG: i32 = 64;

/// How many ports that something outside of the gateway holds are tried at most.
const ATTEMPTS: usize = 512;

/// How many ports are tried at random before it is looked which are free.
const GUESSES: usize = 16;

/// Told how many ports there are (0: any free one) and how many are in use.
pub(super) type Gauge = Box<dyn Fn(usize, usize) + Send + Sync>;

/// The ports of a listener or an upstream.
pub(super) struct Ports {
    /// The range; any free port where absent.
    range: Option<RangeInclusive<u16>>,
    /// Which are in use.
    used: Mutex<Used>,
    /// Told of every change.
    gauge: Gauge,
}

/// Ports in use.
#[derive(Debug, Default)]
struct Used {
    /// One for each port of the range; empty where there is no range.
    taken: Vec<bool>,
    /// How many.
    count: usize,
    /// The gauge is told: it has one value, and that is of the ports in force.
    in_force: bool,
}

impl Used {
    /// A free port of the range at random, none of `foreign`; None where there is none.
    fn choose(&self, foreign: &[usize]) -> Option<usize> {
        let is_free = |index: &usize| {
            self.taken.get(*index).is_some_and(|taken| !taken) && !foreign.contains(index)
        };
        let mut rng = rand::rng();
        let all = 0..self.taken.len();
        if all.is_empty() {
            return None;
        }
        let mut guesses = (0..GUESSES).map(|_| rng.random_range(all.clone()));
        guesses.find(is_free).or_else(|| {
            let free: Vec<usize> = all.clone().filter(is_free).collect();
            free.choose(&mut rand::rng()).copied()
        })
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ports")
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl Ports {
    /// The ports of `range`, or any free one.
    pub(super) fn new(range: Option<RangeInclusive<u16>>, gauge: Gauge) -> Self {
        // Asked while the program may still read what the kernel tells of itself.
        socket::ephemeral_ports();
        let length = range.as_ref().map_or(0, ExactSizeIterator::len);
        Self {
            range,
            used: Mutex::new(Used {
                taken: vec![false; length],
                count: 0,
                in_force: false,
            }),
            gauge,
        }
    }

    /// Which ports these are.
    pub(super) const fn range(&self) -> Option<&RangeInclusive<u16>> {
        self.range.as_ref()
    }

    /// They are in force: tells the gauge how things stand, from now on with each change.
    pub(super) fn announce(&self) {
        let mut used = self.lock();
        used.in_force = true;
        self.tell(&used);
    }

    /// Others are in force: what is still held of these is told no more.
    pub(super) fn retire(&self) {
        self.lock().in_force = false;
    }

    /// Tells the gauge how things stand.
    fn tell(&self, used: &Used) {
        if used.in_force {
            (self.gauge)(used.taken.len(), used.count);
        }
    }

    /// Listens on a port of `local`, whose own port does not matter; says where.
    ///
    /// # Errors
    /// `AddrInUse` where no port is free; else as of a bind.
    pub(super) fn listen(
        self: &Arc<Self>,
        mut local: SocketAddr,
    ) -> io::Result<(TcpListener, SocketAddr, Reservation)> {
        if self.range.is_none() {
            return self.listen_anywhere(local);
        }
        let mut foreign = Vec::new();
        while foreign.len() <= ATTEMPTS {
            let reservation = self.reserve(&foreign)?;
            local.set_port(reservation.port());
            match socket::listen(local, BACKLOG) {
                Ok(listener) => return Ok((listener, local, reservation)),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(error),
                Err(_) => foreign.extend(reservation.index),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// As [`Ports::listen`], on any free port. The kernel looks long for one where thousands wait in
    /// `TIME_WAIT`, which a port that is named may be in: it is asked last.
    ///
    /// # Errors
    /// As of a bind.
    fn listen_anywhere(
        self: &Arc<Self>,
        mut local: SocketAddr,
    ) -> io::Result<(TcpListener, SocketAddr, Reservation)> {
        let reservation = self.reserve(&[])?;
        for _ in 0..GUESSES {
            local.set_port(rand::rng().random_range(socket::ephemeral_ports()));
            match socket::listen(local, BACKLOG) {
                Ok(listener) => return Ok((listener, local, reservation)),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(error),
                Err(_) => {}
            }
        }
        local.set_port(0);
        let listener = socket::listen(local, BACKLOG)?;
        let local = listener.local_addr()?;
        Ok((listener, local, reservation))
    }

    /// Reserves a free port at random, none of `foreign`.
    ///
    /// # Errors
    /// `AddrInUse` where there is none.
    fn reserve(self: &Arc<Self>, foreign: &[usize]) -> io::Result<Reservation> {
        let mut used = self.lock();
        let index = if self.range.is_some() {
            let index = used.choose(foreign);
            Some(index.ok_or(io::ErrorKind::AddrInUse)?)
        } else {
            None
        };
        if let Some(taken) = index.and_then(|index| used.taken.get_mut(index)) {
            *taken = true;
        }
        used.count = used.count.saturating_add(1);
        self.tell(&used);
        drop(used);
        Ok(Reservation {
            ports: Arc::clone(self),
            index,
        })
    }

    /// Gives a port back.
    fn release(&self, index: Option<usize>) {
        let mut used = self.lock();
        if let Some(taken) = index.and_then(|index| used.taken.get_mut(index)) {
            *taken = false;
        }
        used.count = used.count.saturating_sub(1);
        self.tell(&used);
    }

    /// Locks; a thread that panicked with the lock leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port in use, until this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    /// Where it goes back to.
    ports: Arc<Ports>,
    /// Which of the range; None for any free port.
    index: Option<usize>,
}

impl Reservation {
    /// The port; 0 for any free one.
    fn port(&self) -> u16 {
        let range = self.ports.range.clone();
        self.index
            .and_then(|index| range.and_then(|mut range| range.nth(index)))
            .unwrap_or(0)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ports.release(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Any port of loopback.
    const LOCAL: &str = "127.0.0.1:0";

    /// Ports that nobody counts.
    fn ports(range: Option<RangeInclusive<u16>>) -> Arc<Ports> {
        Arc::new(Ports::new(range, Box::new(|_, _| ())))
    }

    /// A range of `length` ports that are free at the moment. Below the range that the kernel
    /// takes ports from, so that no other test's can come between.
    fn free_range(length: u16) -> RangeInclusive<u16> {
        static NEXT: AtomicUsize = AtomicUsize::new(20_000);
        loop {
            let first = NEXT.fetch_add(usize::from(length), Ordering::Relaxed);
            let first = u16::try_from(first).unwrap();
            let range = first..=first + length - 1;
            let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if range.clone().all(is_free) {
                return range;
            }
        }
    }

    #[test]
    fn a_range_gives_each_port_once_and_is_then_exhausted() {
        let range = free_range(20);
        let ports = ports(Some(range.clone()));
        let local = LOCAL.parse().unwrap();
        let held: Vec<_> = (0..20).map(|_| ports.listen(local).unwrap()).collect();
        let numbers: Vec<u16> = held.iter().map(|(_, address, _)| address.port()).collect();
        assert!(numbers.iter().all(|port| range.contains(port)));
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 20);
        assert_ne!(numbers, range.collect::<Vec<_>>(), "in sequence");
        let error = ports.listen(local).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(held);
        assert!(ports.listen(local).is_ok());
    }

    #[test]
    fn the_order_is_not_the_same_twice() {
        let range = free_range(40);
        let local = LOCAL.parse().unwrap();
        let order = || {
            let ports = ports(Some(range.clone()));
            (0..40)
                .map(|_| ports.listen(local).unwrap())
                .collect::<Vec<_>>()
                .iter()
                .map(|(_, address, _)| address.port())
                .collect::<Vec<_>>()
        };
        assert_ne!(order(), order());
    }

    #[test]
    fn a_port_that_another_program_has_is_passed_over() {
        let range = free_range(2);
        let local = LOCAL.parse().unwrap();
        let foreign = TcpListener::bind(("127.0.0.1", *range.start())).unwrap();
        let ports = ports(Some(range.clone()));
        let (_held, address, reservation) = ports.listen(local).unwrap();
        assert_eq!(address.port(), *range.end());
        assert!(ports.listen(local).is_err());
        drop(foreign);
        let second = ports.listen(local).unwrap();
        assert_eq!(second.1.port(), *range.start());
        drop(reservation);
    }

    #[test]
    fn a_port_is_listened_on_again_beside_its_connections() {
        let range = free_range(1);
        let ports = ports(Some(range));
        let mut held = Vec::new();
        for _ in 0..3 {
            let (listener, address, reservation) = ports.listen(LOCAL.parse().unwrap()).unwrap();
            held.push(std::net::TcpStream::connect(address).unwrap());
            listener.set_nonblocking(false).unwrap();
            held.push(listener.accept().unwrap().0);
            drop(reservation);
        }
    }

    #[test]
    fn without_a_range_any_port_will_do() {
        let ports = ports(None);
        let (listener, address, _reservation) = ports.listen(LOCAL.parse().unwrap()).unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listener.local_addr().unwrap(), address);
    }

    #[test]
    fn the_gauge_sees_every_change() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let gauge = {
            let seen = Arc::clone(&seen);
            move |total, in_use| seen.lock().unwrap().push((total, in_use))
        };
        let ports = Arc::new(Ports::new(Some(free_range(3)), Box::new(gauge)));
        ports.announce();
        let first = ports.listen(LOCAL.parse().unwrap()).unwrap();
        let second = ports.listen(LOCAL.parse().unwrap()).unwrap();
        drop(first);
        ports.retire();
        drop(second);
        assert_eq!(*seen.lock().unwrap(), [(3, 0), (3, 1), (3, 2), (3, 1)]);
        ports.announce();
        assert_eq!(seen.lock().unwrap().pop(), Some((3, 0)));
    }
}
