//! What a session owes to each side, read from what both have seen.

use super::client::{Moved, Notes, Sent};
use super::lines::Ended;
use super::run::Tally;
use super::server::{Journal, content};

/// What the server hears of a command.
fn heard_as(line: &str) -> String {
    let verb = line.split(' ').next().unwrap();
    match verb {
        // The address is the gateway's own.
        "PORT" | "EPRT" => verb.to_owned(),
        _ => line.to_owned(),
    }
}

/// Whether the gateway may have said it by itself, for a command that was allowed.
fn may_be_own(line: &str, reply: &str) -> bool {
    let verb = line.split(' ').next().unwrap();
    let code = reply.get(..3).unwrap_or_default();
    match (verb, code) {
        // The gateway's own words, and its own address.
        ("PASV", "227") | ("EPSV", "229") | ("PORT" | "EPRT", "200") => true,
        ("ABOR", "225" | "226") | ("QUIT", "221") => true,
        ("AUTH", "234") | ("PBSZ" | "PROT", "200") => true,
        ("PASV" | "EPSV" | "PORT" | "EPRT", "425") => true,
        ("RETR" | "STOR" | "LIST", "425" | "426" | "522") => true,
        (_, "421") => true,
        _ => false,
    }
}

/// The number of the line that a reply of the server's answers.
fn number_of(reply: &str) -> Option<usize> {
    reply.rsplit_once(" #")?.1.parse().ok()
}

/// Everything that a client has seen against everything that the server has.
pub(crate) fn session(
    notes: &Notes,
    journals: &[impl std::ops::Deref<Target = Journal>],
    calm: bool,
    faults: &mut Vec<String>,
) -> Tally {
    let mut tally = Tally::default();
    let user = &notes.user;
    let own = format!("USER {user}");
    let empty = Journal::default();
    let journal = journals
        .iter()
        .find(|journal| journal.heard.first() == Some(&own))
        .map_or(&empty, |journal| journal);
    let mut faulty = |what: String| faults.push(format!("{user}: {what}"));
    for fault in [
        order(notes, journal),
        replies(notes, journal, &mut tally),
        refusals(notes, &mut tally),
    ] {
        if let Err(fault) = fault {
            faulty(fault);
        }
    }
    for journal in journals {
        let first = journal.heard.first();
        if first.is_some_and(|line| !line.starts_with("USER ")) {
            faulty(format!("L1: {first:?} came before USER"));
        }
        // Half a line is the network's doing: it is the beginning of one.
        let tail = String::from_utf8_lossy(&journal.tail).to_uppercase();
        if tail.starts_with("SITE") || tail.starts_with("SMNT") {
            faulty(format!("L1: a part of a refused command: {tail:?}"));
        }
    }
    for moved in &notes.moved {
        let result = if moved.is_upload {
            upload(notes, moved, journal, &mut tally)
        } else {
            download(notes, moved, journal, &mut tally)
        };
        if let Err(fault) = result {
            faulty(format!("L3: {}: {fault}", moved.name));
        }
    }
    if calm && let Err(fault) = whole(notes) {
        faulty(format!("in calm weather: {fault}"));
    }
    tally
}

/// L1 and L2: what the server heard is what was sent and allowed, in order; what is missing was
/// not answered by it. ABOR may be the gateway's own, and may be skipped.
fn order(notes: &Notes, journal: &Journal) -> Result<(), String> {
    let is_abort = |line: &String| line == "ABOR";
    let mut sent = notes
        .sent
        .iter()
        .filter(|sent| sent.allowed && !is_abort(&sent.line));
    for line in journal.heard.iter().filter(|line| !is_abort(line)) {
        let expected = heard_as(line);
        loop {
            let Some(next) = sent.next() else {
                return Err(format!("L1: the server heard {line:?}, which nobody sent"));
            };
            if heard_as(&next.line) == expected {
                break;
            }
            if let Some(reply) = next.last()
                && number_of(reply).is_some()
            {
                return Err(format!("L2: {:?} was answered and not heard", next.line));
            }
        }
    }
    let own = journal.heard.iter().filter(|line| is_abort(line)).count();
    let transfers = notes.moved.len();
    if own > transfers + notes.sent.iter().filter(|it| is_abort(&it.line)).count() {
        return Err(format!("L1: {own} times ABOR for {transfers} transfers"));
    }
    Ok(())
}

