//! Relays over loopback: every byte, and every way to end.

use std::future::poll_fn;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::sys::socket;
use crate::tls::channel::Channel;
use crate::tls::tests::{VERSIONS, World, client, meet, server};

/// Two ends of a connection over loopback.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

/// A relay and what stands at its ends.
struct Bench {
    /// Who writes.
    writer: TcpStream,
    /// Who reads.
    reader: TcpStream,
    /// Between them.
    relay: Relay,
    /// What it counts into.
    counter: Arc<AtomicU64>,
}

impl Bench {
    /// A relay between two connections.
    async fn new() -> Self {
        let (writer, source) = pair().await;
        let (sink, reader) = pair().await;
        let pool = Arc::default();
        let counter = Arc::new(AtomicU64::new(0));
        let relay = Relay::new(
            Stream::clear(Arc::new(source)),
            Stream::clear(Arc::new(sink)),
            pool,
            Arc::clone(&counter),
        );
        Self {
            writer,
            reader,
            relay,
            counter,
        }
    }

    /// The same where no pipe is to spare for a transfer that begins.
    async fn with_buffer() -> Self {
        let mut bench = Self::new().await;
        bench.relay.engine = Engine::Copy(Copy::new(&bench.relay.pool));
        bench.relay.upgradable = true;
        bench
    }

    /// Whether the relay has a pipe.
    const fn splices(&self) -> bool {
        matches!(self.relay.engine, Engine::Splice(_))
    }
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xFF).unwrap())
        .collect()
}

/// Sends `length` bytes through a relay and checks that they arrive.
async fn carries(mut bench: Bench, length: usize) -> Bench {
    let sent = pattern(length);
    let mut received = vec![0; length];
    let write = async {
        bench.writer.write_all(&sent).await.unwrap();
        bench.writer.shutdown().await.unwrap();
    };
    let read = async { bench.reader.read_exact(&mut received).await.unwrap() };
    let relay = poll_fn(|context| bench.relay.poll(context));
    let (ending, (), _) = tokio::join!(relay, write, read);
    assert_eq!(ending, Ending::Source);
    assert!(sent == received, "the bytes are not those that were sent");
    let length = u64::try_from(length).unwrap();
    assert_eq!(bench.relay.moved(), length);
    assert_eq!(bench.counter.load(Ordering::Relaxed), length);
    bench
}

#[tokio::test]
async fn nothing_is_a_transfer_too() {
    carries(Bench::new().await, 0).await;
    carries(Bench::with_buffer().await, 0).await;
}

#[tokio::test]
async fn a_transfer_is_spliced_where_a_pipe_is_to_spare() {
    for length in [100_000, 9_000_001] {
        let bench = carries(Bench::new().await, length).await;
        assert!(bench.splices());
    }
}

#[tokio::test]
async fn a_transfer_without_a_pipe_is_spliced_once_it_is_long() {
    let bench = carries(Bench::with_buffer().await, 100_000).await;
    assert!(!bench.splices());
    let bench = carries(Bench::with_buffer().await, 9_000_001).await;
    assert!(bench.splices());
}

#[tokio::test]
async fn a_long_transfer_can_be_copied() {
    let mut bench = Bench::with_buffer().await;
    bench.relay.upgradable = false;
    let bench = carries(bench, 9_000_001).await;
    assert!(!bench.splices());
}

#[tokio::test]
async fn urgent_data_ends_no_transfer() {
    let mut bench = Bench::new().await;
    warm(&mut bench, 600_000).await;
    assert!(bench.splices());
    let sent = pattern(2_000_000);
    let write = async {
        bench.writer.write_all(&sent[..1_000_000]).await.unwrap();
        send_urgent(&bench.writer).await;
        bench.writer.write_all(&sent[1_000_000..]).await.unwrap();
        bench.writer.shutdown().await.unwrap();
    };
    let mut received = vec![0; sent.len()];
    let read = async { bench.reader.read_exact(&mut received).await.unwrap() };
    let relay = async {
        let ending = poll_fn(|context| bench.relay.poll(context)).await;
        (ending, bench.relay.moved())
    };
    let all = async { tokio::join!(relay, write, read) };
    let (ended, (), _) = timeout(Duration::from_secs(10), all).await.unwrap();
    assert_eq!(ended, (Ending::Source, 2_600_000));
    assert!(sent == received, "the bytes are not those that were sent");
}

