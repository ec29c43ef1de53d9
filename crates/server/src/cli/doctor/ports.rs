//! Ports: each is bound as the server would bind it, and let go again; of those that cannot be had,
//! who has them (`/proc/net`).

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use super::{
    finding::{Finding, Topic},
    machine::Machine,
    person,
    programs::{Program, Programs, list},
};
use crate::{config::Config, egress::udp::Ports as UdpPorts, listener};

/// The ports of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Each, TCP first.
    pub ports: Vec<Port>,
    /// Programs of which cannot be said what they have open.
    pub hidden: usize,
}

/// Ports that are bound together, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// As `TCP [::]:8554`.
    pub name: String,
    /// The first of them.
    pub number: u16,
    /// Why it cannot be had.
    pub error: Option<io::ErrorKind>,
    /// Who has it.
    pub users: Users,
}

/// Who has a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// The programs, where that can be seen.
    pub programs: Vec<Program>,
    /// Whose program it is: that can be seen by all.
    pub owner: Option<String>,
}

/// Of ports.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RTSP's.
    Tcp,
    /// RTP's and RTCP's.
    Udp,
}

impl Facts {
    /// Tries those of `config`.
    ///
    /// # Errors
    ///
    /// When there are no descriptors left for sockets.
    pub fn of(config: &Config, machine: &Machine, programs: &Programs) -> io::Result<Self> {
        // Sockets are made as the server makes them, and those are of a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _within = runtime.enter();
        let with = |protocol: Protocol, numbers: &[u16], error: Option<io::ErrorKind>| match error {
            Some(io::ErrorKind::AddrInUse) => who(machine, programs, protocol, numbers),
            _ => Users::default(),
        };
        let mut ports = Vec::new();
        for address in &config.listen {
            let bound = listener::bind(*address);
            // A machine without IPv6 is served by IPv4.
            let may_be_missing = address.ip().is_loopback() || address.ip().is_unspecified();
            let error = bound.err().filter(|error| !(may_be_missing && error.is_family_missing()));
            let (protocol, error) = (Protocol::Tcp, error.map(|error| error.kind()));
            let users = with(protocol, &[address.port()], error);
            let (name, number) = (format!("TCP {address}"), address.port());
            ports.push(Port { protocol, name, number, error, users });
        }
        let rtp = config.udp.rtp();
        let addresses: Vec<IpAddr> = config.listen.iter().map(SocketAddr::ip).collect();
        let bound = UdpPorts::bind(&addresses, rtp);
        let (protocol, error) = (Protocol::Udp, bound.err().map(|error| error.kind()));
        let (name, numbers) = match rtp {
            0 => ("any pair of UDP ports".to_owned(), vec![]),
            _ => (format!("UDP {rtp} and {}", config.udp.rtcp()), vec![rtp, config.udp.rtcp()]),
        };
        let users = with(protocol, &numbers, error);
        ports.push(Port { protocol, name, number: rtp, error, users });
        Ok(Self { ports, hidden: programs.hidden })
    }

    /// What is to be said of them: one line of those that are free, one of each other.
    pub fn judge(&self) -> Vec<Finding> {
        let free: Vec<&str> = self
            .ports
            .iter()
            .filter(|port| port.error.is_none())
            .map(|port| port.name.as_str())
            .collect();
        let mut findings = Vec::new();
        if !free.is_empty() {
            findings.push(Finding::ok(Topic::Ports, format!("{}: free", free.join(", "))));
        }
        let others = self.ports.iter().filter_map(|port| Some((port, port.error?)));
        findings.extend(others.map(|(port, error)| self.judge_port(port, error)));
        findings
    }

    fn judge_port(&self, port: &Port, error: io::ErrorKind) -> Finding {
        let Port { protocol, name, number, users: Users { programs, owner }, .. } = port;
        let broken = |why: String| Finding::broken(Topic::Ports, format!("{name}: {why}"));
        // RTP's is even, and RTCP has the next.
        let other = match protocol {
            Protocol::Tcp => {
                format!("lenscast --listen :{}", number.checked_add(1).unwrap_or(8554))
            }
            Protocol::Udp => {
                format!("lenscast --udp-port {}", number.checked_add(100).unwrap_or(8000))
            }
        };
        match (error, &programs[..]) {
            (io::ErrorKind::AddrInUse, [lenscast, ..]) if lenscast.is_lenscast() => {
                let seen = format!("{name}: {lenscast} serves there already");
                Finding::note(Topic::Ports, seen)
                    .command(lenscast.stop_command())
                    .advice(format!("ends that one; for another beside it: {other}"))
            }
            (io::ErrorKind::AddrInUse, [program, ..]) => {
                broken(format!("in use by {}", list(programs)))
                    .command(program.stop_command())
                    .advice(format!("or choose another: {other}"))
            }
            (io::ErrorKind::AddrInUse, []) => {
                let why = match owner {
                    Some(owner) => format!("in use by a program of user {owner}"),
                    None => "in use by another program".to_owned(),
                };
                let finding = broken(why).command(other);
                match self.hidden {
                    0 => finding,
                    _ => finding.advice("`sudo lenscast doctor` says which program it is"),
                }
            }
            (io::ErrorKind::PermissionDenied, _) => {
                broken("ports below 1024 need a privilege".to_owned())
                    .command("lenscast --listen :8554")
                    .advice(
                        "or give it: sudo setcap cap_net_bind_service=+ep $(command -v lenscast)",
                    )
            }
            (io::ErrorKind::AddrNotAvailable, _) => {
                broken("this machine has no such address".to_owned())
                    .command("ip address")
                    .advice("shows those it has; `--listen :8554` takes them all")
            }
            (error, _) => broken(error.to_string()).command(other),
        }
    }
}

