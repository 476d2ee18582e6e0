//! A server whose name leads to one address after the other, to none, or nowhere in time.

use std::future::pending;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ftpwarden::upstream::{Answer, Resolver};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::dice::Dice;
use super::place::Place;
use super::run::{comes, only_listens};
use super::support::{
    Bench, Control, GREETING, exchange, extended_passive, login, read_all, within,
};

/// What is said of a name.
#[derive(Clone, Debug)]
pub(crate) enum Saying {
    /// These addresses, after a while.
    Addresses(Vec<IpAddr>, Duration),
    /// That it has none.
    Nothing,
    /// Nothing at all.
    Silence,
}

impl Saying {
    /// An answer of it.
    fn answer(self) -> Answer {
        Box::pin(async move {
            match self {
                Self::Addresses(addresses, after) => {
                    sleep(after).await;
                    Ok(addresses)
                }
                Self::Nothing => Err(io::ErrorKind::NotFound.into()),
                Self::Silence => pending().await,
            }
        })
    }

    /// What a network says in which `faults` of a hundred answers are wrong.
    fn drawn(dice: &mut Dice, faults: usize, right: IpAddr, dead: IpAddr) -> Self {
        let mut addresses = vec![right];
        if dice.chance(faults) {
            match dice.below(4) {
                0 => return Self::Nothing,
                1 => return Self::Silence,
                2 => addresses = vec![dead],
                _ => addresses = vec![dead, right],
            }
        }
        Self::Addresses(addresses, Duration::from_millis(dice.below(3) as u64))
    }
}

/// Names that lead to the server of `place` mostly, and are asked for anew by each session.
pub(crate) fn moody(place: Place, faults: usize, dice: Dice) -> Resolver {
    let dice = Mutex::new(dice);
    let lookup = move |_| {
        let mut dice = dice.lock().unwrap();
        Saying::drawn(&mut dice, faults, place.far, place.nobody).answer()
    };
    Resolver::asking(Duration::ZERO, Box::new(lookup))
}

/// A gateway in front of `legacy.test`, and what is said of that name.
struct Zone {
    /// The gateway, and the listener of the server that the name leads to.
    bench: Bench,
    /// What is said.
    saying: Arc<Mutex<Saying>>,
    /// Where everybody is.
    place: Place,
    /// The other server.
    other: TcpListener,
}

impl Zone {
    /// Two servers at one port, of which the name leads to the first.
    async fn start() -> Self {
        let place = Place::new();
        let server = TcpListener::bind((place.server, 0)).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let other = TcpListener::bind((place.far, port)).await.unwrap();
        let gateway = place.gateway;
        let text = format!(
            "[listeners.main]\nbind = \"{gateway}:0\"\nupstream = \"legacy\"\n[upstreams.legacy]\n\
             address = \"legacy.test:{port}\"\nsource_address = \"{gateway}\"\nconnect_timeout = \"2s\"\n"
        );
        let first = Saying::Addresses(vec![place.server], Duration::ZERO);
        let saying = Arc::new(Mutex::new(first));
        let said = Arc::clone(&saying);
        let lookup = move |name: Arc<str>| {
            assert_eq!(&*name, "legacy.test");
            said.lock().unwrap().clone().answer()
        };
        let names = Resolver::asking(Duration::ZERO, Box::new(lookup));
        let bench = Bench::prepared(&text, server, |it| it.with_upstream_names(names));
        Self {
            bench,
            saying,
            place,
            other,
        }
    }

    /// Says something else.
    fn say(&self, saying: Saying) {
        *self.saying.lock().unwrap() = saying;
    }

    /// Says that it leads to these.
    fn lead_to(&self, addresses: &[IpAddr]) {
        self.say(Saying::Addresses(addresses.to_vec(), Duration::ZERO));
    }

    /// A session with the server at `address`.
    async fn session(&mut self, address: IpAddr) -> (Control, Control) {
        if self.bench.server.local_addr().unwrap().ip() != address {
            mem::swap(&mut self.bench.server, &mut self.other);
        }
        let mut client = Control::dial(self.bench.address()).await;
        let mut server = self.bench.accept().await;
        assert_eq!(server.stream.local_addr().unwrap().ip(), address);
        server.say(GREETING).await;
        client.hear(GREETING).await;
        login(&mut client, &mut server).await;
        (client, server)
    }

    /// That nothing is left.
    async fn over(self) {
        let gone = || self.bench.gateway.sessions() == 0;
        assert!(comes(Duration::from_secs(20), gone).await);
        drop((self.bench.server, self.other));
        assert_eq!(only_listens(&self.place).await, Ok(()), "sockets are left");
    }
}

/// A download of `client`'s from `server`, wherever that is.
async fn download(client: &mut Control, server: &mut Control) {
    let at = server.stream.local_addr().unwrap().ip();
    let listener = TcpListener::bind((at, 0)).await.unwrap();
    let port = extended_passive(client, server, &listener).await;
    let gateway = client.stream.peer_addr().unwrap().ip();
    let data = TcpStream::connect(SocketAddr::new(gateway, port)).await;
    let (mut peer, _) = within(listener.accept()).await.unwrap();
    exchange(client, server, "RETR file", "150 Here.").await;
    peer.write_all(b"all of it").await.unwrap();
    drop(peer);
    server.say("226 Done.").await;
    assert_eq!(read_all(&mut data.unwrap()).await, b"all of it");
    client.hear("226 Done.").await;
}

#[tokio::test]
async fn a_session_stays_where_a_name_has_led_it_and_the_next_one_follows_the_name() {
    let mut zone = Zone::start().await;
    let (first, second) = (zone.place.server, zone.place.far);
    let (mut client, mut server) = zone.session(first).await;
    zone.lead_to(&[second]);
    let (mut next, mut other) = zone.session(second).await;
    download(&mut next, &mut other).await;
    download(&mut client, &mut server).await;
    drop((client, server, next, other));
    zone.over().await;
}

#[tokio::test]
async fn a_name_that_leads_nowhere_any_more_leads_where_it_led_last() {
    let mut zone = Zone::start().await;
    let (first, second) = (zone.place.server, zone.place.far);
    drop(zone.session(first).await);
    zone.lead_to(&[second]);
    drop(zone.session(second).await);
    for saying in [Saying::Nothing, Saying::Silence] {
        zone.say(saying);
        drop(zone.session(second).await);
    }
    zone.lead_to(&[first]);
    drop(zone.session(first).await);
    zone.over().await;
}

#[tokio::test]
async fn an_address_that_nobody_answers_at_is_passed_over_for_the_next() {
    let mut zone = Zone::start().await;
    let first = zone.place.server;
    zone.lead_to(&[zone.place.nobody, first]);
    let (mut client, mut server) = zone.session(first).await;
    download(&mut client, &mut server).await;
    drop((client, server));
    zone.over().await;
}

#[tokio::test]
async fn a_name_that_never_led_anywhere_is_told_to_the_client() {
    for saying in [Saying::Nothing, Saying::Silence] {
        let zone = Zone::start().await;
        zone.say(saying);
        let mut client = Control::dial(zone.bench.address()).await;
        client.hear_code("421 ").await;
        client.hear_end().await;
        let counted = "ftpwarden_upstream_connects_total{upstream=\"legacy\",result=\"name\"} 1";
        assert!(zone.bench.counts(counted));
        drop(client);
        zone.over().await;
    }
}
