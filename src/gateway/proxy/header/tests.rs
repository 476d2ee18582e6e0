use std::net::SocketAddr;

use ppp::v2::{Builder, Command, Protocol, Version};
use ppp::{v1, v2};
use proptest::prelude::*;

use super::*;

/// An address.
fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What a whole header says.
fn whole(bytes: &[u8]) -> Source {
    let header = read(bytes).unwrap().expect("the header is not whole");
    assert_eq!(header.length, bytes.len());
    header.source
}

/// A header of version 2, made by somebody else.
fn binary(command: Command, source: &str, target: &str, records: &[(u8, &[u8])]) -> Vec<u8> {
    let addresses = (address(source), address(target));
    let version = Version::Two | command;
    let mut builder = Builder::with_addresses(version, Protocol::Stream, addresses);
    for (kind, value) in records {
        builder = builder.write_tlv(*kind, value).unwrap();
    }
    builder.build().unwrap()
}

/// The same, with its checksum last but for what is behind it.
fn summed(records: &[(u8, &[u8])], behind: &[(u8, &[u8])]) -> Vec<u8> {
    let sum: (u8, &[u8]) = (CHECKSUM, &[0; 4]);
    let all = [records, &[sum], behind].concat();
    let mut bytes = binary(Command::Proxy, "192.0.2.1:40000", "198.51.100.9:21", &all);
    let sum = checksum(&[&bytes]).to_be_bytes();
    let length = |records: &[(u8, &[u8])]| -> usize {
        records.iter().map(|(_, value)| value.len() + 3).sum()
    };
    let at = bytes.len() - length(behind) - 4;
    bytes[at..at + 4].copy_from_slice(&sum);
    bytes
}

#[test]
fn lines_of_version_1_name_their_client() {
    let client = |text| Source::Client(address(text));
    for (line, source) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.9 40000 21\r\n",
            client("192.0.2.1:40000"),
        ),
        (
            "PROXY TCP4 255.255.255.254 255.255.255.255 65535 65535\r\n",
            client("255.255.255.254:65535"),
        ),
        (
            "PROXY TCP4 192.0.2.1 0.0.0.0 0 0\r\n",
            client("192.0.2.1:0"),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::9 40000 21\r\n",
            client("[2001:db8::1]:40000"),
        ),
        (
            "PROXY TCP6 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
             ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            client("[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::1 40000 21\r\n",
            client("192.0.2.1:40000"),
        ),
        ("PROXY UNKNOWN\r\n", Source::Unknown),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
             ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            Source::Unknown,
        ),
        ("PROXY UNKNOWN \r \n what is this\r\n", Source::Unknown),
    ] {
        assert_eq!(whole(line.as_bytes()), source, "{line}");
    }
}

#[test]
fn lines_that_are_not_of_version_1_are_malformed() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 21 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 21 x\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.9 40000 21\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 040000 21\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 +4000 21\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9  21\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.9 40000 21\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.9 40000 21\r\n",
        "PROXY TCP4 client 198.51.100.9 40000 21\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::9 40000 21\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.9 40000 21\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::9 40000 21\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.9 40000 21\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.9 40000 21\r\n",
        "PROXY unknown\r\n",
        "PROXY UNKNOWN\n\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 21\n\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.9 40000 21\0\r\n",
        "PROXY TCP4 \u{661}92.0.2.1 198.51.100.9 40000 21\r\n",
    ] {
        assert_eq!(
            read(line.as_bytes()),
            Err(HeaderFault::Malformed),
            "{line:?}"
        );
    }
}

#[test]
fn nobody_is_where_nobody_can_be() {
    for source in ["0.0.0.0", "224.0.0.1", "255.255.255.255"] {
        let line = format!("PROXY TCP4 {source} 198.51.100.9 1 2\r\n");
        assert_eq!(read(line.as_bytes()), Err(HeaderFault::Malformed), "{line}");
        let bytes = binary(Command::Proxy, &format!("{source}:1"), "10.0.0.1:2", &[]);
        assert_eq!(read(&bytes), Err(HeaderFault::Malformed), "{source}");
    }
    for source in ["::", "ff02::1", "::ffff:0.0.0.0"] {
        let line = format!("PROXY TCP6 {source} 2001:db8::9 1 2\r\n");
        assert_eq!(read(line.as_bytes()), Err(HeaderFault::Malformed), "{line}");
    }
}

