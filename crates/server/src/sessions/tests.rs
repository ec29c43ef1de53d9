use std::{cell::Cell, time::Duration};

use rtp_packetizer::Ssrc;
use rtsp_proto::{
    auth::{Attempt, Authenticator, Config, Ha1, Realm, Users},
    server::session::{GRACE, LowerKind},
    uri::RequestUri,
};
use tokio::net::UdpSocket;

use super::*;
use crate::{
    egress::{
        fanout::{Fanout, Viewer, ViewerId},
        udp::{Destination, Ports},
    },
    entropy::Entropy,
    live::mount::{Start, tests::Stream},
};

/// The sessions of a server with one stream.
struct House {
    sessions: Sessions,
    stream: Stream,
    fanout: Fanout,
    start: Instant,
    made: Cell<u8>,
}

impl House {
    fn new() -> Self {
        let stream = Stream::new(Start::OnDemand);
        let ports = Arc::new(Ports::bind(&[LOOPBACK], 0).unwrap());
        let entropy = Entropy::new(|bytes| bytes.fill(0x80));
        let (fanout, _) =
            Fanout::spawn(Arc::clone(&stream.mount), ports, Arc::clone(&stream.clock), entropy);
        let start = Instant::now();
        Self { sessions: Sessions::default(), stream, fanout, start, made: Cell::new(0) }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn open(&self, user: Option<&UserName>) -> SessionId {
        self.made.set(self.made.get() + 1);
        let id = SessionId::from_entropy([self.made.get(); 16]);
        let mut machine = Machine::new(id, self.start, TIMEOUT);
        machine.setup(0, LowerKind::Udp, "rtsp://cam/".to_owned()).unwrap();
        self.sessions.lock().insert(Session {
            machine,
            mount: Arc::clone(&self.stream.mount),
            user: user.cloned(),
            accepted: Accepted::default(),
            peer: LOOPBACK,
            agent: None,
            link: Link::None,
            counters: Arc::new(Counters::default()),
            report: None,
            opened: tokio::time::Instant::now(),
        });
        id
    }

    /// A session of nobody in particular, over UDP to these two ports.
    fn udp(&self, rtp: &str, rtcp: &str) -> SessionId {
        self.udp_of(None, rtp, rtcp)
    }

    fn udp_of(&self, user: Option<&UserName>, rtp: &str, rtcp: &str) -> SessionId {
        let id = self.open(user);
        let to = |address| Arc::new(Destination::new(address, None));
        let link = UdpLink::new(to(address(rtp)), to(address(rtcp)), self.fanout.clone());
        self.sessions.lock().link_udp(id, link);
        id
    }

    fn tcp(&self, connection: u64) -> SessionId {
        let id = self.open(None);
        self.sessions.lock().link_tcp(id, ConnectionId(connection), 0, 1);
        id
    }

    fn play(&self, id: SessionId) {
        let mut table = self.sessions.lock();
        let session = table.any_session(id).unwrap();
        session.machine.play(None).unwrap();
        if let Link::Udp(link) = &mut session.link {
            let viewer = ViewerId::next();
            link.viewer = Some(viewer);
            link.fanout.add(Viewer {
                id: viewer,
                rtp: Arc::clone(&link.rtp),
                rtcp: Arc::clone(&link.rtcp),
                first: None,
                cursor: self.stream.join(),
                counters: Arc::clone(&session.counters),
            });
        }
    }

    fn hear(&self, from: &str, port: Port, millis: u64) {
        self.sessions.datagram(address(from), port, b"", self.at(millis));
    }

    fn refuse(&self, peer: &str, port: Port, millis: u64) {
        self.sessions.unreachable(address(peer), port, self.at(millis));
    }

    fn lives(&self, id: SessionId) -> bool {
        self.sessions.lock().contains(id)
    }

    fn deadline(&self, id: SessionId) -> Duration {
        let mut table = self.sessions.lock();
        table.any_session(id).unwrap().machine.deadline() - self.start
    }

    /// When the session was last heard, in milliseconds.
    fn touched(&self, id: SessionId) -> u128 {
        (self.deadline(id) - TIMEOUT - GRACE).as_millis()
    }

    /// Where the session's packets go.
    fn ports(&self, id: SessionId) -> (u16, u16) {
        let mut table = self.sessions.lock();
        let Link::Udp(link) = &table.any_session(id).unwrap().link else { panic!("not by UDP") };
        (link.rtp.peer().port(), link.rtcp.peer().port())
    }

    /// Nothing of sessions that have ended is left behind.
    fn assert_tidy(&self) {
        let table = self.sessions.lock();
        for (address, owners) in &table.by_address {
            assert!(!owners.is_empty(), "{address} is kept for nobody");
            for owner in owners {
                let Link::Udp(link) = &table.sessions[owner].link else { panic!("not by UDP") };
                assert!(link.addresses().contains(address), "{address} is not {owner}'s");
            }
        }
        for (id, session) in &table.sessions {
            if let Link::Udp(link) = &session.link {
                assert!(link.addresses().iter().all(|own| table.by_address[own].contains(id)));
            }
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A user who has logged in.
fn user(name: &'static str) -> UserName {
    struct One(&'static str, Ha1);
    impl Users for One {
        fn ha1(&self, name: &str) -> Option<&Ha1> {
            (name == self.0).then_some(&self.1)
        }
    }
    let realm: Realm = "tests".parse().unwrap();
    let users = One(name, Ha1::from_password(name, &realm, ""));
    let mut config = Config::new(realm);
    config.schemes.basic = true;
    let now = Instant::now();
    // Base64 of the name and a colon.
    let authorization = match name {
        "ann" => "Basic YW5uOg==",
        "bob" => "Basic Ym9iOg==",
        other => panic!("no credentials for {other}"),
    };
    let uri = &RequestUri::parse("/cam").unwrap();
    let attempt = Attempt { method: "SETUP", uri, authorization: Some(authorization) };
    let mut accepted = Accepted::default();
    Authenticator::new(config, [0; 32], now).check(&attempt, &mut accepted, &users, now).unwrap()
}

/// A receiver report about `ssrc`.
fn receiver_report(ssrc: Ssrc, lost: u8) -> Vec<u8> {
    report_of(Ssrc(1), ssrc, lost)
}

fn report_of(reporter: Ssrc, ssrc: Ssrc, lost: u8) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(reporter.0.to_be_bytes());
    report.extend(ssrc.0.to_be_bytes());
    report.extend([0, 0, 0, lost]);
    report.extend([0; 16]);
    report
}

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_silent_session_ends_at_its_deadline_and_not_before() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    house.play(id);
    let deadline = house.start + TIMEOUT + GRACE;
    house.sessions.expire(deadline - Duration::from_nanos(1));
    assert!(house.lives(id));
    house.sessions.expire(deadline);
    assert!(!house.lives(id));
    house.assert_tidy();
}

#[tokio::test]
async fn any_datagram_from_either_port_to_either_port_keeps_a_session_alive() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    let from = ["192.0.2.7:5000", "192.0.2.7:5001"];
    for (at, (from, to)) in
        (1..).zip(from.into_iter().flat_map(|from| [(from, Port::Rtp), (from, Port::Rtcp)]))
    {
        house.hear(from, to, at);
        assert_eq!(house.touched(id), u128::from(at), "{from} to {to:?}");
    }
    house.hear("192.0.2.8:5000", Port::Rtp, 100);
    house.hear("192.0.2.7:5002", Port::Rtp, 100);
    assert_eq!(house.touched(id), 4, "neither is this session's");
    assert_eq!(house.ports(id), (5000, 5001));
}

#[tokio::test]
async fn a_report_about_the_stream_is_remembered_and_none_about_others() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    let own = house.stream.mount.identity().ssrc;
    let from = address("192.0.2.7:5001");
    for (payload, lost) in [
        (receiver_report(Ssrc(own.0 + 1), 9), None),
        (receiver_report(own, 3), Some(3)),
        // Neither RTCP nor anything else.
        (vec![0x81, 201, 0, 7, 0], Some(3)),
        (vec![], Some(3)),
        (receiver_report(own, 4), Some(4)),
    ] {
        house.sessions.datagram(from, Port::Rtcp, &payload, house.at(1));
        let report = house.sessions.lock().any_session(id).unwrap().report;
        assert_eq!(report.map(|report| report.cumulative_lost), lost);
    }
}

#[tokio::test]
async fn a_viewer_within_a_connection_needs_no_sign_of_life_while_it_plays() {
    let house = House::new();
    let id = house.tcp(1);
    house.play(id);
    let far = house.at(1_000_000_000);
    house.sessions.expire(far);
    assert!(house.lives(id));
    house.sessions.lock().any_session(id).unwrap().machine.pause(None).unwrap();
    house.sessions.expire(far);
    assert!(!house.lives(id), "a paused one does");
}

#[tokio::test]
async fn rtcp_within_a_connection_counts_for_its_sessions_only() {
    let house = House::new();
    let (own, other) = (house.tcp(1), house.tcp(2));
    let report = receiver_report(house.stream.mount.identity().ssrc, 5);
    house.sessions.interleaved(&[own], &report, house.at(9));
    assert_eq!((house.touched(own), house.touched(other)), (9, 0));
    let lost = |id| {
        let report = house.sessions.lock().any_session(id).unwrap().report;
        report.map(|report| report.cumulative_lost)
    };
    assert_eq!((lost(own), lost(other)), (Some(5), None));
}

#[tokio::test]
async fn both_ports_of_a_client_behind_a_translator_are_followed() {
    for rtcp_first in [false, true] {
        let house = House::new();
        let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
        let ports = [("192.0.2.7:40000", Port::Rtp), ("192.0.2.7:50000", Port::Rtcp)];
        for at in 0..2 {
            let (from, port) = ports[at ^ usize::from(rtcp_first)];
            house.hear(from, port, 7);
        }
        assert_eq!(house.ports(id), (40_000, 50_000), "RTCP first: {rtcp_first}");
        house.assert_tidy();
        // Heard there, they are certain: nobody else can draw the packets away.
        house.hear("192.0.2.7:60000", Port::Rtp, 8);
        house.hear("192.0.2.7:60000", Port::Rtcp, 8);
        assert_eq!((house.ports(id), house.touched(id)), ((40_000, 50_000), 7));
        // Where they were said to be there is nobody now.
        house.hear("192.0.2.7:5000", Port::Rtp, 9);
        assert_eq!((house.ports(id), house.touched(id)), ((40_000, 50_000), 7));
    }
}

#[tokio::test]
async fn a_port_that_was_heard_where_it_was_named_stays() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    house.hear("192.0.2.7:5001", Port::Rtcp, 1);
    house.hear("192.0.2.7:40001", Port::Rtcp, 2);
    assert_eq!((house.ports(id), house.touched(id)), ((5000, 5001), 1));
    // Its RTP port is then where it said, too: most players never send anything from there, and
    // nobody who shares their address may have the stream.
    house.hear("192.0.2.7:40000", Port::Rtp, 3);
    assert_eq!((house.ports(id), house.touched(id)), ((5000, 5001), 1));
}

