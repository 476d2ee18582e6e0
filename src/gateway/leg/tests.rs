//! Control connections over loopback: queues, ends, stalls.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::gateway::clock;

/// How long a peer may take nothing.
const STALL: Duration = Duration::from_mins(15);

/// A control connection and its peer.
async fn opened() -> (ControlLeg, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let mut leg = ControlLeg::of_client();
    leg.open(accepted.unwrap().0);
    (leg, peer.unwrap())
}

/// The next event but progress.
async fn event(leg: &mut ControlLeg) -> LegEvent {
    poll_fn(|context| {
        loop {
            match ready!(leg.poll(true, clock::instant(), context)) {
                LegEvent::Progress if leg.stream.is_some() => {}
                event => return Poll::Ready(event),
            }
        }
    })
    .await
}

/// Reads through events until the end.
async fn read_to_end(leg: &mut ControlLeg) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64];
    loop {
        match event(leg).await {
            LegEvent::Ended(end) => return (bytes, end),
            LegEvent::Progress => {}
            LegEvent::Secured | LegEvent::Unsecured(_) => panic!("it is in clear"),
            LegEvent::Readable => match leg.read(&mut buffer) {
                Read::Bytes(read) => bytes.extend_from_slice(&buffer[..read]),
                Read::Ended(end) => return (bytes, end),
                Read::Again | Read::Nothing => {}
            },
        }
    }
}

/// Queues until the connection takes no more.
async fn fill(leg: &mut ControlLeg) {
    poll_fn(|context| leg.stream.as_ref().unwrap().poll_write_ready(context))
        .await
        .unwrap();
    while leg.queued() == 0 {
        leg.queue(Bytes::from_static(&[b'x'; 8 * 1024]));
        leg.flush(clock::instant());
    }
}

#[tokio::test]
async fn what_is_queued_goes_out_before_the_end() {
    let (mut leg, mut peer) = opened().await;
    leg.queue(Bytes::from_static(b"221-One\r\n"));
    leg.queue(Bytes::from_static(b"221 Two\r\n"));
    leg.close(End::Fin, clock::instant());
    leg.queue(Bytes::from_static(b"never\r\n"));
    peer.write_all(b"NOOP\r\n").await.unwrap();
    let mut read = Vec::new();
    let (_, result) = tokio::join!(
        async {
            // Ends once the peer has ended too.
            event(&mut leg).await
        },
        async {
            peer.read_to_end(&mut read).await.unwrap();
            peer.shutdown().await
        }
    );
    result.unwrap();
    assert_eq!(read, b"221-One\r\n221 Two\r\n");
    assert!(leg.is_closed());
    assert_eq!(
        peer.read(&mut [0; 8]).await.unwrap(),
        0,
        "no reset came behind"
    );
}

#[tokio::test]
async fn a_peer_that_never_ends_is_not_waited_for() {
    let (mut leg, _peer) = opened().await;
    let now = clock::instant();
    leg.close(End::Fin, now);
    assert_eq!(leg.deadline(STALL), Some(now + LINGER));
    assert_eq!(leg.expire(now, STALL), None);
    assert!(!leg.is_closed());
    assert_eq!(leg.expire(now + LINGER, STALL), None);
    assert!(leg.is_closed());
}

#[tokio::test]
async fn a_peer_that_ends_by_itself_ends_first() {
    let (mut leg, mut peer) = opened().await;
    leg.await_end(clock::instant());
    let early = socket::receive_now(&peer, &mut [0; 8]).unwrap_err();
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
    peer.shutdown().await.unwrap();
    event(&mut leg).await;
    assert!(leg.is_closed());
    assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_does_not_end_by_itself_is_ended() {
    let (mut leg, mut peer) = opened().await;
    let now = clock::instant();
    leg.await_end(now);
    let later = now + PARTING;
    assert_eq!(leg.deadline(STALL), Some(later));
    assert_eq!(leg.expire(later, STALL), None);
    assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(leg.deadline(STALL), Some(later + LINGER));
    drop(peer);
    event(&mut leg).await;
    assert!(leg.is_closed());
}

#[tokio::test]
async fn a_peer_that_is_owed_something_is_not_waited_for_in_silence() {
    let (mut leg, mut peer) = opened().await;
    leg.queue(Bytes::from_static(b"QUIT\r\n"));
    leg.await_end(clock::instant());
    let mut read = Vec::new();
    peer.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"QUIT\r\n");
}

