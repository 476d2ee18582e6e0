//! Certificates of clients: who is asked for one, who is let in, and what its subject is good for.

use std::fs;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{
    Authority, Bench, Client, Control, GREETING, Secure, VERSIONS, handshake, is_reset, within,
};

/// A policy under which only the one with the certificate of the robot may delete.
const ROBOTS: &str = "[policies.robots]\n\
    allow = [\"@session\", \"@download\"]\n\
    rules = [{ name = \"robot\", client_certificate = \"CN=robot\", commands = \"DELE\", action = \"allow\" }]\n";

/// A gateway, its authority, and one whose clients are good.
struct Scene {
    /// The gateway.
    bench: Bench,
    /// Whose certificate the gateway shows.
    authority: Authority,
    /// Whose certificates it takes from clients.
    clients: Authority,
}

impl Scene {
    /// With `client_certificates = "…"` and further keys of `tls`.
    async fn start(asks: &str, keys: &str) -> Self {
        let (authority, clients) = (Authority::new(), Authority::new());
        for name in ["robot", "rival"] {
            clients.issue(name, |_| ());
        }
        let listener = authority.listener(&format!(
            "client_certificates = \"{asks}\", client_ca = '{}'{}{keys}",
            clients.path("ca.pem").display(),
            if keys.is_empty() { "" } else { ", " },
        ));
        let listener = format!("policy = \"robots\"\n{listener}");
        let audit = authority.path("audit.jsonl");
        let rest = format!("{ROBOTS}[audit]\npath = '{}'\n", audit.display());
        Self {
            bench: Bench::start(&listener, "", &rest).await,
            authority,
            clients,
        }
    }

    /// A client that shows the robot's certificate, or none.
    fn client(&self, version: &'static SupportedProtocolVersion, shows: bool) -> ClientConfig {
        if shows {
            let clients = &self.clients;
            self.authority.client_showing(&[version], clients, "robot")
        } else {
            self.authority.client(&[version])
        }
    }

    /// A client with a certificate of its own that is as good as the robot's.
    fn rival(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let clients = &self.clients;
        self.authority.client_showing(&[version], clients, "rival")
    }

    /// How often a handshake of a client's control connection came to `result`.
    fn counts(&self, channel: &str, result: &str, times: u32) -> bool {
        self.bench.counts(&format!(
            "ftpwarden_tls_handshakes_total{{leg=\"client\",channel=\"{channel}\",\
             version=\"none\",resumed=\"none\",result=\"{result}\"}} {times}"
        ))
    }

    /// What the audit says of the client's certificate with the event of `verb`.
    fn audited(&self, verb: &str) -> Value {
        self.bench.telemetry.flush();
        let text = fs::read_to_string(self.authority.path("audit.jsonl")).unwrap();
        let mut events = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let event = events.find(|event| event["verb"] == verb).unwrap();
        event["client_certificate"].clone()
    }
}

/// What a client hears whose handshake is refused. Over TLS 1.3 its own is over by then.
async fn refusal(config: ClientConfig, stream: TcpStream) -> String {
    match handshake(&Arc::new(config), stream).await {
        Err(error) => error.to_string(),
        Ok(mut stream) => within(stream.read(&mut [0; 64]))
            .await
            .unwrap_err()
            .to_string(),
    }
}

/// A client that said AUTH TLS and heard 234, and its server.
async fn authorised(bench: &Bench) -> (Control, Control) {
    let (mut clear, server) = bench.greeted().await;
    clear.say("AUTH TLS").await;
    clear.hear_code("234 ").await;
    (clear, server)
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    for version in VERSIONS {
        let scene = Scene::start("required", "").await;
        let (clear, mut server) = authorised(&scene.bench).await;
        let told = refusal(scene.client(version, false), clear.stream).await;
        // TLS 1.2 has no alert of its own for it (RFC 5246 §7.4.6).
        assert!(
            told.contains("CertificateRequired") || told.contains("HandshakeFailure"),
            "{told}"
        );
        server.hear_end().await;
        assert!(scene.counts("control", "no_certificate", 1));
    }
}

#[tokio::test]
async fn a_server_is_not_even_dialled_for_a_client_without_a_certificate_over_implicit_tls() {
    for version in VERSIONS {
        let scene = Scene::start("required", "mode = \"implicit\"").await;
        let stream = within(TcpStream::connect(scene.bench.address()))
            .await
            .unwrap();
        refusal(scene.client(version, false), stream).await;
        // The first connection at the server is that of the client that is let in.
        let stream = within(TcpStream::connect(scene.bench.address()))
            .await
            .unwrap();
        let config = Arc::new(scene.client(version, true));
        let mut client = Secure::new(handshake(&config, stream).await.unwrap());
        let mut server = scene.bench.accept().await;
        server.say(GREETING).await;
        client.hear(GREETING).await;
        assert!(scene.counts("control", "no_certificate", 1));
    }
}

