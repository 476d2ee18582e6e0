//! A client that says what clients say, and worse.

use ftpwarden::ftp::address;
use ftpwarden::session::{End, Leg};

use crate::dice::Dice;
use crate::ideal::{DOWNLOADS, UPLOADS};
use crate::shadow::{SECRET, Shadow};
use crate::world::{Listens, Seen, World};

/// Commands that a client may send at any time.
const COMMANDS: [&str; 67] = [
    "SYST",
    "FEAT",
    "HELP",
    "HELP SITE",
    "NOOP",
    "NOOP",
    "noop ",
    "NOP",
    "STAT",
    "PWD",
    "XPWD",
    "CWD /pub_~",
    "CWD ~",
    "CDUP",
    "TYPE I",
    "type  a  n",
    "TYPE E",
    "MODE S",
    "MODE B",
    "STRU F",
    "SIZE /pub/f~",
    "SIZE /pub/f",
    "SIZE /secret/f",
    "SIZE x",
    "MDTM /pub/~",
    "MDTM 20260101000000 /f~",
    "OPTS UTF8 ON",
    "XYZZY ~",
    "RCMD ~",
    "SITE CHMOD 777 ~",
    "SITE  IDLE ~",
    "site help",
    "CHMOD 7 ~",
    "DELE /pub/x",
    "DELE /secret/~",
    "SMNT ~",
    "MKD ~",
    "XMKD ~",
    "RMD ~",
    "XRMD ~",
    "RNFR /pub/a",
    "RNTO /pub/b",
    "RNFR /secret/a",
    "RNTO /secret/b",
    "RNTO",
    "REST 10",
    "RANG 2 4",
    "REST 99999999999999999999",
    "REST ~",
    "ALLO 5",
    "ABOR",
    "abor ",
    "CCC",
    "PBSZ 0",
    "PROT P",
    "PROT C",
    "PROT S",
    "MIC ~",
    "PRET RETR ~",
    "LPRT 4,4,~",
    "CLNT a~",
    "LANG",
    "HOST ~",
    "MLST ~",
    "MFMT 20260101000000 ~",
    "ACCT hunter2swordfish",
    "SITE TOKEN hunter2swordfish",
];

/// Transfers.
const TRANSFERS: [&str; 12] = [
    "RETR /pub/f",
    "RETR /secret/f",
    "RETR ~",
    "STOR /pub/~",
    "STOR /pub/f",
    "STOR /secret/x",
    "APPE /pub/x",
    "STOU",
    "LIST",
    "LIST -la ~",
    "NLST",
    "MLSD",
];

/// Lines that are no commands, or hide one.
const JUNK: [&[u8]; 26] = [
    b"!\r\n",
    b"\r\n",
    b"  \r\n",
    b" SITE x\r\n",
    b"\tSITE x\r\n",
    b"SITE\tx\r\n",
    b"NOOP\rSITE x\r\n",
    b"NOOP\0SITE x\r\n",
    b"PWD\r\0\n",
    b"PWD\r\r\n",
    b"NOOP\nSITE x\n",
    b"SI\xFF\xF1TE x\r\n",
    b"\xFF\xFD\x01SITE x\r\n",
    b"S\xC5\xBFTE x\r\n",
    b"\xEF\xBB\xBFSITE x\r\n",
    b"SIZE a\xFF\xFFb\r\n",
    b"SIZE a\x08b\r\n",
    b"SIZE a\tb\r\n",
    b"\xFF\xF4\xFF\xF2ABOR\r\n",
    b"\xF2ABOR\r\n",
    b"PASS\thunter2swordfish\r\n",
    b"PASS hunter2swordfish\0\r\n",
    b"OPTS\x0BUTF8\r\n",
    b"XCRC \"a b\" 0 1\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01\r\n",
];

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    /// It keeps to the protocol.
    honest: bool,
    /// It waits for each reply.
    polite: bool,
    /// What it will send first.
    begin: Vec<Vec<u8>>,
    /// It was offered a data connection and has not dialled.
    offered: bool,
    /// It sends no more commands.
    done: bool,
}

