//! Ports that a NAT on the way (RFC 3022) has translated: the client knows nothing of it.

use std::net::Ipv4Addr;

use crate::{
    client::{Client, Ports, value_of},
    house::House,
};

#[tokio::test]
async fn packets_go_where_the_client_is_heard_from() {
    let house = House::open(Ipv4Addr::LOCALHOST);
    let (named, translated) = (ports().await, ports().await);
    let mut client = Client::connect(house.address).await;
    let granted = client.set_up(named.numbers().0, named.numbers().1).await;
    translated.punch(granted).await;
    house
        .until("both ports were translated", |house| {
            house.destination(granted.session) == Some(translated.numbers())
        })
        .await;
    client.get("PLAY", &format!("Session: {}\r\n", granted.session)).await;
    translated.receive(20).await;
    assert!(named.is_empty(), "nobody is there");
    // Whoever else is behind the same translator draws nothing to himself.
    let stranger = ports().await;
    stranger.punch(granted).await;
    translated.receive(20).await;
    assert!(stranger.is_empty());
    assert_eq!(house.destination(granted.session), Some(translated.numbers()));
    drop(client);
    house.close().await;
}

#[tokio::test]
async fn a_client_is_known_again_when_its_port_changes() {
    let house = House::open(Ipv4Addr::LOCALHOST);
    let (named, later) = (ports().await, ports().await);
    let mut client = Client::connect(house.address).await;
    let transport = named.numbers();
    let granted = client.set_up(transport.0, transport.1).await;
    let session = format!("Session: {}\r\n", granted.session);
    client.get("PLAY", &session).await;
    named.receive(1).await;
    let ssrc = ssrc_of(&mut client).await;
    let (own, other) = (0xc11e_0001, 0xc11e_0002);
    named.report(granted, own, ssrc).await;
    house.until("the report is heard", |house| house.reporter(granted.session) == Some(own)).await;
    // Two datagrams from one port to another arrive in their order.
    later.report(granted, other, ssrc).await;
    later.report(granted, own, ssrc).await;
    house
        .until("RTCP goes to the new port", |house| {
            house.destination(granted.session) == Some((transport.0, later.numbers().1))
        })
        .await;
    assert_eq!(house.reporter(granted.session), Some(own), "the other name is nobody's here");
    named.receive(20).await;
    drop(client);
    house.close().await;
}

/// The SSRC of the stream, as another SETUP tells it.
async fn ssrc_of(client: &mut Client) -> u32 {
    let answer = client.get("SETUP", "Transport: RTP/AVP/TCP;unicast\r\n").await;
    u32::from_str_radix(value_of(&answer, "ssrc=").expect(&answer), 16).unwrap()
}

async fn ports() -> Ports {
    Ports::open(Ipv4Addr::LOCALHOST).await
}
