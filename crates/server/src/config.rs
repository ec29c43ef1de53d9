//! What to serve, and how: the one resolved description that the rest of the server reads.
//!
//! ```text
//!  lenscast.toml ──▶ Layer ─┐
//!  LENSCAST_USER … ▶ Layer ─┼─▶ resolve ──▶ Config      (or every error there is, with its place)
//!  command line  ──▶ Layer ─┘
//! ```
//!
//! Everything in [`Config`] is parsed to its type: no text is left to interpret, and what
//! contradicts itself has been refused. `docs/configuration.md` explains every key to users. This
//! module reads text it is given; it opens no file, asks no clock and no environment.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use capture::v4l2::{choice::Wanted, name::Name};
use encode::Config as Encoder;
use media::{FrameRate, I420Layout};

pub use crate::limits::Limits;

pub use self::{
    error::{Error, Errors, Origin, Place, Problem, Within},
    file::keys,
    layer::{Layer, PASSWORD_VARIABLE, USER_VARIABLE, resolve},
    notes::Note,
    value::Gop,
};

mod error;
mod file;
mod layer;
mod listen;
mod notes;
mod source;
mod suggest;
mod value;

/// What to serve, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where RTSP connections are accepted; never empty, no address covers another.
    ///
    /// Default `[::]:8554`, which means IPv6 and IPv4. 8554 needs no privilege, as 554 does.
    /// Port 0 asks the system for a free one.
    pub listen: Vec<SocketAddr>,
    /// The UDP ports all viewers share.
    pub udp: UdpPorts,
    /// The largest RTP packet in bytes: the payload of a UDP datagram.
    ///
    /// Default 1372: with 28 bytes of IPv4 and UDP header 1400, with 48 of IPv6 1420, which still
    /// passes a WireGuard tunnel unfragmented. Larger saves packets where every link carries them
    /// and costs IP fragmentation, so loss, where one does not.
    pub packet_size: u16,
    /// Who may watch.
    pub access: Access,
    /// Which ways to log in are offered.
    pub auth: Auth,
    /// Where hashes of passwords are kept; `None`: where the operating system wants state kept.
    pub state_dir: Option<PathBuf>,
    /// What strangers may use up.
    pub limits: Limits,
    /// Devices that a library answers for, in the kernel's place; each device once.
    pub libraries: Vec<Library>,
    /// The streams, with distinct names; at most one reads standard input. None, where nobody said
    /// what to serve: [`crate::sources::settle`] finds something.
    pub streams: Vec<Stream>,
}

impl Config {
    /// Whether only this machine can connect.
    pub fn is_loopback_only(&self) -> bool {
        self.listen.iter().all(|address| address.ip().to_canonical().is_loopback())
    }
}

impl Default for Config {
    /// The first camera, or the test card, for everyone with a password: what a bare `lenscast` serves.
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT)],
            udp: UdpPorts::default(),
            packet_size: DEFAULT_PACKET_SIZE,
            access: Access::Stored,
            auth: Auth::default(),
            state_dir: None,
            limits: Limits::default(),
            libraries: Vec::new(),
            streams: Vec::new(),
        }
    }
}

/// A device that a library answers for, in the kernel's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The device's node, as `/dev/v4l2-nvenc`.
    pub node: PathBuf,
    /// The library: its path, or a name that the system's loader finds.
    pub path: PathBuf,
}

/// The pair of UDP ports that all viewers share: RTP on an even port, RTCP on the next.
///
/// Default 8000 and 8001: one pair is what a firewall or a container must let through.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct UdpPorts {
    rtp: u16,
}

impl UdpPorts {
    /// Any free pair: for tests, and where nothing stands between server and viewers.
    pub const ANY: Self = Self { rtp: 0 };

    /// The pair that begins at `rtp`; `None` when that is odd. 0 is [`UdpPorts::ANY`].
    pub const fn new(rtp: u16) -> Option<Self> {
        if rtp.is_multiple_of(2) { Some(Self { rtp }) } else { None }
    }

    /// Where RTP leaves from; 0 is any.
    pub const fn rtp(self) -> u16 {
        self.rtp
    }

    /// Where RTCP leaves from and arrives; 0 is the one after whichever RTP got.
    pub const fn rtcp(self) -> u16 {
        if self.rtp == 0 { 0 } else { self.rtp + 1 }
    }
}

impl Default for UdpPorts {
    fn default() -> Self {
        Self { rtp: DEFAULT_UDP_PORT }
    }
}

/// Who may watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone: `open` was asked for.
    Open,
    /// Anyone on this machine: no user is named anywhere, and nobody else can connect.
    OpenOnLoopback,
    /// These users, at least one, with distinct names.
    Users(Vec<User>),
    /// No user is configured, and other machines can connect or a stream is kept for some: the
    /// users of the state directory, or, when there is none, one made with a strong password.
    Stored,
}

impl Access {
    /// Whether nobody is asked to log in.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open | Self::OpenOnLoopback)
    }
}

