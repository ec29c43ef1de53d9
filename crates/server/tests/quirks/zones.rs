//! Link-local addresses (RFC 4007): there are as many `fe80::1` as there are links, and only the zone
//! tells them apart. In URLs the zone stands behind `%25` (RFC 6874), or `%` as people write it.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    process::Command,
};

use crate::{
    client::{Client, Ports},
    house::House,
};

#[test]
fn a_link_local_client_is_served_over_udp_and_tcp() {
    if in_namespace("zones::a_link_local_client_is_served_over_udp_and_tcp") {
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

/// Runs the rest of the test called `test` in a network namespace of its own, whose loopback device
/// has the address [`LINK_LOCAL`]. True there; false here, once it has passed there.
fn in_namespace(test: &str) -> bool {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return true;
    }
    if std::env::var_os(WITHOUT).is_some() {
        println!("{test} NOT RUN: {WITHOUT} is set");
        return false;
    }
    // The kernel adds the route to the address in its own time.
    let script = format!(
        "set -e; ip link set lo up; ip addr add {LINK_LOCAL}/64 dev lo nodad
        until ip -6 route show table local | grep -q '^local {LINK_LOCAL} '; do sleep 0.01; done
        exec \"$0\" --exact {test} --nocapture"
    );
    let run = Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, test)
        .output();
    let hint = format!(
        "this test needs unshare(1), ip(8), and the right to make a network namespace; set \
         {WITHOUT}=1 to leave such tests out"
    );
    let output = run.unwrap_or_else(|error| panic!("cannot run unshare: {error}\n{hint}"));
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let passed = output.status.success() && stdout.contains("1 passed");
    assert!(passed, "{stdout}\n{stderr}\n{hint}");
    false
}

const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The number of `lo` in a new namespace.
const LOOPBACK: u32 = 1;
const INSIDE: &str = "LENSCAST_TEST_NAMESPACE";
const WITHOUT: &str = "LENSCAST_TEST_WITHOUT_NAMESPACES";
