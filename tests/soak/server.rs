//! The servers behind the gateway. A name that a client logs in with says how its session goes
//! wrong, so that the client knows what to expect. What must not happen is said on standard output.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use ftpwarden::sys::socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::content::{File, LISTING};
use crate::dice::Dice;

/// How long a data connection is waited for.
const DATA_PATIENCE_SECONDS: i64 = 3;

/// How long anything else is waited for: longer than the gateway waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// What begins a line that tells of something that must not happen.
pub(crate) const ALARM: &str = "ALARM ";

/// How a session of a server goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    /// Not at all.
    Calm,
    /// Downloads end early, in order, and then with a failure.
    Curtail,
    /// Data connections are reset; of downloads success is told all the same.
    Cut,
    /// Replies that nobody asked for, that are none, that are too many.
    Lie,
    /// Failures for no reason.
    Refuse,
    /// Says nothing more.
    Stall,
    /// Data stands still.
    StallData,
    /// The control connection ends in the middle.
    Vanish,
}

impl Mood {
    /// Those that are not calm.
    pub(crate) const BAD: [Self; 7] = [
        Self::Curtail,
        Self::Cut,
        Self::Lie,
        Self::Refuse,
        Self::Stall,
        Self::StallData,
        Self::Vanish,
    ];

    /// What names of users begin with.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Curtail => "curtail",
            Self::Cut => "cut",
            Self::Lie => "lie",
            Self::Refuse => "refuse",
            Self::Stall => "stall",
            Self::StallData => "stalldata",
            Self::Vanish => "vanish",
        }
    }

    /// The mood of the session of `user`.
    fn of(user: &str) -> Self {
        let name = user.split('-').next().unwrap_or_default();
        let mut bad = Self::BAD.into_iter();
        bad.find(|mood| mood.name() == name).unwrap_or(Self::Calm)
    }
}

/// Serves at `address` until standard input ends; `is_wild` makes greetings go wrong as well.
pub(crate) fn serve(address: SocketAddr, is_wild: bool) {
    let listener = TcpListener::bind(address).unwrap();
    println!("serving={}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            // A client that goes in the middle ends its own session only.
            thread::spawn(move || Session::greet(stream, number, is_wild)?.run());
        }
    });
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// What a data connection is to be made with.
enum Offer {
    /// The client dials.
    Listening(TcpListener),
    /// It listens.
    Dialling(SocketAddr),
}

/// What becomes of a session behind a command.
enum Next {
    /// It goes on.
    Go,
    /// It ends.
    End,
}

/// One session.
struct Session {
    reader: BufReader<TcpStream>,
    out: TcpStream,
    dice: Dice,
    mood: Mood,
    user: String,
    directory: String,
    offer: Option<Offer>,
}

