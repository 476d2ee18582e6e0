//! Sessions that do nothing: what each keeps of memory, and what a command costs while they are held.
//!
//! Each measurement has a process of its own, since one that has worked keeps memory for later.

use std::io;
use std::thread;
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::client::Client;
use crate::load::{Scale, median, time_commands};
use crate::process::pause;
use crate::rows::{Speech, door};
use crate::subjects::{Kind, Subject, World};

/// Sessions of a server that forks for each: the machine must have room for them.
const FORKED: usize = 100;
/// Threads that log in.
const DIALLERS: usize = 16;

/// What holding sessions costs.
pub(crate) struct Held {
    /// KiB of the program for a session.
    pub(crate) memory: f64,
    /// KiB of program and kernel for a session, where the kernel tells.
    pub(crate) charged: Option<f64>,
    /// The median round trip of a command, against the median when one session is held.
    pub(crate) slowdown: f64,
}

/// Measures a fresh process of this kind.
pub(crate) fn measure(kind: Kind, speech: Speech, world: &World, scale: Scale) -> io::Result<Held> {
    let missing = || io::Error::other("it does not speak this");
    // Declared first, so that it goes last: a group with processes stays.
    let group;
    let subject = Subject::start(kind, world)?.ok_or_else(missing)?;
    let door = door(&subject, speech, world)?.ok_or_else(missing)?;
    let count = match kind {
        Kind::ModProxy | Kind::Suse => scale.idle.min(FORKED),
        _ => scale.idle,
    };
    // What the first session brings to life is not counted to the others.
    let mut first = Client::login(&door)?;
    let alone = round_trip(&mut first, scale.span)?;
    // What the first session brings to life is not charged to it either.
    group = Cgroup::of(&subject.members());
    let used = || group.as_ref().and_then(Cgroup::used);
    let (before, charged_before) = (subject.pss(), used());
    let held: io::Result<Vec<Vec<Client>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..DIALLERS)
            .map(|_| {
                scope.spawn(|| {
                    (0..count.div_ceil(DIALLERS))
                        .map(|_| Client::login(&door))
                        .collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|_| Err(io::Error::other("a client panicked")))
            })
            .collect()
    });
    let held = held?;
    pause(scale.span);
    let sessions: usize = held.iter().map(Vec::len).sum();
    let memory = (subject.pss() - before) / sessions as f64;
    let charged = used().zip(charged_before);
    let crowded = round_trip(&mut first, scale.span)?;
    Ok(Held {
        memory,
        charged: charged.map(|(after, before)| (after - before) / sessions as f64),
        slowdown: crowded.as_secs_f64() / alone.as_secs_f64(),
    })
}

/// The median of NOOPs.
fn round_trip(client: &mut Client, span: Duration) -> io::Result<Duration> {
    let times = time_commands(client, span, "NOOP", "200")?;
    median(times).ok_or_else(|| io::ErrorKind::TimedOut.into())
}
