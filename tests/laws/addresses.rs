//! L5: nobody's words open a connection elsewhere. The simulated shell itself fails a test where
//! a session dials a host that is not the peer's.

use ftpwarden::session::{DataOutcome, Fact, Leg};
use proptest::prelude::*;

use crate::agreeing::{heard, logged_in};
use crate::world::{Listens, World};

/// The hosts and ports that the session wanted to dial.
fn dials(world: &World) -> Vec<std::net::SocketAddr> {
    world.dialled.clone()
}

/// A host of the client's, of the server's, of the gateway's, or anybody's.
fn host() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![
        Just([192, 0, 2, 10]),
        Just([10, 0, 0, 5]),
        Just([192, 0, 2, 1]),
        Just([127, 0, 0, 1]),
        Just([0, 0, 0, 0]),
        Just([169, 254, 169, 254]),
        any::<[u8; 4]>(),
    ]
}

/// A low port, or any.
fn port() -> impl Strategy<Value = u16> {
    prop_oneof![0_u16..1100, any::<u16>()]
}

proptest! {
    #[test]
    fn law_5_port_reaches_only_the_client(host in host(), port in port()) {
        let mut world = logged_in(&["permissive"], &[]);
        let [a, b, c, d] = host;
        let [high, low] = port.to_be_bytes();
        let good = host == [192, 0, 2, 10] && port >= 1024;
        world.client.listens = Listens::Accepts;
        world.send(Leg::Client, format!("PORT {a},{b},{c},{d},{high},{low}\r\n").as_bytes());
        let asked = !heard(&mut world, Leg::Server).is_empty();
        prop_assert_eq!(asked, good);
        if !good {
            prop_assert!(heard(&mut world, Leg::Client).starts_with(b"501 "));
            return Ok(());
        }
        world.send(Leg::Server, b"200 Ok.\r\n");
        world.send(Leg::Client, b"RETR x\r\n");
        world.send(Leg::Server, b"150 Here.\r\n");
        for address in dials(&world) {
            prop_assert_eq!(address.ip(), world.places.client.ip());
            prop_assert!(address.port() >= 1024);
        }
    }

    #[test]
    fn law_5_eprt_reaches_only_the_client(host in host(), port in port(), six in any::<bool>()) {
        let mut world = logged_in(&["permissive"], &[]);
        let [a, b, c, d] = host;
        let line = if six {
            format!("EPRT |2|::ffff:{a}.{b}.{c}.{d}|{port}|\r\n")
        } else {
            format!("EPRT |1|{a}.{b}.{c}.{d}|{port}|\r\n")
        };
        world.send(Leg::Client, line.as_bytes());
        let itself = host == [192, 0, 2, 10] || host == [0, 0, 0, 0] && !six;
        let asked = !heard(&mut world, Leg::Server).is_empty();
        prop_assert_eq!(asked, itself && port >= 1024);
    }

    #[test]
    fn law_5_a_227_reaches_only_the_server(host in host(), port in port()) {
        let mut world = logged_in(&["permissive"], &[]);
        world.send(Leg::Client, b"PASV\r\n");
        let [a, b, c, d] = host;
        let [high, low] = port.to_be_bytes();
        world.send(Leg::Server, format!("227 ({a},{b},{c},{d},{high},{low})\r\n").as_bytes());
        let reply = heard(&mut world, Leg::Client);
        if port < 1024 {
            prop_assert!(reply.starts_with(b"425 "));
            return Ok(());
        }
        prop_assert!(reply.starts_with(b"227 Entering Passive Mode (192,0,2,1,"));
        prop_assert!(world.dial(Leg::Client));
        let server = world.places.server.ip();
        prop_assert_eq!(dials(&world), vec![std::net::SocketAddr::new(server, port)]);
    }

    #[test]
    fn law_5_a_229_reaches_only_the_server(text in "[ -~]{0,40}", port in port()) {
        let mut world = logged_in(&["permissive"], &[]);
        world.send(Leg::Client, b"EPSV\r\n");
        world.send(Leg::Server, format!("229 {text}(|||{port}|)\r\n").as_bytes());
        heard(&mut world, Leg::Client);
        if world.offers(Leg::Client) {
            world.dial(Leg::Client);
        }
        for address in dials(&world) {
            prop_assert_eq!(address.ip(), world.places.server.ip());
            prop_assert!(address.port() >= 1024);
        }
    }
}

#[test]
fn law_5_strangers_are_not_let_in() {
    let mut world = logged_in(&["permissive"], &[]);
    world.send(Leg::Client, b"PASV\r\n");
    crate::agreeing::answer_passive(&mut world);
    for _ in 0..3 {
        assert!(world.dial_as_stranger(Leg::Client));
    }
    let strangers = world
        .facts
        .iter()
        .filter(|fact| {
            matches!(
                fact,
                Fact::DataConnection {
                    outcome: DataOutcome::Stranger,
                    ..
                }
            )
        })
        .count();
    assert_eq!(strangers, 3);
    assert!(dials(&world).is_empty(), "a stranger made the gateway dial");
    assert!(world.dial(Leg::Client), "the offer was used up");
}

#[test]
fn law_5_nothing_is_listened_on_before_login() {
    let mut world = crate::agreeing::world(&["permissive"], &[]);
    world.send(Leg::Server, b"220 Ready.\r\n");
    heard(&mut world, Leg::Client);
    for line in [
        "PASV",
        "EPSV",
        "PORT 192,0,2,10,200,1",
        "EPRT |1|192.0.2.10|50000|",
    ] {
        world.send(Leg::Client, format!("{line}\r\n").as_bytes());
        if !heard(&mut world, Leg::Server).is_empty() {
            world.send(Leg::Server, b"530 Please login.\r\n");
        }
        assert!(heard(&mut world, Leg::Client).starts_with(b"530 "));
        assert!(!world.holds_data(), "{line}");
    }
    assert_eq!((world.client.offered, world.server.offered), (None, None));
}