impl Client {
    /// One that begins like most.
    pub(crate) fn new(dice: &mut Dice, honest: bool, tls: bool) -> Self {
        let mut begin: Vec<Vec<u8>> = Vec::new();
        let mut say = |text: &str| begin.push(format!("{text}\r\n").into_bytes());
        if tls && dice.chance(85) {
            say(dice.pick(&["AUTH TLS", "auth tls", "AUTH SSL", "AUTH TLS-C"]));
        }
        if honest || dice.chance(90) {
            let name = if honest {
                "ann"
            } else {
                dice.pick(&["ann", "ann", "ann", "eve", "bob"])
            };
            say(&format!("USER {name}"));
            say(&format!("PASS {SECRET}"));
        }
        if tls && dice.chance(80) {
            say("PBSZ 0");
            say("PROT P");
        }
        begin.reverse();
        Self {
            honest,
            polite: honest || dice.chance(40),
            begin,
            offered: false,
            done: false,
        }
    }

    /// Looks at what it has seen.
    pub(crate) fn look(&mut self, world: &mut World) {
        for seen in world.client.seen.drain(..) {
            if let Seen::Control(bytes) = seen {
                self.offered |= bytes
                    .windows(4)
                    .any(|four| four == b"227 " || four == b"229 ");
            }
        }
    }

    /// Whether it could say something.
    pub(crate) fn may_speak(&self, shadow: &Shadow, world: &World) -> bool {
        let waits = self.polite
            && (shadow.owes() > 0 || world.unread(Leg::Client) > 0 || !shadow.is_greeted());
        !self.done && !waits && !shadow.turning[0]
    }

    /// Says something.
    pub(crate) fn speak(&mut self, dice: &mut Dice, world: &mut World) {
        if let Some(line) = self.begin.pop() {
            world.send(Leg::Client, &line);
            return;
        }
        let line = match dice.below(100) {
            0..40 => {
                let command = any_command(dice);
                [self.spoil(dice, command), b"\r\n".to_vec()].concat()
            }
            40..55 => self.set_up(dice, world),
            55..85 => {
                let mut both = Vec::new();
                if dice.chance(10) {
                    both.extend(b"REST 5\r\n");
                }
                both.extend(self.set_up(dice, world));
                both.extend(dice.pick(&TRANSFERS).bytes());
                both.extend(b"\r\n");
                if !self.honest && dice.chance(25) {
                    both.extend(dice.pick(&[
                        &b"ABOR\r\n"[..],
                        b"STAT\r\n",
                        b"\xFF\xF4\xFF\xF2ABOR\r\n",
                        b"NOOP\r\nABOR\r\n",
                        b"STAT\r\nSTAT\r\nABOR\r\n",
                    ]));
                }
                both
            }
            85..88 if !self.honest => b"ABOR\r\n".to_vec(),
            88..90 if !self.honest => format!("PASS {SECRET}\r\n").into_bytes(),
            90..91 => {
                self.done = true;
                b"QUIT\r\n".to_vec()
            }
            91..92 if !self.honest => dice
                .pick(&[
                    &b"USER eve\r\n"[..],
                    b"USER bob\r\n",
                    b"REIN\r\n",
                    b"USER ann\r\nPASS x\r\n",
                ])
                .to_vec(),
            92..93 if !self.honest => dice
                .pick(&[
                    &b"AUTH TLS\r\n"[..],
                    b"AUTH TLS\r\nFEAT\r\n",
                    b"AUTH X\r\n",
                    b"EPSV ALL\r\n",
                ])
                .to_vec(),
            93..97 if !self.honest => dice.pick(&JUNK).to_vec(),
            97 if !self.honest && dice.chance(30) => {
                let length = dice.pick(&[400, 503, 504, 505, 506, 1000, 3000]);
                [b"NOOP ".as_slice(), &vec![b'A'; length], b"SITE x\r\n"].concat()
            }
            98 if !self.honest && dice.chance(10) => {
                let line = dice.pick(&["SIZE /pub/f\r\n", "NOOP\r\n", "CWD /pub_~\r\n"]);
                line.repeat(dice.below(12_000)).into_bytes()
            }
            _ => b"NOOP\r\n".to_vec(),
        };
        world.send(Leg::Client, &line);
    }

