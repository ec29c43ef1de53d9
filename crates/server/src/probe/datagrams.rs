//! Datagrams that the kernel had to drop because their socket's receive buffer was full: loss that
//! is neither the network's nor the server's fault.

use std::fs;

/// How many since boot, over all sockets of this network namespace, IPv4 and IPv6; `None` where
/// the kernel does not say.
pub(super) fn receive_buffer_errors() -> Option<u64> {
    let v4 = fs::read_to_string("/proc/self/net/snmp").ok().and_then(|text| of_table(&text));
    let v6 = fs::read_to_string("/proc/self/net/snmp6").ok().and_then(|text| of_list(&text));
    v4.or(v6).map(|_| v4.unwrap_or(0) + v6.unwrap_or(0))
}

/// `Udp: InDatagrams … RcvbufErrors …` over `Udp: 12 … 0 …`.
fn of_table(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    columns.find(|(name, _)| *name == "RcvbufErrors")?.1.parse().ok()
}

/// `Udp6RcvbufErrors    0` among others of its kind.
fn of_list(text: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines
        .find_map(|mut words| (words.next() == Some("Udp6RcvbufErrors")).then(|| words.next()))??
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_as_the_kernel_prints_them() {
        let table = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
            Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n\
            Udp: 120 3 9 99 7 0\nUdpLite: InDatagrams RcvbufErrors\nUdpLite: 0 5\n";
        assert_eq!(of_table(table), Some(7));
        assert_eq!(of_table("Udp: InDatagrams\nUdp: 1\n"), None);
        assert_eq!(of_table(""), None);
        let list = "Udp6InDatagrams                 4\nUdp6RcvbufErrors                2\n";
        assert_eq!(of_list(list), Some(2));
        assert_eq!(of_list("Udp6RcvbufErrors\n"), None);
    }
}
