use std::io;

use super::Fault;

#[test]
fn a_failed_dial_is_told_by_its_cause() {
    let fault = |number| Fault::from(io::Error::from_raw_os_error(number));
    assert!(matches!(fault(libc::ECONNREFUSED), Fault::Refused(_)));
    assert!(matches!(fault(libc::EACCES), Fault::Refused(_)));
    for number in [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ENETDOWN] {
        assert!(matches!(fault(number), Fault::Unreachable(_)), "{number}");
    }
    for number in [
        libc::EMFILE,
        libc::ENFILE,
        libc::EADDRNOTAVAIL,
        libc::ENOBUFS,
    ] {
        assert!(matches!(fault(number), Fault::Local(_)), "{number}");
    }
    assert!(matches!(fault(libc::ETIMEDOUT), Fault::Timeout));
}