#[test]
fn version_2_names_its_client() {
    let client = Source::Client(address("192.0.2.1:40000"));
    let bytes = binary(Command::Proxy, "192.0.2.1:40000", "198.51.100.9:21", &[]);
    assert_eq!(whole(&bytes), client);
    let records: [(u8, &[u8]); 3] = [(0x02, b"ftp.example.com"), (0xEA, &[1; 20]), (0x04, b"")];
    let bytes = binary(
        Command::Proxy,
        "192.0.2.1:40000",
        "198.51.100.9:21",
        &records,
    );
    assert_eq!(whole(&bytes), client);
    let bytes = binary(Command::Proxy, "[2001:db8::1]:40000", "[::1]:21", &[]);
    let client = Source::Client(address("[2001:db8::1]:40000"));
    assert_eq!(whole(&bytes), client);
}

#[test]
fn a_balancer_that_dials_for_itself_says_so() {
    let bytes = binary(Command::Local, "192.0.2.1:40000", "198.51.100.9:21", &[]);
    assert_eq!(whole(&bytes), Source::Itself);
    // Whatever is behind it, and whatever family it has, is not looked at.
    let plain = [SIGNATURE, &[0x20, 0x00, 0, 0]].concat();
    assert_eq!(whole(&plain), Source::Itself);
    let odd = [SIGNATURE, &[0x20, 0xFF, 0, 5, 3, 0, 200, 1, 1]].concat();
    assert_eq!(whole(&odd), Source::Itself);
}

#[test]
fn whom_tcp_does_not_know_is_unknown() {
    let with = |family: u8| [SIGNATURE, &[0x21, family, 0, 3, 1, 2, 3]].concat();
    for family in [0x00, 0x01, 0x02, 0x10, 0x12, 0x20, 0x22, 0x30, 0x31, 0x32] {
        assert_eq!(whole(&with(family)), Source::Unknown, "{family:#x}");
    }
    for family in [0x03, 0x13, 0x33, 0x40, 0x41, 0xFF] {
        assert_eq!(
            read(&with(family)),
            Err(HeaderFault::Malformed),
            "{family:#x}"
        );
    }
}

#[test]
fn other_versions_and_commands_are_malformed() {
    for command in [0x00, 0x01, 0x11, 0x22, 0x2F, 0x31] {
        let bytes = [SIGNATURE, &[command, 0x00, 0, 0]].concat();
        assert_eq!(read(&bytes), Err(HeaderFault::Malformed), "{command:#x}");
    }
}

#[test]
fn blocks_that_are_cut_short_are_malformed() {
    let block = [0x21, 0x11, 0, 11, 192, 0, 2, 1, 198, 51, 100, 9, 1, 2, 3];
    let bytes = [SIGNATURE, &block].concat();
    assert_eq!(read(&bytes), Err(HeaderFault::Malformed));
    let bytes = [SIGNATURE, &[0x21, 0x21, 0, 35], &[1; 35]].concat();
    assert_eq!(read(&bytes), Err(HeaderFault::Malformed));
    // A record that says to be longer than it is, half a head of one, a checksum of another size.
    for record in [
        &[4, 0, 2, 7][..],
        &[4, 0],
        &[CHECKSUM, 0, 3, 1, 2, 3],
        &[CHECKSUM, 0, 0],
    ] {
        let mut bytes = binary(Command::Proxy, "192.0.2.1:1", "10.0.0.1:2", &[]);
        bytes.extend_from_slice(record);
        bytes[15] += u8::try_from(record.len()).unwrap();
        assert_eq!(read(&bytes), Err(HeaderFault::Malformed), "{record:?}");
    }
}