#[tokio::test]
async fn an_end_behind_urgent_data_is_the_end() {
    // All of it waits in the kernel when it is looked at, and nothing more comes.
    for behind in [&b""[..], b"behind"] {
        let mut bench = Bench::new().await;
        warm(&mut bench, 600_000).await;
        bench.writer.write_all(b"before").await.unwrap();
        send_urgent(&bench.writer).await;
        bench.writer.write_all(behind).await.unwrap();
        bench.writer.shutdown().await.unwrap();
        let ending = poll_fn(|context| bench.relay.poll(context));
        let ending = timeout(Duration::from_secs(10), ending).await.unwrap();
        assert_eq!(ending, Ending::Source);
        let mut received = vec![0; 6 + behind.len()];
        let moved = u64::try_from(600_000 + received.len()).unwrap();
        assert_eq!(bench.relay.moved(), moved);
        bench.reader.read_exact(&mut received).await.unwrap();
        assert_eq!(received, [b"before", behind].concat());
    }
}

#[tokio::test]
async fn a_source_that_is_silent_behind_urgent_data_goes_on() {
    let mut bench = Bench::new().await;
    warm(&mut bench, 600_000).await;
    send_urgent(&bench.writer).await;
    let goes_on = warm(&mut bench, 10);
    timeout(Duration::from_secs(10), goes_on).await.unwrap();
    bench.writer.shutdown().await.unwrap();
    let ending = poll_fn(|context| bench.relay.poll(context)).await;
    assert_eq!((ending, bench.relay.moved()), (Ending::Source, 600_010));
}

#[tokio::test]
async fn what_has_come_behind_urgent_data_is_moved_once_a_slow_sink_has_the_rest() {
    let mut bench = Bench::new().await;
    let splice = Splice::new(&bench.relay.pool).unwrap();
    bench.relay.engine = Engine::Splice(splice);
    bench.relay.upgradable = false;
    let sink = SockRef::from(bench.relay.sink.socket());
    sink.set_send_buffer_size(4096).unwrap();
    let reader = SockRef::from(&bench.reader);
    reader.set_recv_buffer_size(4096).unwrap();
    let sent = pattern(40_006);
    bench.writer.write_all(&sent[..40_000]).await.unwrap();
    send_urgent(&bench.writer).await;
    bench.writer.write_all(&sent[40_000..]).await.unwrap();
    let mut received = vec![0; sent.len()];
    let read = async {
        tokio::select! {
            ending = poll_fn(|context| bench.relay.poll(context)) => panic!("{ending:?}"),
            read = bench.reader.read_exact(&mut received) => read.unwrap(),
        }
    };
    timeout(Duration::from_secs(10), read).await.unwrap();
    assert!(sent == received, "the bytes are not those that were sent");
}

/// How many bytes to move, and a relay with a pipe, a buffer, and one that will have a pipe.
async fn short_and_long() -> [(usize, Bench); 3] {
    [
        (10, Bench::new().await),
        (10, Bench::with_buffer().await),
        (600_000, Bench::with_buffer().await),
    ]
}

/// Sends one byte as urgent data.
async fn send_urgent(writer: &TcpStream) {
    writer.writable().await.unwrap();
    assert_eq!(socket::send_urgent(writer, b'!').unwrap(), 1);
}

/// Moves enough for the engine of a long transfer, then leaves the relay idle.
async fn warm(bench: &mut Bench, bytes: usize) {
    let sent = pattern(bytes);
    let mut received = vec![0; bytes];
    let work = async {
        tokio::join!(
            async { bench.writer.write_all(&sent).await.unwrap() },
            async { bench.reader.read_exact(&mut received).await.unwrap() },
        )
    };
    tokio::select! {
        ending = poll_fn(|context| bench.relay.poll(context)) => panic!("{ending:?}"),
        _ = work => {}
    }
}

#[tokio::test]
async fn a_source_that_is_reset_is_no_end_of_file() {
    for (bytes, mut bench) in short_and_long().await {
        warm(&mut bench, bytes).await;
        socket::arm_reset(&bench.writer).unwrap();
        let Bench {
            writer, mut relay, ..
        } = bench;
        drop(writer);
        let ending = poll_fn(|context| relay.poll(context)).await;
        assert_eq!(ending, Ending::SourceBroke);
    }
}