#[tokio::test]
async fn rtcp_may_be_translated_where_rtp_is_not() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    house.hear("192.0.2.7:5000", Port::Rtp, 1);
    house.hear("192.0.2.7:40001", Port::Rtcp, 2);
    assert_eq!((house.ports(id), house.touched(id)), ((5000, 40_001), 2));
    house.assert_tidy();
}

#[tokio::test]
async fn a_strange_port_is_followed_only_where_it_can_be_but_one_session() {
    let house = House::new();
    let one = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    let other = house.udp("192.0.2.7:6000", "192.0.2.7:6001");
    let elsewhere = house.udp("192.0.2.8:5000", "192.0.2.8:5001");
    house.hear("192.0.2.7:40000", Port::Rtp, 1);
    house.hear("192.0.2.7:40001", Port::Rtcp, 1);
    assert_eq!(house.ports(one), (5000, 5001));
    assert_eq!(house.ports(other), (6000, 6001));
    // Once one of them is certain, the strange ports must be the other's.
    house.hear("192.0.2.7:6001", Port::Rtcp, 2);
    house.hear("192.0.2.7:40000", Port::Rtp, 3);
    house.hear("192.0.2.7:40001", Port::Rtcp, 3);
    assert_eq!((house.ports(one), house.touched(one)), ((40_000, 40_001), 3));
    assert_eq!((house.ports(other), house.touched(other)), ((6000, 6001), 2));
    assert_eq!((house.ports(elsewhere), house.touched(elsewhere)), ((5000, 5001), 0));
    house.assert_tidy();
}

