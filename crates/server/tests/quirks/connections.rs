//! Connections that end without a goodbye, and sessions that outlive theirs.

use std::net::Ipv4Addr;

use crate::{
    client::{Client, Ports},
    house::House,
};

#[tokio::test]
async fn a_session_by_udp_survives_a_reset_and_another_connection_goes_on_with_it() {
    let house = House::open(Ipv4Addr::LOCALHOST);
    let ports = Ports::open(Ipv4Addr::LOCALHOST).await;
    let mut first = Client::connect(house.address).await;
    let granted = first.set_up(ports.numbers().0, ports.numbers().1).await;
    let session = format!("Session: {}\r\n", granted.session);
    first.get("PLAY", &session).await;
    first.reset();
    ports.receive(40).await;

    let mut second = Client::connect(house.address).await;
    second.get("GET_PARAMETER", &session).await;
    second.get("PAUSE", &session).await;
    let answer = second.get("PLAY", &session).await;
    assert!(answer.contains("\r\nRTP-Info: url="), "{answer}");
    ports.receive(20).await;
    second.reset();

    let mut third = Client::connect(house.address).await;
    third.get("TEARDOWN", &session).await;
    assert_eq!(house.sessions(), 0);
    let answer = third.ask("TEARDOWN", &session).await;
    assert!(answer.starts_with("RTSP/1.0 454 "), "{answer}");
    drop(third);
    house.close().await;
}

#[tokio::test]
async fn a_session_within_a_connection_ends_with_its_reset() {
    let house = House::open(Ipv4Addr::LOCALHOST);
    let mut client = Client::connect(house.address).await;
    client.get("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n").await;
    client.get("PLAY", "").await;
    for _ in 0..20 {
        assert!(client.frame().await <= 1);
    }
    assert_eq!(house.sessions(), 1);
    // Replies and pictures are on their way.
    for _ in 0..5 {
        let request = client.request("OPTIONS", "");
        client.send(request.as_bytes()).await;
    }
    client.reset();
    house.until("the session is over", |house| house.sessions() == 0).await;

    Client::connect(house.address).await.get("DESCRIBE", "").await;
    house.close().await;
}

#[tokio::test]
async fn a_reset_in_the_middle_of_anything_harms_nobody() {
    let house = House::open(Ipv4Addr::LOCALHOST);
    let setup = "SETUP /cam RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;unicast\r\n\r\n";
    let play = format!("{setup}PLAY /cam RTSP/1.0\r\nCSeq: 2\r\n\r\n");
    for said in ["", "PL", setup, &play, "$\0\x0f\0", "DESCRIBE /cam RTSP/1.0\r\nCSeq: 1\r\n\r\n"] {
        let mut client = Client::connect(house.address).await;
        client.send(said.as_bytes()).await;
        client.reset();
    }
    Client::connect(house.address).await.get("DESCRIBE", "").await;
    house.until("no session is left", |house| house.sessions() == 0).await;
    house.close().await;
}
