//! How much memory a command and a piece of a transfer ask for, counted by the allocator. Alone in its file: the count is
//! that of the whole process.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

use std::alloc::System;

use cap::Cap;
use support::{Bench, Control, passive_pair, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

/// Counts what is allocated.
#[global_allocator]
static ALLOCATED: Cap<System> = Cap::new(System, usize::MAX);

/// Held by the test that counts.
static COUNTS: Mutex<()> = Mutex::const_new(());

/// How often each command is sent before and while it is counted.
const ROUNDS: usize = 100;

/// Waits for `bytes` to come.
async fn hear(control: &mut Control, bytes: &[u8]) {
    let mut buffer = [0; 256];
    let buffer = buffer.get_mut(..bytes.len()).unwrap();
    within(control.stream.read_exact(buffer)).await.unwrap();
    assert_eq!(buffer, bytes);
}

/// How many bytes a command takes that the server answers with `reply`.
async fn taken(client: &mut Control, server: &mut Control, command: &[u8], reply: &[u8]) -> usize {
    let mut before = 0;
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = ALLOCATED.total_allocated();
        }
        client.stream.write_all(command).await.unwrap();
        hear(server, command).await;
        server.stream.write_all(reply).await.unwrap();
        hear(client, reply).await;
    }
    (ALLOCATED.total_allocated() - before) / ROUNDS
}

/// How many bytes a command takes that the gateway refuses.
async fn taken_by_a_refusal(client: &mut Control) -> usize {
    let mut before = 0;
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = ALLOCATED.total_allocated();
        }
        client.stream.write_all(b"SITE EXEC id\r\n").await.unwrap();
        hear(client, b"502 Command not implemented.\r\n").await;
    }
    (ALLOCATED.total_allocated() - before) / ROUNDS
}

#[tokio::test]
async fn a_command_that_names_no_file_takes_no_memory() {
    let _counts = COUNTS.lock().await;
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    for (command, reply) in [
        (&b"NOOP\r\n"[..], &b"200 Ok.\r\n"[..]),
        (b"TYPE I\r\n", b"200 Type is I.\r\n"),
        (b"PWD\r\n", b"550 No.\r\n"),
        (b"REST 100\r\n", b"350 Go on.\r\n"),
        (b"SYST\r\n", b"215 UNIX Type: L8\r\n"),
    ] {
        let bytes = taken(&mut client, &mut server, command, reply).await;
        assert_eq!(bytes, 0, "{}", command.escape_ascii());
    }
    // The directory that is stated is kept.
    let pwd = taken(
        &mut client,
        &mut server,
        b"PWD\r\n",
        b"257 \"/in/acme\"\r\n",
    );
    assert!(pwd.await <= 32, "a directory");
    let bytes = taken_by_a_refusal(&mut client).await;
    assert_eq!(bytes, 0, "a refusal");
}

#[tokio::test]
async fn a_piece_of_a_transfer_takes_no_memory() {
    let _counts = COUNTS.lock().await;
    let bench = Bench::plain().await;
    let (mut client, mut server) = bench.logged_in().await;
    let (mut data, mut peer) = passive_pair(&mut client, &mut server).await;
    client.say("RETR file").await;
    server.hear("RETR file").await;
    server.say("150 Here.").await;
    client.hear("150 Here.").await;
    // Copied at first, later spliced; what is between them, a pipe, is not counted.
    let mut pieces = [0..10, 10..50, 50..110, 110..200].map(|range| (range, 0_usize));
    for (range, bytes) in &mut pieces {
        let before = ALLOCATED.total_allocated();
        for number in range.clone() {
            let piece = [number; 4096];
            within(peer.write_all(&piece)).await.unwrap();
            let mut read = [0; 4096];
            within(data.read_exact(&mut read)).await.unwrap();
            assert_eq!(read, piece);
        }
        *bytes = ALLOCATED.total_allocated() - before;
    }
    assert_eq!((pieces[1].1, pieces[3].1), (0, 0));
}