#[tokio::test]
async fn a_client_may_use_one_port_for_both() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5000");
    house.hear("192.0.2.7:5000", Port::Rtcp, 1);
    assert_eq!(house.touched(id), 1);
    house.hear("192.0.2.7:40000", Port::Rtp, 2);
    assert_eq!(house.ports(id), (5000, 5000));
    house.assert_tidy();

    let translated = house.udp("192.0.2.9:5000", "192.0.2.9:5000");
    house.hear("192.0.2.9:40000", Port::Rtp, 3);
    house.hear("192.0.2.9:40000", Port::Rtcp, 4);
    assert_eq!(house.touched(translated), 4);
    house.assert_tidy();
    house.sessions.lock().end(translated, "over");
    house.assert_tidy();
}

#[tokio::test]
async fn a_session_whose_port_stays_closed_ends() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    for millis in [0, 10, 20, 30, 1000, 1999] {
        house.refuse("192.0.2.7:5000", Port::Rtp, millis);
        assert!(house.lives(id), "not yet at {millis} ms");
    }
    house.refuse("192.0.2.7:5000", Port::Rtp, 2000);
    assert!(!house.lives(id));
    house.assert_tidy();
    // Errors that come after the end are nobody's.
    house.refuse("192.0.2.7:5000", Port::Rtp, 2001);
}

