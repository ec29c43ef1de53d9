//! Addresses to listen on, as text, without asking DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{DEFAULT_PORT, Problem};

/// Reads `8554`, `:8554`, `127.0.0.1`, `127.0.0.1:8554`, `[::1]:8554` or `localhost:8554`.
pub(super) fn parse(text: &str) -> Result<Vec<SocketAddr>, Problem> {
    let malformed = || Problem::malformed(text, "an address to listen on", EXAMPLES);
    let bare_port = text.strip_prefix(':').unwrap_or(text);
    if !bare_port.is_empty() && bare_port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(vec![SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port(text, bare_port)?)]);
    }
    if let Some(rest) = text.strip_prefix("localhost") {
        let port = match rest.strip_prefix(':') {
            Some(digits) => port(text, digits)?,
            None if rest.is_empty() => DEFAULT_PORT,
            None => return Err(host_name(text)),
        };
        let loopbacks = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopbacks.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(_) => match inside.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, DEFAULT_PORT),
            Err(_) => return Err(diagnose(text).unwrap_or_else(malformed)),
        },
    };
    usable(text, address).map(|address| vec![address])
}

/// Sorted out: mapped addresses as the IPv4 addresses they are, nothing twice, and nothing that an
/// address of all interfaces on the same port covers (the system would refuse to bind both).
pub(super) fn normalize(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        if !all.contains(&address) || address.port() == 0 {
            all.push(address);
        }
    }
    let covers = |wide: &SocketAddr, narrow: &SocketAddr| {
        wide != narrow
            && wide.port() == narrow.port()
            && wide.port() != 0
            && match wide.ip() {
                IpAddr::V6(ip) => ip.is_unspecified(),
                IpAddr::V4(ip) => ip.is_unspecified() && narrow.is_ipv4(),
            }
    };
    all.iter().filter(|narrow| !all.iter().any(|wide| covers(wide, narrow))).copied().collect()
}

fn usable(text: &str, address: SocketAddr) -> Result<SocketAddr, Problem> {
    let address = match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(v6.ip().to_canonical(), v6.port())
        }
        address => address,
    };
    let no_own = |what| {
        let why =
            format!("this is {what}, and no address of a machine (write 8554 for all of them)");
        Err(Problem::impossible(text, why))
    };
    match address.ip() {
        ip if ip.is_multicast() => no_own("a multicast address"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => no_own("the broadcast address"),
        _ => Ok(address),
    }
}

/// What is probably meant by text that is no address; `None`: no idea.
fn diagnose(text: &str) -> Option<Problem> {
    if text.contains("://") {
        return Some(Problem::impossible(text, "this is a URL (write the address alone, as 8554)"));
    }
    let (host, digits) = match text.rsplit_once(':') {
        Some((host, digits)) if !host.contains(':') || host.starts_with('[') => {
            (host, Some(digits))
        }
        _ => (text, None),
    };
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if inside.parse::<IpAddr>().is_ok() {
        return digits.and_then(|digits| port(text, digits).err());
    }
    if inside.contains('%') {
        return Some(Problem::impossible(
            text,
            "a zone is written as its number, as [fe80::1%2]:8554",
        ));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let has_letter = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    (has_letter && host.bytes().all(is_name)).then(|| host_name(text))
}

fn host_name(text: &str) -> Problem {
    let why = "this is the name of a host, and lenscast asks no DNS (write an address of this \
               machine, as 192.168.1.5:8554, or 8554 for all of them)";
    Problem::impossible(text, why)
}

fn port(text: &str, digits: &str) -> Result<u16, Problem> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
        .ok_or_else(|| Problem::impossible(text, "a port is a number from 0 to 65535"))
}

