use std::{
    future::{Future, poll_fn},
    net::UdpSocket as Client,
    pin::pin,
    sync::{Arc, atomic::AtomicUsize},
    task::Poll,
    time::Duration,
};

use testkit::namespace::in_namespace;
use tokio::{sync::mpsc, time::timeout};

use super::*;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const EVERYWHERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

fn client(address: &str) -> Client {
    // With the name of its zone, an IPv6 address is only understood in brackets.
    let address =
        if address.contains(':') { format!("[{address}]:0") } else { format!("{address}:0") };
    let client = Client::bind(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

fn destination(client: &Client, source: &str) -> Destination {
    Destination::new(client.local_addr().unwrap(), Some(source.parse().unwrap()))
}

fn receive(client: &Client, count: usize) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut datagram = [0; 65_536];
    let mut next = || {
        let (length, from) = client.recv_from(&mut datagram).unwrap();
        (datagram[..length].to_vec(), from)
    };
    (0..count).map(|_| next()).collect()
}

/// No two of its segments are alike.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 7 * 31 + at % 7) as u8).collect()
}

/// An address where nobody listens: a port that was ours a moment ago.
fn closed(address: &str) -> SocketAddr {
    client(address).local_addr().unwrap()
}

/// Sends to a closed port; on loopback the answer is there when the send is done.
fn provoke(endpoint: &Endpoint, peer: SocketAddr, times: usize) {
    let nobody = Destination::new(peer, None);
    for _ in 0..times {
        assert_eq!(endpoint.send(&nobody, b"hello", None), Sent::Whole);
    }
}

#[tokio::test]
async fn segments_arrive_as_packets_from_the_address_and_port_the_client_knows() {
    let everywhere = Ports::bind(&[EVERYWHERE, EVERYWHERE_V6], 0).unwrap();
    let ports = [&everywhere.v4, &everywhere.v6].map(|pair| pair.as_ref().unwrap());
    for (pair, address, source) in [
        (ports[0], "127.0.0.1", "127.0.0.1"),
        (ports[0], "127.0.0.1", "127.0.0.2"),
        (ports[0], "127.0.0.3", "127.0.0.9"),
        (ports[1], "::1", "::1"),
    ] {
        let client = client(address);
        let destination = destination(&client, source);
        let bytes = pattern(1372 * 3 + 500);
        assert_eq!(pair.rtp.send(&destination, &bytes, Some(1372)), Sent::Whole);
        let source: IpAddr = source.parse().unwrap();
        let from = SocketAddr::new(source, pair.port);
        let expected: Vec<_> = bytes.chunks(1372).map(|packet| (packet.to_vec(), from)).collect();
        assert_eq!(receive(&client, 4), expected);

        // What is no longer than a segment is one datagram, and so is what is not to be cut.
        for segment in [Some(900), Some(901), Some(70_000), None] {
            assert_eq!(pair.rtp.send(&destination, &bytes[..900], segment), Sent::Whole);
            assert_eq!(receive(&client, 1), [(bytes[..900].to_vec(), from)]);
        }
        assert_eq!(pair.rtcp.send(&destination, b"report", None), Sent::Whole);
        let from = SocketAddr::new(source, pair.port + 1);
        assert_eq!(receive(&client, 1), [(b"report".to_vec(), from)]);
        assert!(pair.port.is_multiple_of(2));
    }
}

#[tokio::test]
async fn the_largest_send_there_is() {
    let ports = Ports::bind(&[LOCALHOST], 0).unwrap();
    let client = client("127.0.0.1");
    let destination = destination(&client, "127.0.0.1");
    let endpoint = &ports.pair_for(LOCALHOST).unwrap().rtp;
    for (bytes, segment) in [(pattern(64 * 100), 100), (pattern(65_507), 1400)] {
        assert_eq!(endpoint.send(&destination, &bytes, Some(segment)), Sent::Whole);
        let packets = receive(&client, bytes.len().div_ceil(segment));
        assert_eq!(
            packets.iter().flat_map(|(packet, _)| packet).copied().collect::<Vec<_>>(),
            bytes
        );
    }
    // One segment more than the kernel makes: refused for this way of sending, and not lost.
    let sent = endpoint.send(&destination, &pattern(600 * 100), Some(100));
    assert_eq!(sent, Sent::Unsegmented);
}

