//! The whole program against the same server without it: logins, command round trips, transfers.
//!
//! A stub server and the load generator live in this process, the gateway is the built program.
//! Direct rounds and rounds through the gateway are interleaved; the medians' ratio is the
//! result, since times of a shared machine mean nothing alone. Without `--bench`, which `cargo bench`
//! gives, each row runs once and small.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::let_underscore_must_use,
    clippy::needless_pass_by_value,
    clippy::missing_docs_in_private_items,
    clippy::or_fun_call,
    clippy::unchecked_time_subtraction,
    clippy::allow_attributes,
    reason = "a benchmark that cannot go on stops"
)]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The bytes of a small file.
const SMALL: usize = 64 * 1024;

/// How much one bulk transfer moves.
const BULK: u64 = 256 << 20;

/// Clients at once in the rows that have several.
const CLIENTS: usize = 16;

/// What is measured: its name, its unit of work, and how to do `count` of them.
struct Row {
    name: &'static str,
    unit: &'static str,
    count: usize,
    run: fn(SocketAddr, usize),
}

/// Every row.
const ROWS: &[Row] = &[
    Row {
        name: "login cycle, 16 at once",
        unit: "logins/s",
        count: 800,
        run: logins,
    },
    Row {
        name: "NOOP round trip",
        unit: "commands/s",
        count: 5_000,
        run: noops,
    },
    Row {
        name: "RETR of 64 KiB, EPSV each",
        unit: "files/s",
        count: 300,
        run: small_files,
    },
    Row {
        name: "RETR bulk, 1 stream",
        unit: "MiB/s",
        count: (BULK >> 20) as usize,
        run: download,
    },
    Row {
        name: "STOR bulk, 1 stream",
        unit: "MiB/s",
        count: (BULK >> 20) as usize,
        run: upload,
    },
];

fn main() {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let rounds = if smoke { 1 } else { 7 };
    let server = serve();
    let gateway = Gateway::start(server);
    println!("| work | direct | through ftpwarden | ratio | gateway CPU per unit |");
    println!("|---|---|---|---|---|");
    for row in ROWS {
        let count = if smoke {
            row.count.div_ceil(100)
        } else {
            row.count
        };
        let bulk = row.unit == "MiB/s";
        let count = if bulk { row.count } else { count };
        let (mut direct, mut through, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            direct.push(rate(count, || (row.run)(server, count)));
            let before = gateway.cpu();
            through.push(rate(count, || (row.run)(gateway.address, count)));
            cpu.push((gateway.cpu() - before).as_secs_f64() * 1e6 / count as f64);
        }
        let (direct, through) = (median(&mut direct), median(&mut through));
        let ratio = through / direct;
        println!(
            "| {} | {direct:.0} {unit} | {through:.0} {unit} | {ratio:.2} | {:.0} µs |",
            row.name,
            median(&mut cpu),
            unit = row.unit,
        );
    }
    let (mut refused, mut cpu) = (Vec::new(), Vec::new());
    let count = if smoke { 50 } else { 5_000 };
    for _ in 0..rounds {
        let before = gateway.cpu();
        refused.push(rate(count, || refusals(gateway.address, count)));
        cpu.push((gateway.cpu() - before).as_secs_f64() * 1e6 / count as f64);
    }
    println!(
        "| refused SITE | – | {:.0} commands/s | – | {:.0} µs |",
        median(&mut refused),
        median(&mut cpu)
    );
}

/// Units per second of `work`.
fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let began = now();
    work();
    count as f64 / began.elapsed().as_secs_f64()
}

/// The clock.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// The middle one.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The built program, in front of the stub server.
struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    /// Starts it and waits until it answers.
    fn start(server: SocketAddr) -> Self {
        // A port that was free a moment ago: the program has no way to tell which one it took.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = Command::new(env!("CARGO_BIN_EXE_ftpwarden"))
            .args([
                "run",
                "--bind",
                &address.to_string(),
                "--upstream",
                &server.to_string(),
            ])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while TcpStream::connect(address).is_err() {
            thread::yield_now();
        }
        Self { child, address }
    }

    /// User and system time that it has used, in ticks of a hundredth of a second.
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plain client.
struct Client {
    control: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self {
            control: BufReader::new(stream),
            line: String::new(),
        };
        client.reply("220");
        client
    }

    fn login(address: SocketAddr) -> Self {
        let mut client = Self::dial(address);
        client.command("USER bench", "331");
        client.command("PASS bench", "230");
        client
    }

    fn command(&mut self, line: &str, code: &str) {
        self.control
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap();
        self.reply(code);
    }

    fn reply(&mut self, code: &str) {
        self.line.clear();
        self.control.read_line(&mut self.line).unwrap();
        assert!(
            self.line.starts_with(code),
            "expected {code}, got {:?}",
            self.line
        );
    }

    fn data(&mut self) -> TcpStream {
        self.command("EPSV", "229");
        let port: u16 = self.line.split('|').nth(3).unwrap().parse().unwrap();
        let host = self.control.get_ref().peer_addr().unwrap().ip();
        TcpStream::connect((host, port)).unwrap()
    }
}

