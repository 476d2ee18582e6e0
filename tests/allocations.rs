//! How much memory a command asks for, counted by the allocator. Alone in its file: the count is
//! that of the whole process.

#![expect(clippy::unwrap_used, reason = "a test panics when it fails")]

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

use std::alloc::System;

use cap::Cap;
use support::{Bench, Control, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Counts what is allocated.
#[global_allocator]
static ALLOCATED: Cap<System> = Cap::new(System, usize::MAX);

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
    let bytes = taken_by_a_refusal(&mut client).await;
    assert_eq!(bytes, 0, "a refusal");
}