#[tokio::test]
async fn many_are_sent_to_by_few_calls() {
    let ports = Ports::bind(&[LOCALHOST], 0).unwrap();
    let endpoint = &ports.pair_for(LOCALHOST).unwrap().rtp;
    let clients: Vec<_> = (0..AT_ONCE * 2 + 3).map(|_| client("127.0.0.1")).collect();
    let gone = Destination::new(closed("127.0.0.1"), Some(LOCALHOST));
    let (bytes, count) = (pattern(1372 * 3 + 500), clients.len());
    let destinations: Vec<_> =
        clients.iter().map(|client| destination(client, "127.0.0.1")).collect();
    // Each something else, and everywhere among them somebody who is gone.
    let parcel = |(number, to)| Parcel { to, bytes: &bytes[number..], segment: 1372 };
    let mut parcels: Vec<_> = destinations.iter().enumerate().map(parcel).collect();
    for place in [count, AT_ONCE, 1, 0] {
        parcels.insert(place, Parcel { to: &gone, bytes: &bytes, segment: 1372 });
    }
    assert_eq!(endpoint.send_all(&parcels), (count + 4, None));
    for (number, client) in clients.iter().enumerate() {
        let expected = bytes[number..].chunks(1372);
        let received = receive(client, 4);
        assert!(received.iter().map(|(packet, _)| &packet[..]).eq(expected), "{number}");
    }

    // What the kernel refuses is named, and what went before is not sent again.
    let taken = Parcel { to: &destinations[0], bytes: &bytes[..50], segment: 1 };
    let refused = Parcel { to: &destinations[1], bytes: &bytes, segment: 1 };
    assert_eq!(endpoint.send_all(&[taken, refused]), (1, Some(Sent::Unsegmented)));
    assert_eq!(receive(&clients[0], 50).len(), 50);
    clients[0].set_nonblocking(true).unwrap();
    assert!(clients[0].recv(&mut [0; 100]).is_err());
}

#[test]
fn what_goes_together_has_one_source_and_one_length() {
    let peer = "127.0.0.1:9".parse().unwrap();
    let [here, same, there] = ["127.0.0.1", "127.0.0.1", "127.0.0.2"]
        .map(|source| Destination::new(peer, source.parse().ok()));
    let any = Destination::new(peer, None);
    let parcel = |to, length: usize, segment| Parcel { to, bytes: &[0; 3000][..length], segment };
    let first = parcel(&here, 3000, 1000);
    assert!(first.goes_with(&parcel(&same, 1001, 1000)));
    for other in [parcel(&there, 3000, 1000), parcel(&any, 3000, 1000), parcel(&same, 3000, 999)] {
        assert!(!first.goes_with(&other) && !other.goes_with(&first));
    }
    // Single datagrams may have any length.
    assert!(parcel(&here, 100, 100).goes_with(&parcel(&same, 7, 1000)));
    assert!(!first.goes_with(&parcel(&same, 1000, 1000)));
}

#[tokio::test]
async fn the_kernel_chooses_the_source_where_none_is_known() {
    let ports = Ports::bind(&[EVERYWHERE, EVERYWHERE_V6], 0).unwrap();
    for address in ["127.0.0.1", "::1"] {
        let client = client(address);
        let destination = Destination::new(client.local_addr().unwrap(), None);
        let pair = ports.pair_for(address.parse().unwrap()).unwrap();
        for segment in [None, Some(3)] {
            assert_eq!(pair.rtp.send(&destination, b"abcde", segment), Sent::Whole);
        }
        let from = SocketAddr::new(address.parse().unwrap(), pair.port);
        let expected = [&b"abcde"[..], b"abc", b"de"].map(|packet| (packet.to_vec(), from));
        assert_eq!(receive(&client, 3), expected);
    }
}