#[tokio::test]
async fn a_peer_that_sends_on_and_on_is_not_waited_for() {
    let (mut leg, mut peer) = opened().await;
    leg.close(End::Fin, clock::instant());
    let chunk = vec![b'x'; 64 * 1024];
    let flood = async { while peer.write_all(&chunk).await.is_ok() {} };
    tokio::join!(event(&mut leg), flood);
    assert!(leg.is_closed());
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let (mut leg, _peer) = opened().await;
    fill(&mut leg).await;
    let due = leg.deadline(STALL).unwrap();
    assert_eq!(leg.expire(due - Duration::from_millis(1), STALL), None);
    assert_eq!(leg.expire(due, STALL), Some(End::Reset));
    assert!(leg.is_closed());
}

#[tokio::test]
async fn a_peer_that_takes_something_is_not() {
    let (mut leg, mut peer) = opened().await;
    fill(&mut leg).await;
    let first = leg.deadline(STALL).unwrap();
    let mut buffer = vec![0; 1024 * 1024];
    let queued = leg.queued();
    while leg.queued() == queued {
        tokio::select! {
            biased;
            _ = peer.read(&mut buffer) => {}
            _ = poll_fn(|context| leg.poll(false, clock::instant(), context)) => {}
        }
    }
    assert!(leg.deadline(STALL).is_none_or(|second| second > first));
}

#[tokio::test]
async fn an_end_that_cannot_be_flushed_is_a_reset() {
    let (mut leg, mut peer) = opened().await;
    fill(&mut leg).await;
    let now = clock::instant();
    leg.close(End::Fin, now);
    assert_eq!(leg.deadline(STALL), Some(now + FLUSH));
    assert_eq!(leg.expire(now + FLUSH, STALL), None);
    assert!(leg.is_closed());
    let error = peer.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_half_closed_peer_is_still_written_to() {
    let (mut leg, mut peer) = opened().await;
    peer.write_all(b"QUIT\r\n").await.unwrap();
    peer.shutdown().await.unwrap();
    assert_eq!(
        read_to_end(&mut leg).await,
        (b"QUIT\r\n".to_vec(), End::Fin)
    );
    leg.queue(Bytes::from_static(b"221 Bye\r\n"));
    leg.close(End::Fin, clock::instant());
    assert!(leg.is_closed());
    let mut read = Vec::new();
    peer.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"221 Bye\r\n");
}

#[tokio::test]
async fn the_last_word_of_a_peer_is_read_behind_a_write_that_failed() {
    let (mut leg, mut peer) = opened().await;
    leg.queue(Bytes::from_static(b"never read"));
    leg.flush(clock::instant());
    peer.readable().await.unwrap();
    peer.write_all(b"421 Full\r\n").await.unwrap();
    // Closed with bytes unread: a reset.
    drop(peer);
    while !leg.broken {
        leg.queue(Bytes::from_static(b"USER test\r\n"));
        poll_fn(|context| leg.poll(false, clock::instant(), context)).await;
    }
    assert_eq!(
        read_to_end(&mut leg).await,
        (b"421 Full\r\n".to_vec(), End::Reset)
    );
}

#[tokio::test]
async fn a_reset_is_told_as_one() {
    let (mut leg, peer) = opened().await;
    socket::arm_reset(&peer).unwrap();
    drop(peer);
    assert_eq!(read_to_end(&mut leg).await, (Vec::new(), End::Reset));
    leg.close(End::Fin, clock::instant());
    assert!(leg.is_closed());
}

