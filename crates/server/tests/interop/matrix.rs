//! Every client there is × UDP and TCP × with and without Digest × IPv4 and IPv6, on a file whose
//! pictures are known: each comes as the file has it, across the seam of the loop.
//!
//! Each cell of the table is a test of its own, `matrix::client::transport::access_family`, and
//! writes down what it saw. `cargo xtask matrix` makes the table in docs/interop.md of that. What
//! cannot be has its reason in [`GAPS`] and shows as a footnote there.

mod access_units;
mod cell;
mod client;
mod record;

use std::{
    thread,
    time::{Duration, Instant},
};

use cell::{Cell, Gap};
use client::Client;

use crate::player::{LIMIT, Transport};

/// The tests of one client, one for each way it can be tried.
macro_rules! client {
    ($client:ident as $module:ident { $($transport:ident: $($way:ident)+;)+ }) => {
        mod $module {
            use super::{Cell, Client};
            $(mod $transport {
                use super::{Cell, Client};
                $(#[test]
                fn $way() {
                    Cell::named(Client::$client, stringify!($transport), stringify!($way)).prove();
                })+
            })+
        }
    };
}

client!(Ffmpeg as ffmpeg {
    udp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(Ffprobe as ffprobe {
    udp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(GStreamer as gstreamer {
    udp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(Mpv as mpv {
    udp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(OpenCv as opencv {
    udp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(PyAv as pyav {
    udp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(Retina as retina {
    udp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(Aiortsp as aiortsp {
    udp: open_ipv4 digest_ipv4;
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(Curl as curl {
    tcp: open_ipv4 open_ipv6 digest_ipv4 digest_ipv6;
});

client!(Yellowstone as yellowstone {
    tcp: open_ipv4 open_ipv6;
});

/// Writes the reasons down; the table is refused when a cell has neither a test nor a reason.
#[test]
fn gaps() {
    for gap in GAPS {
        record::gap(gap);
    }
}

/// It answers a challenge with the challenge's own headers, a header without a name among them, and
/// a digest of the word `undefined`: refused for the one or for the other.
#[test]
fn yellowstone_computes_a_digest_that_nobody_takes() {
    let cell = Cell::named(Client::Yellowstone, "tcp", "digest_ipv4");
    let (server, url) = cell.serve("test:?size=320x240&fps=30");
    let running = cell.start(&url, 1);
    let deadline = Instant::now() + LIMIT;
    while !REFUSED.iter().any(|refused| server.log().contains(refused)) {
        assert!(Instant::now() < deadline, "{cell}: it is not refused");
        thread::sleep(Duration::from_millis(20));
    }
    drop(running);
    assert!(!server.log().contains("session set up"), "{cell}: it can have its place in the table");
    server.stop();
}

/// What the server logs of a wrong password, and of a malformed request.
const REFUSED: [&str; 2] = ["login refused", "refused status=400"];
/// Cells that cannot be.
const GAPS: &[Gap] = &[
    Gap {
        client: Client::Aiortsp,
        includes: |cell| cell.transport == Transport::Udp && cell.host.is_ipv6(),
        why: "aiortsp opens its UDP sockets for IPv4 alone.",
    },
    Gap {
        client: Client::Curl,
        includes: |cell| cell.transport == Transport::Udp,
        why: "libcurl receives RTP on the RTSP connection only; UDP is left to who uses it.",
    },
    Gap {
        client: Client::Yellowstone,
        includes: |cell| cell.transport == Transport::Udp,
        why: "yellowstone has no UDP.",
    },
    Gap {
        client: Client::Yellowstone,
        includes: |cell| cell.transport == Transport::Tcp && cell.is_locked,
        why: "yellowstone computes its Digest of the words `undefined` in place of realm and nonce \
              (its expression for them wants apostrophes), and repeats the server's headers as its \
              own: no server can let it in.",
    },
];
