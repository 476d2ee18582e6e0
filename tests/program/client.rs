//! A client that counts what it reads.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A client's control connection.
pub(crate) struct Client {
    control: BufReader<TcpStream>,
    /// How often each code was read, preliminary ones included.
    pub(crate) codes: BTreeMap<u16, u32>,
}

impl Client {
    /// Dials and reads the greeting.
    pub(crate) fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut client = Self {
            control: BufReader::new(stream),
            codes: BTreeMap::new(),
        };
        client.reply();
        client
    }

    /// Dials and logs in.
    pub(crate) fn login(address: SocketAddr) -> Self {
        let mut client = Self::dial(address);
        client.expect("USER tester", 331);
        client.expect("PASS secret", 230);
        client
    }

    /// Dials a gateway that lets nobody do anything: the first reply that is not the greeting.
    pub(crate) fn refused(address: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        // The gateway may have closed before it comes.
        let _closed = stream.write_all(format!("{line}\r\n").as_bytes());
        let mut said = String::new();
        // What was not read by then makes it a reset.
        let _reset = BufReader::new(&mut stream).read_to_string(&mut said);
        let mut lines = said.lines().map(str::to_owned);
        lines.next_back().unwrap_or_default()
    }

    /// Sends a line and reads a reply, which must have `code`.
    pub(crate) fn expect(&mut self, line: &str, code: u16) -> String {
        self.send(line);
        let reply = self.reply();
        assert!(
            reply.starts_with(&code.to_string()),
            "{line}: expected {code}, got {reply:?}"
        );
        reply
    }

    /// Sends a line.
    pub(crate) fn send(&mut self, line: &str) {
        self.control
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap();
    }

    /// Reads a whole reply, its lines as they came.
    pub(crate) fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let begin = reply.len();
            let read = self.control.read_line(&mut reply).unwrap();
            assert!(read > 0, "the connection was closed behind {reply:?}");
            let (first, last) = (&reply[..3], &reply[begin..]);
            if last.starts_with(first) && last.as_bytes().get(3) == Some(&b' ') {
                let code = first.parse().unwrap();
                *self.codes.entry(code).or_default() += 1;
                return reply;
            }
        }
    }

    /// Opens a data connection in passive mode.
    pub(crate) fn data(&mut self) -> TcpStream {
        let reply = self.expect("EPSV", 229);
        let port: u16 = reply.split('|').nth(3).unwrap().parse().unwrap();
        let host = self.control.get_ref().peer_addr().unwrap().ip();
        TcpStream::connect((host, port)).unwrap()
    }

    /// Runs a transfer verb that sends data here.
    pub(crate) fn download(&mut self, line: &str) -> Vec<u8> {
        let mut data = self.data();
        self.expect(line, 150);
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).unwrap();
        let done = self.reply();
        assert!(done.starts_with("226"), "{done:?}");
        bytes
    }

    /// Runs a transfer verb that takes data from here.
    pub(crate) fn upload(&mut self, line: &str, bytes: &[u8]) {
        let mut data = self.data();
        self.expect(line, 150);
        data.write_all(bytes).unwrap();
        drop(data);
        let done = self.reply();
        assert!(done.starts_with("226"), "{done:?}");
    }

    /// Reads to the end: nothing more may come.
    pub(crate) fn closed(mut self) -> BTreeMap<u16, u32> {
        let mut rest = Vec::new();
        self.control.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "{}", String::from_utf8_lossy(&rest));
        self.codes
    }
}