/// L2: replies come in the order of commands, each for its own.
fn replies(notes: &Notes, journal: &Journal, tally: &mut Tally) -> Result<(), String> {
    let mut former = None;
    let mut silent = None;
    for sent in &notes.sent {
        let Sent { line, replies, .. } = sent;
        if let (Some(silent), false) = (&silent, replies.is_empty()) {
            return Err(format!("L2: {line:?} was answered before {silent:?}"));
        }
        if sent.last().is_none() {
            silent = Some(line.clone());
        }
        if replies.len() > 2 || replies.len() == 2 && !replies[0].starts_with('1') {
            return Err(format!("L2: {line:?} was answered {replies:?}"));
        }
        for reply in replies {
            let Some(number) = number_of(reply) else {
                if sent.allowed && !may_be_own(line, reply) {
                    return Err(format!(
                        "L2: {line:?} was answered {reply:?} by the gateway"
                    ));
                }
                continue;
            };
            if !sent.allowed {
                return Err(format!(
                    "L1: {line:?} was answered by the server: {reply:?}"
                ));
            }
            let heard = journal.heard.get(number).map(|line| heard_as(line));
            if heard != Some(heard_as(line)) {
                return Err(format!("L2: {line:?} was answered {reply:?} for {heard:?}"));
            }
            if former.is_some_and(|former| {
                former > number || former == number && sent_is_new(sent, reply)
            }) {
                return Err(format!("L2: {reply:?} came out of turn"));
            }
            former = Some(number);
        }
        if sent.last().and_then(number_of).is_some() {
            tally.answered += 1;
        }
    }
    // The word of a gateway that ends a session may meet a client that has said nothing.
    match notes.strays.as_slice() {
        [] => Ok(()),
        [one] if one.starts_with("421 ") => Ok(()),
        strays => Err(format!("L2: replies to nothing: {strays:?}")),
    }
}

/// Whether `reply` is the first one to its command.
fn sent_is_new(sent: &Sent, reply: &String) -> bool {
    sent.replies.first() == Some(reply)
}

/// L1: what is refused is refused by the gateway.
fn refusals(notes: &Notes, tally: &mut Tally) -> Result<(), String> {
    for sent in notes.sent.iter().filter(|sent| !sent.allowed) {
        if let Some(reply) = sent.last() {
            if !reply.starts_with("502 ") && !reply.starts_with("421 ") {
                return Err(format!("L1: {:?} was answered {reply:?}", sent.line));
            }
            tally.refused += 1;
        }
    }
    Ok(())
}

/// The word that a transfer is complete, heard by the client.
fn said_done(notes: &Notes, moved: &Moved) -> bool {
    let sent = &notes.sent[moved.command];
    sent.last().is_some_and(|reply| reply.starts_with('2'))
}

/// L3: what ended in order at the client, with bytes or with a 226, is the whole file, or what
/// the server's side has ended in order.
fn download(
    notes: &Notes,
    moved: &Moved,
    journal: &Journal,
    tally: &mut Tally,
) -> Result<(), String> {
    let done = said_done(notes, moved);
    let whole = content(&moved.name);
    if !whole.starts_with(&moved.bytes) {
        return Err(format!("{} bytes are others", moved.bytes.len()));
    }
    let ended = moved.ended == Some(Ended::Fin);
    if !(ended && (done || !moved.bytes.is_empty())) {
        tally.broken += usize::from(!moved.name.starts_with("missing"));
        return Ok(());
    }
    let served: Vec<_> = journal
        .served
        .iter()
        .filter(|(name, ..)| *name == moved.name)
        .map(|(_, ledger, dialled)| {
            if *dialled {
                &ledger.there
            } else {
                &ledger.back
            }
        })
        .collect();
    // Listings have one name; the others theirs alone.
    let complete = moved.bytes.len() == whole.len();
    let as_handed = served.iter().any(|passed| {
        passed.ended() && passed.forged() && passed.bytes() == moved.bytes.len() as u64
    });
    if !complete && !as_handed {
        return Err(format!(
            "{} of {} bytes look complete (226: {done})",
            moved.bytes.len(),
            whole.len()
        ));
    }
    if !served.iter().any(|passed| passed.ended()) {
        return Err("it looks complete, and the server has not ended it".to_owned());
    }
    tally.downloads += usize::from(done);
    tally.secured += usize::from(done && moved.secured);
    Ok(())
}

