//! Tests of the dialogue with servers that take their time.

use std::net::TcpListener;
use std::thread;

use super::*;

#[test]
fn quit_does_not_wait_for_a_server_that_never_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Half of what the client would wait: it must be the one that closes.
        stream.set_read_timeout(Some(REPLY_TIMEOUT / 2)).unwrap();
        let mut line = [0; 16];
        let count = stream.read(&mut line).unwrap();
        assert_eq!(line.get(..count), Some(&b"QUIT\r\n"[..]));
        stream.write_all(b"500 A tail.\r\n221 Bye.\r\n").unwrap();
        stream.read(&mut line).map_err(|error| error.kind())
    });
    let dialogue = Dialogue::open("127.0.0.1", port).unwrap();
    assert_eq!(dialogue.quit().unwrap(), [500, 221]);
    assert_eq!(server.join().unwrap(), Ok(0), "the client did not close");
}