/// Someone who may watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// 1 to 64 bytes without colon, quote, backslash or control characters.
    pub name: String,
    /// The password, in clear.
    pub password: Password,
}

/// A password in clear; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// From text that has been checked.
    fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Which ways to log in are offered beside Digest with MD5, which every player knows.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Digest with SHA-256 (RFC 7616). Default off: some players take the one challenge they do
    /// not know and fail.
    pub sha256: bool,
    /// Basic: the password goes over the network in clear. Default off.
    pub basic: bool,
}

/// One stream: a name that players ask for, and where its pictures come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The path of its URL.
    pub name: StreamName,
    /// Where its pictures come from.
    pub source: Source,
    /// What encodes them, where they are encoded here. By default the machine's own encoder, else
    /// openh264.
    pub encoder: encode::Choice,
    /// Whether its source runs only while somebody watches. Default: cameras and the test card do;
    /// files and pipes go on.
    pub on_demand: bool,
    /// What viewers see while its camera is away.
    pub offline: Offline,
    /// The names of those who may watch it, at least one; `None`: everyone who may watch anything.
    /// Each is one of [`Access::Users`]; with [`Access::Stored`] the state directory must know
    /// them. Always `None` where access is open.
    pub users: Option<Vec<String>>,
}

impl Stream {
    /// Named `cam`, with nothing said about it but its source.
    pub fn of(source: Source) -> Self {
        Self {
            name: StreamName::default(),
            encoder: encode::Choice::Auto,
            on_demand: source.is_on_demand(),
            source,
            offline: Offline::default(),
            users: None,
        }
    }
}

/// What viewers see while a camera is away.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Offline {
    /// Its last picture. Nothing is sent.
    #[default]
    Freeze,
    /// A card in the stream's size that says so, encoded by openh264. Recorders that copy the stream
    /// get other parameter sets in the middle of it where the camera's were not openh264's.
    Card,
}

/// The name of a stream, which is the path of its URL: `cam` in `rtsp://host:8554/cam`.
///
/// Letters, digits, `.`, `_` and `-`, at most 64 of them; `/` inside. No part is `.` or `..`,
/// which clients resolve away. Nothing that would need an escape in a URL or in SDP, and no `=`, so
/// that no name looks like a track.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(String);

impl StreamName {
    /// The name without slashes around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for StreamName {
    /// `cam`.
    fn default() -> Self {
        Self(DEFAULT_STREAM_NAME.to_owned())
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a stream's pictures come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The built-in moving test card, encoded as said.
    Test(Encoder),
    /// H.264 in a file, looped.
    File(File),
    /// Standard input.
    Stdin(Pipe),
    /// A camera of the kernel.
    Camera(Camera),
}

impl Source {
    /// Whether it runs on demand where nothing is said.
    fn is_on_demand(&self) -> bool {
        match self {
            Self::Test(_) | Self::Camera(_) => true,
            Self::File(_) | Self::Stdin(_) => false,
        }
    }
}

/// A camera of the kernel, and what becomes of its pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Which one.
    pub name: Name,
    /// What to take of what it offers.
    pub wanted: Wanted,
    /// Controls to set before it starts, as names and values in text: which there are, the camera
    /// alone knows.
    pub controls: Vec<(String, String)>,
    /// Bits per second, where its pictures are encoded here; `None`: by size and rate.
    pub bitrate: Option<u32>,
    /// From keyframe to keyframe, where its pictures are encoded here.
    pub gop: Gop,
}

impl Camera {
    /// Whichever can be used first, with nothing else said.
    pub fn any() -> Self {
        Self {
            name: Name::Any,
            wanted: Wanted::default(),
            controls: Vec::new(),
            bitrate: None,
            gop: Gop::default(),
        }
    }

    /// What raw pictures of it are encoded to.
    pub fn encoder(&self, layout: I420Layout, rate: FrameRate) -> Encoder {
        let bitrate = self.bitrate.unwrap_or_else(|| value::default_bitrate(layout, rate));
        Encoder::new(layout, rate, bitrate, self.gop.frames(rate))
    }
}

/// The test card with nothing said about it.
pub fn test_card() -> Source {
    source::test_card()
}

/// H.264 in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// An Annex B stream or an MP4 file. A relative path is one of the working directory.
    pub path: PathBuf,
    /// The rate of an Annex B stream that does not say its own; MP4 always does.
    pub rate: Option<FrameRate>,
}

/// What comes out of a pipe.
#[derive(Clone, Debug, PartialEq)]
pub enum Pipe {
    /// Raw planar pictures one after the other (`-f rawvideo -pix_fmt yuv420p`), to be encoded.
    Yuv420p(Encoder),
    /// H.264 Annex B.
    H264 {
        /// The rate, where the stream does not say its own.
        rate: Option<FrameRate>,
    },
}

const DEFAULT_PORT: u16 = 8554;
const DEFAULT_UDP_PORT: u16 = 8000;
const DEFAULT_PACKET_SIZE: u16 = 1372;
const DEFAULT_STREAM_NAME: &str = "cam";