    /// A line that is a little wrong, sometimes.
    fn spoil(&self, dice: &mut Dice, mut line: Vec<u8>) -> Vec<u8> {
        if !self.honest && dice.chance(4) {
            let at = dice.below(line.len() + 1);
            let byte = dice.pick(b"\0\r\n\t \xFF\xF2\x0B~aA");
            line.insert(at, byte);
        }
        line
    }

    /// A command that sets up a data connection.
    fn set_up(&self, dice: &mut Dice, world: &mut World) -> Vec<u8> {
        let v6 = world.places.client.is_ipv6();
        let host = world.places.client.ip();
        let line = match dice.below(if self.honest { 4 } else { 8 }) {
            0 if !v6 => "PASV".to_owned(),
            0 | 1 => "EPSV".to_owned(),
            2 if !v6 => {
                let target = world.listen(Leg::Client);
                return address::render_port(target).unwrap().to_vec();
            }
            2 | 3 => {
                let target = world.listen(Leg::Client);
                return address::render_eprt(target).to_vec();
            }
            4 => dice
                .pick(&[
                    "PORT 10,0,0,5,200,1",
                    "PORT 127,0,0,1,200,1",
                    "PORT 192,0,2,10,0,22",
                    "PORT 192,0,2,10,3,255",
                    "PORT 1,2,3",
                    "PORT 192,0,2,10,200,+1",
                ])
                .to_owned(),
            5 => dice
                .pick(&[
                    "EPRT |1|10.0.0.5|5000|",
                    "EPRT |2|::1|5000|",
                    "EPRT |3|x|1|",
                    "EPRT |1|192.0.2.10|1023|",
                    "EPRT |1|192.0.2.10|65536|",
                ])
                .to_owned(),
            6 => format!(
                "EPRT |{}|{host}|{}|",
                if v6 { 2 } else { 1 },
                dice.pick(&[1024, 5000, 80, 0])
            ),
            _ => dice
                .pick(&["EPSV 1", "EPSV 2", "EPSV 3", "EPSV x", "EPSV ALL", "PASV x"])
                .to_owned(),
        };
        format!("{line}\r\n").into_bytes()
    }

    /// Whether it could do something with its data connection.
    pub(crate) const fn acts(world: &World) -> bool {
        world.has_data(Leg::Client)
    }

    /// Does something with its data connection.
    pub(crate) fn act(&mut self, dice: &mut Dice, world: &mut World, shadow: &Shadow) -> bool {
        if world.offers(Leg::Client) && (self.offered || !self.honest) {
            self.offered = false;
            if !self.honest && dice.chance(10) {
                return world.dial_as_stranger(Leg::Client);
            }
            return world.dial(Leg::Client);
        }
        let verb = shadow.in_work();
        let uploads = UPLOADS.contains(&verb);
        let early = !self.honest && !DOWNLOADS.contains(&verb);
        match dice.below(100) {
            0..60 if uploads || early => {
                let bytes = vec![b'u'; 1 + dice.below(40)];
                world.send_data(Leg::Client, &bytes)
            }
            60..90 if uploads || early && dice.chance(20) => world.end_data(Leg::Client, End::Fin),
            90..97 if !self.honest => {
                world.end_data(Leg::Client, dice.pick(&[End::Fin, End::Reset]))
            }
            97 if !self.honest => {
                world.client.stalls = !world.client.stalls;
                true
            }
            98 if !self.honest => {
                world.client.listens =
                    dice.pick(&[Listens::Accepts, Listens::Ignores, Listens::Refuses]);
                true
            }
            _ => false,
        }
    }
}

/// Any command of the list.
fn any_command(dice: &mut Dice) -> Vec<u8> {
    let mut command = dice.pick(&COMMANDS).to_owned();
    if dice.chance(10) {
        command = command.to_lowercase();
    }
    command.into_bytes()
}
