//! A client that means well and does this and that, and writes down what came of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ftpwarden::upstream::connect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use super::dice::Dice;
use super::lines::{Ended, Lines};
use super::place::Place;
use super::security::{Security, Wire};
use super::server::content;
use super::weather::Weather;
use super::wire::{Ledger, Network, reset};

/// How long it waits for anything: longer than any bound of the gateway.
const PATIENCE: Duration = Duration::from_millis(2500);

/// How long it waits where nothing is ever lost.
const STEADY_PATIENCE: Duration = Duration::from_mins(2);

/// How long data may trail behind the final reply to it.
const TRAIL: Duration = Duration::from_secs(2);

/// How many bytes a file has.
const SIZES: [usize; 9] = [0, 1, 100, 1460, 5_000, 20_000, 70_000, 300_000, 600_000];

/// Commands that policy refuses.
const REFUSED: [&str; 4] = ["SITE CHMOD 777 x", "site exec ls", "SMNT /", "SITE"];

/// A command and what was said to it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The command.
    pub(crate) line: String,
    /// Whether policy lets it pass.
    pub(crate) allowed: bool,
    /// Its replies.
    pub(crate) replies: Vec<String>,
}

impl Sent {
    /// Its final reply, if it came.
    pub(crate) fn last(&self) -> Option<&str> {
        let last = self.replies.last()?;
        (!last.starts_with('1')).then_some(last)
    }
}

/// A transfer and what became of its data.
#[derive(Debug)]
pub(crate) struct Moved {
    /// The file.
    pub(crate) name: String,
    /// Whether it was sent to the server.
    pub(crate) is_upload: bool,
    /// Which of the commands it was.
    pub(crate) command: usize,
    /// What came, of a download.
    pub(crate) bytes: Vec<u8>,
    /// How its data connection ended, here; of an upload, how the client has ended it.
    pub(crate) ended: Option<Ended>,
    /// What came through, and whether the client dialled.
    pub(crate) ledger: Option<(Arc<Ledger>, bool)>,
    /// Whether the client has sent ABOR.
    pub(crate) aborted: bool,
    /// Whether its data connection was under TLS.
    pub(crate) secured: bool,
}

/// What a client has seen.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Its user.
    pub(crate) user: String,
    /// The greeting came.
    pub(crate) greeted: bool,
    /// Its commands.
    pub(crate) sent: Vec<Sent>,
    /// Its transfers.
    pub(crate) moved: Vec<Moved>,
    /// Replies to nothing.
    pub(crate) strays: Vec<String>,
    /// How its control connection ended, if it heard that.
    pub(crate) ended: Option<Ended>,
    /// It has said goodbye and heard it.
    pub(crate) parted: bool,
}

/// What a client has seen, while it still sees it.
pub(crate) type Shared = Arc<Mutex<Notes>>;

/// A client.
pub(crate) struct Client {
    /// Its control connection.
    control: Option<Lines>,
    /// Its TLS, if it has any; from AUTH on, its connections are under it.
    security: Option<Security>,
    /// Its choices.
    dice: Dice,
    /// The network on its way to the gateway.
    network: Network,
    /// Its moods.
    weather: Weather,
    /// Where everybody is.
    place: Place,
    /// What it has seen.
    notes: Shared,
    /// Commands that have no final reply yet.
    owed: VecDeque<usize>,
    /// Makes names of files its own.
    serial: usize,
    /// It does nothing that ends its session before its time.
    steady: bool,
    /// How long it waits for anything.
    patience: Duration,
}

/// The connection is of no use any more.
#[derive(Debug)]
struct Gone;

/// Whatever a step came to.
type Step<T = ()> = Result<T, Gone>;

/// Where the data of the next transfer goes.
enum Data {
    /// The client dials, through its network.
    Dial(SocketAddr),
    /// It listens.
    Listen(TcpListener),
}

impl Client {
    /// One that has dialled.
    pub(crate) fn new(
        stream: TcpStream,
        network: Network,
        weather: Weather,
        place: Place,
        dice: Dice,
        notes: Shared,
        steady: bool,
    ) -> Self {
        Self {
            control: Some(Lines::new(stream)),
            security: None,
            dice,
            network,
            weather,
            place,
            notes,
            owed: VecDeque::new(),
            serial: 0,
            steady,
            patience: if steady { STEADY_PATIENCE } else { PATIENCE },
        }
    }

