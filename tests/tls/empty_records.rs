//! Records that hold no plaintext: a few are borne, and who sends nothing else is ended.

use rustls::ConnectionTrafficSecrets;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{ClientConnection, ContentType, ProtocolVersion, SupportedCipherSuite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Authority, Bench, Client, Control, handshake, is_reset, within};

/// How many records in a row may be empty.
const BORNE: usize = 32;

/// Makes records that no library sends.
struct Records {
    /// What protects them.
    encrypter: Box<dyn MessageEncrypter>,
    /// The number of the next one.
    sequence: u64,
}

impl Records {
    /// Those that come next on a connection.
    #[expect(clippy::panic, reason = "a test panics when it fails")]
    fn behind(tls: ClientConnection) -> Self {
        let Some(SupportedCipherSuite::Tls13(suite)) = tls.negotiated_cipher_suite() else {
            panic!("it is no TLS 1.3");
        };
        let (sequence, secrets) = tls.dangerous_extract_secrets().unwrap().tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("it is another cipher");
        };
        let mut records = Self {
            encrypter: suite.aead_alg.encrypter(key, iv),
            sequence: 0,
        };
        // It counts for itself, from the first one on.
        for _ in 0..sequence {
            records.record(b"");
        }
        records
    }

    /// So many empty ones, and `last` behind them.
    fn empty(&mut self, count: usize, last: &[u8]) -> Vec<u8> {
        let mut wire: Vec<u8> = (0..count).flat_map(|_| self.record(b"")).collect();
        wire.extend(self.record(last));
        wire
    }

    /// One more.
    fn record(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(plaintext),
        };
        let record = self.encrypter.encrypt(message, self.sequence).unwrap();
        self.sequence += 1;
        record.encode()
    }
}

/// A client that is logged in over TLS, whose secrets can be had.
async fn open_client() -> (Bench, Client, Control) {
    let authority = Authority::new();
    let bench = Bench::start(&authority.listener(""), "", "").await;
    let (clear, mut server) = bench.greeted().await;
    let mut config = authority.client(&[&rustls::version::TLS13]);
    config.enable_secret_extraction = true;
    let mut client = Client::auth(clear, config).await;
    client.log_in(&mut server).await;
    (bench, client, server)
}

#[tokio::test]
async fn a_client_whose_commands_are_records_without_plaintext_is_ended() {
    let (_bench, client, mut server) = open_client().await;
    let (mut socket, tls) = client.control.stream.into_inner();
    let mut records = Records::behind(tls);
    let borne = records.empty(BORNE, b"NOOP\r\n");
    socket.write_all(&borne).await.unwrap();
    server.hear("NOOP").await;
    server.say("200 Here.").await;
    let flood = records.empty(BORNE + 1, b"NOOP\r\n");
    socket.write_all(&flood).await.unwrap();
    server.hear_end().await;
}

#[tokio::test]
async fn an_upload_of_records_without_plaintext_is_broken() {
    for (count, is_borne) in [(BORNE, true), (BORNE + 1, false)] {
        let (_bench, mut client, mut server) = open_client().await;
        let (data, mut peer) = client.begin(&mut server, "STOR a").await;
        let data = handshake(&client.config, data).await.unwrap();
        let (mut socket, tls) = data.into_inner();
        let wire = Records::behind(tls).empty(count, b"the file");
        socket.write_all(&wire).await.unwrap();
        if is_borne {
            let mut file = [0; 8];
            within(peer.read_exact(&mut file)).await.unwrap();
            assert_eq!(&file, b"the file");
        } else {
            assert!(is_reset(peer).await);
            server.say("226 Done.").await;
            client.control.hear_code("426 ").await;
        }
    }
}
