//! What a confined process can still do, tried from inside: the test starts itself anew, gives its
//! rights up as the program does, and then tries.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test panics when it fails"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use ftpwarden::sys::confine::{Access, Mechanism, confine};
use ftpwarden::sys::splice::Pipe;
use rustix::io::Errno;
use rustix::process::getpid;
use rustls::pki_types::PrivateKeyDer;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use socket2::{Domain, Socket, Type};

/// Where the process that is confined finds its directory.
const DIRECTORY: &str = "CONFINEMENT_TEST_DIRECTORY";

/// Which calls its kernel lacks.
const LACKING: &str = "CONFINEMENT_TEST_LACKING";

/// Runs `body`, which confines the process that it runs in, in a process of its own: the test
/// `name`, which calls this, starts itself anew.
fn inside(name: &str, body: fn()) {
    if std::env::var_os(DIRECTORY).is_some() {
        return body();
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("read")).unwrap();
    fs::create_dir(at("write")).unwrap();
    fs::create_dir(at("other")).unwrap();
    fs::write(at("read/file"), b"read me").unwrap();
    fs::write(at("other/file"), b"not me").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// A directory of the confined process.
fn directory(name: &str) -> PathBuf {
    Path::new(&std::env::var_os(DIRECTORY).unwrap()).join(name)
}

/// Confines this thread: `read` and `write` are left, a port to listen on, and a port to dial.
fn enter(bind: u16, connect: u16) {
    let access = Access {
        read: vec![directory("read")],
        write: vec![directory("write")],
        bind: vec![bind..=bind],
        connect: vec![connect..=connect],
    };
    let confined = confine(None, &access).unwrap();
    let mechanisms: Vec<Mechanism> = confined.reports.iter().map(|one| one.mechanism).collect();
    assert_eq!(
        mechanisms,
        [
            Mechanism::Capabilities,
            Mechanism::NoNewPrivileges,
            Mechanism::Landlock,
            Mechanism::Seccomp
        ]
    );
    for report in &confined.reports {
        assert!(report.result.is_ok(), "{report:?}");
    }
    // A kernel before 6.7 has no rules for ports: what follows would fail, and should.
    assert_eq!(
        (confined.files.as_ref(), confined.ports.as_ref()),
        (Some(&access), Some(&access))
    );
}

/// An address that no other test uses, so that nobody takes its ports meanwhile.
const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 76);

/// Two ports of [`OWN`] that are free.
fn free_ports() -> (u16, u16) {
    let listeners = [(); 2].map(|()| TcpListener::bind((OWN, 0)).unwrap());
    let [first, second] = listeners.map(|listener| listener.local_addr().unwrap().port());
    (first, second)
}

