use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{CONNECTIONS_MAX, serve};
use crate::session::event::LoginOutcome;
use crate::session::{Direction, Fact};
use crate::telemetry::tests::{session, settings, telemetry};
use crate::telemetry::{DialResult, Telemetry};

/// Long enough for a test that is going to fail anyway.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
struct Server {
    address: SocketAddr,
    telemetry: Arc<Telemetry>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let telemetry = telemetry(&settings(None));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, Arc::clone(&telemetry), async {
            stopped.await.ok();
        }));
        Self {
            address,
            telemetry,
            stop,
            task,
        }
    }

    /// Sends `bytes` and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Asks, and gives head and body.
    async fn ask(&self, method: &str, path: &str) -> (String, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = self.exchange(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }
}

#[tokio::test]
async fn metrics_are_in_prometheus_text_format() {
    let server = Server::start().await;
    let (head, body) = server.ask("GET", "/metrics").await;
    assert!(head.starts_with("http/1.1 200 ok"), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(
        body.contains("\nftpwarden_sessions{listener=\"main\"} 0\n"),
        "{body}"
    );
    assert!(body.contains("\nprocess_open_fds "), "{body}");
}

#[tokio::test]
async fn a_head_request_gets_the_head_alone() {
    let server = Server::start().await;
    for path in ["/metrics", "/healthz", "/readyz", "/status"] {
        let (head, body) = server.ask("HEAD", path).await;
        assert!(head.starts_with("http/1.1 200 ok"), "{head}");
        assert!(head.contains("content-length: "), "{head}");
        assert_eq!(body, "", "{path}");
    }
}

#[tokio::test]
async fn health_is_that_the_process_lives() {
    let server = Server::start().await;
    server.telemetry.draining();
    let (head, body) = server.ask("GET", "/healthz?verbose").await;
    assert!(head.starts_with("http/1.1 200 ok"), "{head}");
    assert_eq!(body, "ok\n");
}

#[tokio::test]
async fn readiness_tells_its_reasons() {
    let server = Server::start().await;
    let (head, body) = server.ask("GET", "/readyz").await;
    assert!(head.starts_with("http/1.1 200 ok"), "{head}");
    assert_eq!(body, "ready\n");
    server
        .telemetry
        .upstream_connect("legacy", "10.0.0.5:21", DialResult::Refused, None);
    server.telemetry.draining();
    let (head, body) = server.ask("GET", "/readyz").await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(
        body,
        "the gateway is draining\nlistener main: upstream legacy is down (refused)\n"
    );
}

#[tokio::test]
async fn status_shows_sessions_upstreams_and_ports() {
    let server = Server::start().await;
    let telemetry = &server.telemetry;
    let mut recorder = session(telemetry);
    recorder.note(&Fact::Login {
        user: "<script>\u{1b}&\u{202e}\"".into(),
        outcome: LoginOutcome::Success,
    });
    recorder.note(&Fact::TransferBegan {
        direction: Direction::Download,
        name: crate::ftp::command::Name::parse(b"RETR").unwrap(),
        path: Some("/out/</title>".into()),
        offset: 0,
    });
    telemetry.passive_ports("main", 10, 1);
    telemetry.upstream_connect("legacy", "10.0.0.5:21", DialResult::Timeout, None);
    let (head, body) = server.ask("GET", "/status").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(
        !body.contains(['<', '>', '&', '\u{1b}', '\u{202e}']),
        "{body}"
    );
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert!(status["uptime_seconds"].is_f64());
    assert_eq!(status["draining"], false);
    let shown = &status["sessions"][0];
    assert_eq!(shown["id"], recorder.id());
    assert_eq!(shown["listener"], "main");
    assert_eq!(shown["client"], "203.0.113.9:50123");
    assert_eq!(shown["user"], "<script>\\x1b&\\xe2\\x80\\xae\"");
    assert_eq!(shown["verb"], Value::Null);
    assert_eq!(shown["transfer"]["verb"], "RETR");
    assert_eq!(shown["transfer"]["direction"], "download");
    assert_eq!(shown["transfer"]["path"], "/out/</title>");
    assert_eq!(shown["transfer"]["bytes"], 0);
    let upstream = &status["upstreams"][0];
    assert_eq!(upstream["name"], "legacy");
    assert_eq!(upstream["address"], "10.0.0.5:21");
    assert_eq!(upstream["up"], false);
    assert_eq!(upstream["last_connect"], "timeout");
    let ports = &status["passive_ports"][0];
    assert_eq!(
        (&ports["listener"], &ports["total"], &ports["in_use"]),
        (&"main".into(), &10.into(), &1.into())
    );
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let server = Server::start().await;
    for path in ["/", "/metrics/", "/metric", "/status/1", "//status"] {
        let (head, _) = server.ask("GET", path).await;
        assert!(head.starts_with("http/1.1 404 "), "{path}: {head}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let (head, _) = server.ask(method, "/metrics").await;
        assert!(head.starts_with("http/1.1 405 "), "{method}: {head}");
        assert!(head.contains("allow: get, head"), "{method}: {head}");
    }
}

#[tokio::test]
async fn a_body_is_not_waited_for() {
    let server = Server::start().await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc";
    let answer = server.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = Server::start().await;
    let answer = server.exchange(b"USER bob\r\nPASS x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let mut long = b"GET /".to_vec();
    long.resize(64 * 1024, b'x');
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may close before it has read all.
    stream.write_all(&long).await.ok();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .ok();
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{answer:?}");
}

#[tokio::test]
async fn more_connections_than_there_are_slots_wait() {
    let server = Server::start().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\n")
            .await
            .unwrap();
        idle.push(stream);
    }
    let waits = server.ask("GET", "/healthz");
    tokio::pin!(waits);
    assert!(
        timeout(Duration::from_millis(100), &mut waits)
            .await
            .is_err()
    );
    idle.pop();
    let (head, _) = timeout(PATIENCE, waits).await.unwrap();
    assert!(head.starts_with("http/1.1 200 ok"), "{head}");
}

#[tokio::test]
async fn it_ends_when_told_whoever_is_connected() {
    let server = Server::start().await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    server.ask("GET", "/healthz").await;
    server.stop.send(()).unwrap();
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
    drop(idle);
}