#[tokio::test]
async fn ports_are_where_the_listeners_are() {
    let other_loopback = IpAddr::from([127, 0, 0, 2]);
    for (listen, v4, v6) in [
        (&[LOCALHOST][..], Some(LOCALHOST), None),
        (&[LOCALHOST_V6], None, Some(LOCALHOST_V6)),
        (&[LOCALHOST, LOCALHOST_V6], Some(LOCALHOST), Some(LOCALHOST_V6)),
        (&[EVERYWHERE], Some(EVERYWHERE), None),
        // Two listeners on two ports of one address.
        (&[LOCALHOST, LOCALHOST], Some(LOCALHOST), None),
        (&[LOCALHOST, other_loopback], Some(EVERYWHERE), None),
        // [::] serves IPv4 too, whatever else is listened on.
        (&[EVERYWHERE_V6], Some(EVERYWHERE), Some(EVERYWHERE_V6)),
        (&[EVERYWHERE_V6, LOCALHOST], Some(EVERYWHERE), Some(EVERYWHERE_V6)),
        (&[LOCALHOST_V6, EVERYWHERE_V6], Some(EVERYWHERE), Some(EVERYWHERE_V6)),
    ] {
        let ports = Ports::bind(listen, 0).unwrap();
        let bound = |pair: &Option<Pair>| {
            let pair = pair.as_ref()?;
            let address = pair.rtp.socket.get_ref().local_addr().unwrap();
            assert_eq!((address.port(), pair.port % 2), (pair.port, 0));
            let rtcp = pair.rtcp.socket.get_ref().local_addr().unwrap();
            assert_eq!(rtcp, SocketAddr::new(address.ip(), pair.port + 1));
            Some(address.ip())
        };
        assert_eq!((bound(&ports.v4), bound(&ports.v6)), (v4, v6), "{listen:?}");
        assert_eq!(ports.pairs().count(), v4.iter().chain(&v6).count());
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_in_the_error_and_both_families_share_a_number() {
    let port = Ports::bind(&[EVERYWHERE, EVERYWHERE_V6], 0).unwrap().v4.unwrap().port;
    let both = Ports::bind(&[EVERYWHERE, EVERYWHERE_V6], port).unwrap();
    assert!(both.pairs().all(|pair| pair.port == port));
    for taken in [port, port - 2] {
        let rtcp = (taken != port).then(|| Client::bind(("127.0.0.1", taken + 1)));
        let error = Ports::bind(&[LOCALHOST], taken).unwrap_err().to_string();
        let expected = format!("cannot use UDP ports {taken} and {} of 127.0.0.1", taken + 1);
        assert!(error.starts_with(&expected), "{error}");
        drop(rtcp);
    }
}

/// Receives for as long as the test lasts, and counts how often it is woken.
struct Receiving {
    refused: mpsc::UnboundedReceiver<SocketAddr>,
    datagrams: mpsc::UnboundedReceiver<Vec<u8>>,
    polls: Arc<AtomicUsize>,
}

impl Receiving {
    fn start(ports: &Arc<Ports>, address: IpAddr) -> Self {
        let (refusals, refused) = mpsc::unbounded_channel();
        let (received, datagrams) = mpsc::unbounded_channel();
        let polls = Arc::new(AtomicUsize::new(0));
        let (ports, counter) = (Arc::clone(ports), Arc::clone(&polls));
        tokio::spawn(async move {
            let endpoint = &ports.pair_for(address).unwrap().rtp;
            let mut receiving = pin!(async {
                let mut buffer = [0; 100];
                loop {
                    let refused = |peer| refusals.send(peer).unwrap();
                    let (length, _) = endpoint.receive(&mut buffer, refused).await.unwrap();
                    received.send(buffer[..length].to_vec()).unwrap();
                }
            });
            poll_fn(|context| -> Poll<()> {
                counter.fetch_add(1, Ordering::Relaxed);
                receiving.as_mut().poll(context)
            })
            .await;
        });
        Self { refused, datagrams, polls }
    }

    async fn refusals(&mut self, count: usize) -> Vec<SocketAddr> {
        let mut refused = Vec::new();
        let all = async {
            while refused.len() < count {
                refused.push(self.refused.recv().await.unwrap());
            }
        };
        let in_time = timeout(Duration::from_secs(5), all).await;
        assert!(in_time.is_ok(), "told of {} of {count} errors", refused.len());
        refused
    }
}

#[tokio::test]
async fn a_closed_port_is_told_of_although_nobody_sends_us_anything() {
    for address in ["127.0.0.1", "::1"] {
        let ports = Arc::new(Ports::bind(&[LOCALHOST, LOCALHOST_V6], 0).unwrap());
        let ip = address.parse().unwrap();
        let mut receiving = Receiving::start(&ports, ip);
        let endpoint = &ports.pair_for(ip).unwrap().rtp;
        for _ in 0..3 {
            let gone = closed(address);
            provoke(endpoint, gone, 3);
            assert_eq!(receiving.refusals(3).await, [gone; 3]);
        }

        // That done, the receiver sleeps.
        let before = receiving.polls.load(Ordering::Relaxed);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let polls = receiving.polls.load(Ordering::Relaxed) - before;
        assert!(polls < 10, "woken {polls} times for nothing");

        // And still hears what is sent to it.
        let client = client(address);
        client.send_to(b"hello", SocketAddr::new(ip, ports.pair_for(ip).unwrap().port)).unwrap();
        let datagram = timeout(Duration::from_secs(5), receiving.datagrams.recv()).await;
        assert_eq!(datagram.unwrap().unwrap(), b"hello");
    }
}

#[tokio::test]
async fn errors_never_fill_the_buffer_that_datagrams_need() {
    let ports = Arc::new(Ports::bind(&[LOCALHOST], 0).unwrap());
    let mut receiving = Receiving::start(&ports, LOCALHOST);
    let pair = ports.pair_for(LOCALHOST).unwrap();
    let (client, gone) = (client("127.0.0.1"), closed("127.0.0.1"));
    for _ in 0..50 {
        // Together more than any receive buffer holds.
        provoke(&pair.rtp, gone, 100);
        receiving.refusals(100).await;
        client.send_to(b"hello", (LOCALHOST, pair.port)).unwrap();
        let datagram = timeout(Duration::from_secs(5), receiving.datagrams.recv()).await;
        assert_eq!(datagram.unwrap().unwrap(), b"hello");
    }
}

/// The errors arrive on one thread, are read on a second, and packets leave on a third.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_loses_nothing_by_the_end_of_others() {
    let ports = Arc::new(Ports::bind(&[LOCALHOST], 0).unwrap());
    let mut receiving = Receiving::start(&ports, LOCALHOST);
    let endpoint = &ports.pair_for(LOCALHOST).unwrap().rtp;
    let gone = Destination::new(closed("127.0.0.1"), None);
    let client = client("127.0.0.1");
    let here = destination(&client, "127.0.0.1");
    for number in 0..150u32 {
        // An error for each, and as they are read the next ones appear.
        assert_eq!(endpoint.send(&gone, &[0; 40], Some(1)), Sent::Whole, "{number}");
        for _ in 0..60 {
            assert_eq!(endpoint.send(&gone, b"hello", None), Sent::Whole, "{number}");
        }
        assert_eq!(endpoint.send(&here, &number.to_be_bytes(), None), Sent::Whole, "{number}");
        assert_eq!(receive(&client, 1)[0].0, number.to_be_bytes());
    }
    assert!(here.is_segmented() && gone.is_segmented());
    receiving.refusals(1).await;
}

#[test]
fn segmentation_is_given_up_for_those_it_does_not_reach_and_fragments_do() {
    let test = "egress::udp::tests::\
                segmentation_is_given_up_for_those_it_does_not_reach_and_fragments_do";
    // The ways to two addresses take less than a packet. Of an IPv6 address the kernel makes the
    // route when it gets to it: it is waited for, to be replaced.
    let setup = "
        ip route replace local 127.0.0.3 dev lo table local mtu 600
        ip addr add fd00::3/128 dev lo nodad
        ip addr add fd00::4/128 dev lo nodad
        timeout 5 sh -c 'until ip -6 route del local fd00::3 table local 2>&-; do :; done'
        ip -6 route add local fd00::3 dev lo table local mtu 1280";
    if in_namespace(test, setup) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
            async {
                let ports = Ports::bind(&[EVERYWHERE, EVERYWHERE_V6], 0).unwrap();
                for (narrow, wide, fragmented) in
                    [("127.0.0.3", "127.0.0.1", "Ip"), ("fd00::3", "fd00::4", "Ip6")]
                {
                    let pair = ports.pair_for(narrow.parse().unwrap()).unwrap();
                    let (behind, beside) = (client(narrow), client(wide));
                    let bytes = pattern(1372 * 3 + 500);
                    let refused = pair.rtp.send(&destination(&behind, wide), &bytes, Some(1372));
                    assert_eq!(refused, Sent::Unsegmented);
                    let sent = pair.rtp.send(&destination(&beside, wide), &bytes, Some(1372));
                    assert_eq!(sent, Sent::Whole);
                    assert_eq!(receive(&beside, 4).len(), 4);
                    let before = fragments(fragmented);
                    let sent = pair.rtp.send(&destination(&behind, wide), &bytes[..1372], None);
                    assert_eq!(sent, Sent::Whole);
                    assert_eq!(receive(&behind, 1)[0].0, bytes[..1372]);
                    assert!(fragments(fragmented) > before);
                }
            },
        );
    }
}