/// `count` whole logins by several clients.
fn logins(address: SocketAddr, count: usize) {
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || {
                for _ in 0..count.div_ceil(CLIENTS) {
                    Client::login(address).command("QUIT", "221");
                }
            });
        }
    });
}

/// `count` NOOPs, one after the other.
fn noops(address: SocketAddr, count: usize) {
    let mut client = Client::login(address);
    for _ in 0..count {
        client.command("NOOP", "200");
    }
}

/// `count` refused SITEs, one after the other.
fn refusals(address: SocketAddr, count: usize) {
    let mut client = Client::login(address);
    for _ in 0..count {
        client.command("SITE CHMOD 777 x", "502");
    }
}

/// `count` downloads of a small file, a data connection each.
fn small_files(address: SocketAddr, count: usize) {
    let mut client = Client::login(address);
    let mut buffer = vec![0; SMALL];
    for _ in 0..count {
        let mut data = client.data();
        client.command(&format!("RETR {SMALL}"), "150");
        data.read_exact(&mut buffer).unwrap();
        assert_eq!(data.read(&mut [0]).unwrap(), 0);
        drop(data);
        client.reply("226");
    }
}

/// One large download.
fn download(address: SocketAddr, _: usize) {
    let mut client = Client::login(address);
    let mut data = client.data();
    client.command(&format!("RETR {BULK}"), "150");
    let bytes = io::copy(&mut data, &mut io::sink()).unwrap();
    assert_eq!(bytes, BULK);
    client.reply("226");
}

/// One large upload.
fn upload(address: SocketAddr, _: usize) {
    let mut client = Client::login(address);
    let mut data = client.data();
    client.command("STOR bulk", "150");
    let chunk = vec![7_u8; 256 * 1024];
    for _ in 0..BULK / chunk.len() as u64 {
        data.write_all(&chunk).unwrap();
    }
    drop(data);
    client.reply("226");
}

/// Starts the stub server: a thread a session, files of any size named by their size.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || session(stream));
        }
    });
    address
}

/// One session of the stub server; it ends when its client goes.
fn session(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut offer = None;
    out.write_all(b"220 stub\r\n")?;
    let mut line = String::new();
    while {
        line.clear();
        reader.read_line(&mut line)?
    } > 0
    {
        let (verb, argument) = line
            .trim_end()
            .split_once(' ')
            .unwrap_or((line.trim_end(), ""));
        match verb {
            "USER" => out.write_all(b"331 password\r\n")?,
            "PASS" => out.write_all(b"230 in\r\n")?,
            "EPSV" => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let port = listener.local_addr()?.port();
                offer = Some(listener);
                out.write_all(format!("229 passive (|||{port}|)\r\n").as_bytes())?;
            }
            "RETR" | "STOR" => {
                let Some(listener) = offer.take() else { break };
                let (mut data, _) = listener.accept()?;
                out.write_all(b"150 data\r\n")?;
                if verb == "RETR" {
                    send(&mut data, argument.parse().unwrap_or(0))?;
                } else {
                    io::copy(&mut data, &mut io::sink())?;
                }
                drop(data);
                out.write_all(b"226 done\r\n")?;
            }
            "QUIT" => {
                out.write_all(b"221 bye\r\n")?;
                break;
            }
            _ => out.write_all(b"200 fine\r\n")?,
        }
    }
    Ok(())
}

/// Writes `length` bytes.
fn send(data: &mut TcpStream, mut length: usize) -> io::Result<()> {
    let chunk = vec![7_u8; 256 * 1024];
    while length > 0 {
        let part = length.min(chunk.len());
        data.write_all(&chunk[..part])?;
        length -= part;
    }
    Ok(())
}