/// That something was not permitted.
#[track_caller]
fn denied<T>(result: io::Result<T>) {
    let error = result.err().expect("it was permitted");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

#[test]
fn files_of_others_cannot_be_opened() {
    inside("files_of_others_cannot_be_opened", files);
}

/// What is left of the file system.
fn files() {
    enter(0, 1);
    assert_eq!(fs::read(directory("read/file")).unwrap(), b"read me");
    denied(File::open(directory("other/file")));
    denied(File::open("/etc/shadow"));
    denied(File::open("/etc/passwd"));
    denied(fs::read_dir("/root"));
    denied(File::create(directory("read/new")));
    denied(OpenOptions::new().append(true).open(directory("read/file")));
    denied(fs::remove_file(directory("read/file")));
    let mut log = File::create(directory("write/log")).unwrap();
    log.write_all(b"a line").unwrap();
    let mut again = OpenOptions::new()
        .append(true)
        .open(directory("write/log"))
        .unwrap();
    again.write_all(b" more").unwrap();
    assert_eq!(fs::read(directory("write/log")).unwrap(), b"a line more");
    denied(fs::remove_file(directory("write/log")));
    denied(fs::create_dir(directory("write/new")));
    denied(std::os::unix::fs::symlink(
        "/etc/shadow",
        directory("write/link"),
    ));
    // What the process is told of itself is left, what others say of themselves is not.
    fs::read("/proc/self/stat").unwrap();
    assert!(fs::read_dir("/proc/self/fd").unwrap().count() > 0);
    denied(fs::read("/proc/1/environ"));
}

#[test]
fn programs_and_processes_cannot_be_started() {
    inside("programs_and_processes_cannot_be_started", programs);
}

/// That nothing else is run.
fn programs() {
    enter(0, 1);
    denied(Command::new("/bin/true").spawn());
    // Replaces this process where it succeeds, and no test has passed then.
    let error = Command::new("/bin/true").exec();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

#[test]
fn dangerous_calls_are_refused() {
    inside("dangerous_calls_are_refused", calls);
}

/// What a process could become more by.
fn calls() {
    enter(0, 1);
    let number = |family| Domain::from(family);
    for family in [
        libc::AF_NETLINK,
        libc::AF_PACKET,
        libc::AF_ALG,
        libc::AF_VSOCK,
    ] {
        denied(Socket::new(number(family), Type::DGRAM, None));
    }
    // To become who one is needs no right: it is the filter that refuses.
    let user = rustix::process::getuid();
    assert_eq!(rustix::thread::set_thread_uid(user), Err(Errno::PERM));
    assert_eq!(rustix::thread::set_thread_groups(&[]), Err(Errno::PERM));
    let none = rustix::thread::capabilities(None).unwrap();
    assert!(none.effective.is_empty() && none.permitted.is_empty());
    assert_eq!(
        rustix::thread::set_capabilities(None, none),
        Err(Errno::PERM)
    );
    // A signal to whom one is reaches, one to another does not.
    let parent = rustix::process::getppid().unwrap();
    rustix::process::test_kill_process(getpid()).unwrap();
    assert_eq!(rustix::process::test_kill_process(parent), Err(Errno::PERM));
}

#[test]
fn ports_of_others_cannot_be_used() {
    inside("ports_of_others_cannot_be_used", ports);
}

/// Which ports are left.
fn ports() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (mine, foreign) = free_ports();
    enter(mine, server.local_addr().unwrap().port());
    TcpListener::bind((OWN, mine)).unwrap();
    denied(TcpListener::bind((OWN, foreign)));
    denied(TcpListener::bind((OWN, 0)));
    TcpStream::connect(server.local_addr().unwrap()).unwrap();
    denied(TcpStream::connect(other.local_addr().unwrap()));
    // What was bound before goes on.
    server.accept().unwrap();
}

#[test]
fn what_the_gateway_does_goes_on() {
    inside("what_the_gateway_does_goes_on", work);
}

/// All that the program needs.
fn work() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = server.local_addr().unwrap();
    enter(0, address.port());
    // Threads that begin now are confined as well.
    thread::spawn(|| denied(File::open("/etc/shadow")))
        .join()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let name = format!("localhost:{}", address.port());
        let found: Vec<_> = tokio::net::lookup_host(name).await.unwrap().collect();
        assert!(found.contains(&address), "{found:?}");
        tokio::spawn(async { denied(File::open("/etc/shadow")) })
            .await
            .unwrap();
        let blocking = tokio::task::spawn_blocking(|| denied(File::open("/etc/shadow")));
        blocking.await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let hangup = tokio::signal::unix::SignalKind::hangup();
        drop(tokio::signal::unix::signal(hangup).unwrap());
    });
    // Bytes from socket to socket within the kernel.
    let pair = || {
        let dialled = TcpStream::connect(address).unwrap();
        (dialled, server.accept().unwrap().0)
    };
    let ((mut from, source), (sink, mut to)) = (pair(), pair());
    let mut pipe = Pipe::new().unwrap();
    pipe.widen(1 << 20);
    from.write_all(b"spliced").unwrap();
    while pipe.held() == 0 {
        match pipe.fill(&source) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            filled => assert!(filled.unwrap() > 0),
        }
    }
    pipe.drain(&sink).unwrap();
    let mut bytes = [0; 7];
    to.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"spliced");
    shake_hands();
    // The service manager's socket is one of these.
    UnixDatagram::unbound().unwrap();
    let authorities = rustls_native_certs::load_native_certs();
    assert!(authorities.errors.is_empty(), "{:?}", authorities.errors);
}

