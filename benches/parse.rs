//! How long reading takes: a client's line, a command, a server's reply.

use bytes::Bytes;
use divan::{Bencher, black_box};
use ftpwarden::ftp::command::Command;
use ftpwarden::ftp::line::LineReader;
use ftpwarden::ftp::reply::ReplyReader;

/// Lines of a client, plain, with Telnet and refused.
const LINES: [&[u8]; 5] = [
    b"NOOP\r\n",
    b"STOR /in/acme/ORDERS20261125.edi\r\n",
    b"\xFF\xF4\xFF\xF2ABOR\r\n",
    b"SIZE caf\xC3\xA9\xFF\xFF\r\n",
    b"PWD\0junk\r\n",
];

fn main() {
    divan::main();
}

/// One line, framed.
#[divan::bench(args = 0..LINES.len())]
fn line(bencher: Bencher<'_, '_>, index: usize) {
    let line = LINES.get(index).copied().unwrap_or_default();
    let mut reader = LineReader::new(510);
    bencher.bench_local(|| {
        reader.push(black_box(line));
        reader.next_line()
    });
}

/// Four thousand commands in one segment, framed.
#[divan::bench]
fn lines_in_one_segment(bencher: Bencher<'_, '_>) {
    let segment = b"SITE CHMOD 777 x\r\n".repeat(4_000);
    let mut reader = LineReader::new(510);
    bencher.bench_local(|| {
        reader.push(black_box(&segment));
        let mut count = 0_usize;
        while reader.next_line().is_some() {
            count += 1;
        }
        count
    });
}

/// One command, parsed and encoded.
#[divan::bench(args = [
    "NOOP",
    "STOR /in/acme/ORDERS20261125.edi",
    "SITE CHMOD 644 /in/acme/ORDERS20261125.edi",
    "type  a  n",
    "XYZZY plugh",
])]
fn command(bencher: Bencher<'_, '_>, line: &str) {
    let line = Bytes::copy_from_slice(line.as_bytes());
    bencher.bench_local(|| Command::parse(black_box(&line)).map(|command| command.encode()));
}

/// A reply of one line, and of a thousand.
#[divan::bench(args = [1, 1_000])]
fn reply(bencher: Bencher<'_, '_>, lines: usize) {
    let reply = if lines == 1 {
        b"226 Transfer complete.\r\n".to_vec()
    } else {
        let inner = b" -rw-r--r-- 1 ann ann 1234 Nov 25 10:00 a\r\n".repeat(lines);
        [b"213-Status:\r\n".as_slice(), &inner, b"213 End.\r\n"].concat()
    };
    let mut reader = ReplyReader::new(64 * 1024, 16 * 1024 * 1024);
    bencher.bench_local(|| {
        reader.push(black_box(&reply));
        let mut count = 0_usize;
        while reader.next_line().is_some() {
            count += 1;
        }
        count
    });
}
