//! A server that says what servers say, and worse.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ftpwarden::ftp::address;
use ftpwarden::session::{End, Leg};

use crate::dice::Dice;
use crate::ideal::{DOWNLOADS, SETUPS, UPLOADS};
use crate::world::{Listens, Seen, World};

/// How many of a hundred replies are lies, of a server that says little else.
const WORST: usize = 20;

/// What a server that lies may say at any time.
const LIES: [&[u8]; 24] = [
    b"226 Extra.#\r\n",
    b"230 In.#\r\n",
    b"220 Again.#\r\n",
    b"200 Extra.#\r\n",
    b"150 Extra.#\r\n",
    b"550 Extra.#\r\n",
    b"331 Extra.#\r\n",
    b"225 Extra.#\r\n",
    b"250-Extra#\r\n250 Extra.#\r\n",
    b"22",
    b"5",
    b"226 ",
    b"hello#\r\n",
    b"\r\n",
    b"226-x#\r\n225 y#\r\n",
    b"421 Bye.#\r\n",
    b"\xFF\xFC\x01200 Telnet.#\r\n",
    b"200 a\rb\0c#\r\n",
    b"211-x#\r\n226 y#\r\n 500 z\r\n211 #\r\n",
    b"229 (|||1|)#\r\n",
    b"250 \r\n",
    b"99 x#\r\n",
    b"699 x#\r\n",
    b"200\n",
];

/// The further address of a server that has several.
pub(crate) const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 6));

/// Hosts that a server states in its 227 in place of its own: its second one, that behind a
/// translation of addresses, its own loopback, the gateway and the client.
const ELSEWHERE: [IpAddr; 6] = [
    SECOND,
    SECOND,
    IpAddr::V4(Ipv4Addr::new(172, 16, 0, 5)),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
];

/// What a transfer at the server has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Nothing was said.
    Begun,
    /// 150 was said.
    Promised,
    /// The data connection has ended, well or not.
    Ended(bool),
}

/// A transfer that the server runs.
#[derive(Clone, Copy, Debug)]
struct Job {
    /// It takes a file.
    upload: bool,
    /// How far it has come.
    stage: Stage,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    /// It keeps to the protocol.
    honest: bool,
    /// How many of a hundred of its replies are lies.
    lies: usize,
    /// The host that it states in its 227 in place of its own.
    elsewhere: Option<IpAddr>,
    /// It listens at its second address, where that is the one that it states.
    has_second: bool,
    /// It has greeted.
    greeted: bool,
    /// Bytes that are no line yet.
    held: Vec<u8>,
    /// Lines that it has not answered.
    lines: VecDeque<String>,
    /// The transfer that it runs.
    job: Option<Job>,
    /// Its data connection is there.
    connected: bool,
    /// How its last data connection ended, before it looked.
    ended: Option<End>,
    /// It answers the next one after so many replies.
    number: usize,
}

impl Server {
    /// One that has said nothing.
    pub(crate) fn new(dice: &mut Dice, honest: bool, has_second: bool) -> Self {
        Self {
            honest,
            lies: if honest {
                0
            } else {
                dice.pick(&[0, 0, 5, WORST])
            },
            // Not even a lie: who stands behind a translation of addresses knows no better.
            elsewhere: dice.chance(30).then(|| dice.pick(&ELSEWHERE)),
            has_second,
            greeted: false,
            held: Vec::new(),
            lines: VecDeque::new(),
            job: None,
            connected: false,
            ended: None,
            number: 0,
        }
    }

    /// Looks at what it has seen.
    pub(crate) fn look(&mut self, world: &mut World) {
        for seen in world.server.seen.drain(..) {
            match seen {
                Seen::Control(bytes) => self.held.extend(bytes),
                Seen::DataOpened => {
                    self.connected = true;
                    self.ended = None;
                }
                Seen::DataEnd(end) => {
                    self.connected = false;
                    self.ended = Some(end);
                    if let Some(job) = &mut self.job
                        && !matches!(job.stage, Stage::Ended(_))
                    {
                        job.stage = Stage::Ended(job.upload && end == End::Fin);
                    }
                }
                Seen::ControlEnd(_) | Seen::Data(_) | Seen::DataTurning(_) | Seen::Turning => {}
            }
        }
        while let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.held.drain(..=end).collect();
            // Telnet's Synch is no part of a line.
            let line: Vec<u8> = line.into_iter().filter(|byte| *byte < 0xF0).collect();
            self.lines
                .push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
    }

    /// Whether it could do something.
    pub(crate) fn acts(&self, connected: bool) -> bool {
        // A great liar speaks unasked as well.
        let speaks = self.lies == WORST || !self.lines.is_empty() || self.job.is_some();
        connected && (!self.greeted || speaks)
    }

