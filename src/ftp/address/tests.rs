//! Addresses on the wire, one behaviour a test.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

#[test]
fn port_is_six_decimals() {
    assert_eq!(parse_port(b"127,0,0,1,4,1"), Some(at("127.0.0.1:1025")));
    assert_eq!(
        parse_port(b"255,255,255,255,255,255"),
        Some(at("255.255.255.255:65535"))
    );
    assert_eq!(parse_port(b"010,000,0,001,4,1"), Some(at("10.0.0.1:1025")));
    // A low port and none at all are the session's to refuse.
    assert_eq!(parse_port(b"10,0,0,1,0,0"), Some(at("10.0.0.1:0")));
}

#[test]
fn port_is_nothing_else() {
    for argument in [
        "",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,4,5,6,7",
        "1,2,3,4,5,6,",
        ",1,2,3,4,5,6",
        "1,2,3,4,5,256",
        "256,2,3,4,5,6",
        "1,2,3,4,5,0006",
        "+1,2,3,4,5,6",
        "-1,2,3,4,5,6",
        "1,2,3,4,5,-6",
        "1, 2,3,4,5,6",
        " 1,2,3,4,5,6",
        "1,2,3,4,5,6 ",
        "1,2,3,4,5,0x6",
        "1.2.3.4,5,6",
        "1,2,,4,5,6",
        "1,2,3,4,5,6\t",
        "127,0,0,1,99999999999999999999,1",
    ] {
        assert_eq!(parse_port(argument.as_bytes()), None, "{argument:?}");
    }
}

#[test]
fn eprt_takes_any_delimiter() {
    for (argument, expected) in [
        ("|1|132.235.1.2|6275|", "132.235.1.2:6275"),
        (
            "|2|1080::8:800:200C:417A|5282|",
            "[1080::8:800:200c:417a]:5282",
        ),
        ("!1!10.0.0.1!1024!", "10.0.0.1:1024"),
        ("~2~::1~65535~", "[::1]:65535"),
        ("|2|::|40000|", "[::]:40000"),
        ("|2|0:0:0:0:0:0:0:1|40000|", "[::1]:40000"),
        ("|2|::ffff:10.0.0.1|40000|", "[::ffff:10.0.0.1]:40000"),
    ] {
        assert_eq!(
            parse_eprt(argument.as_bytes()),
            Ok(at(expected)),
            "{argument}"
        );
    }
}

#[test]
fn eprt_of_an_unknown_family_is_told_apart() {
    for argument in [
        "|3|x|1|",
        "|0|::1|5000|",
        "|01|10.0.0.1|5000|",
        "|16384|a|b|",
    ] {
        assert_eq!(
            parse_eprt(argument.as_bytes()),
            Err(AddressFault::UnknownFamily),
            "{argument}"
        );
    }
}

#[test]
fn eprt_is_nothing_else() {
    for argument in [
        "",
        "|",
        "|||||",
        "|1|10.0.0.1|5000",
        "1|10.0.0.1|5000|",
        "|1|10.0.0.1|5000||",
        "|1|10.0.0.1|5000| ",
        "|1|10.0.0.1|0|",
        "|1|10.0.0.1|65536|",
        "|1|10.0.0.1|+500|",
        "|1|10.0.0.1| 500|",
        "|1|10.0.0.1||",
        "|1|::1|5000|",
        "|2|10.0.0.1|5000|",
        "|1|10.0.0.01|5000|",
        "|1|10.0.1|5000|",
        "|1| 10.0.0.1|5000|",
        "|2|fe80::1%eth0|5000|",
        "|2|[::1]|5000|",
        "|x|10.0.0.1|5000|",
        "|-1|10.0.0.1|5000|",
        "||10.0.0.1|5000|",
        " 1 10.0.0.1 5000 ",
        "\t1\t10.0.0.1\t5000\t",
        ".1.10.0.0.1.5000.",
        ":2:::1:5000:",
    ] {
        assert_eq!(
            parse_eprt(argument.as_bytes()),
            Err(AddressFault::Malformed),
            "{argument:?}"
        );
    }
    assert_eq!(
        parse_eprt(b"\xE91\xE910.0.0.1\xE95000\xE9"),
        Err(AddressFault::Malformed)
    );
}

#[test]
fn epsv_names_a_family_or_all() {
    assert_eq!(parse_epsv(b""), Ok(Epsv::Any));
    assert_eq!(parse_epsv(b"1"), Ok(Epsv::Family(Family::V4)));
    assert_eq!(parse_epsv(b"2 "), Ok(Epsv::Family(Family::V6)));
    assert_eq!(parse_epsv(b"ALL"), Ok(Epsv::All));
    assert_eq!(parse_epsv(b"all"), Ok(Epsv::All));
    assert_eq!(parse_epsv(b"3"), Err(AddressFault::UnknownFamily));
    for argument in ["x", " 1", "1 2", "ALLX", "-1", "1\t"] {
        assert_eq!(
            parse_epsv(argument.as_bytes()),
            Err(AddressFault::Malformed),
            "{argument:?}"
        );
    }
}

#[test]
fn a_227_is_found_in_any_text() {
    for line in [
        "227 Entering Passive Mode (10,0,0,1,200,10).\r\n",
        "227 Entering Passive Mode (10,0,0,1,200,10)\r\n",
        "227 Entering Passive Mode 10,0,0,1,200,10\r\n",
        "227 =10,0,0,1,200,10\n",
        "227 10,0,0,1,200,10",
        "227 v1.2, mode 3,4 (10,0,0,1,200,10).\r\n",
        "227 Entering Passive Mode (10, 0, 0, 1, 200, 10).\r\n",
        "227 Entering Passive Mode (010,000,000,001,200,010).\r\n",
        "Entering Passive Mode (10,0,0,1,200,10).",
        "227 (10,0,0,1,200,10) and (192,0,2,1,1,1)",
    ] {
        assert_eq!(
            parse_227(line.as_bytes()),
            Some(at("10.0.0.1:51210")),
            "{line:?}"
        );
    }
}