    /// The same with this TLS.
    pub(crate) fn secured_by(self, security: Option<Security>) -> Self {
        Self { security, ..self }
    }

    /// Its whole life.
    pub(crate) async fn run(mut self) {
        if self.work().await.is_err() || self.dice.chance(if self.steady { 0 } else { 25 }) {
            // It goes as it likes.
            if self.dice.chance(30)
                && let Some(control) = self.control
            {
                reset(control.wire.into_socket());
            }
            return;
        }
        if !self.steady && self.dice.chance(15) {
            // It does nothing any more and waits for the gateway's patience to end.
            while self.hear().await.is_ok() {}
            return;
        }
        if self.ask("QUIT", true).await.is_ok() && self.owed.is_empty() {
            let end = self.line().await;
            let mut notes = self.notes.lock().unwrap();
            notes.ended = end.ok().and_then(Result::err);
            notes.parted = notes.ended == Some(Ended::Fin);
        }
    }

    /// Logs in and works.
    async fn work(&mut self) -> Step {
        match self.line().await {
            Ok(Ok(line)) if line.starts_with(b"220 ") => self.notes.lock().unwrap().greeted = true,
            _ => return Err(Gone),
        }
        if let Some(security) = self.security.clone() {
            self.turn(&security).await?;
        }
        let user = format!("USER {}", self.notes.lock().unwrap().user);
        if self.dice.chance(20) {
            // In one piece.
            self.say(&[(&user, true), ("PASS secret", true)]).await;
            self.settle().await?;
        } else {
            self.ask(&user, true).await?;
            self.ask("PASS secret", true).await?;
        }
        for _ in 0..2 + self.dice.below(5) {
            match self.dice.below(10) {
                0 => self.ask("PWD", true).await.map(drop)?,
                1 => {
                    let line = format!("CWD /d{}", self.next());
                    self.ask(&line, true).await?;
                }
                2 => {
                    let line = self.dice.pick(&REFUSED);
                    self.ask(line, false).await?;
                }
                3 => self.pipeline().await?,
                4 => self.offer_in_vain().await?,
                _ => self.transfer().await?,
            }
        }
        Ok(())
    }

    /// Turns its control connection to TLS, and asks for the same on data connections.
    async fn turn(&mut self, security: &Security) -> Step {
        if !self.ask("AUTH TLS", true).await?.starts_with("234 ") {
            return Err(Gone);
        }
        let clear = self.control.take().ok_or(Gone)?;
        let turned = timeout(self.patience, clear.turned(security)).await;
        self.control = Some(turned.map_err(|_| Gone)?.map_err(|_| Gone)?);
        self.ask("PBSZ 0", true).await?;
        let protected = self.ask("PROT P", true).await?;
        protected.starts_with("200 ").then_some(()).ok_or(Gone)
    }

    /// The next line, if it comes.
    async fn line(&mut self) -> Result<Result<Vec<u8>, Ended>, Elapsed> {
        match &mut self.control {
            Some(control) => timeout(self.patience, control.line()).await,
            // It was given up while it turned to TLS.
            None => Ok(Err(Ended::Reset)),
        }
    }

    /// A number that no command had before.
    fn next(&mut self) -> usize {
        self.serial += 1;
        self.serial
    }

    /// Sends commands in one piece.
    async fn say(&mut self, lines: &[(&str, bool)]) {
        let mut bytes = Vec::new();
        for (line, allowed) in lines {
            let mut notes = self.notes.lock().unwrap();
            self.owed.push_back(notes.sent.len());
            notes.sent.push(Sent {
                line: (*line).to_owned(),
                allowed: *allowed,
                replies: Vec::new(),
            });
            bytes.extend_from_slice(format!("{line}\r\n").as_bytes());
        }
        if let Some(control) = &mut self.control {
            control.send(&bytes).await;
        }
    }

    /// The next reply, written down with the command that it answers.
    async fn hear(&mut self) -> Step {
        let heard = self.line().await;
        let mut notes = self.notes.lock().unwrap();
        let line = match heard {
            Ok(Ok(line)) => String::from_utf8_lossy(&line).into_owned(),
            Ok(Err(ended)) => {
                notes.ended = Some(ended);
                return Err(Gone);
            }
            Err(_) => return Err(Gone),
        };
        let is_final = !line.starts_with('1');
        let is_last = line.starts_with("421");
        match self.owed.front() {
            Some(command) => {
                let command = *command;
                notes.sent[command].replies.push(line);
                if is_final {
                    self.owed.pop_front();
                }
            }
            None => notes.strays.push(line),
        }
        if is_last { Err(Gone) } else { Ok(()) }
    }