/// A certificate is made and shown: what is computed needs no memory that is written and run.
fn shake_hands() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let shown = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(certificate).unwrap();
    let checked = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(checked), name).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(shown)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
}

/// The program, on a kernel that lacks `calls`, with `confinement` as it is: the test `name`, which
/// calls this, starts itself anew and becomes it.
fn on_a_kernel_without(name: &str, calls: &[i64], confinement: &str) -> (tempfile::TempDir, Child) {
    if let Some(lacking) = std::env::var_os(LACKING) {
        become_the_program(&lacking.into_string().unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n\
         [upstreams.legacy]\naddress = \"127.0.0.1:9\"\n\
         [process]\nconfinement = \"{confinement}\"\nuser = \"{}\"\ngroup = \"{}\"\n",
        someone(rustix::process::getuid().as_raw()),
        someone(rustix::process::getgid().as_raw()),
    );
    fs::write(directory.path().join("gateway.toml"), text).unwrap();
    let calls: Vec<String> = calls.iter().map(ToString::to_string).collect();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(DIRECTORY, directory.path())
        .env(LACKING, calls.join(","))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    (directory, child)
}

/// Who is not root: oneself, where one is not.
const fn someone(number: u32) -> u32 {
    if number == 0 { 65_533 } else { number }
}

/// Becomes the program, on a kernel that lacks the calls of these numbers.
fn become_the_program(lacking: &str) -> ! {
    let calls = lacking
        .split(',')
        .map(|call| (call.parse().unwrap(), Vec::new()));
    let filter = SeccompFilter::new(
        calls.collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
    let error = Command::new(env!("CARGO_BIN_EXE_ftpwarden"))
        .args(["run", "--config"])
        .arg(directory("gateway.toml"))
        .exec();
    unreachable!("{error}");
}

#[test]
fn what_a_kernel_lacks_is_refused_where_it_is_required() {
    let name = "what_a_kernel_lacks_is_refused_where_it_is_required";
    let lacking = [
        (
            libc::SYS_landlock_create_ruleset,
            "landlock",
            "this kernel does not have it",
        ),
        (libc::SYS_seccomp, "seccomp", "Function not implemented"),
    ];
    for (call, mechanism, reason) in lacking {
        let (_directory, child) = on_a_kernel_without(name, &[call], "require");
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        let start = format!("[process] confinement is required, and {mechanism} cannot be had: ");
        assert!(said.contains(&start) && said.contains(reason), "{said}");
    }
}

#[test]
fn what_a_kernel_lacks_is_warned_of_and_the_rest_is_given_up() {
    let name = "what_a_kernel_lacks_is_warned_of_and_the_rest_is_given_up";
    let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_seccomp];
    let (_directory, mut child) = on_a_kernel_without(name, &calls, "warn");
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.map_while(Result::ok) {
        let is_last = line.contains(" listening ");
        said.push(line);
        if is_last {
            break;
        }
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    let told = |parts: &[&str]| {
        let all = |line: &String| parts.iter().all(|part| line.contains(part));
        assert!(said.iter().any(all), "{parts:?} in {said:#?}");
    };
    told(&[
        "WARN",
        "not confined",
        "mechanism=landlock",
        "this kernel does not have it",
    ]);
    told(&["WARN", "not confined", "mechanism=seccomp"]);
    told(&["INFO", "confined", "mechanism=capabilities"]);
    told(&["INFO", "confined", "mechanism=no-new-privileges"]);
    told(&[" listening "]);
    let status = status.unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("CapPrm:\t0000000000000000"), "{status}");
}