#[tokio::test]
async fn two_errors_are_not_enough_nor_are_those_of_the_rtcp_port() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    house.refuse("192.0.2.7:5000", Port::Rtp, 0);
    house.refuse("192.0.2.7:5000", Port::Rtp, 3000);
    for millis in (0..10_000).step_by(100) {
        house.refuse("192.0.2.7:5001", Port::Rtcp, millis);
        // From where RTP leaves, about a port that is not the client's RTP port.
        house.refuse("192.0.2.7:5001", Port::Rtp, millis);
        house.refuse("192.0.2.8:5000", Port::Rtp, millis);
    }
    assert!(house.lives(id));
}

#[tokio::test]
async fn a_client_that_is_heard_in_between_is_there() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    for second in 0..60 {
        house.refuse("192.0.2.7:5000", Port::Rtp, second * 1000);
        if second % 2 == 1 {
            house.hear("192.0.2.7:5001", Port::Rtcp, second * 1000 + 500);
        }
    }
    assert!(house.lives(id));
}

#[tokio::test]
async fn errors_far_apart_are_accidents() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    for minute in 0..60 {
        house.refuse("192.0.2.7:5000", Port::Rtp, minute * 60_000);
        house.refuse("192.0.2.7:5000", Port::Rtp, minute * 60_000 + 1000);
    }
    assert!(house.lives(id));
}

#[tokio::test]
async fn a_users_new_session_ends_the_one_it_takes_the_ports_of() {
    let house = House::new();
    let ann = user("ann");
    for who in [None, Some(&ann)] {
        let before = house.udp_of(who, "192.0.2.7:5000", "192.0.2.7:5001");
        let unlike = house.udp_of(who, "192.0.2.7:5002", "192.0.2.7:5003");
        // One port in common is enough.
        let after = house.udp_of(who, "192.0.2.7:4999", "192.0.2.7:5000");
        assert!(!house.lives(before) && house.lives(unlike) && house.lives(after));
        house.hear("192.0.2.7:5000", Port::Rtcp, 1);
        assert_eq!(house.touched(after), 1);
        house.assert_tidy();
        house.sessions.end_mount(&house.stream.mount);
    }
}

#[tokio::test]
async fn nobody_can_end_or_starve_anothers_session_by_naming_its_ports() {
    let house = House::new();
    let (ann, bob) = (user("ann"), user("bob"));
    let hers = house.udp_of(Some(&ann), "192.0.2.7:5000", "192.0.2.7:5001");
    let his = house.udp_of(Some(&bob), "192.0.2.7:5000", "192.0.2.7:5001");
    assert!(house.lives(hers) && house.lives(his));
    house.assert_tidy();
    let own = house.stream.mount.identity().ssrc;
    let report = receiver_report(own, 3);
    house.sessions.datagram(address("192.0.2.7:5001"), Port::Rtcp, &report, house.at(5));
    assert_eq!((house.touched(hers), house.touched(his)), (5, 5));
    house.sessions.lock().end(his, "over");
    house.assert_tidy();
    house.hear("192.0.2.7:5001", Port::Rtcp, 6);
    assert_eq!(house.touched(hers), 6);
}

