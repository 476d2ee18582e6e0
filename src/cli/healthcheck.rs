//! `healthcheck`: one tiny HTTP request to the admin address.
//!
//! Owns the request. Must not know what health is: the gateway answers that.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::args::Healthcheck;
use super::dialogue::in_words;
use super::{Answer, Outcome};
use crate::config;

/// How long the gateway may take for each step.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The longest answer that is looked at, in bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Asks `/healthz`.
pub(super) fn healthcheck(arguments: &Healthcheck) -> Answer {
    let bind = match arguments
        .address
        .map_or_else(|| configured(&arguments.config), Ok)
    {
        Ok(bind) => bind,
        Err(answer) => return answer,
    };
    let address = reachable(bind);
    match ask(address) {
        Ok(status) if status.starts_with("HTTP/1.1 200") => {
            Answer::fine(format!("{address} is alive\n"))
        }
        Ok(status) => {
            let sentence = format!("{address} answered {status:?}");
            Answer::wrong(Outcome::Failed, &sentence)
        }
        Err(error) => {
            let sentence = format!("{address} cannot be asked: {error}");
            Answer::wrong(Outcome::Failed, &sentence)
        }
    }
}

/// The admin address that is written in `file`.
///
/// # Errors
/// The file cannot be had, or has none.
fn configured(file: &Path) -> Result<SocketAddr, Answer> {
    let loaded = config::load(file).map_err(|error| Answer::refused(&error))?;
    let admin = loaded.settings.admin.map(|admin| admin.bind);
    admin.ok_or_else(|| {
        let sentence = "the configuration has no [admin] to ask";
        Answer::wrong(Outcome::Configuration, sentence)
    })
}

/// Where to dial for what is listened on at `bind`.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

/// The status line of the answer.
///
/// # Errors
/// The address cannot be dialled, or does not answer in time.
fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .map_err(|error| in_words(error, "it was not reached", TIMEOUT))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .map_err(|error| in_words(error, "it took the connection and did not answer", TIMEOUT))?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
