//! An FTP server that writes down every line that it hears and every file that it is sent, and
//! puts the number of the line into each reply.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex};

use ftpwarden::upstream::connect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::dice::Dice;
use super::lines::{Ended, Lines};
use super::place::Place;
use super::support;
use super::weather::Weather;
use super::wire::{Ledger, Network};

/// A file that was sent to the server.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// How its data connection ended.
    pub(crate) ended: Ended,
}

/// What one session of the server has heard.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Its lines.
    pub(crate) heard: Vec<String>,
    /// What came behind the last of them and was no line.
    pub(crate) tail: Vec<u8>,
    /// What it was sent.
    pub(crate) stored: Vec<Stored>,
    /// The data connections of what it was asked for: the name, and what came through towards the
    /// gateway.
    pub(crate) served: Vec<(String, Arc<Ledger>, bool)>,
}

/// A journal that is still written.
pub(crate) type Shared = Arc<Mutex<Journal>>;

/// All sessions of a server.
pub(crate) type Journals = Arc<Mutex<Vec<Shared>>>;

/// Where the data connection of the next transfer comes from.
enum Data {
    /// The server dials, through its network.
    Dial(SocketAddr, Arc<Ledger>),
    /// It listens.
    Listen(TcpListener, Arc<Ledger>),
}

/// One session.
struct Session {
    /// The control connection.
    control: Lines,
    /// What is written down.
    journal: Shared,
    /// The network on its way to the gateway.
    network: Network,
    /// Where everybody is.
    place: Place,
    /// The network's moods.
    weather: Weather,
    /// Its own.
    dice: Dice,
    /// The next transfer's data connection.
    data: Option<Data>,
}

/// Serves every connection of `listener`.
pub(crate) async fn serve(
    listener: TcpListener,
    journals: Journals,
    network: Network,
    place: Place,
    weather: Weather,
    mut dice: Dice,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let journal = Shared::default();
        journals.lock().unwrap().push(Arc::clone(&journal));
        let session = Session {
            control: Lines::new(stream),
            journal,
            network: network.clone(),
            place,
            weather: weather.branch(dice.below(1 << 20)),
            dice: Dice::of_seed(dice.below(1 << 20) as u64),
            data: None,
        };
        network.run(session.run());
    }
}

/// The bytes of the file of this name: `…-length`.
pub(crate) fn content(name: &str) -> Vec<u8> {
    static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| support::pattern(65_537));
    let length = name.rsplit('-').next().unwrap().parse().unwrap();
    let own = name.bytes().map(usize::from).sum::<usize>() % BLOCK.len();
    let mut bytes = BLOCK[own..].to_vec();
    while bytes.len() < length {
        bytes.extend_from_slice(&BLOCK);
    }
    bytes.truncate(length);
    bytes
}

impl Session {
    /// Until the connection ends.
    async fn run(mut self) {
        self.control.send(b"220 Network test server.\r\n").await;
        while let Some((number, line)) = self.hear().await {
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            let text = match verb {
                "USER" => "331 Password?".to_owned(),
                "PASS" => "230 Welcome.".to_owned(),
                "PWD" => "257 \"/\" is it.".to_owned(),
                "CWD" => "250 Fine.".to_owned(),
                "SIZE" => "213 42".to_owned(),
                "PASV" | "EPSV" => self.listen(verb).await,
                "PORT" | "EPRT" => self.take_address(argument).await,
                "RETR" | "STOR" | "LIST" => {
                    let name = if verb == "LIST" { "list-200" } else { argument };
                    self.transfer(number, verb, name).await;
                    continue;
                }
                "ABOR" => "225 Nothing to abort.".to_owned(),
                "QUIT" => {
                    self.say(number, "221 Bye.").await;
                    break;
                }
                _ => "200 Fine.".to_owned(),
            };
            self.say(number, &text).await;
        }
    }

    /// The next line and its number.
    async fn hear(&mut self) -> Option<(usize, String)> {
        let Ok(line) = self.control.line().await else {
            let tail = std::mem::take(&mut self.control.rest);
            self.journal.lock().unwrap().tail = tail;
            return None;
        };
        // Telnet IP and Synch, before an ABOR.
        let start = line.iter().position(|byte| *byte < 0xF0).unwrap_or(0);
        let line = String::from_utf8_lossy(&line[start..]).into_owned();
        let mut journal = self.journal.lock().unwrap();
        journal.heard.push(line.clone());
        Some((journal.heard.len() - 1, line))
    }

    /// Answers a line.
    async fn say(&mut self, number: usize, text: &str) {
        self.control
            .send(format!("{text} #{number}\r\n").as_bytes())
            .await;
    }

