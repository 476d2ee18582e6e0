//! A gateway with a network on either side of it, for tests that say what happens when.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ftpwarden::upstream::connect;
use tokio::net::{TcpListener, TcpStream};

use super::place::Place;
use super::run::{comes, only_listens};
use super::support::{Bench, Control, GREETING, login, passive_address, within};
use super::wire::{Ledger, Link, Network};

/// When a session must be over whose bounds are short.
const OVER: Duration = Duration::from_secs(20);

/// A gateway and its networks.
pub(crate) struct Lab {
    /// The gateway, and the server's own listener.
    pub(crate) bench: Bench,
    /// Both networks.
    pub(crate) network: Network,
    /// Where everybody is.
    pub(crate) place: Place,
    /// How the server is reached from now on.
    far: Arc<Mutex<Link>>,
}

/// A transfer's data connections.
pub(crate) struct Pair {
    /// The client's end.
    pub(crate) data: TcpStream,
    /// The server's end.
    pub(crate) peer: TcpStream,
    /// What came through between server and gateway: `back` is towards the gateway.
    pub(crate) far: Arc<Ledger>,
}

impl Lab {
    /// With these keys of the listener and these limits.
    pub(crate) async fn start(listener: &str, limits: &str) -> Self {
        let (place, network) = (Place::new(), Network::default());
        let server = TcpListener::bind((place.server, 0)).await.unwrap();
        let target = server.local_addr().unwrap();
        let far = Arc::new(Mutex::new(Link::FINE));
        let next = Arc::clone(&far);
        let gate = network.gate(place.far, target, place.server, move || {
            next.lock().unwrap().clone()
        });
        let gateway = place.gateway;
        let text = format!(
            "[listeners.main]\nbind = \"{gateway}:0\"\nupstream = \"legacy\"\n{listener}\n\
             [upstreams.legacy]\naddress = \"{gate}\"\nsource_address = \"{gateway}\"\n\
             [limits]\n{limits}\n"
        );
        Self {
            bench: Bench::of(&text, server),
            network,
            place,
            far,
        }
    }

    /// A client that has dialled and the server that it got.
    pub(crate) async fn dialled(&self, near: Link, far: Link) -> (Control, Control) {
        *self.far.lock().unwrap() = far;
        let Place {
            client, near: at, ..
        } = self.place;
        let gateway = self.bench.address();
        let (entrance, _) = self.network.path(client, gateway, at, near).await;
        let client = Control::dial(entrance).await;
        (client, self.bench.accept().await)
    }

    /// The same, logged in.
    pub(crate) async fn logged_in(&self, near: Link, far: Link) -> (Control, Control) {
        let (mut client, mut server) = self.dialled(near, far).await;
        server.say(GREETING).await;
        client.hear(GREETING).await;
        login(&mut client, &mut server).await;
        (client, server)
    }

    /// PASV: where the client is to dial, and the server's listener.
    pub(crate) async fn passive(
        &self,
        client: &mut Control,
        server: &mut Control,
        far: Link,
    ) -> (SocketAddr, TcpListener, Arc<Ledger>) {
        let listener = TcpListener::bind((self.place.server, 0)).await.unwrap();
        let (target, at) = (listener.local_addr().unwrap(), self.place.far);
        let (address, ledger) = self.network.path(at, target, at, far).await;
        client.say("PASV").await;
        server.hear("PASV").await;
        let [high, low] = address.port().to_be_bytes();
        let host = at.to_string().replace('.', ",");
        server
            .say(&format!("227 Passive ({host},{high},{low})"))
            .await;
        (passive_address(&client.line().await), listener, ledger)
    }

    /// The client's connection to an address of the gateway's.
    pub(crate) async fn data(&self, address: SocketAddr, near: Link) -> TcpStream {
        let Place {
            client, near: at, ..
        } = self.place;
        let (entrance, _) = self.network.path(client, address, at, near).await;
        within(connect(entrance, None)).await.unwrap()
    }

    /// Both data connections.
    pub(crate) async fn pair(
        &self,
        client: &mut Control,
        server: &mut Control,
        near: Link,
        far: Link,
    ) -> Pair {
        let (address, listener, far) = self.passive(client, server, far).await;
        let data = self.data(address, near).await;
        let (peer, _) = within(listener.accept()).await.unwrap();
        Pair { data, peer, far }
    }

    /// That every session ends by itself and leaves nothing, however silent the network is.
    pub(crate) async fn over(&self) {
        let gateway = &self.bench.gateway;
        assert!(
            comes(OVER, || gateway.sessions() == 0).await,
            "a session is left"
        );
        assert_eq!(only_listens(&self.place).await, Ok(()), "sockets are left");
        let ports = "ftpwarden_passive_ports_in_use{listener=\"main\"} 0";
        assert!(self.bench.counts(ports), "a port is left");
        self.network.dissolve().await;
    }
}