#[tokio::test]
async fn a_sink_that_is_reset_is_seen_while_the_source_is_idle() {
    for (bytes, mut bench) in short_and_long().await {
        warm(&mut bench, bytes).await;
        socket::arm_reset(&bench.reader).unwrap();
        let Bench {
            reader,
            mut relay,
            writer: _writer,
            ..
        } = bench;
        drop(reader);
        let ending = poll_fn(|context| relay.poll(context)).await;
        assert_eq!(ending, Ending::SinkBroke);
    }
}

#[tokio::test]
async fn a_sink_that_half_closes_goes_on() {
    for (bytes, mut bench) in short_and_long().await {
        warm(&mut bench, bytes).await;
        bench.reader.shutdown().await.unwrap();
        warm(&mut bench, bytes).await;
        socket::arm_reset(&bench.reader).unwrap();
        let Bench {
            reader,
            mut relay,
            writer: _writer,
            ..
        } = bench;
        drop(reader);
        let ending = poll_fn(|context| relay.poll(context)).await;
        assert_eq!(ending, Ending::SinkBroke, "a reset behind a FIN");
    }
}

#[tokio::test]
async fn a_sink_that_closes_while_bytes_come_breaks() {
    let mut bench = Bench::new().await;
    warm(&mut bench, 10).await;
    let Bench {
        reader,
        mut relay,
        mut writer,
        ..
    } = bench;
    drop(reader);
    let write = async {
        let chunk = vec![7; 64 * 1024];
        while writer.write_all(&chunk).await.is_ok() {}
    };
    let ending = tokio::select! {
        ending = poll_fn(|context| relay.poll(context)) => ending,
        () = write => panic!("the writer was stopped by the relay"),
    };
    assert_eq!(ending, Ending::SinkBroke);
}

#[tokio::test]
async fn a_sink_that_reads_nothing_stops_the_source() {
    let mut bench = Bench::new().await;
    let chunk = vec![7; 64 * 1024];
    let mut written = 0_u64;
    while !bench.relay.holds_bytes() {
        tokio::select! {
            biased;
            ending = poll_fn(|context| bench.relay.poll(context)) => panic!("{ending:?}"),
            result = bench.writer.write(&chunk) => {
                written += u64::try_from(result.unwrap()).unwrap();
            }
        }
    }
    assert!(written > bench.relay.moved());
}