const EXAMPLES: &str = "8554, 127.0.0.1:8554, [::1]:8554 or localhost";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> String {
        match parse(text) {
            Ok(addresses) => {
                addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn what_people_write() {
        for (text, meant) in [
            ("8554", "[::]:8554"),
            (":8554", "[::]:8554"),
            ("0", "[::]:0"),
            ("127.0.0.1:8555", "127.0.0.1:8555"),
            ("127.0.0.1", "127.0.0.1:8554"),
            ("0.0.0.0", "0.0.0.0:8554"),
            ("[::1]:8555", "[::1]:8555"),
            ("[::1]", "[::1]:8554"),
            ("::1", "[::1]:8554"),
            ("::", "[::]:8554"),
            ("[fe80::1%2]:554", "[fe80::1%2]:554"),
            ("[::ffff:10.0.0.1]:554", "10.0.0.1:554"),
            ("localhost", "127.0.0.1:8554 [::1]:8554"),
            ("localhost:0", "127.0.0.1:0 [::1]:0"),
        ] {
            assert_eq!(parsed(text), meant, "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let name = "this is the name of a host, and lenscast asks no DNS (write an address of this \
                    machine, as 192.168.1.5:8554, or 8554 for all of them)";
        let port = "a port is a number from 0 to 65535";
        for (text, why) in [
            ("camera.lan:8554", &*format!("camera.lan:8554 cannot be: {name}")),
            ("localhostess", &format!("localhostess cannot be: {name}")),
            ("70000", &format!("70000 cannot be: {port}")),
            ("127.0.0.1:", &format!("127.0.0.1: cannot be: {port}")),
            ("[::1]:http", &format!("[::1]:http cannot be: {port}")),
            ("localhost:", &format!("localhost: cannot be: {port}")),
            ("localhost:+1", &format!("localhost:+1 cannot be: {port}")),
            (
                "239.0.0.1:8554",
                "239.0.0.1:8554 cannot be: this is a multicast address, and no address of a \
                 machine (write 8554 for all of them)",
            ),
            (
                "rtsp://0.0.0.0:8554",
                "rtsp://0.0.0.0:8554 cannot be: this is a URL (write the address alone, as 8554)",
            ),
            (
                "[fe80::1%eth0]:8554",
                "[fe80::1%eth0]:8554 cannot be: a zone is written as its number, as \
                 [fe80::1%2]:8554",
            ),
            (
                "*:8554",
                "\"*:8554\" is not an address to listen on (write 8554, 127.0.0.1:8554, \
                 [::1]:8554 or localhost)",
            ),
            (
                "",
                "\"\" is not an address to listen on (write 8554, 127.0.0.1:8554, [::1]:8554 or \
                 localhost)",
            ),
        ] {
            assert_eq!(parsed(text), why, "{text}");
        }
    }

    #[test]
    fn what_is_covered_is_left_out() {
        let normalized = |texts: &[&str]| {
            normalize(texts.iter().flat_map(|text| parse(text).unwrap()))
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(normalized(&["0.0.0.0", "8554", "localhost"]), "[::]:8554");
        assert_eq!(normalized(&["0.0.0.0", "localhost"]), "0.0.0.0:8554 [::1]:8554");
        assert_eq!(normalized(&["127.0.0.1", "127.0.0.1", "9000"]), "127.0.0.1:8554 [::]:9000");
        assert_eq!(normalized(&["0", "127.0.0.1:0"]), "[::]:0 127.0.0.1:0");
    }

    proptest! {
        #[test]
        fn every_address_reads_back(ip: IpAddr, port: u16) {
            let address = SocketAddr::new(ip.to_canonical(), port);
            match parse(&address.to_string()) {
                Ok(parsed) => prop_assert_eq!(parsed, vec![address]),
                Err(_) => prop_assert!(
                    ip.to_canonical().is_multicast() || ip.to_canonical() == Ipv4Addr::BROADCAST
                ),
            }
        }

        #[test]
        fn no_text_panics(text in "[0-9a-z:.%\\[\\]ü/-]{0,24}") {
            let _ = parse(&text);
        }
    }
}
