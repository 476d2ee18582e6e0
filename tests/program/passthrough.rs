//! Under `permissive` a client reads through the gateway what it reads without it, byte for
//! byte: data addresses and the lines that the gateway answers for itself apart.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use unftp_sbe_fs::Filesystem;

use crate::client::Client;
use crate::gateway::Gateway;

/// Starts a real server on a port of its own, in a runtime that lives as long as the test.
fn real_server(root: std::path::PathBuf) -> (tokio::runtime::Runtime, SocketAddr) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let root = root.clone();
            let storage = move || Filesystem::new(root.clone()).unwrap();
            let server = libunftp::ServerBuilder::new(Box::new(storage))
                .build()
                .unwrap();
            tokio::spawn(server.service(stream));
        }
    });
    (runtime, address)
}

/// What a client reads of `address`, with data addresses blanked.
fn transcript(address: SocketAddr) -> Vec<String> {
    let mut client = Client::dial(address);
    let mut read = Vec::new();
    for line in [
        "SYST",
        "USER anonymous",
        "PASS x",
        "FEAT",
        "SYST",
        "PWD",
        "HELP",
        "TYPE I",
        "TYPE A",
        "MODE S",
        "STRU F",
        "NOOP",
        "ALLO 5",
        "CWD nowhere",
        "MKD new",
        "CWD new",
        "PWD",
        "CDUP",
        "RMD new",
        "SIZE file",
        "MDTM file",
        "MLST file",
        "RNFR file",
        "RNTO other",
        "RNFR other",
        "RNTO file",
        "OPTS UTF8 ON",
        "SITE NOTHING",
        "XYZZY",
        "STAT",
        "REST 5",
        "DELE missing",
    ] {
        client.send(line);
        read.push(client.reply());
    }
    read.push(String::from_utf8(client.download("RETR file")).unwrap());
    read.push(String::from_utf8(client.download("NLST")).unwrap());
    client.upload("STOR copy", b"payload");
    read.push(String::from_utf8(client.download("RETR copy")).unwrap());
    client.expect("DELE copy", 250);
    client.send("QUIT");
    read.push(client.reply());
    read
}

/// Without the lines of FEAT that the gateway answers for itself, and without the address that
/// the server sees in STAT, which is the gateway's.
fn comparable(replies: Vec<String>) -> Vec<String> {
    const OWN: [&str; 8] = [
        "AUTH",
        "PBSZ",
        "PROT",
        "CCC",
        "EPRT",
        "EPSV",
        "PASV",
        "client addr",
    ];
    replies
        .into_iter()
        .map(|reply| {
            if !reply.starts_with("211-") {
                return reply;
            }
            reply
                .split_inclusive('\n')
                .filter(|line| !OWN.iter().any(|own| line.trim_start().starts_with(own)))
                .collect()
        })
        .collect()
}

#[test]
fn a_permissive_gateway_is_not_seen() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), b"the file's own bytes").unwrap();
    let (_runtime, server) = real_server(directory.path().to_path_buf());
    let gateway = Gateway::start(server, "policy = \"permissive\"", "");
    let direct = comparable(transcript(server));
    let through = comparable(transcript(gateway.address));
    assert!(direct.len() > 30);
    assert_eq!(direct, through);
}