    /// Says something.
    fn say(&mut self, world: &mut World, text: &str) {
        self.number += 1;
        let number = self.number;
        world.send(Leg::Server, format!("{text} #{number}\r\n").as_bytes());
    }

    /// Does something.
    pub(crate) fn act(&mut self, dice: &mut Dice, world: &mut World) {
        if !self.greeted {
            self.greeted = true;
            self.greet(dice, world);
            return;
        }
        if dice.chance(self.lies) {
            let lie = if dice.chance(3) {
                vec![b'9'; dice.pick(&[100, 1100, 5000, 70_000])]
            } else {
                dice.pick(&LIES).to_vec()
            };
            world.send(Leg::Server, &lie);
            return;
        }
        let is_abort = |line: &String| line.eq_ignore_ascii_case("ABOR");
        if let Some(job) = self.job
            && !(self.lines.front().is_some_and(is_abort) && dice.chance(70))
        {
            self.work(dice, world, job);
            return;
        }
        let Some(line) = self.lines.pop_front() else {
            return;
        };
        if dice.chance(self.lies / 4) {
            // It answers nothing.
            return;
        }
        self.answer(dice, world, &line);
    }

    /// Says its greeting.
    fn greet(&mut self, dice: &mut Dice, world: &mut World) {
        match if self.honest { 0 } else { dice.below(40) } {
            1 => self.say(world, "230 Come in."),
            2 => {
                self.say(world, "120 Soon.");
                self.greeted = false;
            }
            3 if self.lies > 0 => self.say(
                world,
                dice.pick(&["421 Full.", "530 No.", "331 Password?", "SSH-2.0"]),
            ),
            4 => {
                world.send(Leg::Server, b"220-Hello\r\n  230 not yet\r\n220-\r\n");
                self.say(world, "220 Ready.");
            }
            5 => {
                self.say(world, "220 Ready.");
                self.say(world, "220 Twice.");
            }
            _ => self.say(world, "220 Ready."),
        }
    }

    /// Answers a line.
    fn answer(&mut self, dice: &mut Dice, world: &mut World, line: &str) {
        let mut words = line.splitn(2, ' ');
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        if dice.chance(self.lies) {
            let code = dice.pick(&[
                125, 150, 200, 220, 226, 227, 229, 230, 250, 257, 331, 332, 350, 425, 500, 502,
                503, 530, 550,
            ]);
            self.say(world, &format!("{code} Lie."));
            return;
        }
        if SETUPS.contains(&verb.as_str()) {
            self.ended = None;
        }
        let refuses = !self.honest && dice.chance(8);
        match verb.as_str() {
            _ if refuses => self.say(
                world,
                dice.pick(&["500 What?", "502 No.", "550 No.", "450 Later.", "530 No."]),
            ),
            "PASV" => self.answer_passive(dice, world),
            "EPSV" => {
                let port = world.listen(Leg::Server).port();
                let port = if dice.chance(self.lies) {
                    dice.pick(&[0, 21, 1023, 5000])
                } else {
                    port
                };
                self.say(world, &format!("229 Entering (|||{port}|)"));
            }
            _ if DOWNLOADS.contains(&verb.as_str()) || UPLOADS.contains(&verb.as_str()) => {
                self.job = Some(Job {
                    upload: UPLOADS.contains(&verb.as_str()),
                    stage: Stage::Begun,
                });
                self.work(dice, world, self.job.unwrap());
            }
            "ABOR" => {
                if self.job.take().is_some() {
                    world.end_data(Leg::Server, End::Reset);
                    self.connected = false;
                    self.say(
                        world,
                        dice.pick(&["426 Cut.", "426 Cut.", "226 Done.", "225 Cut."]),
                    );
                    if !self.honest && dice.chance(20) {
                        // One reply for both, or a late one.
                        return;
                    }
                }
                self.say(world, dice.pick(&["226 Aborted.", "225 Nothing to abort."]));
            }
            "FEAT" => world.send(
                Leg::Server,
                b"211-Features:#\r\n SIZE\r\n SITE CHMOD\r\n MLSD\r\n AUTH TLS\r\n211 End#\r\n",
            ),
            "HELP" => world.send(
                Leg::Server,
                b"214-Commands:#\r\n USER PASS SITE* DELE NOOP\r\n214 Done.#\r\n",
            ),
            "STAT" => world.send(
                Leg::Server,
                b"211-State:#\r\n226 not yet\r\n\r\n211 End.#\r\n",
            ),
            verb => {
                let text = match verb {
                    "USER" => {
                        dice.pick(&["331 Password?", "331 Password?", "331 Password?", "230 In."])
                    }
                    "PASS" | "ACCT" => dice.pick(&["230 In.", "230 In.", "230 In.", "202 In."]),
                    "PWD" | "XPWD" => dice.pick(&[
                        "257 \"/\" here",
                        "257 \"/pub\"",
                        "257 \"/secret\"",
                        "257 \"/\"",
                    ]),
                    "RNFR" | "REST" | "RANG" => "350 Go on.",
                    "QUIT" => "221 Bye.",
                    "AUTH" => "234 Go.",
                    "SIZE" => "213 5",
                    _ => "250 Done.",
                };
                if dice.chance(5) {
                    self.say(world, "120 Soon.");
                }
                self.say(world, text);
                if verb == "AUTH" && dice.chance(self.lies) {
                    self.say(world, "230 In clear.");
                }
                if verb == "QUIT" && dice.chance(50) {
                    world.end(Leg::Server, End::Fin);
                }
            }
        }
    }

