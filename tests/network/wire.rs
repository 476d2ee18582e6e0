//! The network between the gateway and its peers, in user space: connections of the kernel's own
//! are led through it, and each way of each of them is slow, torn into pieces, silent, reset or
//! ended as it is told. It rewrites nothing: who advertises an address advertises one of its own.

use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ftpwarden::sys::socket;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// When something happens to one way of a connection.
#[derive(Clone, Debug)]
pub(crate) enum When {
    /// In the place of this byte, or of an end that comes there.
    Byte(u64),
    /// So long after the connection.
    Moment(Duration),
    /// When the test says so.
    Told(CancellationToken),
}

/// What happens to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It ends in order where bytes go and is reset where they come from.
    End,
    /// The whole connection is reset.
    Reset,
    /// Nothing more comes through, not even an end or a reset.
    Silence,
}

/// One way of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// At most so many bytes at once.
    pub(crate) piece: usize,
    /// So long before each of them: what comes meanwhile is joined.
    pub(crate) pause: Duration,
    /// What happens to it, and when.
    pub(crate) fault: Option<(When, Fault)>,
}

impl Way {
    /// Nothing happens to it.
    pub(crate) const FINE: Self = Self {
        piece: 64 * 1024,
        pause: Duration::ZERO,
        fault: None,
    };
}

/// How a connection is led.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// From the one who dials.
    pub(crate) there: Way,
    /// To the one who dials.
    pub(crate) back: Way,
    /// The dial is lost: who dials believes that it was answered.
    pub(crate) lost: bool,
    /// The network holds no more bytes than this each way.
    pub(crate) window: Option<u32>,
}

impl Link {
    /// Nothing happens to it.
    pub(crate) const FINE: Self = Self {
        there: Way::FINE,
        back: Way::FINE,
        lost: false,
        window: None,
    };

    /// Silent both ways from when `token` says so.
    pub(crate) fn cut_by(token: &CancellationToken) -> Self {
        Self::FINE.failing(&When::Told(token.clone()), Fault::Silence)
    }

    /// With this fault both ways.
    pub(crate) fn failing(mut self, when: &When, fault: Fault) -> Self {
        self.there.fault = Some((when.clone(), fault));
        self.back.fault = Some((when.clone(), fault));
        self
    }

    /// With pieces of these bytes, each after `pause`, both ways.
    pub(crate) fn paced(mut self, piece: usize, pause: Duration) -> Self {
        for way in [&mut self.there, &mut self.back] {
            way.piece = piece;
            way.pause = pause;
        }
        self
    }
}

/// What was handed over one way.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// So many bytes.
    bytes: AtomicU64,
    /// An end in order.
    ended: AtomicBool,
    /// That end was made up.
    forged: AtomicBool,
}

impl Passed {
    /// How many bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether an end in order came behind them.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether the network has made that end up.
    pub(crate) fn forged(&self) -> bool {
        self.forged.load(Ordering::Relaxed)
    }
}

/// What was handed over on a connection.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// From the one who dials.
    pub(crate) there: Passed,
    /// To the one who dials.
    pub(crate) back: Passed,
}

/// A network. Its connections live until it is dissolved, or end by themselves.
#[derive(Clone, Default)]
pub(crate) struct Network {
    /// Its tasks.
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Network {
    /// An address of `at` that leads one connection to `target`, which sees it come from `source`.
    pub(crate) async fn path(
        &self,
        at: IpAddr,
        target: SocketAddr,
        source: IpAddr,
        link: Link,
    ) -> (SocketAddr, Arc<Ledger>) {
        let listener = listen(at, link.window).unwrap();
        let address = listener.local_addr().unwrap();
        let ledger = Arc::<Ledger>::default();
        let kept = Arc::clone(&ledger);
        self.run(async move {
            if let Ok((dialler, _)) = listener.accept().await {
                drop(listener);
                lead(dialler, target, source, &link, &kept).await;
            }
        });
        tokio::task::yield_now().await;
        (address, ledger)
    }

    /// An address of `at` that leads every connection to `target`, each as `next` says.
    pub(crate) fn gate(
        &self,
        at: IpAddr,
        target: SocketAddr,
        source: IpAddr,
        mut next: impl FnMut() -> Link + Send + 'static,
    ) -> SocketAddr {
        let listener = listen(at, None).unwrap();
        let address = listener.local_addr().unwrap();
        let network = self.clone();
        self.run(async move {
            while let Ok((dialler, _)) = listener.accept().await {
                let link = next();
                network.run(async move {
                    lead(dialler, target, source, &link, &Ledger::default()).await;
                });
            }
        });
        address
    }

    /// Runs one of its tasks.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap().push(tokio::spawn(task));
    }

