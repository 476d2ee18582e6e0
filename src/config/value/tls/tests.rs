use super::{from_base64, from_hex, pin};

/// The SHA-256 of `abc`.
const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// What a pin says.
fn read(written: &str) -> Option<[u8; 32]> {
    let text = toml::Value::String(written.to_owned()).to_string();
    let value = toml::de::DeValue::parse(&text).unwrap();
    pin(value.get_ref()).ok()
}

#[test]
fn a_digest_is_read_in_every_form() {
    let wanted = from_hex(HEX).unwrap();
    let colons: Vec<String> = HEX
        .to_ascii_uppercase()
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8(pair.to_vec()).unwrap())
        .collect();
    for digest in [
        HEX.to_owned(),
        colons.join(":"),
        "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=".to_owned(),
        "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0".to_owned(),
        "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=".to_owned(),
    ] {
        let read = read(&format!("sha256/{digest}"));
        assert_eq!(
            read.as_ref().map(<[u8; 32]>::as_slice),
            Some(&wanted[..]),
            "{digest}"
        );
    }
}

#[test]
fn what_is_no_digest_is_refused() {
    for written in [
        String::new(),
        HEX.to_owned(),
        "sha256/".to_owned(),
        format!("sha256/{HEX}00"),
        format!("sha256/{}", HEX.trim_start_matches("ba")),
        format!("sha256/{}", HEX.replace('7', "x")),
        "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa1".to_owned(),
        "sha256//ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=".to_owned(),
        format!("sha1/{HEX}"),
    ] {
        assert_eq!(read(&written), None, "{written}");
    }
    assert_eq!(from_base64("A"), Some(Vec::new()));
    assert_eq!(from_hex("abc"), None);
}