    /// Answers PASV.
    fn answer_passive(&mut self, dice: &mut Dice, world: &mut World) {
        let mut target = world.listen(Leg::Server);
        if let Some(host) = self.elsewhere {
            target = SocketAddr::new(host, target.port());
            if self.has_second && host == SECOND {
                world.server.listener = Some(target);
            }
        }
        let line = address::render_227(target).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let lie = dice.pick(&[
            "227 (10,9,9,9,200,1)",
            "227 (127,0,0,1,0,21)",
            "227 (10,0,0,5,0,21)",
            "227 =10,0,0,5,200,1",
            "227 (300,0,0,5,200,1)",
            "227 no",
            "229 (|||5000|)",
            "227 (10,0,0,5,3,255)",
        ]);
        let text = if dice.chance(self.lies) {
            lie.to_owned()
        } else {
            line
        };
        self.say(world, &text);
    }

    /// Goes on with a transfer.
    fn work(&mut self, dice: &mut Dice, world: &mut World, mut job: Job) {
        match job.stage {
            Stage::Begun => {
                if !self.honest && dice.chance(5) {
                    self.job = None;
                    self.say(
                        world,
                        dice.pick(&["550 No such file.", "425 No.", "226 Empty."]),
                    );
                    return;
                }
                // Some wait for their data connection before they promise anything.
                if self.honest && dice.chance(50) && !self.connect(world) {
                    return;
                }
                self.say(
                    world,
                    dice.pick(&[
                        "150 Here.",
                        "125 Here.",
                        "150 Here.",
                        "150-Here\r\n150 it comes.",
                    ]),
                );
                job.stage = match self.ended {
                    Some(end) if job.upload => Stage::Ended(end == End::Fin),
                    _ => Stage::Promised,
                };
            }
            Stage::Promised => {
                if !self.connect(world) {
                    if !self.honest && dice.chance(5) {
                        self.job = None;
                        self.say(
                            world,
                            dice.pick(&["425 Nobody came.", "226 Done.", "226 Done."]),
                        );
                    }
                    return;
                }
                if job.upload {
                    if !self.honest && dice.chance(5) {
                        Self::mischief(dice, world);
                    }
                    return;
                }
                match dice.below(100) {
                    0..60 => {
                        let bytes = vec![b'd'; 1 + dice.below(40)];
                        world.send_data(Leg::Server, &bytes);
                    }
                    60..90 if world.end_data(Leg::Server, End::Fin) => {
                        job.stage = Stage::Ended(true);
                    }
                    60..90 => {}
                    _ if !self.honest => {
                        if dice.chance(50) {
                            // It says that it is done, and goes on.
                            self.job = None;
                            self.say(
                                world,
                                dice.pick(&["226 Done.", "451 Broken.", "552 Full.", "226 Done."]),
                            );
                        } else {
                            Self::mischief(dice, world);
                        }
                        return;
                    }
                    _ => {}
                }
            }
            Stage::Ended(well) => {
                self.job = None;
                let lies = dice.chance(self.lies);
                let text = if well == lies {
                    dice.pick(&["426 Broken.", "451 Broken."])
                } else {
                    dice.pick(&["226 Done.", "250 Done.", "226-Done\r\n226 it is."])
                };
                self.say(world, text);
                self.connected = false;
                return;
            }
        }
        self.job = Some(job);
    }

    /// Something that a server must not do to its data connection.
    fn mischief(dice: &mut Dice, world: &mut World) {
        match dice.below(3) {
            0 => {
                world.end_data(Leg::Server, End::Reset);
            }
            1 => world.server.stalls = !world.server.stalls,
            _ => {
                world.server.listens =
                    dice.pick(&[Listens::Accepts, Listens::Ignores, Listens::Refuses]);
            }
        }
    }

    /// Whether its data connection is there, dialled where it is to dial.
    fn connect(&mut self, world: &mut World) -> bool {
        if world.offers(Leg::Server) {
            self.connected = world.dial(Leg::Server);
            self.ended = None;
        }
        self.connected || self.ended.is_some() && self.job.is_some_and(|job| job.upload)
    }
}