#[test]
fn a_227_with_other_numbers_is_none() {
    for line in [
        "",
        "227 Entering Passive Mode\r\n",
        "227 Entering Passive Mode (1216,256,2,127,127,127)\r\n",
        "227 Entering Passive Mode (1216,10,0,0,1,200,10)\r\n",
        "227 Entering Passive Mode (10,0,0,1,200)\r\n",
        "227 Entering Passive Mode (10,0,0,1,200,10,1)\r\n",
        "227 Entering Passive Mode (10,0,0,1,200,256)\r\n",
        "227 Entering Passive Mode (10.0.0.1,200,10)\r\n",
        "227 Entering Passive Mode (10 ,0,0,1,200,10)\r\n",
        "227 Entering Passive Mode (10,0,0,1,,200,10)\r\n",
        "227 Entering Passive Mode (10,0,0,1,200,99999999999999999999)\r\n",
    ] {
        assert_eq!(parse_227(line.as_bytes()), None, "{line:?}");
    }
}

#[test]
fn a_229_is_found_in_its_last_parentheses() {
    for line in [
        "229 Entering Extended Passive Mode (|||6446|)\r\n",
        "229 Extended Passive mode OK (|||6446|)\r\n",
        "229 Entering extended passive mode (|||6446|).\r\n",
        "229 (see RFC) (|||1|) then (!!!6446!)",
        "229 Extended (|||6446|) (ok)",
        "229 ((((6446()",
        "229 ()))6446))",
        "229 (11164461)",
    ] {
        assert_eq!(parse_229(line.as_bytes()), Some(6446), "{line:?}");
    }
    assert_eq!(parse_229(b"229 (|||65535|)"), Some(65535));
    assert_eq!(parse_229(b"229 (|||1|)"), Some(1));
}

#[test]
fn a_229_of_another_form_is_none() {
    for line in [
        "",
        "229 ok",
        "229 |||6446|",
        "229 (|||0|)",
        "229 (|||65536|)",
        "229 (|||000001|)",
        "229 (|||+644|)",
        "229 (||| 6446|)",
        "229 (|||6446)",
        "229 (|||6446|",
        "229 (||6446|)",
        "229 (|1||6446|)",
        "229 (||10.0.0.1|6446|)",
        "229 (|!|6446|)",
        "229 (   6446 )",
        "229 (|||6446| )",
    ] {
        assert_eq!(parse_229(line.as_bytes()), None, "{line:?}");
    }
}

#[test]
fn rendered_lines_are_those_of_the_rfcs() {
    let v4 = at("10.0.0.1:51210");
    let mapped = at("[::ffff:10.0.0.1]:51210");
    let v6 = at("[2001:db8::1]:51210");
    let line = "227 Entering Passive Mode (10,0,0,1,200,10).\r\n";
    assert_eq!(render_227(v4).unwrap(), line);
    assert_eq!(render_227(mapped).unwrap(), line);
    assert_eq!(render_227(v6), None);
    assert_eq!(
        render_229(6446),
        "229 Entering Extended Passive Mode (|||6446|)\r\n"
    );
    assert_eq!(render_port(v4).unwrap(), "PORT 10,0,0,1,200,10\r\n");
    assert_eq!(render_port(mapped).unwrap(), "PORT 10,0,0,1,200,10\r\n");
    assert_eq!(render_port(v6), None);
    assert_eq!(render_eprt(v4), "EPRT |1|10.0.0.1|51210|\r\n");
    assert_eq!(render_eprt(mapped), "EPRT |1|10.0.0.1|51210|\r\n");
    assert_eq!(render_eprt(v6), "EPRT |2|2001:db8::1|51210|\r\n");
}

#[test]
fn a_scope_id_stays_at_home() {
    let scoped = SocketAddr::V6(std::net::SocketAddrV6::new(
        "fe80::1".parse().unwrap(),
        5000,
        0,
        7,
    ));
    assert_eq!(render_eprt(scoped), "EPRT |2|fe80::1|5000|\r\n");
}

#[test]
fn a_mapped_address_is_of_family_1() {
    assert_eq!(Family::of(at("[::ffff:10.0.0.1]:1").ip()).number(), 1);
    assert_eq!(Family::of(at("10.0.0.1:1").ip()).number(), 1);
    assert_eq!(Family::of(at("[::1]:1").ip()).number(), 2);
}

/// Any address with a port that can be dialled.
fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1_u16..).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

/// The argument of a rendered command.
fn argument(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r\n").unwrap().split_at(5).1
}

proptest! {
    #[test]
    fn what_is_rendered_is_read(address in address()) {
        prop_assert_eq!(parse_eprt(argument(&render_eprt(address))), Ok(address));
        prop_assert_eq!(parse_229(&render_229(address.port())), Some(address.port()));
        prop_assert_eq!(render_227(address).is_some(), address.is_ipv4());
        if let (Some(reply), Some(command)) = (render_227(address), render_port(address)) {
            prop_assert_eq!(parse_227(&reply), Some(address));
            prop_assert_eq!(parse_port(argument(&command)), Some(address));
        }
    }

    #[test]
    fn nothing_panics(
        bytes in vec(
            prop_oneof![
                prop::sample::select(&b"0123456789,, ()||.:"[..]),
                any::<u8>(),
            ],
            0..80
        )
    ) {
        parse_port(&bytes);
        parse_eprt(&bytes).ok();
        parse_epsv(&bytes).ok();
        parse_227(&bytes);
        parse_229(&bytes);
    }
}
