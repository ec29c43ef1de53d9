//! From the URL as typed to what retina can connect to, and why a connection failed.
//!
//! A statically linked glibc crashes in `getaddrinfo` where the system's name service has modules
//! to load. There, `localhost` and the names in `/etc/hosts` are looked up here, and any other name
//! is refused; in all other builds the system resolves names.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use retina::client::Credentials;
use tokio::{net::TcpStream, time::timeout};
use url::{Host, Url};

use super::{
    error::{ProbeError, Step},
    first_paragraph,
};

/// A URL taken apart.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// What to show: no user, no password.
    pub(super) url: Url,
    pub(super) credentials: Option<Credentials>,
    host: String,
    port: u16,
}

impl Target {
    /// # Errors
    ///
    /// When it is no `rtsp://` URL with a host, or user and password are not percent-encoded text.
    pub(super) fn parse(url: &Url) -> Result<Self, ProbeError> {
        match url.scheme() {
            "rtsp" => {}
            "rtsps" | "rtspu" => {
                return Err(ProbeError::Url(format!(
                    "{}:// cannot be probed, only rtsp://",
                    url.scheme()
                )));
            }
            scheme => {
                return Err(ProbeError::Url(format!(
                    "{scheme}: is not RTSP: write rtsp://HOST:PORT/PATH"
                )));
            }
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err(ProbeError::Url("the URL names no host".into())),
        };
        let decode = |text: &str| {
            percent_decode(text).ok_or_else(|| {
                ProbeError::Url("user and password in the URL are not UTF-8 text".into())
            })
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some(Credentials {
                username: decode(user)?,
                password: decode(password.unwrap_or_default())?,
            }),
        };
        let mut bare = url.clone();
        let stripped = bare.set_username("").and_then(|()| bare.set_password(None));
        stripped.map_err(|()| ProbeError::Url("the URL names no host".into()))?;
        Ok(Self { url: bare, credentials, host, port: url.port().unwrap_or(RTSP_PORT) })
    }

    /// The URLs to try, one after the other: with the host's name where the system may resolve it,
    /// else with each of its addresses.
    ///
    /// # Errors
    ///
    /// When names other than those in `/etc/hosts` cannot be resolved in this build.
    pub(super) fn candidates(&self) -> Result<Vec<Url>, ProbeError> {
        if !RESOLVER_IS_A_TRAP || self.host.parse::<IpAddr>().is_ok() {
            return Ok(vec![self.url.clone()]);
        }
        let hosts = std::fs::read_to_string(HOSTS).unwrap_or_default();
        let addresses = known_addresses(&self.host, &hosts);
        if addresses.is_empty() {
            return Err(ProbeError::Name {
                host: self.host.clone(),
                reason: format!(
                    "this statically linked lenscast looks names up in {HOSTS} alone; write the \
                     address itself"
                ),
            });
        }
        let with_address = |address: IpAddr| {
            let mut url = self.url.clone();
            url.set_ip_host(address).ok().map(|()| url)
        };
        Ok(addresses.into_iter().filter_map(with_address).collect())
    }

    /// What a failed request means. A connection that cannot be made is told apart by
    /// [`Target::diagnose`].
    pub(super) fn explain(&self, step: Step, error: &retina::Error) -> ProbeError {
        let reason = first_paragraph(error);
        match error.status_code() {
            // retina's word for a challenge in a scheme that it does not know.
            Some(401) if !reason.contains("WWW-Authenticate") => {
                ProbeError::Unauthorized { with_credentials: self.credentials.is_some() }
            }
            Some(404) => ProbeError::NotFound { path: self.url.path().to_owned() },
            // The answer was fine by its code; what it says is not.
            None | Some(200..300 | 401) => ProbeError::Protocol { step, reason },
            Some(status) => {
                let hint = match status {
                    403 => ": this user may not watch this stream",
                    453 | 503 => ": it is at its limit, or its source is not ready",
                    461 => ": it does not offer this transport; try the other one (--transport)",
                    301..=305 => ": the stream has moved",
                    _ => "",
                };
                ProbeError::Status { step, status, hint }
            }
        }
    }

