//! L5, the other way round: whatever form and family each leg speaks, the two peers do meet.

use ftpwarden::ftp::address;
use ftpwarden::session::{DataMode, End, Leg};

use crate::agreeing::{codes, heard, log_in};
use crate::rules::{self, Tables};
use crate::world::{Places, Seen, World};

/// How a client asks.
const FORMS: [&str; 4] = ["PASV", "EPSV", "PORT", "EPRT"];

/// How the gateway is to ask the server.
const MODES: [(&str, DataMode); 4] = [
    ("match", DataMode::Match),
    ("passive", DataMode::Passive),
    ("extended-passive", DataMode::ExtendedPassive),
    ("active", DataMode::Active),
];

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// How the client asks.
    form: &'static str,
    /// How the gateway is to ask.
    mode: (&'static str, DataMode),
    /// The client comes over IPv6.
    client_v6: bool,
    /// The server is reached over IPv6.
    server_v6: bool,
    /// The server knows no EPSV and no EPRT.
    old: bool,
    /// The operator has said so.
    told: bool,
}

/// Every combination.
fn cases() -> impl Iterator<Item = Case> {
    const BOTH: [bool; 2] = [false, true];
    FORMS.into_iter().flat_map(|form| {
        MODES.into_iter().flat_map(move |mode| {
            BOTH.into_iter().flat_map(move |client_v6| {
                BOTH.into_iter().flat_map(move |server_v6| {
                    [(false, false), (true, false), (true, true)].map(|(old, told)| Case {
                        form,
                        mode,
                        client_v6,
                        server_v6,
                        old,
                        told,
                    })
                })
            })
        })
    })
}

impl Case {
    /// A session that is logged in.
    fn world(self) -> World {
        let mut tables = Tables {
            upstream: vec![format!("data_mode = \"{}\"", self.mode.0)],
            ..Tables::default()
        };
        if self.told {
            tables
                .upstream
                .push("unsupported = [\"EPSV\", \"EPRT\"]".into());
        }
        let loaded = rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21")).unwrap();
        let (profile, judge) = rules::of_session(&loaded);
        assert_eq!(profile.data_mode, self.mode.1);
        let mut world = World::new(profile, judge, Places::new(self.client_v6, self.server_v6));
        world.settle();
        log_in(&mut world);
        world
    }

    /// The client's line; None where it has none in its family.
    fn line(self, world: &mut World) -> Vec<u8> {
        match self.form {
            "PORT" => {
                let target = world.listen(Leg::Client);
                address::render_port(target).map_or_else(
                    || b"PORT 192,0,2,10,195,81\r\n".to_vec(),
                    |line| line.to_vec(),
                )
            }
            "EPRT" => address::render_eprt(world.listen(Leg::Client)).to_vec(),
            form => format!("{form}\r\n").into_bytes(),
        }
    }

    /// Answers what the server is asked; returns the verbs that it was asked.
    fn answer(self, world: &mut World) -> Vec<String> {
        let mut asked = Vec::new();
        loop {
            let line = heard(world, Leg::Server);
            let Some(verb) = line.get(..4) else {
                return asked;
            };
            let verb = String::from_utf8(verb.to_vec()).unwrap();
            match verb.as_str() {
                "EPSV" | "EPRT" if self.old => {
                    assert!(
                        !self.told,
                        "{verb} was sent to a server that lacks it: {self:?}"
                    );
                    world.send(Leg::Server, b"500 What?\r\n");
                }
                "EPSV" => {
                    let port = world.listen(Leg::Server).port();
                    let line = address::render_229(port);
                    world.send(Leg::Server, &line);
                }
                "PASV" => {
                    assert!(!self.server_v6, "PASV over IPv6: {self:?}");
                    let line = address::render_227(world.listen(Leg::Server)).unwrap();
                    world.send(Leg::Server, &line);
                }
                "PORT" | "EPRT" => {
                    assert!(
                        verb == "EPRT" || !self.server_v6,
                        "PORT over IPv6: {self:?}"
                    );
                    world.send(Leg::Server, b"200 Ok.\r\n");
                }
                other => panic!("the server was asked {other}: {self:?}"),
            }
            asked.push(verb);
        }
    }

    /// What the client is to be answered.
    fn expected(self) -> u16 {
        match self.form {
            // 227 and PORT have no room for the address of an IPv6 client.
            "PASV" | "PORT" if self.client_v6 => 501,
            // Over IPv6 nothing takes the place of EPSV and EPRT.
            _ if self.server_v6 && self.told => 502,
            _ if self.server_v6 && self.old => 500,
            "PASV" => 227,
            "EPSV" => 229,
            _ => 200,
        }
    }
}

#[test]
fn law_5_every_form_is_answered_in_its_own_form() {
    let mut count = 0;
    for case in cases() {
        count += 1;
        let mut world = case.world();
        let line = case.line(&mut world);
        world.send(Leg::Client, &line);
        case.answer(&mut world);
        assert_eq!(codes(&mut world), [case.expected()], "{case:?}");
        if case.expected() >= 500 {
            assert!(!world.holds_data(), "{case:?}");
        }
    }
    assert_eq!(count, 192);
}

#[test]
fn law_5_every_form_carries_a_transfer() {
    for case in cases().filter(|case| case.expected() < 300) {
        // Once more, for what was found out the first time is remembered.
        let mut world = case.world();
        for round in 0..2 {
            let line = case.line(&mut world);
            world.send(Leg::Client, &line);
            let asked = case.answer(&mut world);
            assert!(asked.len() == 1 || round == 0, "{asked:?}: {case:?}");
            let passive = matches!(case.form, "PASV" | "EPSV");
            assert_eq!(world.dial(Leg::Client), passive, "{case:?}");
            world.client.seen.clear();
            world.send(Leg::Client, b"RETR x\r\n");
            let active = asked.last().is_some_and(|verb| verb.ends_with("RT"));
            assert_eq!(world.dial(Leg::Server), active, "{case:?}");
            world.send(Leg::Server, b"150 Here.\r\n");
            assert!(world.send_data(Leg::Server, b"bytes"), "{case:?}");
            world.end_data(Leg::Server, End::Fin);
            world.send(Leg::Server, b"226 Done.\r\n");
            let mut seen: Vec<Seen> = world.client.seen.drain(..).collect();
            seen.retain(|seen| *seen != Seen::DataOpened);
            let expected = [
                Seen::Control(b"150 Here.\r\n".to_vec()),
                Seen::Data(b"bytes".to_vec()),
                Seen::DataEnd(End::Fin),
                Seen::Control(b"226 Done.\r\n".to_vec()),
            ];
            assert_eq!(seen, expected, "{case:?}");
            world.server.seen.clear();
        }
    }
}
