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