    /// Ends all that is left of it.
    pub(crate) async fn dissolve(&self) {
        loop {
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
            if tasks.is_empty() {
                break;
            }
            for task in tasks {
                task.abort();
                let ended = task.await;
                assert!(
                    ended.is_ok() || ended.is_err_and(|error| error.is_cancelled()),
                    "a task of the network panicked"
                );
            }
        }
    }
}

/// Listens on any port of `at`.
fn listen(at: IpAddr, window: Option<u32>) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    if let Some(window) = window {
        socket.set_recv_buffer_size(window)?;
    }
    socket.bind(SocketAddr::new(at, 0))?;
    socket.listen(64)
}

/// Dials `target` and leads one connection there.
async fn lead(
    dialler: TcpStream,
    target: SocketAddr,
    source: IpAddr,
    link: &Link,
    ledger: &Ledger,
) {
    if link.lost {
        // Held, and never heard of again.
        let _held = dialler;
        return pending().await;
    }
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(window) = link.window {
        socket.set_recv_buffer_size(window).unwrap();
    }
    socket::bind_address_only(&socket).unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    match socket.connect(target).await {
        Ok(dialled) => carry(dialler, dialled, link, ledger).await,
        Err(_) => reset(dialler),
    }
}

/// Resets a connection.
pub(crate) fn reset(stream: TcpStream) {
    // One that is gone already needs none.
    socket::arm_reset(&stream).ok();
    drop(stream);
}

/// How one way came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Over {
    /// In order.
    Ended,
    /// Its fault.
    Fault(Fault),
    /// The one who takes bytes is gone.
    SinkBroke,
    /// The one who gives them is gone.
    SourceBroke,
}

/// What is to be done with a connection.
enum Verdict {
    /// Everything was passed.
    Close,
    /// It ended in order, made up, where bytes go; true where that is the one who was dialled.
    End(bool),
    /// Both sides are reset; one of them, or the network, has said so.
    Reset,
}