/// Who has one of `numbers`.
fn who(machine: &Machine, programs: &Programs, protocol: Protocol, numbers: &[u16]) -> Users {
    let tables = match protocol {
        Protocol::Tcp => ["proc/net/tcp", "proc/net/tcp6"],
        Protocol::Udp => ["proc/net/udp", "proc/net/udp6"],
    };
    let mut users = Users::default();
    for table in tables {
        let text = machine.text(table).unwrap_or_default();
        for (inode, owner) in text.lines().filter_map(|line| socket(line, protocol, numbers)) {
            users.owner.get_or_insert_with(|| person::name_of(machine, owner));
            for program in programs.with(&format!("socket:[{inode}]")) {
                if !users.programs.contains(&program) {
                    users.programs.push(program);
                }
            }
        }
    }
    users
}

/// The inode and the owner of a socket that is bound to one of `numbers`, from a line of
/// `/proc/net/tcp` (those that listen) or `/proc/net/udp`: proc_pid_net(5).
fn socket<'a>(line: &'a str, protocol: Protocol, numbers: &[u16]) -> Option<(&'a str, u32)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, owner, inode) =
        (fields.get(1)?, fields.get(3)?, fields.get(7)?, fields.get(9)?);
    if protocol == Protocol::Tcp && *state != LISTENS {
        return None;
    }
    let (_, port) = local.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((*inode, owner.parse().ok()?)).filter(|_| numbers.contains(&port))
}

/// TCP_LISTEN of the kernel.
const LISTENS: &str = "0A";

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::unix::fs::symlink};

    use super::*;
    use crate::cli::doctor::{finding::Verdict, machine::made_of};

    #[test]
    fn what_is_said_of_a_port() {
        use Verdict::{Broken, Note, Ok};
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        let program = |name: &str| vec![Program { id: 9, name: name.to_owned(), unit: None }];
        for (number, error, programs, verdict, command) in [
            (8554, None, vec![], Ok, None),
            (8554, Some(AddrInUse), program("lenscast"), Note, Some("kill 9")),
            (8554, Some(AddrInUse), program("mediamtx"), Broken, Some("kill 9")),
            (8554, Some(AddrInUse), vec![], Broken, Some("lenscast --listen :8555")),
            (65535, Some(AddrInUse), vec![], Broken, Some("lenscast --listen :8554")),
            (554, Some(PermissionDenied), vec![], Broken, Some("lenscast --listen :8554")),
            (8554, Some(AddrNotAvailable), vec![], Broken, Some("ip address")),
        ] {
            let name = format!("TCP [::]:{number}");
            let users = Users { programs, owner: None };
            let port = Port { protocol: Protocol::Tcp, name, number, error, users };
            let findings = Facts { ports: vec![port], hidden: 0 }.judge();
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!((finding.verdict, finding.command.as_deref()), (verdict, command));
        }
        let name = "UDP 8000 and 8001".to_owned();
        let (protocol, error) = (Protocol::Udp, Some(AddrInUse));
        let users = Users { programs: vec![], owner: Some("lens".to_owned()) };
        let port = Port { protocol, name, number: 8000, error, users };
        let finding = &Facts { ports: vec![port], hidden: 2 }.judge()[0];
        assert_eq!(finding.seen, "UDP 8000 and 8001: in use by a program of user lens");
        assert_eq!(finding.command.as_deref(), Some("lenscast --udp-port 8100"));
        assert!(finding.advice.as_ref().unwrap().contains("sudo lenscast doctor"));
    }

    #[test]
    fn sockets_in_the_tables_of_the_kernel() {
        let tcp = "   0: 00000000:216A 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                   1000        0 4711 1 0000000000000000 100 0 0 10 0";
        let connected = tcp.replace(" 0A ", " 01 ");
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt";
        for (line, protocol, numbers, inode) in [
            (tcp, Protocol::Tcp, &[8554][..], Some(("4711", 1000))),
            (tcp, Protocol::Tcp, &[8555], None),
            (&connected, Protocol::Tcp, &[8554], None),
            (&connected, Protocol::Udp, &[8553, 8554], Some(("4711", 1000))),
            (head, Protocol::Udp, &[8554], None),
            ("", Protocol::Udp, &[8554], None),
        ] {
            assert_eq!(socket(line, protocol, numbers), inode, "{line}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_named_with_its_program() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let table = format!(
            "  sl  local_address\n   0: 0100007F:{:04X} 00000000:0000 0A 0:0 00:0 0 0 0 77 1\n",
            address.port()
        );
        let (root, machine) =
            made_of(&[("proc/net/tcp", &table), ("proc/5/comm", "other"), ("proc/5/fd/none", "")]);
        symlink("socket:[77]", root.path().join("proc/5/fd/3")).unwrap();
        let config = Config {
            listen: vec![address],
            udp: crate::config::UdpPorts::ANY,
            ..Config::default()
        };
        let facts = Facts::of(&config, &machine, &Programs::of(&machine)).unwrap();
        let findings = facts.judge();
        let [udp, tcp] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(udp.verdict, Verdict::Ok, "{udp}");
        assert_eq!(tcp.seen, format!("TCP {address}: in use by other (process 5)"));
    }
}
