//! Link-local addresses (RFC 4007): there are as many `fe80::1` as there are links, and only the zone
//! tells them apart. In URLs the zone stands behind `%25` (RFC 6874), or `%` as people write it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use testkit::namespace::in_namespace;

use crate::{
    client::{Client, Ports},
    house::House,
};

#[test]
fn a_link_local_client_is_served_over_udp_and_tcp() {
    // The kernel adds the route to the address in its own time.
    let setup = format!(
        "ip addr add {LINK_LOCAL}/64 dev lo nodad
        until ip -6 route show table local | grep -q '^local {LINK_LOCAL} '; do sleep 0.01; done"
    );
    if in_namespace("zones::a_link_local_client_is_served_over_udp_and_tcp", &setup) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::open(Ipv6Addr::UNSPECIFIED);
            let port = house.address.port();
            let server = SocketAddr::V6(SocketAddrV6::new(LINK_LOCAL, port, 0, LOOPBACK));
            for zone in ["%25lo", "%lo", "%251", ""] {
                let base = format!("rtsp://[{LINK_LOCAL}{zone}]:{port}/cam");
                watch(&house, server, base).await;
            }
            house.close().await;
        });
    }
}

#[tokio::test]
async fn a_literal_without_a_zone_is_served_likewise() {
    let house = House::open(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let port = house.address.port();
    for host in ["[::1]", "[0:0:0:0:0:0:0:1]", "lens:secret@[::1]"] {
        watch(&house, house.address, format!("rtsp://{host}:{port}/cam")).await;
    }
    house.close().await;
}

async fn watch(house: &House, server: SocketAddr, base: String) {
    let mut client = Client::connect_as(server, base.clone()).await;
    let answer = client.get("DESCRIBE", "").await;
    let shown = base.replace("lens:secret@", "");
    assert!(answer.contains(&format!("\r\nContent-Base: {shown}/\r\n")), "{answer}");
    let ports = Ports::open_at(server).await;
    let granted = client.set_up(ports.numbers().0, ports.numbers().1).await;
    let session = format!("Session: {}\r\n", granted.session);
    client.get("PLAY", &session).await;
    ports.receive(10).await;
    ports.punch(granted).await;
    client.get("TEARDOWN", &session).await;

    client.get("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n").await;
    client.get("PLAY", "").await;
    assert_eq!(client.frame().await, 1);
    client.get("TEARDOWN", "").await;
    assert_eq!(house.sessions(), 0);
}

const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The number of `lo` in a new namespace.
const LOOPBACK: u32 = 1;