/// A relay whose sink is full and holds much, from a source that has more.
async fn stuffed(bench: &mut Bench) {
    let sink = SockRef::from(bench.relay.sink.socket());
    sink.set_send_buffer_size(200_000).unwrap();
    let reader = SockRef::from(&bench.reader);
    reader.set_recv_buffer_size(4096).unwrap();
    let block = pattern(600_000);
    loop {
        poll_fn(|context| {
            assert!(bench.relay.poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        let is_full = bench.writer.try_write(&block).is_err();
        while bench.relay.push() {}
        if is_full && bench.relay.engine.held() > 0 {
            break;
        }
        yield_now().await;
    }
}

#[tokio::test]
async fn a_full_sink_takes_what_it_has_made_room_for_long_before_the_runtime_is_told() {
    let mut secured = Bench::new().await;
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    let options = client(&world.path("ca.pem"), "ftp.example.com", VERSIONS[1]);
    let ends = meet(&server(&[identity]), &options).unwrap();
    let sink = Arc::clone(secured.relay.sink.socket());
    secured.relay.sink = Stream::secured(sink, Channel::new(ends.server), false);
    secured.relay.engine = Engine::Copy(Copy::new(&secured.relay.pool));
    for mut bench in [Bench::new().await, Bench::with_buffer().await, secured] {
        stuffed(&mut bench).await;
        let mut read = 0;
        while !bench.relay.push() {
            let mut buffer = [0; 4096];
            read += bench.reader.read(&mut buffer).await.unwrap();
            assert!(read < 100_000, "a quarter of what the sink may hold");
        }
    }
}

#[tokio::test]
async fn what_is_pushed_comes_in_its_place() {
    for mut bench in [Bench::new().await, Bench::with_buffer().await] {
        let sink = SockRef::from(bench.relay.sink.socket());
        sink.set_send_buffer_size(4096).unwrap();
        let sent = pattern(2_000_000);
        let mut received = vec![0; sent.len()];
        let write = async { bench.writer.write_all(&sent).await.unwrap() };
        let read = async { bench.reader.read_exact(&mut received).await.unwrap() };
        let relay = poll_fn(|context| {
            bench.relay.push();
            bench.relay.poll(context)
        });
        tokio::select! {
            ending = relay => panic!("{ending:?}"),
            _ = async { tokio::join!(write, read) } => {}
        }
        assert!(sent == received, "the bytes are not those that were sent");
        assert_eq!(bench.relay.moved(), 2_000_000);
        assert!(!bench.relay.push(), "nothing is held");
    }
}

#[tokio::test]
async fn what_tls_holds_goes_out_while_the_source_is_silent() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    let options = client(&world.path("ca.pem"), "ftp.example.com", VERSIONS[1]);
    let ends = meet(&server(&[identity]), &options).unwrap();
    let (mut writer, source) = pair().await;
    let (sink, reader) = pair().await;
    // So that it is soon full.
    SockRef::from(&sink).set_send_buffer_size(4096).unwrap();
    SockRef::from(&reader).set_recv_buffer_size(4096).unwrap();
    let mut relay = Relay::new(
        Stream::clear(Arc::new(source)),
        Stream::secured(Arc::new(sink), Channel::new(ends.server), false),
        Arc::default(),
        Arc::default(),
    );
    // Each piece is read whole, and the first that the kernel does not take whole stays in TLS.
    let piece = pattern(60_000);
    let mut sent = Vec::new();
    while !relay.sink.has_unsent() {
        writer.write_all(&piece).await.unwrap();
        sent.extend_from_slice(&piece);
        poll_fn(|context| {
            assert!(relay.poll(context).is_pending());
            if relay.moved() == u64::try_from(sent.len()).unwrap() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
    assert_eq!(relay.engine.held(), 0);
    let reader = Stream::secured(Arc::new(reader), Channel::new(ends.client), false);
    let mut received = vec![0; sent.len()];
    let mut length = 0;
    let read = async {
        while length < sent.len() {
            let room = &mut received[length..];
            length += poll_fn(|context| reader.poll_read(context, room))
                .await
                .unwrap();
        }
    };
    let relay = poll_fn(|context| relay.poll(context));
    let both = async {
        tokio::select! {
            ending = relay => panic!("{ending:?}"),
            () = read => {}
        }
    };
    let in_time = timeout(Duration::from_secs(10), both).await;
    assert!(in_time.is_ok(), "the tail stays where it is");
    assert!(sent == received, "the bytes are not those that were sent");
}

#[tokio::test]
async fn a_failure_is_no_fin_and_takes_nothing() {
    let (mut ours, theirs) = pair().await;
    let theirs = Arc::new(theirs);
    let mut failure = Failure::of(Arc::clone(&theirs));
    ours.write_all(b"kept").await.unwrap();
    ours.shutdown().await.unwrap();
    theirs.readable().await.unwrap();
    let state = poll_fn(|context| Poll::Ready(failure.poll(context))).await;
    assert!(state.is_pending());
    socket::arm_reset(&ours).unwrap();
    drop(ours);
    poll_fn(|context| failure.poll(context)).await;
    let mut buffer = [0; 8];
    assert_eq!(theirs.try_read(&mut buffer).unwrap(), 4);
}

#[tokio::test]
async fn a_relay_at_full_speed_lets_others_have_their_turn() {
    let Bench {
        writer,
        reader,
        mut relay,
        counter,
    } = Bench::new().await;
    let [mut writer, mut reader] = [writer, reader].map(|stream| {
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    });
    let sent = thread::spawn(move || {
        let piece = vec![0; 1 << 20];
        for _ in 0..256 {
            writer.write_all(&piece).unwrap();
        }
    });
    let read = thread::spawn(move || io::copy(&mut reader, &mut io::sink()).unwrap());
    let mut most = 0;
    let ending = poll_fn(|context| {
        let before = counter.load(Ordering::Relaxed);
        let polled = relay.poll(context);
        most = most.max(counter.load(Ordering::Relaxed) - before);
        polled
    })
    .await;
    assert_eq!(ending, Ending::Source);
    drop(relay);
    sent.join().unwrap();
    assert_eq!(read.join().unwrap(), 256 << 20);
    // It ends with the piece that reaches the bound.
    assert!(most <= BURST_BYTES + (1 << 20), "{most}");
}
