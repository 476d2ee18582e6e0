//! Who is measured: how each is configured, started and reached.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::client::{Door, Tls};
use crate::clock::Deadline;
use crate::options::Options;
use crate::process::{Process, pause};
use crate::{certificates, ports};

/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the children of one that forks may take to end.
const RESTED: Duration = Duration::from_secs(30);

/// One that stands in front of the stub, or the stub itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The stub, with nothing in between.
    Direct,
    /// The blind relay; with TLS in front, where a row speaks it.
    Relay,
    /// `HAProxy` in TCP mode.
    Haproxy,
    /// `ProFTPD` with `mod_proxy`.
    ModProxy,
    /// SUSE's ftp-proxy.
    Suse,
    /// Another build of the gateway, to hold this one against.
    Former,
    /// The gateway.
    Ftpwarden,
}

impl Kind {
    /// All, as they stand in the table.
    pub(crate) const ALL: [Self; 7] = [
        Self::Direct,
        Self::Relay,
        Self::Haproxy,
        Self::ModProxy,
        Self::Suse,
        Self::Former,
        Self::Ftpwarden,
    ];

    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Haproxy => "haproxy",
            Self::ModProxy => "mod_proxy",
            Self::Suse => "suse",
            Self::Former => "former",
            Self::Ftpwarden => "ftpwarden",
        }
    }

    /// Whether it is a program of somebody else's, which may be missing.
    pub(crate) const fn is_peer(self) -> bool {
        matches!(self, Self::Haproxy | Self::ModProxy | Self::Suse)
    }
}

/// What all subjects of a run share.
pub(crate) struct World {
    /// The first port.
    pub(crate) base: u16,
    /// Where configurations and certificates are.
    pub(crate) folder: PathBuf,
    /// The level of the gateway's log.
    log: String,
    /// The build of the gateway that is measured.
    program: PathBuf,
    /// Another one.
    former: Option<PathBuf>,
    /// What becomes of their rights.
    confinement: &'static str,
    /// How many addresses were given out.
    hosts: std::cell::Cell<u8>,
}

impl World {
    /// A world with certificates and no subject.
    pub(crate) fn new(base: u16, folder: &Path, options: &Options) -> io::Result<Self> {
        certificates::make(folder)?;
        Ok(Self {
            base,
            folder: folder.to_path_buf(),
            log: options.log.clone(),
            program: options.program.clone(),
            former: options.former.clone(),
            confinement: if options.confined { "warn" } else { "off" },
            hosts: std::cell::Cell::new(0),
        })
    }

    /// An address that nobody had yet.
    fn host(&self) -> Ipv4Addr {
        let number = self.hosts.get();
        self.hosts.set(number + 1);
        Ipv4Addr::new(127, 77, 1, number + 1)
    }
}

/// A running subject.
pub(crate) struct Subject {
    /// Who.
    pub(crate) kind: Kind,
    /// Its processes; none for the stub, which is not measured.
    processes: Vec<Process>,
    /// Where it speaks in clear.
    pub(crate) clear: Door,
    /// Where it speaks FTPS, if it does.
    pub(crate) secured: Option<Door>,
}

impl Subject {
    /// Starts one at an address of its own. None: it is not installed.
    pub(crate) fn start(kind: Kind, world: &World) -> io::Result<Option<Self>> {
        let host = match kind {
            Kind::Direct => ports::STUB,
            _ => world.host(),
        };
        let folder = world.folder.join(host.to_string());
        fs::create_dir_all(&folder)?;
        let site = Site {
            host,
            folder,
            world,
        };
        let processes = match kind {
            Kind::Direct => Vec::new(),
            Kind::Relay => site.relays()?,
            Kind::Haproxy => match site.haproxy()? {
                Some(process) => vec![process],
                None => return Ok(None),
            },
            Kind::ModProxy => match site.mod_proxy()? {
                Some(processes) => processes,
                None => return Ok(None),
            },
            Kind::Suse => match site.suse()? {
                Some(process) => vec![process],
                None => return Ok(None),
            },
            Kind::Former => match &world.former {
                Some(program) => vec![site.gateway(program)?],
                None => return Ok(None),
            },
            Kind::Ftpwarden => vec![site.gateway(&world.program)?],
        };
        let clear = SocketAddr::from((host, world.base));
        listening(clear)?;
        let secured = match kind {
            Kind::Relay => Some((SocketAddr::from((site.second(), world.base)), true)),
            Kind::ModProxy => Some((SocketAddr::from((site.second(), world.base)), false)),
            Kind::Former | Kind::Ftpwarden => {
                Some((SocketAddr::from((host, ports::tls(world.base))), false))
            }
            _ => None,
        };
        if let Some((address, _)) = secured {
            listening(address)?;
        }
        let config = certificates::client(&world.folder, true)?;
        Ok(Some(Self {
            kind,
            processes,
            clear: Door {
                address: clear,
                tls: None,
                extended: kind != Kind::Suse,
            },
            secured: secured.map(|(address, implicit)| Door {
                address,
                tls: Some(Tls { implicit, config }),
                extended: true,
            }),
        }))
    }

