use crate::tls::tests::{VERSIONS, World, client, meet, server};

use super::*;

#[test]
fn records_that_wait_together_are_written_together() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    for version in VERSIONS {
        let options = client(&world.path("ca.pem"), "ftp.example.com", version);
        let ends = meet(&server(std::slice::from_ref(&identity)), &options).unwrap();
        let (mut ours, mut theirs) = (Channel::new(ends.server), Channel::new(ends.client));
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

        let mut source = &wire[..];
        let mut read = Vec::new();
        while read.len() < taken {
            let mut buffer = [0; 4096];
            let bytes = theirs.read(|raw| source.read(raw), &mut buffer).unwrap();
            read.extend_from_slice(&buffer[..bytes]);
        }
        assert!(read == file);
    }
}