#[test]
fn the_checksum_is_that_of_the_rfc() {
    // RFC 3720 §B.4.
    assert_eq!(checksum(&[&[0; 32]]), 0x8A91_36AA);
    assert_eq!(checksum(&[&[0xFF; 32]]), 0x62A8_AB43);
    assert_eq!(checksum(&[b"1234", b"", b"56789"]), 0xE306_9283);
}

#[test]
fn a_checksum_that_is_there_must_be_right() {
    let client = Source::Client(address("192.0.2.1:40000"));
    for behind in [&[][..], &[(0x02, &b"ftp"[..])]] {
        let bytes = summed(&[(0x04, &[9; 7])], behind);
        assert_eq!(whole(&bytes), client);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bent = bytes.clone();
                bent[at] ^= 1 << bit;
                // Another length may make it the beginning of a longer one, another command one
                // without an address; the client is never another one.
                let read = read(&bent).ok().flatten().map(|header| header.source);
                let is_other = matches!(read, Some(Source::Client(_)));
                // The type of the record with the checksum itself makes it another record.
                let is_sum = bent.len() - behind.iter().map(|(_, v)| v.len() + 3).sum::<usize>();
                assert!(!is_other || at == is_sum - 7, "bit {bit} of byte {at}");
            }
        }
    }
    let twice = summed(&[(CHECKSUM, &[0; 4])], &[]);
    assert!(read(&twice).is_err());
}

#[test]
fn bounds_hold_at_their_edges() {
    let line = |length: usize| {
        let filler = "x".repeat(length - "PROXY UNKNOWN \r\n".len());
        format!("PROXY UNKNOWN {filler}\r\n").into_bytes()
    };
    assert_eq!(whole(&line(TEXT_BYTES)), Source::Unknown);
    assert_eq!(read(&line(TEXT_BYTES + 1)), Err(HeaderFault::TooLong));
    assert_eq!(read(&line(TEXT_BYTES + 1)[..TEXT_BYTES - 1]), Ok(None));
    let bytes = |length: usize| {
        let block = vec![0; length - FIXED_BYTES];
        let [high, low] = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x21, 0x00, high, low], &block].concat()
    };
    assert_eq!(whole(&bytes(BINARY_BYTES)), Source::Unknown);
    let long = bytes(BINARY_BYTES + 1);
    assert_eq!(read(&long[..FIXED_BYTES]), Err(HeaderFault::TooLong));
}

#[test]
fn what_begins_otherwise_is_missing_at_its_first_byte() {
    for bytes in [
        &b"U"[..],
        b"USER test\r\n",
        b"PROXYTCP4",
        b"PRO\r",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"\n",
        b"\x16\x03\x01",
        b"proxy ",
    ] {
        assert_eq!(read(bytes), Err(HeaderFault::Missing), "{bytes:?}");
    }
    assert_eq!(read(b""), Ok(None));
}

#[test]
fn a_header_is_the_same_however_it_is_cut() {
    let headers = [
        b"PROXY TCP4 192.0.2.1 198.51.100.9 40000 21\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(Command::Proxy, "[2001:db8::1]:40000", "[::1]:21", &[]),
        binary(Command::Local, "192.0.2.1:1", "192.0.2.2:2", &[]),
        summed(&[(0x04, &[9; 7])], &[(0x02, b"ftp")]),
    ];
    for header in headers {
        let source = whole(&header);
        for end in 0..header.len() {
            assert_eq!(read(&header[..end]), Ok(None), "{end} of {header:?}");
        }
        let followed = [&header, &b"\x16\x03\x01USER x\r\n"[..]].concat();
        let expected = Header {
            source,
            length: header.len(),
        };
        assert_eq!(read(&followed), Ok(Some(expected)));
    }
}