#[tokio::test]
async fn translation_of_one_of_two_that_named_the_same_leaves_the_other_its_address() {
    let house = House::new();
    let (ann, bob) = (user("ann"), user("bob"));
    let hers = house.udp_of(Some(&ann), "192.0.2.7:5000", "192.0.2.7:5001");
    house.hear("192.0.2.7:40000", Port::Rtp, 1);
    let his = house.udp_of(Some(&bob), "192.0.2.7:5000", "192.0.2.7:5001");
    house.hear("192.0.2.7:45000", Port::Rtp, 2);
    assert_eq!((house.ports(hers), house.ports(his)), ((40_000, 5001), (45_000, 5001)));
    house.assert_tidy();
    house.hear("192.0.2.7:40000", Port::Rtp, 3);
    assert_eq!((house.touched(hers), house.touched(his)), (3, 2));
}

#[tokio::test]
async fn clients_behind_one_translator_are_known_again_by_the_names_of_their_reports() {
    let house = House::new();
    let own = house.stream.mount.identity().ssrc;
    let report = |from, reporter, millis| {
        let report = report_of(reporter, own, 0);
        house.sessions.datagram(address(from), Port::Rtcp, &report, house.at(millis));
    };
    let one = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    let other = house.udp("192.0.2.7:5002", "192.0.2.7:5003");
    report("192.0.2.7:5001", Ssrc(11), 1);
    report("192.0.2.7:5003", Ssrc(12), 1);
    report("192.0.2.7:40003", Ssrc(12), 2);
    report("192.0.2.7:40001", Ssrc(11), 3);
    assert_eq!((house.touched(one), house.touched(other)), (3, 2));
    assert_eq!((house.ports(one), house.ports(other)), ((5000, 40_001), (5002, 40_003)));
    house.assert_tidy();
    // Another name, another host, and a name that is no secret.
    report("192.0.2.7:40005", Ssrc(13), 4);
    report("192.0.2.8:40001", Ssrc(11), 4);
    report("192.0.2.7:40001", own, 5);
    report("192.0.2.7:40007", own, 6);
    assert_eq!((house.touched(one), house.touched(other)), (5, 2));
    let next = Ssrc(own.0.wrapping_add(1));
    report("192.0.2.7:40001", next, 6);
    report("192.0.2.7:40007", next, 7);
    assert_eq!((house.touched(one), house.touched(other)), (6, 2));
    // Its RTCP was heard at the port it named: its RTP is where it said.
    house.hear("192.0.2.7:40011", Port::Rtp, 7);
    assert_eq!((house.touched(one), house.ports(one).0), (6, 5000));
    // Two by the same name are nobody in particular.
    report("192.0.2.7:40001", Ssrc(12), 8);
    report("192.0.2.7:40009", Ssrc(12), 9);
    assert_eq!((house.touched(one), house.touched(other)), (8, 2));
    assert_eq!((house.ports(one), house.ports(other)), ((5000, 40_001), (5002, 40_003)));
    house.assert_tidy();
}

#[tokio::test]
async fn a_report_that_may_be_of_a_client_never_heard_moves_nobody() {
    let house = House::new();
    let own = house.stream.mount.identity().ssrc;
    let known = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    let report = report_of(Ssrc(11), own, 0);
    house.sessions.datagram(address("192.0.2.7:5001"), Port::Rtcp, &report, house.at(1));
    let unheard = house.udp("192.0.2.7:5002", "192.0.2.7:5003");
    house.sessions.datagram(address("192.0.2.7:40001"), Port::Rtcp, &report, house.at(2));
    assert_eq!((house.ports(known), house.ports(unheard)), ((5000, 5001), (5002, 5003)));
    assert_eq!(house.touched(known), 1);
    house.assert_tidy();
}

