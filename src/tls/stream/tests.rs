use std::io::ErrorKind;

use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream};

use super::receive;

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

/// Whether the runtime believes that there is something to read.
fn is_told(socket: &TcpStream) -> bool {
    socket.try_io(Interest::READABLE, || Ok(())).is_ok()
}

#[tokio::test]
async fn behind_a_short_read_the_kernel_is_not_asked_again() {
    let (mut ours, theirs) = pair().await;
    let mut buffer = [0; 4];
    ours.write_all(b"abcdef").await.unwrap();
    theirs.readable().await.unwrap();
    assert_eq!(receive(&theirs, &mut buffer).unwrap(), 4);
    assert!(is_told(&theirs), "a read that was full may have left some");
    assert_eq!(receive(&theirs, &mut buffer).unwrap(), 2);
    assert_eq!(&buffer[..2], b"ef");
    assert!(!is_told(&theirs));
    let error = receive(&theirs, &mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    // What comes later is told all the same, and so is the end.
    ours.write_all(b"g").await.unwrap();
    theirs.readable().await.unwrap();
    assert_eq!(receive(&theirs, &mut buffer).unwrap(), 1);
    ours.write_all(b"h").await.unwrap();
    drop(ours);
    let mut received = Vec::new();
    loop {
        theirs.readable().await.unwrap();
        match receive(&theirs, &mut buffer) {
            Ok(0) => break,
            Ok(bytes) => received.extend_from_slice(&buffer[..bytes]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(received, b"h");
}