    /// User and system time that it has used; None for the stub.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        (!self.processes.is_empty()).then(|| self.processes.iter().map(Process::cpu).sum())
    }

    /// Waits until its children are gone: a crowd that still ends would be in the way of the next.
    pub(crate) fn rest(&self) {
        let deadline = Deadline::after(RESTED);
        while !deadline.is_over() && !self.processes.iter().all(Process::is_alone) {
            pause(Duration::from_millis(20));
        }
    }

    /// The identifiers of all its processes.
    pub(crate) fn members(&self) -> Vec<u32> {
        self.processes.iter().flat_map(Process::family).collect()
    }

    /// Proportional set size, in KiB.
    pub(crate) fn pss(&self) -> f64 {
        self.processes.iter().map(Process::pss).sum()
    }
}

/// Waits until somebody listens.
fn listening(address: SocketAddr) -> io::Result<()> {
    let deadline = Deadline::after(PATIENCE);
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(error) if deadline.is_over() => {
                return Err(io::Error::other(format!("{address}: {error}")));
            }
            Err(_) => pause(Duration::from_millis(20)),
        }
    }
}

/// Where one subject is being put up.
struct Site<'a> {
    /// Its address.
    host: Ipv4Addr,
    /// Its files.
    folder: PathBuf,
    /// What it shares.
    world: &'a World,
}

