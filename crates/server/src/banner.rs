//! What a person sees when the server starts: its URLs, complete and ready to paste.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use capture::v4l2::name::Name;
use nix::ifaddrs::getifaddrs;

use crate::{
    config::{self, Config},
    credentials::Notice,
};

/// The URLs of a server and how to log in.
#[derive(Debug)]
pub struct Banner<'a> {
    /// What is served.
    pub config: &'a Config,
    /// Where, as bound.
    pub listening: &'a [SocketAddr],
    /// The addresses of this machine.
    pub own: &'a [IpAddr],
    /// Who may watch.
    pub notice: &'a Notice,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lenscast {} is serving", env!("CARGO_PKG_VERSION"))?;
        for stream in &self.config.streams {
            writeln!(f, "\n  {}: {}", stream.name, Described(&stream.source))?;
            for address in reachable(self.listening, self.own) {
                let login = match self.notice {
                    Notice::Generated { user, password, .. } => {
                        format!("{user}:{}@", password.reveal())
                    }
                    _ => String::new(),
                };
                writeln!(f, "    rtsp://{login}{address}/{}", stream.name)?;
            }
        }
        writeln!(f)?;
        match self.notice {
            Notice::Open => writeln!(f, "  Everyone who can reach this machine may watch."),
            Notice::OpenOnLoopback => {
                writeln!(f, "  Only programs on this machine can connect; no login.")
            }
            Notice::Configured(users) => writeln!(f, "  Log in as {}.", one_of(users)),
            Notice::Stored(users) => writeln!(
                f,
                "  Log in as {}. Password lost? `lenscast passwd {}` sets a new one.",
                one_of(users),
                users.first().map_or("lens", String::as_str)
            ),
            Notice::Generated { user, kept: true, .. } => writeln!(
                f,
                "  The password is shown this once. `lenscast passwd {user}` sets a new one;\n  \
                 `--open` serves without."
            ),
            Notice::Generated { kept: false, .. } => {
                writeln!(f, "  The password is good until the server stops.")
            }
        }
    }
}

/// What a stream is made of, in words.
#[derive(Debug)]
pub struct Described<'a>(pub &'a config::Source);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |f: &mut fmt::Formatter<'_>, what: &str, to: &encode::Config| {
            let (width, height) = (to.layout.width(), to.layout.height());
            let megabits = f64::from(to.bitrate) / 1e6;
            write!(f, "{what}, {width}x{height} at {} fps, H.264 {megabits} Mbit/s", to.rate)
        };
        match self.0 {
            config::Source::Camera(camera) => match &camera.name {
                Name::Any => write!(f, "the first camera"),
                Name::Path(path) => write!(f, "camera {}", path.display()),
                Name::Stable(name) => write!(f, "camera {name}"),
            },
            config::Source::Test(to) => encoded(f, "test card", to),
            config::Source::File(file) => write!(f, "{}, in a loop", file.path.display()),
            config::Source::Stdin(config::Pipe::Yuv420p(to)) => encoded(f, "standard input", to),
            config::Source::Stdin(config::Pipe::H264 { .. }) => {
                write!(f, "standard input, H.264 as it comes")
            }
        }
    }
}

/// The addresses of this machine's interfaces that are up: first those others can use, IPv4 before
/// IPv6, loopback last. Link-local ones are left out: a URL cannot say by which interface.
pub fn own_addresses() -> Vec<IpAddr> {
    let mut own: Vec<IpAddr> = getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|ip| match ip {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        })
        .collect();
    own.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6(), *ip));
    own.dedup();
    own
}

/// Where clients can connect: listeners on all addresses stand for each of `own`.
fn reachable(listening: &[SocketAddr], own: &[IpAddr]) -> Vec<SocketAddr> {
    let mut reachable = Vec::new();
    for address in listening {
        let port = address.port();
        let all_v4 = address.ip() == Ipv4Addr::UNSPECIFIED || address.ip() == Ipv6Addr::UNSPECIFIED;
        let all_v6 = address.ip() == Ipv6Addr::UNSPECIFIED;
        if all_v4 || all_v6 {
            let of_family = own.iter().filter(|ip| if ip.is_ipv4() { all_v4 } else { all_v6 });
            reachable.extend(of_family.map(|ip| SocketAddr::new(*ip, port)));
        } else {
            reachable.push(*address);
        }
    }
    reachable.sort_by_key(|address| (address.ip().is_loopback(), address.is_ipv6()));
    reachable.dedup();
    reachable
}

fn one_of(users: &[String]) -> String {
    match users {
        [] => "nobody".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn wildcards_stand_for_each_address_of_the_machine() {
        let own: Vec<IpAddr> =
            ["192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"].map(|ip| ip.parse().unwrap()).into();
        for (listening, expected) in [
            (
                &["[::]:8554"][..],
                &["192.0.2.7:8554", "[2001:db8::7]:8554", "127.0.0.1:8554", "[::1]:8554"][..],
            ),
            (&["0.0.0.0:8554"], &["192.0.2.7:8554", "127.0.0.1:8554"]),
            (&["127.0.0.1:1"], &["127.0.0.1:1"]),
            (&["127.0.0.1:1", "192.0.2.7:2"], &["192.0.2.7:2", "127.0.0.1:1"]),
        ] {
            let reachable = reachable(&addresses(listening), &own);
            assert_eq!(reachable, addresses(expected), "{listening:?}");
        }
    }

    #[test]
    fn a_made_password_is_in_the_url_and_stored_ones_are_not() {
        let streams = vec![config::Stream::of(config::test_card())];
        let config = Config { streams, ..Config::default() };
        let listening = addresses(&["127.0.0.1:8554"]);
        let notice = Notice::Stored(vec!["lens".to_owned(), "ann".to_owned()]);
        let banner = Banner { config: &config, listening: &listening, own: &[], notice: &notice }
            .to_string();
        assert!(banner.contains("\n    rtsp://127.0.0.1:8554/cam\n"), "{banner}");
        assert!(banner.contains("Log in as lens or ann."), "{banner}");
    }
}
