//! A client that is gone without a word, but whose host says so (ICMP "port unreachable").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    client::{Client, Ports},
    house::House,
};

#[tokio::test]
async fn a_closed_port_ends_the_session_and_not_the_connection() {
    // At the same time: it takes a while before a host is believed.
    tokio::join!(gone(Ipv4Addr::LOCALHOST.into()), gone(Ipv6Addr::LOCALHOST.into()));
}

async fn gone(host: IpAddr) {
    let house = House::open(host);
    let (gone, stays) = (Ports::open(host).await, Ports::open(host).await);
    let mut client = Client::connect(house.address).await;
    let mut other = Client::connect(house.address).await;
    let granted = client.set_up(gone.numbers().0, gone.numbers().1).await;
    let session = format!("Session: {}\r\n", granted.session);
    client.get("PLAY", &session).await;
    let others = other.set_up(stays.numbers().0, stays.numbers().1).await;
    other.get("PLAY", &format!("Session: {}\r\n", others.session)).await;
    gone.receive(1).await;

    drop(gone);
    house.until("one session is left", |house| house.sessions() == 1).await;
    let answer = client.ask("GET_PARAMETER", &session).await;
    assert!(answer.starts_with("RTSP/1.0 454 "), "{answer}");
    client.get("DESCRIBE", "").await;
    // Errors about one client are no harm to another.
    assert!(house.destination(others.session).is_some());
    stays.receive(20).await;
    drop((client, other));
    house.close().await;
}