impl Site<'_> {
    /// A second address of the same subject's.
    fn second(&self) -> Ipv4Addr {
        let [a, b, _, d] = self.host.octets();
        Ipv4Addr::new(a, b, 2, d)
    }

    /// The blind relay, in clear and with TLS in front.
    fn relays(&self) -> io::Result<Vec<Process>> {
        let base = self.world.base.to_string();
        let clear = Process::role(&["relay".to_owned(), self.host.to_string(), base.clone()])?;
        let secured = Process::role(&[
            "relay".to_owned(),
            self.second().to_string(),
            base,
            self.world.folder.display().to_string(),
        ])?;
        Ok(vec![clear, secured])
    }

    /// A build of the gateway, with the policy that it has by default, and with metrics.
    fn gateway(&self, program: &Path) -> io::Result<Process> {
        let (host, base) = (self.host, self.world.base);
        let shared = self.world.folder.display();
        let text = format!(
            "[listeners.clear]\nbind = \"{host}:{base}\"\nupstream = \"stub\"\n\n\
             [listeners.ftps]\nbind = \"{host}:{tls}\"\nupstream = \"stub\"\n\n\
             [listeners.ftps.tls]\ncertificate = \"{shared}/cert.pem\"\nkey = \"{shared}/key.pem\"\n\n\
             [upstreams.stub]\naddress = \"{stub}:{base}\"\n\n\
             [admin]\nbind = \"{host}:{admin}\"\n[log]\nlevel = \"{log}\"\n\
             [process]\nconfinement = \"{confinement}\"\n",
            log = self.world.log,
            confinement = self.world.confinement,
            tls = ports::tls(base),
            admin = ports::admin(base),
            stub = ports::STUB,
        );
        let path = self.folder.join("ftpwarden.toml");
        fs::write(&path, text)?;
        // As the unit and the container of the project start it.
        Process::start(
            Command::new(program)
                .args(["run", "--config"])
                .arg(path)
                .env("MALLOC_ARENA_MAX", "2"),
        )
    }

    /// `HAProxy`, each port to the same port of the stub.
    fn haproxy(&self) -> io::Result<Option<Process>> {
        let Some(program) = find("haproxy", "haproxy") else {
            return Ok(None);
        };
        let (host, base, stub) = (self.host, self.world.base, ports::STUB);
        let data = ports::data(base);
        let text = format!(
            "global\n  maxconn 9500\n  maxpipes 256\n\
             defaults\n  mode tcp\n  option splice-request\n  option splice-response\n  timeout connect 10s\n  \
             timeout client 1h\n  timeout server 1h\n\
             listen control\n  bind {host}:{base}\n  server stub {stub}\n\
             listen data\n  bind {host}:{first}-{last}\n  server stub {stub}\n",
            first = data.start,
            last = data.end - 1,
        );
        let path = self.folder.join("haproxy.cfg");
        fs::write(&path, text)?;
        Process::start(Command::new(program).args(["-q", "-db", "-f"]).arg(path)).map(Some)
    }

    /// `ProFTPD`, in clear and with TLS in front.
    fn mod_proxy(&self) -> io::Result<Option<Vec<Process>>> {
        let Some(program) = find("proftpd", "proftpd") else {
            return Ok(None);
        };
        let modules = program.with_file_name("../lib/proftpd");
        if !modules.join("mod_proxy.so").exists() || !modules.join("mod_tls.so").exists() {
            return Ok(None);
        }
        let shared = self.world.folder.display();
        let tls = format!(
            "TLSEngine on\nTLSProtocol TLSv1.2 TLSv1.3\n\
             TLSECCertificateFile {shared}/cert.pem\nTLSECCertificateKeyFile {shared}/key.pem\n\
             TLSOptions NoSessionReuseRequired\n"
        );
        // Apart, so that a session in clear pays for no TLS.
        let start = |host: Ipv4Addr, tls: &str| {
            let path = self.folder.join(format!("{host}.conf"));
            fs::write(&path, self.proftpd_conf(host, &modules, tls))?;
            let mut command = Command::new(&program);
            Process::start(command.args(["--nodaemon", "--config"]).arg(path))
        };
        Ok(Some(vec![
            start(self.host, "")?,
            start(self.second(), &tls)?,
        ]))
    }

    /// Its configuration at one address: SITE refused, nothing logged.
    fn proftpd_conf(&self, host: Ipv4Addr, modules: &Path, tls: &str) -> String {
        let (base, stub, folder) = (self.world.base, ports::STUB, self.folder.display());
        let user = if rustix::process::getuid().is_root() {
            "User nobody\nGroup nogroup\n"
        } else {
            ""
        };
        format!(
            "ServerType standalone\nServerName Bench\nModulePath {modules}\n\
             LoadModule mod_tls.c\nLoadModule mod_proxy.c\nProxyTLSEngine off\nDefaultAddress {host}\nSocketBindTight on\nPort {base}\n\
             MaxInstances none\nUseIPv6 off\nUseReverseDNS off\nDelayEngine off\n\
             ControlsEngine off\nTCPBacklog 255\nPidFile {folder}/{host}.pid\n\
             ScoreboardFile {folder}/{host}.scoreboard\nSystemLog none\nTransferLog none\n\
             WtmpLog off\nTimeoutIdle 3600\nTimeoutNoTransfer 3600\n\
             ProxyEngine on\nProxyRole reverse\nProxyTables {folder}/{host}.tables\n\
             ProxyReverseServers ftp://{stub}:{base}\n\
             <Limit SITE>\nDenyAll\n</Limit>\n{user}{tls}",
            modules = modules.display(),
        )
    }

    /// SUSE's ftp-proxy: one server, commands without SITE.
    fn suse(&self) -> io::Result<Option<Process>> {
        let Some(program) = find("suse", "ftp-proxy") else {
            return Ok(None);
        };
        let (host, base, stub) = (self.host, self.world.base, ports::STUB);
        let text = format!(
            "[-Global-]\nServerType standalone\nListen {host}\nPort {base}\n\
             DestinationAddress {stub}\nDestinationPort {base}\nMaxClients 512\n\
             ForkLimit 10000000\nTimeOut 3600\nPidFile {folder}/pid\n\
             LogDestination {folder}/log\nLogLevel ERR\n\
             ValidCommands USER PASS QUIT NOOP PASV RETR STOR TYPE\n",
            folder = self.folder.display(),
        );
        let path = self.folder.join("ftp-proxy.conf");
        fs::write(&path, text)?;
        Process::start(Command::new(program).args(["-d", "-n", "-f"]).arg(path)).map(Some)
    }
}

/// Where a program is: unpacked by `benches/install`, or installed.
fn find(folder: &str, name: &str) -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers");
    let folders = [
        unpacked.join(folder).join("usr/sbin"),
        PathBuf::from("/usr/sbin"),
    ];
    folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}