    /// Why nothing could be had from this server: connects once more to see how far that goes.
    /// `None` when it accepts connections.
    pub(super) async fn diagnose(&self) -> Option<ProbeError> {
        let addresses = match self.addresses().await {
            Ok(addresses) => addresses,
            Err(error) => return Some(error),
        };
        let mut failure = None;
        for address in addresses {
            let result = match timeout(DIAGNOSIS, TcpStream::connect(address)).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "nothing answers there (wrong address, or a firewall)",
                )),
            };
            match result {
                Ok(_) => return None,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    failure = Some(ProbeError::Refused(address));
                }
                Err(source) => {
                    failure.get_or_insert(ProbeError::Unreachable { address, source });
                }
            }
        }
        failure
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, ProbeError> {
        let with_port = |address| SocketAddr::new(address, self.port);
        if let Ok(address) = self.host.parse() {
            return Ok(vec![with_port(address)]);
        }
        if RESOLVER_IS_A_TRAP {
            let hosts = std::fs::read_to_string(HOSTS).unwrap_or_default();
            return Ok(known_addresses(&self.host, &hosts).into_iter().map(with_port).collect());
        }
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => {
                Err(ProbeError::Name { host: self.host.clone(), reason: error.to_string() })
            }
        }
    }
}

/// The addresses of `name` in `hosts` (hosts(5)). `localhost` is loopback whatever stands there
/// (RFC 6761 section 6.3).
fn known_addresses(name: &str, hosts: &str) -> Vec<IpAddr> {
    if name.eq_ignore_ascii_case("localhost") {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|alias| alias.eq_ignore_ascii_case(name)).then_some(address)
        })
        .collect()
}

/// `None` when the result is not UTF-8. A `%` without two hexadecimal digits stands for itself.
fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|&digit| (digit as char).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                decoded.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

const RESOLVER_IS_A_TRAP: bool = cfg!(all(target_env = "gnu", target_feature = "crt-static"));
const HOSTS: &str = "/etc/hosts";
/// RFC 2326 section 3.2.
const RTSP_PORT: u16 = 554;
/// How long to try an address that did not answer before.
const DIAGNOSIS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, String> {
        Target::parse(&Url::parse(url).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn credentials_leave_the_url() {
        for (url, user, password, bare) in [
            ("rtsp://u:p@h/cam", "u", "p", "rtsp://h/cam"),
            (
                "rtsp://lens:a%40b%3A%2F%25@h:8554/cam?x=1",
                "lens",
                "a@b:/%",
                "rtsp://h:8554/cam?x=1",
            ),
            ("rtsp://J%C3%B6rg:@[::1]:8554/", "Jörg", "", "rtsp://[::1]:8554/"),
            ("rtsp://u:50%+1@10.0.0.1/", "u", "50%+1", "rtsp://10.0.0.1/"),
        ] {
            let target = target(url).unwrap();
            let credentials = target.credentials.unwrap();
            assert_eq!((&*credentials.username, &*credentials.password), (user, password), "{url}");
            assert_eq!(target.url.as_str(), bare);
        }
        assert!(target("rtsp://h/cam").unwrap().credentials.is_none());
    }

    #[test]
    fn urls_that_cannot_be_played() {
        for (url, says) in [
            ("http://h/cam", "rtsp://HOST:PORT/PATH"),
            ("rtsps://h/cam", "only rtsp://"),
            ("rtsp:cam", "no host"),
            ("rtsp:///cam", "no host"),
            ("rtsp://%ff:x@h/", "UTF-8"),
        ] {
            let error = target(url).unwrap_err();
            assert!(error.contains(says), "{url}: {error}");
        }
    }

    #[test]
    fn names_from_the_hosts_file() {
        let hosts = "# comment\n127.0.0.1 localhost\n192.168.1.7\tcam Cam.lan # door\n\
                     fe80::1%eth0 linklocal\nfd00::7 cam\n10.0.0.1 #cam2\nnonsense cam\n";
        let cam: Vec<IpAddr> = vec!["192.168.1.7".parse().unwrap(), "fd00::7".parse().unwrap()];
        assert_eq!(known_addresses("cam", hosts), cam);
        assert_eq!(known_addresses("CAM.LAN", hosts), cam[..1]);
        assert_eq!(known_addresses("cam2", hosts), [] as [IpAddr; 0]);
        assert_eq!(known_addresses("192.168.1.7", hosts), [] as [IpAddr; 0]);
        assert_eq!(known_addresses("localhost", "").len(), 2);
    }
}