    /// Hears until nothing is owed.
    async fn settle(&mut self) -> Step {
        while !self.owed.is_empty() {
            self.hear().await?;
        }
        Ok(())
    }

    /// A command and its final reply.
    async fn ask(&mut self, line: &str, allowed: bool) -> Step<String> {
        self.say(&[(line, allowed)]).await;
        self.settle().await?;
        let notes = self.notes.lock().unwrap();
        let last = notes.sent.last().and_then(Sent::last);
        last.map(str::to_owned).ok_or(Gone)
    }

    /// Several commands at once.
    async fn pipeline(&mut self) -> Step {
        let mut lines = Vec::new();
        for _ in 0..2 + self.dice.below(9) {
            lines.push(match self.dice.below(4) {
                0 => (self.dice.pick(&REFUSED).to_owned(), false),
                1 => (format!("SIZE f{}", self.next()), true),
                _ => ("NOOP".to_owned(), true),
            });
        }
        let lines: Vec<(&str, bool)> = lines
            .iter()
            .map(|(line, allowed)| (line.as_str(), *allowed))
            .collect();
        self.say(&lines).await;
        self.settle().await
    }

    /// An offer that nobody takes up, or an address that nobody listens on.
    async fn offer_in_vain(&mut self) -> Step {
        if let Some((Data::Dial(address), _)) = self.prepare().await?
            && self.dice.chance(50)
        {
            // Taken up, and given up at once.
            if let Ok(stream) = connect(address, None).await {
                reset(stream);
            }
        }
        Ok(())
    }

    /// A data connection for the next transfer, if there is to be one.
    async fn prepare(&mut self) -> Step<Option<(Data, (Arc<Ledger>, bool))>> {
        let verb = self.dice.pick(&["PASV", "EPSV", "PORT", "EPRT"]);
        let (near, client) = (self.place.near, self.place.client);
        if verb == "PASV" || verb == "EPSV" {
            let link = self.weather.data(true);
            let reply = self.ask(verb, true).await?;
            let Some(port) = port_of(&reply) else {
                return Ok(None);
            };
            let target = SocketAddr::new(self.place.gateway, port);
            let (address, ledger) = self.network.path(client, target, near, link).await;
            return Ok(Some((Data::Dial(address), (ledger, true))));
        }
        let link = self.weather.data(false);
        let listener = TcpListener::bind((client, 0)).await.unwrap();
        let target = listener.local_addr().unwrap();
        let (address, ledger) = self.network.path(near, target, near, link).await;
        let [high, low] = address.port().to_be_bytes();
        let line = if verb == "PORT" {
            format!("PORT {},{high},{low}", near.to_string().replace('.', ","))
        } else {
            format!("EPRT |1|{near}|{}|", address.port())
        };
        let reply = self.ask(&line, true).await?;
        let ready = reply.starts_with('2');
        Ok(ready.then_some((Data::Listen(listener), (ledger, false))))
    }

