//! Whole sessions, captured on the loopback device and read by tshark: nothing that it knows of
//! RTSP, SDP, RTP, RTCP and H.264 is malformed.
//!
//! The test card: tshark 4.0 reads an SPS in `sprop-parameter-sets` with its emulation prevention
//! bytes (ITU-T H.264 section 7.4.1) in place, and so takes those that have any for malformed.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use testkit::server_process::ServerProcess;

use crate::{
    LOGIN, binary,
    pictures::GRAY,
    player::{LIMIT, Pictures, Player, Transport, Viewing},
    running::output_of,
};

/// How a session ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum End {
    /// The client says TEARDOWN.
    Teardown,
    /// The server stops, and says BYE.
    Bye,
}

#[test]
fn udp_digest_teardown_ipv4() {
    is_well_formed(Transport::Udp, Some(LOGIN), End::Teardown, LOCALHOST);
}

#[test]
fn udp_open_teardown_ipv6() {
    is_well_formed(Transport::Udp, None, End::Teardown, LOCALHOST_V6);
}

#[test]
fn udp_open_bye_ipv4() {
    is_well_formed(Transport::Udp, None, End::Bye, LOCALHOST);
}

#[test]
fn udp_digest_bye_ipv6() {
    is_well_formed(Transport::Udp, Some(LOGIN), End::Bye, LOCALHOST_V6);
}

#[test]
fn tcp_open_teardown_ipv4() {
    is_well_formed(Transport::Tcp, None, End::Teardown, LOCALHOST);
}

#[test]
fn tcp_digest_teardown_ipv6() {
    is_well_formed(Transport::Tcp, Some(LOGIN), End::Teardown, LOCALHOST_V6);
}

#[test]
fn tcp_digest_bye_ipv4() {
    is_well_formed(Transport::Tcp, Some(LOGIN), End::Bye, LOCALHOST);
}

#[test]
fn tcp_open_bye_ipv6() {
    is_well_formed(Transport::Tcp, None, End::Bye, LOCALHOST_V6);
}

fn is_well_formed(transport: Transport, login: Option<&str>, end: End, host: IpAddr) {
    let mut arguments = vec!["--source", CARD];
    if host.is_ipv6() {
        arguments.extend(["--listen", "[::1]:0"]);
    }
    match login {
        Some(login) => arguments.extend(["--user", login]),
        None => arguments.push("--open"),
    }
    let server = ServerProcess::start(binary(), &arguments);
    let open_url = server.url_at(host, "cam");
    let capture = Capture::start(&open_url, &udp_ports(server.id()));
    let url = match login {
        Some(login) => open_url.replacen("rtsp://", &format!("rtsp://{login}@"), 1),
        None => open_url,
    };
    let frames = if end == End::Teardown { Some(FRAMES) } else { None };
    let (player, pictures) = (Player::Ffmpeg, Pictures::Gray);
    let viewing = Viewing { player, transport, url: &url, pictures, frames };
    let mut running = viewing.start();
    for _ in 0..FRAMES {
        running.read_whole(GRAY);
    }
    if end == End::Bye {
        server.stop();
        running.finish().succeeded();
    } else {
        running.finish().succeeded();
        server.stop();
    }
    let captured = capture.finish();

    // Were nothing recognized, nothing would be malformed either.
    let packets = captured.packets();
    let holds = |kinds: &[&str]| {
        let has_all = |packet: &&Vec<String>| kinds.iter().all(|kind| packet[0].contains(kind));
        packets.iter().any(|packet| has_all(&packet))
    };
    for kind in [":rtsp", ":sdp", ":rtp", ":rtcp", ":h264"] {
        assert!(holds(&[kind]), "{viewing}: tshark sees no {kind}");
    }
    let is_interleaved = holds(&[":rtsp", ":rtp"]);
    assert_eq!(is_interleaved, transport == Transport::Tcp, "{viewing}: RTP in the connection");
    let says = |field: usize, value| {
        packets.iter().any(|packet| packet[field].split(',').any(|word| word == value))
    };
    let is_over = match end {
        End::Teardown => says(1, "TEARDOWN"),
        End::Bye => says(3, "203"),
    };
    assert!(is_over, "{viewing}: no end in the capture");
    assert_eq!(says(2, "401"), login.is_some(), "{viewing}: a challenge in the capture");
    // 0x800000: an expert's "error".
    let faults = captured.rows("_ws.malformed || _ws.expert.severity >= 0x800000");
    assert_eq!(faults, "", "{viewing}: malformed packets");
}

/// dumpcap at work. Killed when dropped.
struct Capture {
    dumpcap: Child,
    directory: TempDir,
    rtsp_port: String,
    /// What is sent to it comes behind all that is to be captured.
    end_mark: UdpSocket,
}