    /// PASV and EPSV.
    async fn listen(&mut self, verb: &str) -> String {
        let listener = TcpListener::bind((self.place.server, 0)).await.unwrap();
        let target = listener.local_addr().unwrap();
        // The gateway dials: its ends come from there.
        let link = self.weather.data(false);
        let (address, ledger) = self
            .network
            .path(self.place.far, target, self.place.far, link)
            .await;
        self.data = Some(Data::Listen(listener, ledger));
        let port = address.port();
        if verb == "PASV" {
            let [high, low] = port.to_be_bytes();
            let host = self.place.far.to_string().replace('.', ",");
            format!("227 Passive ({host},{high},{low})")
        } else {
            format!("229 Passive (|||{port}|)")
        }
    }

    /// PORT and EPRT, which name the gateway.
    async fn take_address(&mut self, argument: &str) -> String {
        let port = match argument.split(',').collect::<Vec<_>>()[..] {
            [_, _, _, _, high, low] => {
                high.parse::<u16>().unwrap() * 256 + low.parse::<u16>().unwrap()
            }
            _ => argument.split('|').nth(3).unwrap().parse().unwrap(),
        };
        let target = SocketAddr::new(self.place.gateway, port);
        let mut link = self.weather.data(true);
        // A server whose dial is lost knows it: nobody has answered.
        link.lost = false;
        let (address, ledger) = self
            .network
            .path(self.place.server, target, self.place.far, link)
            .await;
        self.data = Some(Data::Dial(address, ledger));
        "200 Fine.".to_owned()
    }

    /// A transfer, which an ABOR breaks off; what comes behind its data waits.
    async fn transfer(&mut self, number: usize, verb: &str, name: &str) {
        let Some(data) = self.data.take() else {
            return self.say(number, "425 PASV first.").await;
        };
        if name.contains("missing") {
            return self.say(number, "550 No such file.").await;
        }
        let (ledger, dialled) = match &data {
            Data::Dial(_, ledger) => (Arc::clone(ledger), true),
            Data::Listen(_, ledger) => (Arc::clone(ledger), false),
        };
        let served = (name.to_owned(), ledger, dialled);
        self.journal.lock().unwrap().served.push(served);
        let late = self.dice.chance(50);
        if !late {
            self.say(number, "150 Here.").await;
        }
        let local = self.place.server;
        let stream = tokio::select! {
            stream = open(data, local) => stream,
            aborted = self.aborted() => return self.abort(number, aborted).await,
        };
        if late {
            self.say(number, "150 Here.").await;
        }
        let Ok(stream) = stream else {
            return self.say(number, "425 No connection.").await;
        };
        let is_upload = verb == "STOR";
        let journal = Arc::clone(&self.journal);
        let ended = tokio::select! {
            ended = run(stream, is_upload, name, &journal) => ended,
            aborted = self.aborted() => return self.abort(number, aborted).await,
        };
        let text = match ended {
            Ended::Fin => "226 Done.",
            Ended::Reset => "426 Broken.",
        };
        self.say(number, text).await;
    }

    /// The number of an ABOR; a control connection that ends breaks nothing off.
    async fn aborted(&mut self) -> usize {
        while let Some((number, line)) = self.hear().await {
            if line == "ABOR" {
                return number;
            }
            // Never: the gateway holds back what comes in a transfer.
            self.say(number, "503 In a transfer.").await;
        }
        std::future::pending().await
    }

    /// Answers both.
    async fn abort(&mut self, number: usize, aborted: usize) {
        self.say(number, "426 Aborted.").await;
        self.say(aborted, "226 Abort done.").await;
    }
}

/// The data connection.
async fn open(data: Data, local: IpAddr) -> io::Result<TcpStream> {
    match data {
        Data::Listen(listener, _) => Ok(listener.accept().await?.0),
        Data::Dial(address, _) => connect(address, Some(SocketAddr::new(local, 0))).await,
    }
}

/// Moves a file.
async fn run(mut stream: TcpStream, is_upload: bool, name: &str, journal: &Shared) -> Ended {
    if !is_upload {
        let written = stream.write_all(&content(name)).await;
        let ended = written.is_ok() && stream.shutdown().await.is_ok();
        return if ended { Ended::Fin } else { Ended::Reset };
    }
    let mut bytes = Vec::new();
    let ended = match stream.read_to_end(&mut bytes).await {
        Ok(_) => Ended::Fin,
        Err(_) => Ended::Reset,
    };
    journal.lock().unwrap().stored.push(Stored {
        name: name.to_owned(),
        bytes,
        ended,
    });
    ended
}