#[test]
fn a_link_local_client_is_reached_and_told_of_by_its_scope() {
    let test = "egress::udp::tests::a_link_local_client_is_reached_and_told_of_by_its_scope";
    // The kernel adds the route to the address in its own time.
    let setup = "ip addr add fe80::1/64 dev lo nodad
        until ip -6 route show table local | grep -q '^local fe80::1 '; do sleep 0.01; done";
    if in_namespace(test, setup) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
            async {
                let ports = Arc::new(Ports::bind(&[EVERYWHERE_V6], 0).unwrap());
                let mut receiving = Receiving::start(&ports, EVERYWHERE_V6);
                let pair = ports.pair_for(EVERYWHERE_V6).unwrap();
                let client = client("fe80::1%1");
                let SocketAddr::V6(mut address) = client.local_addr().unwrap() else { panic!() };
                let bytes = pattern(3000);
                let scoped = destination(&client, "fe80::1");
                assert_eq!(pair.rtp.send(&scoped, &bytes, Some(1372)), Sent::Whole);
                assert_eq!(receive(&client, 3).len(), 3);
                drop(client);
                provoke(&pair.rtp, address.into(), 1);
                assert_eq!(receiving.refusals(1).await, [SocketAddr::from(address)]);

                address.set_scope_id(0);
                let lost = Destination::new(address.into(), Some("fe80::1".parse().unwrap()));
                assert_eq!(pair.rtp.send(&lost, &bytes, None), Sent::Lost(Errno::EINVAL));
            },
        );
    }
}

/// How many fragments this network namespace has sent.
fn fragments(family: &str) -> u64 {
    if family == "Ip6" {
        let counters = std::fs::read_to_string("/proc/net/snmp6").unwrap();
        let line = counters.lines().find(|line| line.starts_with("Ip6FragCreates")).unwrap();
        return line.split_whitespace().nth(1).unwrap().parse().unwrap();
    }
    let counters = std::fs::read_to_string("/proc/net/snmp").unwrap();
    let mut lines = counters.lines().filter(|line| line.starts_with("Ip:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    both.find(|(name, _)| *name == "FragCreates").unwrap().1.parse().unwrap()
}
