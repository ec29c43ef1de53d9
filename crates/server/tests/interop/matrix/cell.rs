//! One cell of the table: a client and a way to try it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use testkit::server_process::ServerProcess;

use super::{
    access_units::{self, AccessUnits},
    client::{Client, Proof},
    record,
};
use crate::{
    LOGIN, binary,
    pictures::{BGR, Clip, YUV420P, assert_cyclic},
    player::{LIMIT, Transport},
    running::{Finished, Running, output_of},
};

/// A client and a way to try it.
#[derive(Copy, Clone, Debug)]
pub(super) struct Cell {
    pub(super) client: Client,
    pub(super) transport: Transport,
    /// Whether the server asks for a password, by Digest.
    pub(super) is_locked: bool,
    /// Where the server is.
    pub(super) host: IpAddr,
}

/// Cells that cannot be, all for one reason.
pub(super) struct Gap {
    pub(super) client: Client,
    pub(super) includes: fn(&Cell) -> bool,
    pub(super) why: &'static str,
}

impl Cell {
    /// The cell that a test is named after.
    pub(super) fn named(client: Client, transport: &str, way: &str) -> Self {
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            other => panic!("{other} is no transport"),
        };
        let (is_locked, host) = match way {
            "open_ipv4" => (false, LOCALHOST),
            "open_ipv6" => (false, LOCALHOST_V6),
            "digest_ipv4" => (true, LOCALHOST),
            "digest_ipv6" => (true, LOCALHOST_V6),
            other => panic!("{other} is no way to try a client"),
        };
        Self { client, transport, is_locked, host }
    }

    /// All cells of a client, those that cannot be among them.
    pub(super) fn all(client: Client) -> impl Iterator<Item = Self> {
        let ways = ["open_ipv4", "open_ipv6", "digest_ipv4", "digest_ipv6"];
        let both = ["udp", "tcp"].into_iter();
        both.flat_map(move |transport| ways.map(|way| Self::named(client, transport, way)))
    }

    /// Serves a clip, has the client play it, holds what it hands out against the file, and writes
    /// that down.
    pub(super) fn prove(&self) {
        let clip = Clip::fast();
        let (server, url) = self.serve(&clip.source());
        match self.client.proof() {
            Proof::Decoded => {
                let output = self.play(&url, FRAMES).succeeded().stdout;
                self.assert_pictures(&clip.pictures, &output, YUV420P);
            }
            Proof::DecodedAsBgr => {
                // Its conversion is its own: the file is decoded by the same.
                let from_file = self.client.command_for_file(&clip.path);
                let own = output_of("decoding the clip with OpenCV", from_file);
                let own: Vec<Vec<u8>> = own.chunks(BGR).map(<[u8]>::to_vec).collect();
                assert_eq!(own.len(), clip.pictures.len(), "{self}: pictures of the file itself");
                let output = self.play(&url, FRAMES).succeeded().stdout;
                self.assert_pictures(&own, &output, BGR);
            }
            Proof::AccessUnits => {
                let own = AccessUnits::of_file(&clip.path);
                let received = match self.client {
                    Client::Retina => access_units::by_retina(self, &url, FRAMES),
                    // It may lose the first ones, to anywhere in a picture: see its script.
                    Client::Yellowstone => {
                        let output = self.play(&url, FRAMES + clip.pictures.len() + 1).succeeded();
                        AccessUnits::of_rtp(self, access_units::behind_marker(&output.stdout))
                            .since_keyframe()
                    }
                    _ => {
                        let output = self.play(&url, FRAMES).succeeded().stdout;
                        AccessUnits::of_rtp(self, &output)
                    }
                };
                let own = if self.client == Client::Retina { own.without_sets() } else { own };
                let received = received.first(FRAMES);
                assert_eq!(received.0.len(), FRAMES, "{self}: access units received");
                assert_cyclic(self, &own.0, &received.0);
            }
            Proof::Description => {
                let output = self.play(&url, FRAMES).succeeded().stdout;
                let said = String::from_utf8_lossy(&output);
                assert_eq!(said.trim(), "h264,320,240,50/1", "{self}: codec, size and rate");
            }
        }
        server.stop();
        record::proof(self, FRAMES);
    }

    /// A server for this cell, and the URL to give to the client.
    pub(super) fn serve(&self, source: &str) -> (ServerProcess, String) {
        let mut arguments = vec!["--source", source];
        if self.host.is_ipv6() {
            arguments.extend(["--listen", "[::1]:0"]);
        }
        arguments.extend(if self.is_locked { ["--user", LOGIN].as_slice() } else { &["--open"] });
        let server = ServerProcess::start(binary(), &arguments);
        let mut url = server.url_at(self.host, "cam");
        if self.is_locked {
            url = url.replacen("rtsp://", &format!("rtsp://{LOGIN}@"), 1);
        }
        (server, url)
    }

    /// Plays `frames` pictures to the client's end, whatever it is.
    pub(super) fn play(&self, url: &str, frames: usize) -> Finished {
        self.start(url, frames).finish()
    }

    /// The same, started.
    pub(super) fn start(&self, url: &str, frames: usize) -> Running {
        Running::start(self, self.client.command(self.transport, url, frames), LIMIT)
    }

    fn assert_pictures(&self, own: &[Vec<u8>], output: &[u8], size: usize) {
        // Behind these is what GStreamer's decoder held when it was told to end: not whole.
        let received: Vec<_> = output.chunks(size).take(FRAMES).map(<[u8]>::to_vec).collect();
        assert_eq!(received.len(), FRAMES, "{self}: pictures received");
        assert_cyclic(self, own, &received);
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.is_locked { "with Digest" } else { "openly" };
        write!(f, "{} over {} at {} {access}", self.client, self.transport, self.host)
    }
}

/// More than the clip has: wherever a client begins, it sees the seam.
const FRAMES: usize = 60;
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