impl Capture {
    /// Captures what goes to and from the server's ports on the loopback device; returns when it
    /// does.
    fn start(url: &str, udp_ports: &[u16]) -> Self {
        let directory = tempfile::tempdir().expect("a directory for a capture");
        let authority = url.split('/').nth(2).unwrap_or_default();
        let (_, rtsp_port) = authority.rsplit_once(':').expect("a URL with a port");
        let end_mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for the mark");
        let mark_port = end_mark.local_addr().expect("a bound socket").port();
        let mut filter = format!("tcp port {rtsp_port} or udp port {mark_port}");
        for port in udp_ports {
            filter += &format!(" or udp port {port}");
        }
        let mut dumpcap = Command::new("dumpcap")
            .args(["-q", "-i", "lo", "-f", &filter, "-w"])
            .arg(directory.path().join(FILE))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("dumpcap cannot be started: {error}; {INSTALL}"));
        let mut said = BufReader::new(dumpcap.stderr.take().expect("stderr is a pipe")).lines();
        let mut before = Vec::new();
        loop {
            match said.next() {
                // It has opened the device by then.
                Some(Ok(line)) if line.starts_with("File: ") => break,
                Some(Ok(line)) => before.push(line),
                _ => panic!("dumpcap cannot capture on lo; {INSTALL}\n{}", before.join("\n")),
            }
        }
        thread::spawn(move || said.map_while(Result::ok).for_each(drop));
        Self { dumpcap, directory, rtsp_port: rtsp_port.to_owned(), end_mark }
    }

    /// Waits until all that was sent up to now is in the file.
    fn finish(self) -> Captured {
        let path = self.directory.path().join(FILE);
        let deadline = Instant::now() + LIMIT;
        let own = self.end_mark.local_addr().expect("a bound socket");
        self.end_mark.send_to(END_MARK, own).expect("the mark can be sent");
        // dumpcap writes in its own time.
        while !contains_mark(&fs::read(&path).unwrap_or_default()) {
            assert!(Instant::now() < deadline, "dumpcap has not written all in time");
            thread::sleep(Duration::from_millis(50));
        }
        Captured { path, rtsp_port: self.rtsp_port.clone(), capture: self }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.dumpcap.kill();
        let _ = self.dumpcap.wait();
    }
}

/// A file that tshark can read.
struct Captured {
    path: PathBuf,
    rtsp_port: String,
    /// Its directory lives as long.
    #[expect(dead_code, reason = "held for its Drop")]
    capture: Capture,
}

impl Captured {
    /// Of each packet: protocols, RTSP method, RTSP status, RTCP packet types.
    fn packets(&self) -> Vec<Vec<String>> {
        let fields = ["frame.protocols", "rtsp.method", "rtsp.status", "rtcp.pt"];
        let mut arguments = vec!["-T", "fields"];
        arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
        let packet = |line: &str| {
            let values: Vec<String> = line.split('\t').map(str::to_owned).collect();
            assert_eq!(values.len(), fields.len(), "tshark's fields: {line}");
            values
        };
        self.tshark(&arguments).lines().map(packet).collect()
    }

    /// What tshark shows of the packets that `filter` is true for, one line each.
    fn rows(&self, filter: &str) -> String {
        self.tshark(&["-Y", filter]).trim().to_owned()
    }

    fn tshark(&self, arguments: &[&str]) -> String {
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&self.path);
        tshark.args(["-d", &format!("tcp.port=={},rtsp", self.rtsp_port)]);
        // The type that the description gives to H.264.
        tshark.args(["-d", "rtp.pt==96,h264", "-o", "rtp.heuristic_rtp:TRUE"]).args(arguments);
        String::from_utf8_lossy(&output_of("tshark", tshark)).into_owned()
    }
}

fn contains_mark(bytes: &[u8]) -> bool {
    bytes.windows(END_MARK.len()).any(|window| window == END_MARK)
}

/// The UDP ports that a process has bound, in both families.
fn udp_ports(process: u32) -> Vec<u16> {
    let process = PathBuf::from(format!("/proc/{process}"));
    let descriptors = fs::read_dir(process.join("fd")).expect("the server's descriptors");
    let inodes: HashSet<String> = descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let mut ports = Vec::new();
    for table in ["net/udp", "net/udp6"] {
        let table = fs::read_to_string(process.join(table)).expect("the kernel's table of sockets");
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // Number, local address as HEX:HEX, …; the tenth is the inode.
            let port = fields[1].rsplit_once(':').map(|(_, port)| u16::from_str_radix(port, 16));
            if let (Some(Ok(port)), true) = (port, inodes.contains(fields[9])) {
                ports.push(port);
            }
        }
    }
    assert!(ports.len() >= 2, "the server has no UDP ports: {ports:?}");
    ports
}

const CARD: &str = "test:?size=320x240&fps=30";
const FRAMES: usize = 30;
const FILE: &str = "session.pcapng";
const END_MARK: &[u8] = b"lenscast: the end of what is to be captured";
const INSTALL: &str = "it is part of Debian's tshark and must be run as root or be allowed to \
                       capture; `cargo xtask test --install` sees to both";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
