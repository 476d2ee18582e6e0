//! A small FTP server of the test's own that writes down every line that reaches it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server has heard.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// Every line so far, of all sessions.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Starts it: a thread a session. RETR sends the number of bytes that its argument states.
pub(crate) fn start() -> (SocketAddr, Heard) {
    start_at((Ipv4Addr::LOCALHOST, 0).into())
}

/// The same, at an address.
pub(crate) fn start_at(address: SocketAddr) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Heard::default();
    let all = heard.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let heard = all.clone();
            // A client that goes in the middle ends its own session only.
            thread::spawn(move || session(stream, &heard).ok());
        }
    });
    (address, heard)
}

/// One session.
fn session(stream: TcpStream, heard: &Heard) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut offer: Option<TcpListener> = None;
    out.write_all(b"220-A server\r\n220 of the test's own.\r\n")?;
    let mut line = String::new();
    while {
        line.clear();
        reader.read_line(&mut line)?
    } > 0
    {
        let text = line.trim_end().to_owned();
        heard.0.lock().unwrap().push(text.clone());
        let (verb, argument) = text.split_once(' ').unwrap_or((&text, ""));
        let reply: &[u8] = match verb {
            "USER" => b"331 Password, please.\r\n",
            "PASS" if argument == "wrong" => b"530 Not you.\r\n",
            "PASS" => b"230 Welcome.\r\n",
            "PWD" => b"257 \"/\" is where you are.\r\n",
            "FEAT" => b"211-Features:\r\n MDTM\r\n SIZE\r\n SITE CHMOD\r\n211 End\r\n",
            "PASV" | "EPSV" => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let port = listener.local_addr()?.port();
                offer = Some(listener);
                let [high, low] = port.to_be_bytes();
                let reply = if verb == "PASV" {
                    format!("227 Passive (127,0,0,1,{high},{low})\r\n")
                } else {
                    format!("229 Passive (|||{port}|)\r\n")
                };
                out.write_all(reply.as_bytes())?;
                continue;
            }
            "RETR" | "STOR" | "LIST" => {
                transfer(&mut out, offer.take(), verb, argument)?;
                continue;
            }
            "CWD" => b"550 No such directory.\r\n",
            "QUIT" => {
                out.write_all(b"221 Bye.\r\n")?;
                return Ok(());
            }
            _ => b"200 Fine.\r\n",
        };
        out.write_all(reply)?;
    }
    Ok(())
}

/// One transfer.
fn transfer(
    out: &mut TcpStream,
    offer: Option<TcpListener>,
    verb: &str,
    argument: &str,
) -> io::Result<()> {
    let Some(offer) = offer else {
        return out.write_all(b"425 PASV first.\r\n");
    };
    if argument == "missing" {
        return out.write_all(b"550 No such file.\r\n");
    }
    let (mut data, _) = offer.accept()?;
    out.write_all(b"150 Here it comes.\r\n")?;
    if verb == "STOR" {
        io::copy(&mut data, &mut io::sink())?;
    } else {
        let length = argument.parse().unwrap_or(10);
        io::copy(&mut io::repeat(b'x').take(length), &mut data)?;
    }
    drop(data);
    out.write_all(b"226 Done.\r\n")
}