/// Carries a connection to its end.
async fn carry(dialler: TcpStream, dialled: TcpStream, link: &Link, ledger: &Ledger) {
    for stream in [&dialler, &dialled] {
        // An option that cannot be set says that the connection is gone: a read tells.
        stream.set_nodelay(true).ok();
        socket::inline_urgent(stream).ok();
    }
    match watch(&dialler, &dialled, link, ledger).await {
        Verdict::Close => {}
        Verdict::Reset => {
            reset(dialler);
            reset(dialled);
        }
        Verdict::End(there) => {
            let (source, sink) = if there {
                (dialler, dialled)
            } else {
                (dialled, dialler)
            };
            reset(source);
            let mut buffer = vec![0; 64 * 1024];
            while read(&sink, &mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
        }
    }
}

/// Both ways of a connection, until it is known what becomes of it: never, where it is silent.
async fn watch(dialler: &TcpStream, dialled: &TcpStream, link: &Link, ledger: &Ledger) -> Verdict {
    let mut there = pin!(pass(dialler, dialled, &link.there, &ledger.there));
    let mut back = pin!(pass(dialled, dialler, &link.back, &ledger.back));
    let (mut came, mut went) = (None, None);
    let silent = Some(Over::Fault(Fault::Silence));
    loop {
        tokio::select! {
            over = &mut there, if came.is_none() => came = Some(over),
            over = &mut back, if went.is_none() => went = Some(over),
            // Behind an end in order a read tells nothing any more.
            () = broken(dialler), if came == Some(Over::Ended) && went != Some(Over::Ended) =>
                came = Some(Over::SourceBroke),
            () = broken(dialled), if went == Some(Over::Ended) && came != Some(Over::Ended) =>
                went = Some(Over::SourceBroke),
            else => return pending().await,
        }
        for (over, other, is_there) in [(came, went, true), (went, came, false)] {
            match over {
                None | Some(Over::Fault(Fault::Silence)) => {}
                Some(Over::Fault(Fault::End)) => return Verdict::End(is_there),
                Some(Over::Fault(Fault::Reset) | Over::SourceBroke) => return Verdict::Reset,
                Some(Over::SinkBroke) if other != silent => return Verdict::Reset,
                Some(Over::SinkBroke) => {}
                Some(Over::Ended) if other == Some(Over::Ended) => return Verdict::Close,
                Some(Over::Ended) => {}
            }
        }
    }
}

/// Passes the bytes of one way on.
async fn pass(from: &TcpStream, to: &TcpStream, way: &Way, passed: &Passed) -> Over {
    let fault = way.fault.as_ref().map(|(_, fault)| *fault);
    let over = tokio::select! {
        biased;
        () = due(way) => None,
        over = copy(from, to, way, passed) => over,
    };
    let Some(over) = over.or_else(|| fault.map(Over::Fault)) else {
        return pending().await;
    };
    let forged = over == Over::Fault(Fault::End);
    if forged || over == Over::Ended {
        passed.forged.store(forged, Ordering::Relaxed);
        passed.ended.store(true, Ordering::Relaxed);
        // One that is gone is found by the other way.
        socket::shut_down(to).ok();
    }
    over
}

/// When the fault comes that does not wait for a byte.
async fn due(way: &Way) {
    match &way.fault {
        Some((When::Moment(after), _)) => sleep(*after).await,
        Some((When::Told(token), _)) => token.cancelled().await,
        Some((When::Byte(_), _)) | None => pending().await,
    }
}

/// The same without the faults that do not wait for a byte; None where the one that does has
/// come.
async fn copy(from: &TcpStream, to: &TcpStream, way: &Way, passed: &Passed) -> Option<Over> {
    let mut buffer = vec![0; way.piece];
    let mut left = match way.fault {
        Some((When::Byte(byte), _)) => byte,
        _ => u64::MAX,
    };
    while left > 0 {
        // Something is there, or an end: a read tells which. An error is told once.
        if from.peek(&mut [0]).await.is_err() {
            return Some(Over::SourceBroke);
        }
        if way.pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            sleep(way.pause).await;
        }
        let most = usize::try_from(left).map_or(way.piece, |left| left.min(way.piece));
        let bytes = match read(from, &mut buffer[..most]).await {
            Ok(0) => return Some(Over::Ended),
            Ok(bytes) => bytes,
            Err(_) => return Some(Over::SourceBroke),
        };
        let mut written = 0;
        while written < bytes {
            match write(to, &buffer[written..bytes]).await {
                Ok(more) => written += more,
                Err(_) => return Some(Over::SinkBroke),
            }
        }
        left -= bytes as u64;
        passed.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    None
}

/// One read. Not the runtime's: it takes a short read for the last one, and reads end early
/// before urgent data.
async fn read(from: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        from.readable().await?;
        match from.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// One write.
async fn write(to: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        to.writable().await?;
        match to.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// Waits until a connection is reset.
async fn broken(stream: &TcpStream) {
    while let Ok(state) = stream.ready(Interest::ERROR).await {
        if state.is_error() {
            break;
        }
    }
}