/// L3: what ended in order at the server is what the client's side has ended in order, and only
/// that is said to be complete.
fn upload(
    notes: &Notes,
    moved: &Moved,
    journal: &Journal,
    tally: &mut Tally,
) -> Result<(), String> {
    let done = said_done(notes, moved);
    let whole = content(&moved.name);
    let stored: Vec<_> = journal
        .stored
        .iter()
        .filter(|stored| stored.name == moved.name)
        .collect();
    let complete = stored.iter().find(|stored| stored.ended == Ended::Fin);
    for stored in &stored {
        if !whole.starts_with(&stored.bytes) {
            return Err(format!("{} bytes are others", stored.bytes.len()));
        }
    }
    let Some(complete) = complete else {
        tally.broken += 1;
        return if done {
            Err("226 for what the server has not got".to_owned())
        } else {
            Ok(())
        };
    };
    if moved.secured {
        // TLS tells an end that the network has made up from the client's own.
        return if moved.ended == Some(Ended::Fin) && complete.bytes.len() == whole.len() {
            tally.uploads += usize::from(done);
            tally.secured += usize::from(done);
            Ok(())
        } else {
            let came = complete.bytes.len();
            Err(format!(
                "{came} of {} bytes look complete to the server",
                whole.len()
            ))
        };
    }
    let Some((ledger, dialled)) = &moved.ledger else {
        return Err("complete without a data connection".to_owned());
    };
    let passed = if *dialled {
        &ledger.there
    } else {
        &ledger.back
    };
    if !passed.ended() || passed.bytes() != complete.bytes.len() as u64 {
        return Err(format!(
            "{} bytes look complete to the server, {} of {} came with an end: {}",
            complete.bytes.len(),
            passed.bytes(),
            whole.len(),
            passed.ended()
        ));
    }
    let ended = moved.ended == Some(Ended::Fin);
    if !passed.forged() && (!ended || complete.bytes.len() != whole.len()) {
        return Err("it looks complete to the server, and the client has not ended it".to_owned());
    }
    tally.uploads += usize::from(done);
    Ok(())
}

/// In calm weather everything goes as it should.
fn whole(notes: &Notes) -> Result<(), String> {
    if !notes.greeted || !notes.parted || !notes.strays.is_empty() {
        return Err(format!("no session in order, it ended {:?}", notes.ended));
    }
    for sent in &notes.sent {
        let Some(last) = sent.last() else {
            return Err(format!("{:?} was not answered", sent.line));
        };
        if last.starts_with("421") {
            return Err(format!("{:?} was answered {last:?}", sent.line));
        }
    }
    for moved in notes.moved.iter().filter(|moved| !moved.aborted) {
        let missing = moved.name.starts_with("missing");
        if said_done(notes, moved) == missing {
            let sent = &notes.sent[moved.command];
            return Err(format!("{} came to {:?}", moved.name, sent.replies));
        }
        if !missing && moved.ended != Some(Ended::Fin) {
            return Err(format!("{} ended {:?}", moved.name, moved.ended));
        }
    }
    Ok(())
}

/// What a client has seen, to be read.
pub(crate) fn shown(notes: &Notes) -> String {
    let Notes {
        user,
        ended,
        strays,
        ..
    } = notes;
    let mut lines = vec![format!("{user}: ended {ended:?}, strays {strays:?}")];
    for Sent { line, replies, .. } in &notes.sent {
        lines.push(format!("{line} -> {replies:?}"));
    }
    for moved in &notes.moved {
        let Moved {
            name,
            bytes,
            ended,
            aborted,
            ledger,
            ..
        } = moved;
        let bytes = bytes.len();
        lines.push(format!(
            "{name}: {bytes} bytes came, ended {ended:?}, aborted {aborted}, {ledger:?}"
        ));
    }
    lines.join("\n        ")
}
