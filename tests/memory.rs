//! What a session holds at the most, counted by the allocator. Alone in its file: the count is that
//! of the whole process.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

use std::alloc::System;
use std::time::Duration;

use cap::Cap;
use support::{Bench, Control, passive_pair, reset, within};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Counts what is allocated.
#[global_allocator]
static ALLOCATED: Cap<System> = Cap::new(System, usize::MAX);

/// How many sessions share what is counted.
const SESSIONS: usize = 40;

/// What `SECURITY.md` states of a session at its worst.
const WORST_BYTES: usize = 1 << 20;

/// What it states of one that is idle, in clear.
const IDLE_BYTES: usize = 5 << 10;

/// How long a peer takes nothing that will take nothing any more.
const STUCK: Duration = Duration::from_millis(500);

/// Writes until nothing more is taken; returns how much was.
async fn fill(stream: &mut TcpStream, block: &[u8]) -> usize {
    let mut written = 0;
    while timeout(STUCK, stream.writable()).await.is_ok() {
        let rest = block.get(written % block.len()..).unwrap();
        if let Ok(bytes) = stream.try_write(rest) {
            written += bytes;
        }
    }
    written
}

/// One session and all that its peers have of it.
struct Peers {
    /// The client, which reads nothing any more.
    client: Control,
    /// The server.
    server: Control,
    /// The client's data connection, which nobody reads.
    data: TcpStream,
    /// The server's.
    peer: TcpStream,
}

impl Peers {
    /// Fills all that a session may hold.
    async fn fill(&mut self, commands: &[u8], lines: &[u8], bytes: &[u8]) {
        // Commands that wait for their turn, and those behind them.
        fill(&mut self.client.stream, commands).await;
        // A reply that the client does not read, and half a line of it.
        fill(&mut self.server.stream, lines).await;
        // A file that it does not read.
        fill(&mut self.peer, bytes).await;
    }
}

#[tokio::test]
async fn a_session_stays_below_its_stated_memory() {
    let bench = Bench::start("", "", "").await;
    // What is allocated once is not a session's.
    drop(bench.logged_in().await);
    let before = ALLOCATED.allocated();
    let mut idle = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        idle.push(bench.logged_in().await);
    }
    let held = ALLOCATED.allocated().saturating_sub(before) / SESSIONS;
    println!("an idle session holds {held} bytes");
    assert!(held <= IDLE_BYTES, "an idle session holds {held} bytes");

    let mut sessions = Vec::with_capacity(SESSIONS);
    for (mut client, mut server) in idle {
        let (data, peer) = passive_pair(&mut client, &mut server).await;
        client.say("RETR file").await;
        server.hear("RETR file").await;
        sessions.push(Peers {
            client,
            server,
            data,
            peer,
        });
    }
    let commands = format!("CWD /{}\r\n", "d".repeat(500)).repeat(1000);
    let lines = format!("150-{}\r\n", "x".repeat(60_000)).repeat(10);
    let bytes = vec![b'b'; 1 << 20];
    let blocks = commands.len() + lines.len() + bytes.len();
    let mut tasks = tokio::task::JoinSet::new();
    let shared = std::sync::Arc::new((commands, lines, bytes));
    for mut session in sessions {
        let shared = std::sync::Arc::clone(&shared);
        tasks.spawn(async move {
            let (commands, lines, bytes) = &*shared;
            session
                .fill(commands.as_bytes(), lines.as_bytes(), bytes)
                .await;
            session
        });
    }
    let sessions = tasks.join_all().await;
    let held = (ALLOCATED.allocated().saturating_sub(before) - blocks) / SESSIONS;
    assert!(held <= WORST_BYTES, "a session holds {held} bytes");
    // The state is the worst indeed: the queue, its overflow, the reply and its line are there.
    assert!(held >= 200 << 10, "a session holds {held} bytes only");
    assert_eq!(bench.gateway.sessions(), SESSIONS);
    // And nothing of it is left once they are gone.
    for session in sessions {
        reset(session.client.stream);
        drop((session.server, session.data, session.peer));
    }
    within(async {
        while bench.gateway.sessions() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let left = ALLOCATED.allocated().saturating_sub(before) - blocks;
    // Buffers of relays are kept for the next ones.
    assert!(left < 8 << 20, "{left} bytes are left");
}
