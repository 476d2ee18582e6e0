use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuiteCommon, ServerConfig, Tls12CipherSuite};

use super::*;
use crate::ftp::security::TlsVersion;
use crate::tls::client::Connector;
use crate::tls::tests::{VERSIONS, World, client, meet, server, shake};

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

/// What `read` comes to once it has not given way to others, and how often it did.
fn through_pauses(mut read: impl FnMut() -> io::Result<usize>) -> (usize, usize) {
    let mut pauses = 0;
    loop {
        match read() {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
            Ok(bytes) => return (bytes, pauses),
        }
        pauses += 1;
    }
}

#[test]
fn a_record_that_comes_in_bits_does_not_keep_who_reads_it() {
    sent(|file, wire, mut theirs| {
        let mut source = &wire[..];
        let mut bits = 0;
        let mut bit = |raw: &mut [u8]| {
            bits += 1;
            source.read(&mut raw[..1])
        };
        let mut buffer = [0; 4096];
        let (first, pauses) = through_pauses(|| theirs.read(&mut bit, &mut buffer));
        assert!(first > 0 && buffer[..first] == file[..first]);
        assert_eq!(pauses, (bits - 1) / READS);
    });
}

#[test]
fn a_buffer_that_fills_by_the_byte_is_given_half_full() {
    sent(|file, wire, mut theirs| {
        let mut source = &wire[..];
        let mut bits = 0;
        let mut bit = |raw: &mut [u8]| {
            bits += 1;
            source.read(&mut raw[..100])
        };
        let mut buffer = vec![0; file.len()];
        let filled = theirs.fill(&mut bit, &mut buffer).unwrap();
        assert!(filled < file.len() && buffer[..filled] == file[..filled]);
        // The first record takes 14 bits, and what it gives is worth more.
        assert_eq!(bits, SMALL_RECORD_BYTES / 100 + 1 + FILL_READS);
    });
}

#[test]
fn a_buffer_that_does_not_fill_at_all_keeps_nobody() {
    sent(|file, wire, mut theirs| {
        let mut source = &wire[..];
        let mut bit = |raw: &mut [u8]| source.read(&mut raw[..1]);
        let mut buffer = vec![0; file.len()];
        let (first, pauses) = through_pauses(|| theirs.fill(&mut bit, &mut buffer));
        assert_eq!(first, SMALL_RECORD_BYTES);
        assert!(buffer[..first] == file[..first]);
        assert!(pauses >= first / READS, "{pauses}");
    });
}

#[test]
fn the_first_records_are_small() {
    sent(|file, wire, mut theirs| {
        let mut source = &wire[..SMALL_RECORD_BYTES + 100];
        let mut buffer = vec![0; file.len()];
        let bytes = theirs.read(|raw| source.read(raw), &mut buffer).unwrap();
        assert_eq!(bytes, SMALL_RECORD_BYTES);
        let (mut rest, mut records) = (&wire[..], 0);
        while let [_, _, _, high, low, ..] = rest {
            rest = &rest[5 + usize::from(u16::from_be_bytes([*high, *low]))..];
            records += 1;
        }
        let large = file.len() - SMALL_RECORDS * SMALL_RECORD_BYTES;
        assert_eq!(records, SMALL_RECORDS + large.div_ceil(RECORD_BYTES));
    });
}

/// Both ends of a TLS 1.2 connection whose server's key is good for so many records.
fn limited(records: u64) -> (Channel, Channel) {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    let mut provider = CryptoProvider::clone(&crate::tls::provider());
    provider.cipher_suites.retain_mut(|suite| match suite {
        SupportedCipherSuite::Tls12(known) if known.common.confidentiality_limit < u64::MAX => {
            let common = CipherSuiteCommon {
                confidentiality_limit: records,
                ..known.common
            };
            let worn = Tls12CipherSuite { common, ..**known };
            *suite = SupportedCipherSuite::Tls12(Box::leak(Box::new(worn)));
            true
        }
        _ => false,
    });
    let chain = CertificateDer::pem_file_iter(&identity.certificate).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(&identity.key).unwrap(),
        )
        .unwrap();
    let options = client(&world.path("ca.pem"), "ftp.example.com", TlsVersion::V1_2);
    let client = Connector::load(&options).unwrap().session();
    let ends = shake(&client.config(), client.server_name(), &Arc::new(server)).unwrap();
    (Channel::new(ends.server), Channel::new(ends.client))
}

#[test]
fn a_key_that_is_used_up_is_no_end() {
    const LIMIT: u64 = OTHER_RECORDS + 100;
    let (mut ours, mut theirs) = limited(LIMIT);
    let mut wire = Vec::new();
    let mut write = |pieces: &[IoSlice<'_>]| {
        for piece in pieces {
            wire.extend_from_slice(piece);
        }
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    };
    let file = vec![b'f'; UNSENT_BYTES];
    let mut taken = 0;
    let mut writes = (0..LIMIT).map(|_| ours.write(&mut write, &file));
    let error = writes.find_map(|written| match written {
        Ok(bytes) => {
            taken += bytes;
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(error.unwrap().kind(), ErrorKind::QuotaExceeded);
    // All of the key was of use, but for what was left for its end.
    assert!(taken > (100 - SMALL_RECORDS - 4) * RECORD_BYTES, "{taken}");
    let mut source = &wire[..];
    let mut read = |raw: &mut [u8]| match source.read(raw) {
        Ok(0) => Err(ErrorKind::WouldBlock.into()),
        bytes => bytes,
    };
    let mut buffer = vec![0; taken + 1];
    let mut received = 0;
    while received < taken {
        received += theirs.fill(&mut read, &mut buffer).unwrap();
    }
    let nothing = theirs.fill(&mut read, &mut buffer).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "an end");
    assert_eq!(received, taken);
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