#[tokio::test]
async fn a_session_that_is_set_up_anew_leaves_its_old_ports() {
    let house = House::new();
    let id = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    house.hear("192.0.2.7:5001", Port::Rtcp, 1);
    let to = |text| Arc::new(Destination::new(address(text), None));
    let link = UdpLink::new(to("192.0.2.7:6000"), to("192.0.2.7:6001"), house.fanout.clone());
    house.sessions.lock().link_udp(id, link);
    house.assert_tidy();
    house.hear("192.0.2.7:6001", Port::Rtcp, 3);
    assert_eq!(house.touched(id), 3);
    house.sessions.lock().unlink(id, false);
    house.assert_tidy();
    house.sessions.lock().link_tcp(id, ConnectionId(3), 0, 1);
    house.hear("192.0.2.7:6001", Port::Rtcp, 4);
    assert_eq!(house.touched(id), 3);
}

#[tokio::test]
async fn link_local_clients_are_told_apart_by_their_zone() {
    let house = House::new();
    let one = house.udp("[fe80::7%2]:5000", "[fe80::7%2]:5001");
    let other = house.udp("[fe80::7%3]:5000", "[fe80::7%3]:5001");
    assert!(house.lives(one) && house.lives(other));
    house.hear("[fe80::7%3]:5001", Port::Rtcp, 1);
    house.hear("[fe80::7%2]:40001", Port::Rtcp, 2);
    assert_eq!((house.touched(one), house.touched(other)), (2, 1));
    assert_eq!((house.ports(one), house.ports(other)), ((5000, 40_001), (5000, 5001)));
    let mut table = house.sessions.lock();
    let Link::Udp(link) = &table.any_session(one).unwrap().link else { panic!("not by UDP") };
    assert_eq!(link.rtcp.peer(), address("[fe80::7%2]:40001"));
}

#[tokio::test]
async fn the_sessions_of_a_mount_end_with_it_and_no_others() {
    let (house, other) = (House::new(), House::new());
    let udp = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    let tcp = house.tcp(1);
    house.play(tcp);
    house.sessions.end_mount(&other.stream.mount);
    assert!(house.lives(udp) && house.lives(tcp));
    house.sessions.end_mount(&house.stream.mount);
    assert!(house.sessions.lock().is_empty());
    house.assert_tidy();
}

#[tokio::test]
async fn a_connection_takes_the_sessions_within_it_along() {
    let house = House::new();
    let udp = house.udp("192.0.2.7:5000", "192.0.2.7:5001");
    let (own, other) = (house.tcp(1), house.tcp(2));
    house.sessions.end_connection(ConnectionId(1), "disconnected");
    assert!(house.lives(udp) && !house.lives(own) && house.lives(other));
}

#[tokio::test]
async fn a_viewer_whose_session_ends_is_told_and_one_that_is_unlinked_silently_is_not() {
    let house = House::new();
    let (ends, stays) = (Client::new().await, Client::new().await);
    let id = house.udp(&ends.rtp_address(), &ends.rtcp_address());
    let paused = house.udp(&stays.rtp_address(), &stays.rtcp_address());
    for (id, client) in [(id, &ends), (paused, &stays)] {
        house.play(id);
        assert!(!client.next_rtcp().await.1, "the report with which it starts");
    }
    house.sessions.lock().unlink(paused, false);
    house.sessions.lock().end(id, "over");
    let (length, bye) = ends.next_rtcp().await;
    assert!(bye && length > 0);
    // The fan-out has been through its commands.
    house.fanout.shut_down().await;
    assert!(stays.rtcp.try_recv(&mut [0; 1500]).is_err());
}

/// Both sockets of a client.
struct Client {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Client {
    async fn new() -> Self {
        let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { rtp, rtcp: UdpSocket::bind("127.0.0.1:0").await.unwrap() }
    }

    fn rtp_address(&self) -> String {
        self.rtp.local_addr().unwrap().to_string()
    }

    fn rtcp_address(&self) -> String {
        self.rtcp.local_addr().unwrap().to_string()
    }

    /// Its length, and whether there is a BYE in it.
    async fn next_rtcp(&self) -> (usize, bool) {
        let mut datagram = [0; 1500];
        let length = self.rtcp.recv(&mut datagram).await.unwrap();
        (length, rtcp::parse(&datagram[..length]).unwrap().bye)
    }
}
