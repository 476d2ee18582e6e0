//! What clients do: sessions without end, each drawn from the one seed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ftpwarden::upstream::connect;
use rustls::ClientConfig;
use socket2::SockRef;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::client::{
    Channel, Client, Dialled, Mode, Moved, Opened, Reply, Trouble, Wire, receive, refused,
    transmit, wrong,
};
use crate::content::{File, LISTING};
use crate::dice::Dice;
use crate::ledger::{Ledger, Tally};
use crate::server::Mood;

/// Bytes of a file that is not to arrive as a whole: more than lies in buffers on the way.
const ENDLESS_BYTES: usize = 64 << 20;

/// Commands that are sent at once, at the most.
const PIPELINED: usize = 40;

/// How long a client that was turned away waits.
const PAUSE: Duration = Duration::from_millis(50);

/// When a connection turns to TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tls {
    /// Never.
    Never,
    /// With AUTH.
    Explicit,
    /// From the first byte.
    Implicit,
}

/// Where clients come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The listener's name.
    pub(crate) name: &'static str,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Its TLS.
    pub(crate) tls: Tls,
    /// Whether nothing goes wrong behind it, nor its clients do wrong.
    pub(crate) is_calm: bool,
    /// Whether it may not be there.
    pub(crate) is_fickle: bool,
}

/// What all clients share.
pub(crate) struct Scene {
    /// Where they go.
    pub(crate) places: Vec<Place>,
    /// What they use where there is TLS: one for each version.
    pub(crate) secrets: [ClientConfig; 2],
    /// What they have seen.
    pub(crate) ledger: Arc<Ledger>,
    /// When to stop.
    pub(crate) stop: CancellationToken,
    /// Wild sessions so far: the first ones go through all that can be wrong.
    pub(crate) dealt: Arc<AtomicUsize>,
}

/// What a line may be answered.
struct Line {
    /// It.
    text: String,
    /// The codes of its reply.
    codes: &'static [u16],
    /// What the reply contains where it is no refusal.
    mark: String,
}

/// How a client that does wrong does it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wrong {
    /// Transfers are aborted.
    Abort,
    /// The control connection is closed.
    Close,
    /// It is lost while data moves.
    ControlLost,
    /// A data connection is made and nothing else.
    DataHalfMade,
    /// It is not made.
    DataNeverMade,
    /// It is reset.
    DataReset,
    /// Nothing moves on it.
    DataStall,
    /// It ends without `close_notify`.
    DataTruncated,
    /// Passwords are guessed.
    Guess,
    /// A command does not end.
    HalfCommand,
    /// A handshake does not end, or is none.
    HalfHandshake,
    /// Replies are not read.
    NeverRead,
    /// Nothing.
    Nothing,
    /// The control connection is reset.
    Reset,
}

impl Wrong {
    /// All.
    const ALL: [Self; 14] = [
        Self::Abort,
        Self::Close,
        Self::ControlLost,
        Self::DataHalfMade,
        Self::DataNeverMade,
        Self::DataReset,
        Self::DataStall,
        Self::DataTruncated,
        Self::Guess,
        Self::HalfCommand,
        Self::HalfHandshake,
        Self::NeverRead,
        Self::Nothing,
        Self::Reset,
    ];

    /// Its name.
    const fn name(self) -> &'static str {
        match self {
            Self::Abort => "client aborts",
            Self::Close => "client closes",
            Self::ControlLost => "client loses control in a transfer",
            Self::DataHalfMade => "client half makes data",
            Self::DataNeverMade => "client never makes data",
            Self::DataReset => "client resets data",
            Self::DataStall => "client stalls data",
            Self::DataTruncated => "client truncates data under TLS",
            Self::Guess => "client guesses",
            Self::HalfCommand => "client stalls in a command",
            Self::HalfHandshake => "client stalls in a handshake",
            Self::NeverRead => "client never reads",
            Self::Nothing => "client does nothing wrong",
            Self::Reset => "client resets",
        }
    }
}