impl Session {
    /// Says the greeting.
    fn greet(stream: TcpStream, number: usize, is_wild: bool) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut session = Self {
            reader: BufReader::new(stream.try_clone()?),
            out: stream,
            dice: Dice::of_seed(u64::try_from(number).unwrap()),
            mood: Mood::Calm,
            user: String::new(),
            directory: "/".to_owned(),
            offer: None,
        };
        let greeting: &[u8] = match session.dice.below(100) {
            0 if is_wild => b"421 Too busy.\r\n",
            1 if is_wild => b"Good morning\r\n",
            2 if is_wild => b"220-A half\r\n",
            3 if is_wild => b"",
            4 if is_wild => return Err(io::ErrorKind::Other.into()),
            _ => b"220-A server\r\n220 of the soak.\r\n",
        };
        session.out.write_all(greeting)?;
        Ok(session)
    }

    /// Obeys commands until one side ends.
    fn run(mut self) -> io::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_end().to_owned();
            let (verb, argument) = text.split_once(' ').unwrap_or((&text, ""));
            self.judge(verb, argument);
            if matches!(self.misbehave(verb, argument)?, Next::End)
                || matches!(self.obey(verb, argument)?, Next::End)
            {
                return Ok(());
            }
        }
    }

    /// The absolute path that an argument names.
    fn path(&self, argument: &str) -> String {
        let mut parts: Vec<&str> = Vec::new();
        let base = if argument.starts_with('/') {
            ""
        } else {
            &self.directory
        };
        for part in base.split('/').chain(argument.split('/')) {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// Raises an alarm where this must never have come through.
    fn judge(&self, verb: &str, argument: &str) {
        let path = self.path(argument);
        let is_fine = match verb {
            "USER" | "PASS" | "NOOP" | "PWD" | "CDUP" | "FEAT" | "STAT" | "SYST" | "TYPE"
            | "PASV" | "EPSV" | "PORT" | "EPRT" | "LIST" | "ABOR" | "QUIT" | "MKD" => true,
            "CWD" => !path.starts_with("/secret"),
            "RETR" | "SIZE" => path.starts_with("/out/"),
            "STOR" => path.starts_with(&format!("/in/{}/", self.user)),
            "DELE" => path.rsplit('/').next().unwrap().starts_with("ok"),
            "SITE" => argument.starts_with("CHMOD 644 "),
            _ => false,
        };
        if !is_fine {
            println!("{ALARM}{} was heard: {verb} {argument}", self.user);
        }
    }

    /// Says one line.
    fn say(&mut self, line: &str) -> io::Result<Next> {
        self.out.write_all(format!("{line}\r\n").as_bytes())?;
        Ok(Next::Go)
    }

    /// Reads until the gateway ends the connection.
    fn wait_for_the_end(&mut self) -> io::Result<Next> {
        self.out.set_read_timeout(Some(PATIENCE))?;
        io::copy(&mut self.reader, &mut io::sink())?;
        Ok(Next::End)
    }

    /// Goes wrong before the command is obeyed, as the mood has it.
    fn misbehave(&mut self, verb: &str, argument: &str) -> io::Result<Next> {
        if matches!(verb, "USER" | "PASS") || !self.dice.chance(15) {
            return Ok(Next::Go);
        }
        match self.mood {
            Mood::Calm | Mood::Curtail | Mood::Cut | Mood::Refuse | Mood::StallData => Ok(Next::Go),
            Mood::Lie => self.lie(verb, argument),
            Mood::Stall => self.wait_for_the_end(),
            Mood::Vanish => {
                match self.dice.below(3) {
                    0 => socket::arm_reset(&self.out)?,
                    1 => self.out.write_all(b"2")?,
                    _ => {}
                }
                Ok(Next::End)
            }
        }
    }

    /// Says what is no reply to `verb`.
    fn lie(&mut self, verb: &str, argument: &str) -> io::Result<Next> {
        let lie = match self.dice.below(10) {
            0 => "299 Nobody asked.\r\n".to_owned(),
            1 => "Segmentation fault\r\n".to_owned(),
            2 => "200 \0\u{1b}]0;x\u{7}\r\n".to_owned(),
            3 => "150 So far.\r\n".repeat(5),
            4 => "250-More\r\n".repeat(500) + "250 Done.\r\n",
            5 => format!("200 {}\r\n", "x".repeat(70_000)),
            6 => "999 Beyond.\r\n".to_owned(),
            7 => "227 Passive (10,0,0,5,200,1)\r\n".to_owned(),
            8 => "229 Passive (|||7|)\r\n".to_owned(),
            _ => format!("250 {verb} {argument}\r\n421 Going down.\r\n"),
        };
        self.out.write_all(lie.as_bytes())?;
        Ok(Next::Go)
    }

    /// Does what a command says.
    fn obey(&mut self, verb: &str, argument: &str) -> io::Result<Next> {
        let refuses = self.mood == Mood::Refuse && !matches!(verb, "USER" | "PASS" | "QUIT");
        if refuses && self.dice.chance(25) {
            let code = self.dice.pick(&[450, 451, 550, 552]);
            self.offer = None;
            return self.say(&format!("{code} {verb} {argument}"));
        }
        match verb {
            "USER" => {
                argument.clone_into(&mut self.user);
                self.mood = Mood::of(argument);
                let seed = argument.bytes().fold(7, |seed: u64, byte| {
                    seed.wrapping_mul(31).wrapping_add(u64::from(byte))
                });
                self.dice = Dice::of_seed(seed);
                self.say("331 Password, please.")
            }
            "PASS" if argument == "wrong" => self.say("530 Not you."),
            "PASS" => self.say("230 Welcome."),
            "PWD" => self.say(&format!("257 \"{}\" is where you are.", self.directory)),
            "CWD" => {
                self.directory = self.path(argument);
                self.say(&format!("250 CWD {argument}"))
            }
            "FEAT" => self.say("211-Features:\r\n SIZE\r\n SITE CHMOD\r\n EPSV\r\n211 End"),
            "STAT" => self.say("211-Status:\r\n Here.\r\n211 End"),
            "SYST" => self.say("215 UNIX Type: L8"),
            "SIZE" => {
                let bytes = File::named(argument).map_or(0, |file| file.bytes);
                self.say(&format!("213 {bytes}"))
            }
            "MKD" => self.say(&format!("257 \"{argument}\" MKD {argument}")),
            "PASV" | "EPSV" => self.listen(verb),
            "PORT" | "EPRT" => self.dial_later(verb, argument),
            "RETR" | "STOR" | "LIST" => self.transfer(verb, argument),
            "ABOR" => self.say("226 ABOR"),
            "QUIT" => {
                self.say("221 Bye.")?;
                Ok(Next::End)
            }
            _ => self.say(&format!("200 {verb} {argument}")),
        }
    }

    /// Listens for a data connection.
    fn listen(&mut self, verb: &str) -> io::Result<Next> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        self.offer = Some(Offer::Listening(listener));
        let [high, low] = port.to_be_bytes();
        self.say(&if verb == "PASV" {
            format!("227 Passive (127,0,0,1,{high},{low})")
        } else {
            format!("229 Passive (|||{port}|)")
        })
    }

    /// Will dial for a data connection.
    fn dial_later(&mut self, verb: &str, argument: &str) -> io::Result<Next> {
        let address = if verb == "PORT" {
            let numbers: Vec<u8> = argument
                .split(',')
                .filter_map(|number| number.parse().ok())
                .collect();
            match numbers[..] {
                [a, b, c, d, high, low] => Some(SocketAddr::from((
                    [a, b, c, d],
                    u16::from_be_bytes([high, low]),
                ))),
                _ => None,
            }
        } else {
            let mut parts = argument.split('|').skip(2);
            let host = parts.next().and_then(|host| host.parse().ok());
            let port = parts.next().and_then(|port| port.parse().ok());
            host.zip(port)
                .map(|(host, port)| SocketAddr::new(host, port))
        };
        match address {
            Some(address) => {
                self.offer = Some(Offer::Dialling(address));
                self.say(&format!("200 {verb} {argument}"))
            }
            None => self.say("501 No address."),
        }
    }

    /// The data connection, if it comes to be.
    fn connect(&mut self) -> io::Result<TcpStream> {
        match self.offer.take() {
            None => Err(io::ErrorKind::NotConnected.into()),
            Some(Offer::Dialling(address)) => TcpStream::connect_timeout(&address, PATIENCE),
            Some(Offer::Listening(listener)) => {
                let mut waiting = [PollFd::new(&listener, PollFlags::IN)];
                let patience = Timespec {
                    tv_sec: DATA_PATIENCE_SECONDS,
                    tv_nsec: 0,
                };
                if poll(&mut waiting, Some(&patience))? == 0 {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Ok(listener.accept()?.0)
            }
        }
    }

    /// One transfer.
    fn transfer(&mut self, verb: &str, argument: &str) -> io::Result<Next> {
        let file = if verb == "LIST" {
            LISTING
        } else if let Some(file) = File::named(argument) {
            file
        } else {
            self.offer = None;
            return self.say(&format!("550 {verb} {argument}"));
        };
        let is_active = matches!(self.offer, Some(Offer::Dialling(_)));
        if is_active {
            // A client in active mode is dialled when it has heard of it.
            self.say(&format!("150 {verb} {argument}"))?;
        }
        let Ok(data) = self.connect() else {
            return self.say(&format!("425 {verb} {argument}"));
        };
        if !is_active {
            self.say(&format!("150 {verb} {argument}"))?;
        }
        data.set_read_timeout(Some(PATIENCE))?;
        data.set_write_timeout(Some(PATIENCE))?;
        if verb == "STOR" {
            self.receive(data, file, argument)
        } else {
            self.send(data, file, verb, argument)
        }
    }

    /// Where a transfer is to go wrong.
    fn breaking_point(&mut self, file: File) -> Option<usize> {
        let goes_wrong = matches!(self.mood, Mood::Curtail | Mood::Cut | Mood::StallData);
        (goes_wrong && self.dice.chance(60)).then(|| self.dice.below(file.bytes.max(1)))
    }

    /// Sends a file.
    fn send(
        &mut self,
        mut data: TcpStream,
        file: File,
        verb: &str,
        argument: &str,
    ) -> io::Result<Next> {
        let end = self.breaking_point(file);
        let mut sent = 0;
        while sent < end.unwrap_or(file.bytes) {
            let part = file.part(sent, end.map_or(65_536, |end| (end - sent).min(65_536)));
            if data.write_all(part).is_err() {
                return self.say(&format!("426 {verb} {argument}"));
            }
            sent += part.len();
        }
        match (end, self.mood) {
            (Some(_), Mood::StallData) => self.wait_for_the_end(),
            (Some(_), Mood::Cut) => {
                socket::arm_reset(&data)?;
                drop(data);
                self.say(&format!("226 {verb} {argument} {sent}"))
            }
            (Some(_), _) => {
                drop(data);
                self.say(&format!("451 {verb} {argument}"))
            }
            (None, _) => {
                // Behind the last byte, the end: closing does not wait for it.
                let shut = data.shutdown(Shutdown::Write);
                drop(data);
                let code = if shut.is_ok() { 226 } else { 426 };
                self.say(&format!("{code} {verb} {argument} {sent}"))
            }
        }
    }

    /// Receives a file. It must be whole, or its end a broken one.
    fn receive(&mut self, mut data: TcpStream, file: File, argument: &str) -> io::Result<Next> {
        let end = self.breaking_point(file);
        let mut buffer = vec![0; 65_536];
        let mut received = 0;
        loop {
            if end.is_some_and(|end| received >= end) {
                if self.mood == Mood::StallData {
                    return self.wait_for_the_end();
                }
                socket::arm_reset(&data)?;
                drop(data);
                return self.say(&format!("426 STOR {argument}"));
            }
            match data.read(&mut buffer) {
                Ok(0) if received == file.bytes => {
                    return self.say(&format!("226 STOR {argument} {received}"));
                }
                Ok(0) => {
                    println!(
                        "{ALARM}{}: {argument} ended in order after {received}",
                        self.user
                    );
                    return self.say(&format!("451 STOR {argument}"));
                }
                Ok(read) => {
                    if !file.has(received, &buffer[..read]) {
                        println!("{ALARM}{}: {argument} differs behind {received}", self.user);
                    }
                    received += read;
                }
                Err(_) => return self.say(&format!("426 STOR {argument}")),
            }
        }
    }
}
