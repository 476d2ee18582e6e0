//! A server that agrees to everything, and worlds to begin with.

use ftpwarden::ftp::address;
use ftpwarden::session::{End, Leg};

use crate::rules::{self, Tables};
use crate::world::{Places, Seen, World};

/// A client that has just connected, under `policy` and with `limits`.
pub(crate) fn world(policy: &[&str], limits: &[&str]) -> World {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let tables = Tables {
        policy: lines(policy),
        limits: lines(limits),
        ..Tables::default()
    };
    of_tables(&tables)
}

/// A client that has just connected, under `tables`.
pub(crate) fn of_tables(tables: &Tables) -> World {
    let loaded = rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21")).unwrap();
    let (profile, judge) = rules::of_session(&loaded);
    let mut world = World::new(profile, judge, Places::new(false, false));
    world.settle();
    world
}

/// The same, logged in, with nothing left to look at.
pub(crate) fn logged_in(policy: &[&str], limits: &[&str]) -> World {
    let mut world = world(policy, limits);
    log_in(&mut world);
    world
}

/// Logs in.
pub(crate) fn log_in(world: &mut World) {
    world.send(Leg::Server, b"220 Ready.\r\n");
    world.send(Leg::Client, b"USER ann\r\n");
    world.send(Leg::Server, b"331 Password?\r\n");
    world.send(Leg::Client, b"PASS secret\r\n");
    world.send(Leg::Server, b"230 In.\r\n");
    world.client.seen.clear();
    world.server.seen.clear();
}

/// All bytes that a side has received on its control connection, taken out.
pub(crate) fn heard(world: &mut World, leg: Leg) -> Vec<u8> {
    let mut heard = Vec::new();
    for seen in world.peer(leg).seen.drain(..) {
        if let Seen::Control(bytes) = seen {
            heard.extend(bytes);
        }
    }
    heard
}

/// The codes of the replies that the client has received, preliminary ones included, taken out.
pub(crate) fn codes(world: &mut World) -> Vec<u16> {
    let heard = heard(world, Leg::Client);
    let mut codes = Vec::new();
    let mut open = None;
    for line in heard.split_inclusive(|byte| *byte == b'\n') {
        let code = std::str::from_utf8(&line[..3])
            .ok()
            .and_then(|digits| digits.parse::<u16>().ok());
        match (open, code, line[3]) {
            (None, Some(code), b' ') => codes.push(code),
            (None, Some(code), b'-') => open = Some(code),
            (Some(opened), Some(code), b' ') if opened == code => {
                codes.push(code);
                open = None;
            }
            (Some(_), _, _) => {}
            _ => panic!("no reply: {}", line.escape_ascii()),
        }
    }
    assert!(open.is_none(), "a reply was not finished");
    codes
}

/// PASV on both legs, with both data connections there.
pub(crate) fn open_passive(world: &mut World) {
    world.send(Leg::Client, b"PASV\r\n");
    answer_passive(world);
    assert!(world.dial(Leg::Client), "the offer is not there");
}

/// The server's answer to PASV.
pub(crate) fn answer_passive(world: &mut World) {
    let target = world.listen(Leg::Server);
    let line = address::render_227(target).unwrap();
    world.send(Leg::Server, &line);
}

/// PORT on both legs; the server has dialled.
pub(crate) fn open_active(world: &mut World) {
    let target = world.listen(Leg::Client);
    let line = address::render_port(target).unwrap();
    world.send(Leg::Client, &line);
    world.send(Leg::Server, b"200 Ok.\r\n");
    assert!(world.dial(Leg::Server), "the offer is not there");
}

/// Answers every command that the server has received, until there is none; returns all bytes
/// that it received.
pub(crate) fn agree(world: &mut World) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let heard = heard(world, Leg::Server);
        if heard.is_empty() || world.session.is_over() {
            all.extend(heard);
            return all;
        }
        for line in heard.split_inclusive(|byte| *byte == b'\n') {
            answer(world, line);
        }
        all.extend(heard);
    }
}

/// Answers one line.
fn answer(world: &mut World, line: &[u8]) {
    let word = line
        .split(|byte| !byte.is_ascii_alphanumeric())
        .find(|word| !word.is_empty())
        .unwrap_or_default()
        .to_ascii_uppercase();
    let reply: &[u8] = match word.as_slice() {
        b"USER" => b"331 Password?\r\n",
        b"PASS" => b"230 In.\r\n",
        b"PASV" => return answer_passive(world),
        b"EPSV" => {
            let port = world.listen(Leg::Server).port();
            let line = address::render_229(port);
            return world.send(Leg::Server, &line);
        }
        b"RNFR" | b"REST" => b"350 Go on.\r\n",
        b"PWD" | b"XPWD" => b"257 \"/\"\r\n",
        b"QUIT" => b"221 Bye.\r\n",
        b"FEAT" => b"211-F\r\n SIZE\r\n211 End\r\n",
        b"RETR" | b"LIST" | b"NLST" | b"MLSD" => {
            world.send(Leg::Server, b"150 Here.\r\n");
            world.dial(Leg::Server);
            world.send_data(Leg::Server, b"bytes");
            world.end_data(Leg::Server, End::Fin);
            b"226 Done.\r\n"
        }
        b"STOR" | b"APPE" | b"STOU" => {
            world.send(Leg::Server, b"150 Go.\r\n");
            b"226 Stored.\r\n"
        }
        _ => b"250 Done.\r\n",
    };
    world.send(Leg::Server, reply);
}