/// The names of all that clients do and servers do to them.
pub(crate) fn deeds() -> impl Iterator<Item = &'static str> {
    let others = [
        "EPRT",
        "EPSV",
        "PASV",
        "PORT",
        "TLS 1.2",
        "TLS 1.3",
        "chat",
        "download",
        "list",
        "offer left",
        "pipeline",
        "scrape",
        "stranger",
        "upload",
        "wrong password",
    ];
    let wrongs = Wrong::ALL.into_iter().map(Wrong::name);
    let moods = Mood::BAD.into_iter().map(Mood::name);
    wrongs.chain(moods).chain(others)
}

/// One client: sessions until the stop.
pub(crate) async fn client(scene: Arc<Scene>, number: u64, mut dice: Dice) {
    let is_calm = number.is_multiple_of(3);
    let places: Vec<Place> = scene
        .places
        .iter()
        .copied()
        .filter(|place| place.is_calm == is_calm)
        .collect();
    while !scene.stop.is_cancelled() && !scene.ledger.is_broken.load(Ordering::Relaxed) {
        let place = dice.pick(&places);
        if is_calm {
            calm(&scene, place, &mut dice).await;
        } else {
            wild(&scene, place, &mut dice).await;
        }
    }
}

/// An address of loopback that few others use.
fn address(dice: &mut Dice, network: u8, hosts: usize) -> IpAddr {
    let host = dice.below(hosts);
    let [high, low] = u16::try_from(host + 1).unwrap().to_be_bytes();
    Ipv4Addr::new(127, network, high, low).into()
}

/// Dials.
async fn dial(place: Place, address: IpAddr, tally: &mut Tally) -> Result<Client, Trouble> {
    let stream = connect(place.address, Some(SocketAddr::new(address, 0))).await?;
    tally.dials += 1;
    stream.set_nodelay(true)?;
    Ok(Client::of(stream, address))
}

/// A session in which nothing may go wrong.
async fn calm(scene: &Scene, place: Place, dice: &mut Dice) {
    let before = scene.ledger.scarcity();
    let mut tally = Tally::default();
    let mut doing = "dial";
    let fails = dice.chance(5);
    let address = if fails {
        address(dice, 20, 512)
    } else {
        address(dice, 10, 200)
    };
    let mut result = match dial(place, address, &mut tally).await {
        Ok(client) => {
            let user = format!("calm-{}", dice.below(50));
            let mut session = Session::of(client, user, Mood::Calm, dice, scene);
            let mut result = session.calm(place, fails).await;
            if matches!(result, Err(Trouble::Ended(_))) {
                // What is said now is counted as well.
                result = session.client.leave().await.and(result);
            }
            tally.codes = session.client.codes;
            tally.complete = session.complete;
            doing = session.doing;
            result
        }
        Err(trouble) => Err(trouble),
    };
    let is_scarce = scene.ledger.was_scarce(before);
    if is_scarce && matches!(result, Err(Trouble::Ended(_))) {
        tally.excused += 1;
        result = Ok(());
        sleep(PAUSE).await;
    }
    scene.ledger.did("calm session");
    scene.ledger.add(place.name, tally);
    if let Err(trouble) = result {
        scene.ledger.fault(format!(
            "{} from {address}, {doing}: {trouble:?}",
            place.name
        ));
    }
}

/// A session in which all goes wrong.
async fn wild(scene: &Scene, place: Place, dice: &mut Dice) {
    let mut tally = Tally::default();
    let number = scene.dealt.fetch_add(1, Ordering::Relaxed);
    let (how, mood) = if number < 2 * Wrong::ALL.len() {
        // Each once, and each mood as well.
        let moods = [Mood::Calm, Mood::BAD[number % Mood::BAD.len()]];
        (
            Wrong::ALL[number % Wrong::ALL.len()],
            moods[number / Wrong::ALL.len()],
        )
    } else if dice.chance(40) {
        (dice.pick(&Wrong::ALL), Mood::Calm)
    } else {
        (dice.pick(&Wrong::ALL), dice.pick(&Mood::BAD))
    };
    let address = if how == Wrong::Guess {
        address(dice, 66, 3)
    } else {
        address(dice, 30, 200)
    };
    let result = match dial(place, address, &mut tally).await {
        Ok(client) => {
            let user = format!("{}-{}", mood.name(), dice.below(100_000));
            let mut session = Session::of(client, user, mood, dice, scene);
            let result = tokio::select! {
                result = session.wild(place, how) => result,
                () = scene.stop.cancelled() => {
                    // Nobody waits for what is owed.
                    std::mem::replace(&mut session.client.wire, Wire::Closed).reset();
                    Ok(())
                }
            };
            tally.codes = session.client.codes;
            tally.complete = session.complete;
            result
        }
        Err(_) if place.is_fickle => {
            sleep(PAUSE).await;
            Ok(())
        }
        Err(Trouble::Ended(what)) => wrong(what),
        Err(trouble) => Err(trouble),
    };
    if matches!(result, Err(Trouble::Ended(_))) && !tally.codes.contains_key(&220) {
        // The server is not there: others are to be.
        sleep(PAUSE).await;
    }
    scene.ledger.did("wild session");
    scene.ledger.add(place.name, tally);
    if let Err(Trouble::Wrong(what)) = result {
        scene.ledger.fault(format!(
            "{} from {address}: {how:?}, {mood:?}: {what}",
            place.name
        ));
    }
}