#[tokio::test]
async fn urgent_data_keeps_its_place() {
    let (mut leg, mut peer) = opened().await;
    socket::inline_urgent(&peer).unwrap();
    leg.queue(Bytes::from_static(b"NOOP\r\n"));
    leg.queue(Bytes::from_static(b"\xFF\xF4"));
    leg.queue_urgent(0xFF);
    leg.queue(Bytes::from_static(b"\xF2ABOR\r\n"));
    leg.close(End::Fin, clock::instant());
    let mut read = Vec::new();
    let _ = tokio::join!(event(&mut leg), async {
        while read.len() < 15 {
            peer.readable().await.unwrap();
            peer.try_read_buf(&mut read).ok();
        }
        peer.shutdown().await.unwrap();
    });
    assert_eq!(read, b"NOOP\r\n\xFF\xF4\xFF\xF2ABOR\r\n");
}

#[tokio::test]
async fn all_that_comes_is_received_up_to_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut ours = TcpStream::connect(address).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 4];
    for piece in [&b"abc"[..], b"defg", b"hi", b"jklmnopqr"] {
        ours.write_all(piece).await.unwrap();
        let expected = received.len() + piece.len();
        while received.len() < expected {
            theirs.readable().await.unwrap();
            match receive_all(&theirs, &mut buffer, Urgent::Never).0 {
                Ok(bytes) => received.extend_from_slice(&buffer[..bytes]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }
    assert_eq!(received, b"abcdefghijklmnopqr");
    ours.write_all(b"z").await.unwrap();
    drop(ours);
    loop {
        theirs.readable().await.unwrap();
        match receive_all(&theirs, &mut buffer, Urgent::Never).0 {
            Ok(0) => break,
            Ok(bytes) => assert_eq!(&buffer[..bytes], b"z"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

#[tokio::test]
async fn what_a_read_may_have_left_is_no_news() {
    let (mut leg, mut peer) = opened().await;
    let mut buffer = [0; 64];
    peer.write_all(format!("{}\n", "x".repeat(99)).as_bytes())
        .await
        .unwrap();
    assert_eq!(event(&mut leg).await, LegEvent::Readable);
    assert!(leg.is_news());
    assert_eq!(leg.read(&mut buffer), Read::Bytes(64));
    assert!(!leg.is_news(), "of the rest the runtime does not tell");
    assert!(leg.may_have_come());
    assert_eq!(leg.read(&mut buffer), Read::Bytes(36));
    assert!(leg.is_news());
    assert!(!leg.may_have_come());
    peer.write_all(b"NOOP\r\n").await.unwrap();
    assert_eq!(event(&mut leg).await, LegEvent::Readable);
    assert!(leg.is_news() && leg.may_have_come());
}

#[tokio::test]
async fn an_end_that_was_put_off_is_told_once() {
    for may_be_polled in [true, false] {
        let (mut leg, peer) = opened().await;
        drop(peer);
        let mut buffer = [0; 8];
        poll_fn(|context| leg.stream.as_ref().unwrap().poll_read_ready(context))
            .await
            .unwrap();
        assert_eq!(leg.read_now(&mut buffer), (0, Some(End::Fin)));
        leg.put_off(End::Fin);
        assert!(leg.may_have_come());
        if may_be_polled {
            assert_eq!(event(&mut leg).await, LegEvent::Ended(End::Fin));
        } else {
            assert_eq!(leg.read_now(&mut buffer), (0, Some(End::Fin)));
        }
        assert_eq!(leg.read_now(&mut buffer), (0, None));
        let polled = poll_fn(|context| Poll::Ready(leg.poll(true, clock::instant(), context)));
        assert!(polled.await.is_pending());
    }
}
