//! Rules on channels.

use crate::ftp::security::TlsVersion;
use crate::policy::judge::Channels;
use crate::policy::sample::{Sitting, allow, deny, hand_over, policy};

/// Control and data under TLS, with a certificate.
const PRIVATE: Channels<'static> = Channels {
    control: Some(TlsVersion::V1_3),
    data: true,
    certificate: Some("CN=acme,O=Acme"),
};

/// Data in clear.
const CLEAR_DATA: Channels<'static> = Channels {
    control: Some(TlsVersion::V1_2),
    data: false,
    certificate: None,
};

#[test]
fn tls_holds_where_every_channel_that_is_used_is_private() {
    let specs = [policy("p").rule(allow(&["RETR", "PWD", "USER"]).tls(true))];
    let clear = Sitting::under(&specs);
    assert_eq!(clear.codes(&["RETR x", "PWD"]), [530, 530]);
    let half = Sitting::under(&specs).over(CLEAR_DATA);
    assert_eq!(half.codes(&["RETR x", "PWD"]), [521, 0]);
    let private = Sitting::under(&specs).over(PRIVATE);
    assert_eq!(private.codes(&["RETR x", "PWD"]), [0, 0]);
}

#[test]
fn a_rule_for_clear_channels_refuses_what_uses_one() {
    let specs = [policy("p")
        .by_default()
        .rule(deny(&["STOR", "PWD"]).tls(false))];
    assert_eq!(Sitting::under(&specs).codes(&["STOR x", "PWD"]), [530, 530]);
    let half = Sitting::under(&specs).over(CLEAR_DATA);
    assert_eq!(half.codes(&["STOR x", "PWD"]), [521, 0]);
    let private = Sitting::under(&specs).over(PRIVATE);
    assert_eq!(private.codes(&["STOR x", "PWD"]), [0, 0]);
}

#[test]
fn a_version_is_the_least() {
    let specs = [policy("p").rule(allow(&["PWD"]).tls_version(TlsVersion::V1_3))];
    assert_eq!(Sitting::under(&specs).code("PWD"), 530);
    assert_eq!(Sitting::under(&specs).over(CLEAR_DATA).code("PWD"), 530);
    assert_eq!(Sitting::under(&specs).over(PRIVATE).code("PWD"), 0);
}

#[test]
fn a_certificate_is_a_glob_on_its_subject() {
    let rule = |glob: &str| [policy("p").rule(allow(&["PWD"]).certificates(&[glob]))];
    let over = |glob: &str, channels| Sitting::under(&rule(glob)).over(channels).code("PWD");
    assert_eq!(over("CN=acme,*", PRIVATE), 0);
    assert_eq!(over("cn=acme,*", PRIVATE), 530);
    assert_eq!(over("CN=globex,*", PRIVATE), 530);
    assert_eq!(over("*", CLEAR_DATA), 530);
    assert_eq!(over("*", Channels::default()), 530);
}

#[test]
fn a_hand_over_needs_its_channels() {
    let specs = [
        policy("p").rule(hand_over(&["*"], "q").tls(true)),
        policy("q").allow(&["PWD"]),
    ];
    assert_eq!(Sitting::under(&specs).code("PWD"), 502);
    assert_eq!(Sitting::under(&specs).over(PRIVATE).code("PWD"), 0);
}

#[test]
fn a_path_counts_behind_the_channels() {
    let specs = [policy("p").rule(allow(&["RETR"]).tls(true).paths(&["/out/**"]))];
    assert_eq!(Sitting::under(&specs).code("RETR /in/x"), 530);
    let private = Sitting::under(&specs).over(PRIVATE);
    assert_eq!(private.codes(&["RETR /in/x", "RETR /out/x"]), [550, 0]);
}

#[test]
fn what_tls_would_allow_may_be_promised() {
    let specs = [policy("p").rule(allow(&["SIZE"]).tls(true))];
    assert!(Sitting::under(&specs).could("SIZE", None));
    let refusing = [policy("p")
        .rule(deny(&["SIZE"]).tls(false))
        .allow(&["SIZE"])];
    assert!(Sitting::under(&refusing).could("SIZE", None));
}