    /// A transfer.
    async fn transfer(&mut self) -> Step {
        let Some((data, ledger)) = self.prepare().await? else {
            return Ok(());
        };
        let serial = self.next();
        let user = self.notes.lock().unwrap().user.clone();
        let size = self.dice.pick(&SIZES);
        let (verb, name) = match self.dice.below(12) {
            0 => ("RETR", format!("missing-{user}-{serial}-{size}")),
            1 => ("LIST", "list-200".to_owned()),
            2..=6 => ("STOR", format!("up-{user}-{serial}-{size}")),
            _ => ("RETR", format!("down-{user}-{serial}-{size}")),
        };
        let line = if verb == "LIST" {
            verb.to_owned()
        } else {
            format!("{verb} {name}")
        };
        let is_upload = verb == "STOR";
        let command = self.notes.lock().unwrap().sent.len();
        let abort = self.dice.chance(12).then(|| {
            let after = self.dice.below(25) as u64;
            Duration::from_millis(after)
        });
        let early = self.dice.chance(50);
        let notes = Arc::clone(&self.notes);
        notes.lock().unwrap().moved.push(Moved {
            name: name.clone(),
            is_upload,
            command,
            bytes: Vec::new(),
            ended: None,
            ledger: Some(ledger),
            aborted: false,
            secured: self.security.is_some(),
        });
        let local = SocketAddr::new(self.place.client, 0);
        // A passive client may dial before its verb, and behind it.
        let dialled = match (&data, early) {
            (Data::Dial(address), true) => connect(*address, Some(local)).await.ok(),
            _ => None,
        };
        self.say(&[(&line, true)]).await;
        let moving = {
            let notes = Arc::clone(&self.notes);
            let security = self.security.clone();
            async move {
                let stream = match (dialled, data) {
                    (Some(stream), _) => Some(stream),
                    (None, Data::Dial(address)) => connect(address, Some(local)).await.ok(),
                    (None, Data::Listen(listener)) => listener.accept().await.ok().map(|it| it.0),
                };
                if let Some(stream) = stream {
                    run(stream, security.as_ref(), is_upload, &name, &notes).await;
                }
            }
        };
        let mut moving = Box::pin(moving);
        let talk = self.talk(abort);
        let mut talk = Box::pin(talk);
        let mut moved = false;
        let said = loop {
            tokio::select! {
                () = &mut moving, if !moved => moved = true,
                said = &mut talk => break said,
            }
        };
        drop(talk);
        let trails = {
            let notes = notes.lock().unwrap();
            let aborted = notes.moved.last().is_some_and(|moved| moved.aborted);
            let last = notes.sent[command].last();
            last.is_some_and(|last| last.starts_with('2')) && !aborted
        };
        // Data may trail behind the word that it is complete; what was refused has none.
        if !moved && trails {
            timeout(self.patience.max(TRAIL), moving).await.ok();
        } else {
            drop(moving);
        }
        said
    }

    /// Hears all that is owed, and sends ABOR in between if it is to.
    async fn talk(&mut self, abort: Option<Duration>) -> Step {
        if let Some(after) = abort {
            tokio::select! {
                settled = self.settle() => return settled,
                () = sleep(after) => {}
            }
            if let Some(moved) = self.notes.lock().unwrap().moved.last_mut() {
                moved.aborted = true;
            }
            self.say(&[("ABOR", true)]).await;
        }
        self.settle().await
    }
}

/// The port of a 227 or a 229.
fn port_of(reply: &str) -> Option<u16> {
    let inside = reply.split_once('(')?.1.split_once(')')?.0;
    match reply.get(..3)? {
        "227" => {
            let mut numbers = inside.rsplit(',').map(str::parse::<u16>);
            let low = numbers.next()?.ok()?;
            Some(numbers.next()?.ok()? * 256 + low)
        }
        "229" => inside.split('|').nth(3)?.parse().ok(),
        _ => None,
    }
}

/// Resets a data connection that is left before its end.
struct Armed(Option<Wire>);

impl Drop for Armed {
    fn drop(&mut self) {
        if let Some(wire) = self.0.take() {
            reset(wire.into_socket());
        }
    }
}

/// Moves the file of a transfer. One that is given up half way is reset.
async fn run(
    stream: TcpStream,
    security: Option<&Security>,
    is_upload: bool,
    name: &str,
    notes: &Shared,
) {
    let wire = match security {
        None => Some(Wire::Clear(stream)),
        Some(security) => security.turn(stream).await.ok(),
    };
    let mut armed = Armed(wire);
    let Some(stream) = &mut armed.0 else { return };
    let mark = |bytes: &[u8], ended: Option<Ended>| {
        if let Some(moved) = notes.lock().unwrap().moved.last_mut() {
            moved.bytes.extend_from_slice(bytes);
            moved.ended = ended;
        }
    };
    if is_upload {
        mark(b"", Some(Ended::Reset));
        if stream.write_all(&content(name)).await.is_ok() {
            // From now on it is out of the client's hands.
            mark(b"", Some(Ended::Fin));
            stream.shutdown().await.ok();
            // Its side of the connection stays until the gateway has ended too, or the client
            // goes.
            let mut rest = [0; 64];
            while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
            armed.0 = None;
        }
        return;
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => {
                mark(b"", Some(Ended::Fin));
                armed.0 = None;
                return;
            }
            Ok(bytes) => mark(&buffer[..bytes], None),
            Err(_) => return mark(b"", Some(Ended::Reset)),
        }
    }
}
