//! A server that is a process of its own, so that it can be killed: the test program once more,
//! running an ignored test that serves.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Where the server is to listen.
const ADDRESS: &str = "TEST_SERVER_ADDRESS";

/// The server, from outside.
pub(crate) struct Process {
    child: Child,
    /// It ends when this is closed: at the latest when the test does.
    _alive: ChildStdin,
    /// What else it says.
    said: Option<Lines<BufReader<ChildStdout>>>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts the server that the test `serve` is, at `address`.
    pub(crate) fn start(serve: &str, address: SocketAddr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", serve, "--ignored", "--nocapture"])
            .env(ADDRESS, address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = said.by_ref().map_while(Result::ok);
        let line = lines.find_map(|line| Some(line.split_once("serving=")?.1.to_owned()));
        Self {
            _alive: child.stdin.take().unwrap(),
            said: Some(said),
            address: line.unwrap().parse().unwrap(),
            child,
        }
    }

    /// What it says from now on, once.
    pub(crate) fn take_said(&mut self) -> Lines<BufReader<ChildStdout>> {
        self.said.take().unwrap()
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as nothing else does: with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A child that is gone already is what is wanted.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Within the server: where it is to listen.
pub(crate) fn address() -> SocketAddr {
    let address = std::env::var_os(ADDRESS).unwrap().into_string().unwrap();
    address.parse().unwrap()
}