#[tokio::test]
async fn a_certificate_of_a_foreign_authority_is_refused_even_where_none_is_required() {
    for asks in ["optional", "required"] {
        for version in VERSIONS {
            let scene = Scene::start(asks, "").await;
            // An impostor has the name of the authority that is trusted, and not its key.
            for (foreign, alert, result) in [
                (
                    Authority::named("Another authority"),
                    "UnknownCA",
                    "unknown_authority",
                ),
                (Authority::new(), "DecryptError", "bad_certificate"),
            ] {
                foreign.issue("robot", |_| ());
                let config = scene
                    .authority
                    .client_showing(&[version], &foreign, "robot");
                let (clear, mut server) = authorised(&scene.bench).await;
                let told = refusal(config, clear.stream).await;
                assert!(told.contains(alert), "{told}");
                server.hear_end().await;
                assert!(scene.counts("control", result, 1));
            }
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_of_a_client_is_refused() {
    for version in VERSIONS {
        let scene = Scene::start("optional", "").await;
        scene.clients.issue("robot", |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        });
        let (clear, mut server) = authorised(&scene.bench).await;
        let told = refusal(scene.client(version, true), clear.stream).await;
        assert!(told.contains("CertificateExpired"), "{told}");
        server.hear_end().await;
        assert!(scene.counts("control", "expired", 1));
    }
}

#[tokio::test]
async fn the_subject_of_a_clients_certificate_decides_and_is_audited() {
    for (asks, shows, seen) in [
        ("required", true, true),
        ("optional", true, true),
        ("optional", false, false),
        ("off", true, false),
    ] {
        for version in VERSIONS {
            let scene = Scene::start(asks, "").await;
            let (clear, mut server) = scene.bench.greeted().await;
            let mut client = Client::auth(clear, scene.client(version, shows)).await;
            client
                .exchange(&mut server, "USER test", "230 Welcome.")
                .await;
            if seen {
                client
                    .exchange(&mut server, "DELE /a", "250 Deleted.")
                    .await;
            } else {
                client.control.say("DELE /a").await;
                client.control.hear_code("530 ").await;
            }
            let expected = if seen {
                Value::from("CN=robot")
            } else {
                Value::Null
            };
            assert_eq!(scene.audited("DELE"), expected, "{asks} {version:?}");
        }
    }
}

#[tokio::test]
async fn a_client_in_clear_has_no_certificate() {
    let scene = Scene::start("required", "require = \"no\"").await;
    let (mut client, mut server) = scene.bench.logged_in().await;
    client.say("DELE /a").await;
    client.hear_code("530 ").await;
    assert_eq!(scene.audited("DELE"), Value::Null);
    client.say("QUIT").await;
    server.hear("QUIT").await;
}

#[tokio::test]
async fn data_connections_show_the_certificate_or_resume() {
    for version in VERSIONS {
        let scene = Scene::start("required", "").await;
        let (clear, mut server) = scene.bench.greeted().await;
        let mut client = Client::auth(clear, scene.client(version, true)).await;
        client.log_in(&mut server).await;
        // It resumes, or begins anew with the certificate: another configuration has no ticket.
        for kind in [HandshakeKind::Resumed, HandshakeKind::Full] {
            if kind == HandshakeKind::Full {
                client.config = Arc::new(scene.client(version, true));
            }
            let (data, mut peer) = client.begin(&mut server, "RETR /a").await;
            let mut data = handshake(&client.config, data).await.unwrap();
            peer.write_all(b"abc").await.unwrap();
            drop(peer);
            server.say("226 Done.").await;
            let mut received = Vec::new();
            within(data.read_to_end(&mut received)).await.unwrap();
            assert_eq!(received, b"abc");
            assert_eq!(data.get_ref().1.handshake_kind(), Some(kind));
            client.control.hear("226 Done.").await;
        }
        let (data, peer) = client.begin(&mut server, "RETR /a").await;
        refusal(scene.client(version, false), data).await;
        assert!(is_reset(peer).await);
        server.say("426 Broken.").await;
        client.control.hear_code("522 ").await;
        assert!(scene.counts("data", "no_certificate", 1));
    }
}

#[tokio::test]
async fn a_data_connection_with_the_certificate_of_another_client_is_refused() {
    for asks in ["optional", "required"] {
        for version in VERSIONS {
            let scene = Scene::start(asks, "").await;
            let (clear, mut server) = scene.bench.greeted().await;
            let mut client = Client::auth(clear, scene.client(version, true)).await;
            client.log_in(&mut server).await;
            let (data, peer) = client.begin(&mut server, "RETR /a").await;
            let refused = match handshake(&Arc::new(scene.rival(version)), data).await {
                Err(_) => true,
                Ok(mut data) => within(data.read(&mut [0; 8])).await.is_err(),
            };
            assert!(refused, "{asks} {version:?}");
            assert!(is_reset(peer).await);
            server.say("426 Broken.").await;
            client.control.hear_code("522 ").await;
            assert!(scene.counts("data", "other_certificate", 1));
        }
    }
}