/// A session of a client's.
struct Session<'a> {
    client: Client,
    user: String,
    mood: Mood,
    dice: &'a mut Dice,
    directory: String,
    complete: BTreeMap<&'static str, (u64, u64)>,
    doing: &'static str,
    scene: &'a Scene,
}

impl<'a> Session<'a> {
    /// One that has been dialled.
    fn of(client: Client, user: String, mood: Mood, dice: &'a mut Dice, scene: &'a Scene) -> Self {
        Self {
            client,
            user,
            mood,
            dice,
            directory: "/".to_owned(),
            complete: BTreeMap::new(),
            doing: "arrival",
            scene,
        }
    }

    /// Notes that something was done.
    fn did(&mut self, deed: &'static str) {
        self.doing = deed;
        self.scene.ledger.did(deed);
    }

    /// A configuration of TLS.
    fn secret(&mut self) -> &'a ClientConfig {
        let which = self.dice.below(2);
        self.did(["TLS 1.2", "TLS 1.3"][which]);
        &self.scene.secrets[which]
    }

    /// The greeting, and TLS as the place has it.
    async fn arrive(&mut self, place: Place) -> Result<(), Trouble> {
        if place.tls == Tls::Implicit {
            let secret = self.secret();
            self.client.secure(secret).await?;
        }
        let greeting = self.client.reply().await?;
        if greeting.code != 220 {
            return Err(refused("the greeting", &greeting));
        }
        if place.tls == Tls::Explicit {
            self.client.expect("AUTH TLS", 234).await?;
            let secret = self.secret();
            self.client.secure(secret).await?;
            self.client.expect("PBSZ 0", 200).await?;
            self.client.expect("PROT P", 200).await?;
        }
        Ok(())
    }

    /// Logs in.
    async fn log_in(&mut self) -> Result<(), Trouble> {
        let user = format!("USER {}", self.user);
        self.client.expect(&user, 331).await?;
        self.client.expect("PASS secret", 230).await?;
        Ok(())
    }

    /// All of a session in which nothing goes wrong.
    async fn calm(&mut self, place: Place, fails: bool) -> Result<(), Trouble> {
        self.arrive(place).await?;
        if fails {
            let user = format!("USER {}", self.user);
            self.client.expect(&user, 331).await?;
            self.client.expect("PASS wrong", 530).await?;
            self.did("wrong password");
        }
        if !fails || self.dice.chance(50) {
            self.log_in().await?;
            for _ in 0..self.dice.below(8) {
                if self.scene.stop.is_cancelled() {
                    break;
                }
                self.step().await?;
            }
        }
        self.client.expect("QUIT", 221).await?;
        self.client.closes().await
    }

    /// One thing that a client does.
    async fn step(&mut self) -> Result<(), Trouble> {
        match self.dice.below(10) {
            0 | 1 => self.chat().await,
            2 => self.pipeline().await,
            3 => self.leave_an_offer().await,
            4 => self.meet_a_stranger().await,
            _ => self.transfer().await,
        }
    }

    /// A line that is obeyed.
    fn obeyed(&mut self) -> Line {
        let number = self.dice.below(1000);
        let line = |text: String, codes: &'static [u16], mark: &str| Line {
            mark: mark.to_owned(),
            text,
            codes,
        };
        match self.dice.below(12) {
            0 | 1 => line("NOOP".to_owned(), &[200], "NOOP"),
            2 => {
                // Where the server refuses, the client does not know where it is.
                let directory = format!("\"{}\"", self.directory);
                let is_sure = self.mood == Mood::Calm;
                line(
                    "PWD".to_owned(),
                    &[257],
                    if is_sure { &directory } else { "\"" },
                )
            }
            3 | 4 => {
                let directory = match self.dice.below(4) {
                    0 => "/".to_owned(),
                    1 => format!("/out/d{}", number % 5),
                    2 => format!("/in/{}", self.user),
                    _ => "/out".to_owned(),
                };
                let text = format!("CWD {directory}");
                self.directory.clone_from(&directory);
                line(text.clone(), &[250], &text)
            }
            5 => line("TYPE I".to_owned(), &[200], "TYPE I"),
            6 => line(
                format!("SIZE /out/f1-{number}"),
                &[213],
                &format!("213 {number}\r"),
            ),
            7 => line("FEAT".to_owned(), &[211], "211 End"),
            8 => line("SYST".to_owned(), &[215], "UNIX"),
            9 => {
                let text = format!("DELE /out/ok{number}");
                line(text.clone(), &[200], &text)
            }
            // Some configurations refuse it.
            10 => {
                let text = format!("MKD /out/m{number}");
                line(text.clone(), &[257, 502], &text)
            }
            _ => {
                let text = format!("SITE CHMOD 644 m{number}");
                line(text.clone(), &[200], &text)
            }
        }
    }

    /// A line that is refused.
    fn refused(&mut self) -> Line {
        let number = self.dice.below(1000);
        let (text, codes): (String, &'static [u16]) = match self.dice.below(9) {
            0 => (format!("SITE EXEC /bin/sh {number}"), &[502]),
            1 => ("SMNT /".to_owned(), &[502]),
            2 => ("XYZZY".to_owned(), &[502]),
            3 => (format!("SITE CHMOD 777 x{number}"), &[501]),
            4 => (format!("RETR /etc/f1-{number}"), &[550]),
            5 => (format!("STOR /out/f1-{number}"), &[553]),
            6 => (format!("CWD /secret/d{number}"), &[550]),
            7 => (format!("SIZE /secret/f1-{number}"), &[550]),
            _ => (format!("DELE /out/keep{number}"), &[550]),
        };
        Line {
            text,
            codes,
            mark: String::new(),
        }
    }

    /// Whether a reply may be the one to a line.
    fn judge(&self, line: &Line, reply: &Reply) -> Result<(), Trouble> {
        let is_right = match reply.code {
            code if line.codes.contains(&code) => code >= 400 || reply.text.contains(&line.mark),
            400.. => self.mood != Mood::Calm,
            _ => false,
        };
        if is_right || self.mood == Mood::Lie {
            return Ok(());
        }
        wrong(format!("{} was answered {:?}", line.text, reply.text))
    }

    /// A line, or one that is refused.
    fn line(&mut self) -> Line {
        if self.dice.chance(30) {
            self.refused()
        } else {
            self.obeyed()
        }
    }

    /// The final reply, where a server that lies may say more before.
    async fn last(&mut self) -> Result<Reply, Trouble> {
        loop {
            let reply = self.client.reply().await?;
            if self.mood != Mood::Lie || reply.code >= 200 {
                return Ok(reply);
            }
        }
    }

    /// One command after the other.
    async fn chat(&mut self) -> Result<(), Trouble> {
        self.did("chat");
        for _ in 0..=self.dice.below(10) {
            let line = self.line();
            self.client.say(&line.text).await?;
            let reply = self.last().await?;
            self.judge(&line, &reply)?;
        }
        Ok(())
    }

    /// Many at once.
    async fn pipeline(&mut self) -> Result<(), Trouble> {
        self.did("pipeline");
        let lines: Vec<Line> = (0..=self.dice.below(PIPELINED))
            .map(|_| self.line())
            .collect();
        let mut bytes = String::new();
        for line in &lines {
            bytes += &line.text;
            bytes += "\r\n";
        }
        self.client.send(bytes.as_bytes()).await?;
        let mut verdict = Ok(());
        for line in &lines {
            let reply = self.last().await?;
            let judged = self.judge(line, &reply);
            verdict = verdict.and(judged);
        }
        verdict
    }

    /// Where the server lies or refuses, an offer may be missing: the session goes on.
    async fn prepare(&mut self, mode: Mode) -> Result<Channel, Trouble> {
        self.did(match mode {
            Mode::Eprt => "EPRT",
            Mode::Epsv => "EPSV",
            Mode::Pasv => "PASV",
            Mode::Port => "PORT",
        });
        self.client.prepare(mode).await
    }

    /// An offer that nobody takes up, or only by half.
    async fn leave_an_offer(&mut self) -> Result<(), Trouble> {
        self.did("offer left");
        let channel = self.prepare(Mode::Epsv).await?;
        if self.dice.chance(50) {
            drop(self.client.dial(channel).await?);
        }
        Ok(())
    }

    /// Somebody else dials first.
    async fn meet_a_stranger(&mut self) -> Result<(), Trouble> {
        let Channel::Dial(address) = self.prepare(Mode::Pasv).await? else {
            return Ok(());
        };
        self.did("stranger");
        let stranger = SocketAddr::new(Ipv4Addr::new(127, 99, 0, 1).into(), 0);
        match connect(address, Some(stranger)).await {
            // As early as it can be.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            stranger => {
                let mut wire = Wire::Clear(stranger?);
                let moved = receive(&mut wire, LISTING, 0, 1).await?;
                if moved.clean || moved.bytes > 0 {
                    return wrong("a stranger got more than a reset");
                }
            }
        }
        self.fetch(Channel::Dial(address), LISTING, "LIST", "list")
            .await
    }

    /// A file of some size.
    fn file(&mut self) -> File {
        let most = match self.dice.below(10) {
            0 => 3,
            1..=5 => 64 << 10,
            6..=8 => 512 << 10,
            _ => 4 << 20,
        };
        File {
            seed: self.dice.below(1000),
            bytes: self.dice.below(most),
        }
    }

    /// A name for a download.
    fn source(&mut self, file: File) -> String {
        if self.directory.starts_with("/out") && self.dice.chance(50) {
            file.name()
        } else {
            format!("/out/{}", file.name())
        }
    }

    /// A name for an upload.
    fn sink(&mut self, file: File) -> String {
        if self.directory.starts_with("/in") && self.dice.chance(50) {
            file.name()
        } else {
            format!("/in/{}/{}", self.user, file.name())
        }
    }

    /// A whole transfer.
    async fn transfer(&mut self) -> Result<(), Trouble> {
        let mode = self.dice.pick(&Mode::ALL);
        let channel = self.prepare(mode).await?;
        match self.dice.below(5) {
            0 => self.fetch(channel, LISTING, "LIST", "list").await,
            1 | 2 => {
                let file = self.file();
                let line = format!("STOR {}", self.sink(file));
                self.fetch(channel, file, &line, "upload").await
            }
            _ => {
                let file = self.file();
                let line = format!("RETR {}", self.source(file));
                self.fetch(channel, file, &line, "download").await
            }
        }
    }

    /// A transfer with all that is due to it.
    async fn fetch(
        &mut self,
        channel: Channel,
        file: File,
        line: &str,
        direction: &'static str,
    ) -> Result<(), Trouble> {
        self.did(direction);
        let dialled = self.client.dial(channel).await?;
        let Some(mut wire) = self.begin(dialled, line).await? else {
            return Ok(());
        };
        let moved = if direction == "upload" {
            transmit(&mut wire, file, 0, usize::MAX).await?
        } else {
            receive(&mut wire, file, 0, usize::MAX).await?
        };
        drop(wire);
        let reply = self.last().await?;
        let is_whole = moved.clean && moved.bytes == file.bytes;
        if reply.code < 400 {
            let mark = format!("{line} {}", file.bytes);
            if self.mood == Mood::Lie {
                return Ok(());
            }
            if !is_whole || !reply.text.replace("  ", " ").contains(&mark) {
                return wrong(format!("{line}: {:?} behind {moved:?}", reply.text));
            }
            let entry = self.complete.entry(direction).or_default();
            entry.0 += 1;
            entry.1 += u64::try_from(file.bytes).unwrap();
            return Ok(());
        }
        // A server that ends in order and then fails may take so long that the end was passed on.
        let may_look_whole = matches!(self.mood, Mood::Curtail | Mood::Lie);
        // A transfer that is refused before anything moved may end in order.
        let is_cut = moved.bytes > 0 && !is_whole;
        if direction != "upload" && moved.clean && is_cut && !may_look_whole {
            return wrong(format!("{line}: an end in order behind {moved:?}"));
        }
        if self.mood == Mood::Calm {
            return Err(refused(line, &reply));
        }
        Ok(())
    }

    /// Begins a transfer; none where it is refused.
    async fn begin(&mut self, dialled: Dialled, line: &str) -> Result<Option<Wire>, Trouble> {
        let reply = self.client.ask(line).await?;
        let refusal = if reply.code >= 200 {
            reply
        } else if self.mood != Mood::Lie && !reply.text.contains(line) {
            return wrong(format!("{line} was answered {:?}", reply.text));
        } else {
            match self.client.open(dialled).await? {
                Opened::Wire(wire) => return Ok(Some(wire)),
                Opened::Refused(reply) => reply,
            }
        };
        if refusal.code < 200 && self.mood == Mood::Lie {
            self.last().await?;
            return Ok(None);
        }
        if refusal.code < 400 && self.mood != Mood::Lie {
            return wrong(format!("{line} was answered {:?}", refusal.text));
        }
        if self.mood == Mood::Calm {
            return Err(refused(line, &refusal));
        }
        Ok(None)
    }

    /// All of a session in which something goes wrong.
    async fn wild(&mut self, place: Place, how: Wrong) -> Result<(), Trouble> {
        self.did(self.mood.name());
        self.did(how.name());
        if how == Wrong::HalfHandshake && place.tls != Tls::Never {
            return self.stall_in_a_handshake(place).await;
        }
        self.arrive(place).await?;
        if how == Wrong::Guess {
            let user = format!("USER {}", self.user);
            for _ in 0..5 {
                self.client.expect(&user, 331).await?;
                self.client.expect("PASS wrong", 530).await?;
            }
        }
        self.log_in().await?;
        for _ in 0..self.dice.below(5) {
            match self.step().await {
                // A refusal: only in calm sessions is that the end.
                Err(Trouble::Ended(_)) if self.mood == Mood::Refuse => {}
                result => result?,
            }
        }
        self.end(how).await
    }

    /// The end of such a session.
    async fn end(&mut self, how: Wrong) -> Result<(), Trouble> {
        match how {
            Wrong::Close => Ok(()),
            Wrong::Guess | Wrong::HalfHandshake | Wrong::Nothing => {
                self.client.say("QUIT").await?;
                self.last().await?;
                self.client.closes().await
            }
            Wrong::HalfCommand => {
                self.client.send(b"NO").await?;
                let reply = self.last().await?;
                if self.mood == Mood::Lie {
                    return Ok(());
                }
                wrong(format!("half a command was answered {:?}", reply.text))
            }
            Wrong::NeverRead => loop {
                self.client.send("FEAT\r\n".repeat(50).as_bytes()).await?;
            },
            Wrong::Reset => {
                // What is queued goes with it.
                self.client.send(b"NOOP\r\nPWD\r\nSY").await?;
                std::mem::replace(&mut self.client.wire, Wire::Closed).reset();
                Ok(())
            }
            Wrong::Abort
            | Wrong::ControlLost
            | Wrong::DataHalfMade
            | Wrong::DataNeverMade
            | Wrong::DataReset
            | Wrong::DataStall
            | Wrong::DataTruncated => self.break_a_transfer(how).await,
        }
    }

    /// A transfer that cannot become complete.
    async fn break_a_transfer(&mut self, how: Wrong) -> Result<(), Trouble> {
        let is_upload = self.dice.chance(50);
        let file = File {
            seed: self.dice.below(1000),
            bytes: ENDLESS_BYTES,
        };
        let line = if is_upload {
            format!("STOR {}", self.sink(file))
        } else {
            format!("RETR {}", self.source(file))
        };
        let mode = self.dice.pick(&Mode::ALL);
        let channel = self.prepare(mode).await?;
        let half = if how == Wrong::DataNeverMade {
            drop(channel);
            None
        } else {
            Some(self.client.dial(channel).await?)
        };
        if matches!(how, Wrong::DataHalfMade | Wrong::DataNeverMade) {
            self.client.say(&line).await?;
            return self.must_fail(&line).await;
        }
        let Some(dialled) = half else {
            return Ok(());
        };
        let Some(mut wire) = self.begin(dialled, &line).await? else {
            return Ok(());
        };
        let end = self.dice.below(1 << 20);
        let moved = move_bytes(&mut wire, file, 0, end, is_upload).await?;
        // A connection that was reset says so once, and nothing more is to be read from it.
        let from = (moved.clean || moved.bytes >= end).then_some(moved.bytes);
        match how {
            Wrong::Abort => {
                self.client.send(b"ABOR\r\nNOOP\r\n").await?;
                self.must_break(&mut wire, file, from, is_upload).await?;
                self.must_fail(&line).await?;
                self.last().await?;
                let reply = self.last().await?;
                let noop = Line {
                    text: "NOOP".to_owned(),
                    codes: &[200],
                    mark: "NOOP".to_owned(),
                };
                self.judge(&noop, &reply)
            }
            Wrong::ControlLost => {
                let control = std::mem::replace(&mut self.client.wire, Wire::Closed);
                if self.dice.chance(50) {
                    control.reset();
                } else {
                    drop(control);
                }
                self.must_break(&mut wire, file, from, is_upload).await
            }
            Wrong::DataStall => self.must_fail(&line).await,
            Wrong::DataTruncated if self.client.is_secure() && is_upload => {
                // FIN, as a program does that ends without a word.
                SockRef::from(wire.socket()?).set_linger(None)?;
                drop(wire);
                self.must_fail(&line).await
            }
            _ => {
                wire.reset();
                self.must_fail(&line).await
            }
        }
    }

    /// The final reply of a transfer that cannot have become complete.
    async fn must_fail(&mut self, line: &str) -> Result<(), Trouble> {
        loop {
            let reply = self.client.reply().await?;
            if reply.code >= 400 || self.mood == Mood::Lie {
                return Ok(());
            }
            if reply.code >= 200 {
                return wrong(format!("{line} was broken, and told {:?}", reply.text));
            }
        }
    }

    /// That a data connection is broken by the gateway, without all bytes.
    async fn must_break(
        &mut self,
        wire: &mut Wire,
        file: File,
        from: Option<usize>,
        is_upload: bool,
    ) -> Result<(), Trouble> {
        let Some(from) = from else {
            return Ok(());
        };
        // Bytes of an upload never count: a file that is taken to its end is one that looks whole.
        let moved = move_bytes(wire, file, from, usize::MAX, is_upload).await?;
        let is_cut = moved.bytes > 0 && moved.bytes < file.bytes;
        let clean = moved.clean && (is_upload || is_cut);
        let may_look_whole = matches!(self.mood, Mood::Curtail | Mood::Lie);
        if clean && !may_look_whole {
            let way = if is_upload { "upload" } else { "download" };
            let name = file.name();
            return wrong(format!(
                "{way} of {name} was cut off and ends in order: {moved:?}"
            ));
        }
        Ok(())
    }

    /// A handshake that is none, or does not end.
    async fn stall_in_a_handshake(&mut self, place: Place) -> Result<(), Trouble> {
        if place.tls == Tls::Explicit {
            let greeting = self.client.reply().await?;
            if greeting.code != 220 {
                return Ok(());
            }
            self.client.expect("AUTH TLS", 234).await?;
        }
        let hello: &[u8] = if self.dice.chance(50) {
            b"\x16\x03\x01\x02\x00\x01"
        } else {
            b"USER anybody\r\n"
        };
        self.client.send(hello).await?;
        // Whatever it is that comes, it ends.
        self.client.ends().await
    }
}

/// Moves bytes of a file.
async fn move_bytes(
    wire: &mut Wire,
    file: File,
    from: usize,
    to: usize,
    is_upload: bool,
) -> Result<Moved, Trouble> {
    if is_upload {
        transmit(wire, file, from, to).await
    } else {
        receive(wire, file, from, to).await
    }
}