/// Bytes that are a header, or nearly.
fn nearly_headers() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        Just("TCP4".to_owned()),
        Just("TCP6".to_owned()),
        Just("UNKNOWN".to_owned()),
        Just("192.0.2.1".to_owned()),
        Just("2001:db8::1".to_owned()),
        "[0-9]{1,6}",
        "[0-9.:a-f]{0,12}",
    ];
    let text = proptest::collection::vec(field, 1..7)
        .prop_map(|fields| format!("PROXY {}\r\n", fields.join(" ")).into_bytes());
    let addresses = (any::<u32>(), any::<u16>(), any::<bool>(), any::<u128>());
    let line = addresses.prop_map(|(four, port, is_four, six)| {
        if is_four {
            let four = Ipv4Addr::from_bits(four);
            format!("PROXY TCP4 {four} 10.0.0.1 {port} 21\r\n").into_bytes()
        } else {
            let six = Ipv6Addr::from_bits(six);
            format!("PROXY TCP6 {six} ::1 {port} 21\r\n").into_bytes()
        }
    });
    let block = proptest::collection::vec(any::<u8>(), 0..60);
    let pair = (prop_oneof![Just(0x20_u8), Just(0x21), any::<u8>()], {
        prop_oneof![Just(0x11_u8), Just(0x21), any::<u8>()]
    });
    let binary = (pair, block, 0..4_usize).prop_map(|((command, family), block, less)| {
        let length = block.len().saturating_sub(less);
        let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family, high, low], &block].concat()
    });
    prop_oneof![text, line, binary]
}

proptest! {
    #[test]
    fn another_reader_agrees(bytes in nearly_headers()) {
        let ours = read(&bytes);
        let theirs = if bytes.starts_with(TEXT) {
            v1::Header::try_from(&bytes[..]).ok().map(|header| match header.addresses {
                v1::Addresses::Tcp4(four) => {
                    Source::Client(SocketAddr::new(four.source_address.into(), four.source_port))
                }
                v1::Addresses::Tcp6(six) => {
                    Source::Client(SocketAddr::new(six.source_address.into(), six.source_port))
                }
                v1::Addresses::Unknown => Source::Unknown,
            })
        } else {
            v2::Header::try_from(&bytes[..]).ok().map(|header| {
                match (header.command, header.protocol, header.addresses) {
                    (Command::Local, _, _) => Source::Itself,
                    (_, Protocol::Stream, v2::Addresses::IPv4(four)) => {
                        Source::Client(SocketAddr::new(four.source_address.into(), four.source_port))
                    }
                    (_, Protocol::Stream, v2::Addresses::IPv6(six)) => {
                        Source::Client(SocketAddr::new(six.source_address.into(), six.source_port))
                    }
                    _ => Source::Unknown,
                }
            })
        };
        match (ours, theirs) {
            (Ok(Some(Header { source: Source::Client(own), .. })), Some(Source::Client(other))) => {
                prop_assert_eq!(own.ip(), other.ip().to_canonical());
                prop_assert_eq!(own.port(), other.port());
            }
            // A client that both can name, or none that they cannot.
            (Ok(Some(Header { source, .. })), Some(other)) => prop_assert_eq!(source, other),
            // The other one takes a LOCAL and what is no TCP only with a block of its family's size.
            (Ok(Some(Header { source, .. })), None) => {
                prop_assert!(!matches!(source, Source::Client(_)), "{:?}", source);
            }
            // It does not look at records, nor whether anybody can have an address.
            (Ok(None) | Err(_), _) => {}
        }
    }

    #[test]
    fn well_formed_lines_are_read(four in 0x0100_0000..0xE000_0000_u32, port in any::<u16>()) {
        let client = SocketAddr::new(Ipv4Addr::from_bits(four).into(), port);
        let line = format!("PROXY TCP4 {} 10.0.0.1 {port} 21\r\n", client.ip());
        prop_assert_eq!(whole(line.as_bytes()), Source::Client(client));
        let bytes = binary(Command::Proxy, &client.to_string(), "10.0.0.1:21", &[]);
        prop_assert_eq!(whole(&bytes), Source::Client(client));
    }
}
