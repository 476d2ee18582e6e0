use crate::tls::tests::{VERSIONS, World, client, meet, server};

use super::*;

/// For each version a file of 64 KiB as our channel has put it on the wire, and the peer's channel.
fn sent(mut look: impl FnMut(&[u8], Vec<u8>, Channel)) {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    for version in VERSIONS {
        let options = client(&world.path("ca.pem"), "ftp.example.com", version);
        let ends = meet(&server(std::slice::from_ref(&identity)), &options).unwrap();
        let (mut ours, theirs) = (Channel::new(ends.server), Channel::new(ends.client));
        let file = vec![b'f'; UNSENT_BYTES];
        let mut wire = Vec::new();
        let mut calls = 0;
        let write = |pieces: &[IoSlice<'_>]| {
            calls += 1;
            assert!(pieces.len() >= UNSENT_BYTES / (16 * 1024));
            for piece in pieces {
                wire.extend_from_slice(piece);
            }
            Ok(pieces.iter().map(|piece| piece.len()).sum())
        };
        let taken = ours.write(write, &file).unwrap();
        assert_eq!((taken, calls), (UNSENT_BYTES, 1), "{version:?}");
        look(&file, wire, theirs);
    }
}

#[test]
fn records_that_wait_together_are_written_together() {
    sent(|file, wire, mut theirs| {
        let mut source = &wire[..];
        let mut read = Vec::new();
        while read.len() < file.len() {
            let mut buffer = [0; 4096];
            let bytes = theirs.read(|raw| source.read(raw), &mut buffer).unwrap();
            read.extend_from_slice(&buffer[..bytes]);
        }
        assert!(read == file);
    });
}

#[test]
fn a_buffer_is_filled_from_several_records() {
    sent(|file, wire, mut theirs| {
        let mut source = &wire[..];
        let mut read = |raw: &mut [u8]| match source.read(raw) {
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            bytes => bytes,
        };
        let mut buffer = vec![0; file.len() - 1];
        assert_eq!(theirs.fill(&mut read, &mut buffer).unwrap(), file.len() - 1);
        assert!(buffer == file[1..]);
        assert_eq!(theirs.fill(&mut read, &mut buffer).unwrap(), 1);
        let nothing = theirs.fill(&mut read, &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn what_befalls_a_connection_behind_bytes_is_told_behind_them() {
    sent(|file, wire, mut theirs| {
        let (mut source, mut told) = (&wire[..], false);
        // As a socket does: a reset is told once, then it is at its end.
        let mut read = |raw: &mut [u8]| match source.read(raw) {
            Ok(0) if !told => {
                told = true;
                Err(ErrorKind::ConnectionReset.into())
            }
            bytes => bytes,
        };
        let mut buffer = vec![0; file.len() + 1];
        assert_eq!(theirs.fill(&mut read, &mut buffer).unwrap(), file.len());
        let reset = theirs.fill(&mut read, &mut buffer).unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        let cut = theirs.fill(&mut read, &mut buffer).unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn the_last_bytes_leave_with_the_end_that_is_announced_once() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    for version in VERSIONS {
        let options = client(&world.path("ca.pem"), "ftp.example.com", version);
        let ends = meet(&server(std::slice::from_ref(&identity)), &options).unwrap();
        let (mut ours, mut theirs) = (Channel::new(ends.server), Channel::new(ends.client));
        let (mut wire, mut calls) = (Vec::new(), 0);
        let mut write = |pieces: &[IoSlice<'_>]| {
            calls += 1;
            for piece in pieces {
                wire.extend_from_slice(piece);
            }
            Ok(pieces.iter().map(|piece| piece.len()).sum())
        };
        assert_eq!(ours.write_last(&mut write, b"221 Bye\r\n").unwrap(), 9);
        ours.close(&mut write);
        assert_eq!(calls, 1, "{version:?}");
        let mut source = &wire[..];
        let mut buffer = [0; 64];
        let mut read = || theirs.read(|raw| source.read(raw), &mut buffer);
        assert_eq!((read().unwrap(), read().unwrap()), (9, 0), "{version:?}");
    }
}

#[test]
fn the_end_is_not_announced_before_all_is_taken() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    let options = client(&world.path("ca.pem"), "ftp.example.com", VERSIONS[0]);
    let ends = meet(&server(&[identity]), &options).unwrap();
    let (mut ours, mut theirs) = (Channel::new(ends.server), Channel::new(ends.client));
    let full = |_: &[IoSlice<'_>]| Err(ErrorKind::WouldBlock.into());
    let last = vec![b'l'; UNSENT_BYTES + 1];
    let taken = ours.write_last(full, &last).unwrap();
    assert!(taken < last.len());
    let mut wire = Vec::new();
    let mut write = |pieces: &[IoSlice<'_>]| {
        for piece in pieces {
            wire.extend_from_slice(piece);
        }
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    };
    let rest = last.get(taken..).unwrap();
    assert_eq!(ours.write_last(&mut write, rest).unwrap(), rest.len());
    let (mut source, mut read) = (&wire[..], 0);
    let mut buffer = vec![0; last.len()];
    while let bytes @ 1.. = theirs.read(|raw| source.read(raw), &mut buffer).unwrap() {
        read += bytes;
    }
    assert_eq!(read, last.len());
}
