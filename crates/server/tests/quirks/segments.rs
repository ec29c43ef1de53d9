//! What TCP may do to a request, and what people do to TCP.

use std::net::Ipv4Addr;

use crate::{client::Client, house::House};

#[tokio::test]
async fn a_byte_to_a_segment() {
    let house = House::open(Ipv4Addr::LOCALHOST);
    let mut client = Client::connect(house.address).await;
    for (method, headers) in [
        ("DESCRIBE", "Accept: application/sdp\r\n"),
        ("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"),
        ("PLAY", "Range: npt=0.000-\r\n"),
    ] {
        let request = client.request(method, headers);
        for byte in request.as_bytes() {
            client.send(&[*byte]).await;
        }
        let answer = client.answer().await;
        assert!(answer.starts_with("RTSP/1.0 200 OK\r\n"), "{method}: {answer}");
    }
    assert_eq!(client.frame().await, 1, "it begins with a sender report");
    drop(client);
    house.close().await;
}

/// As `printf … | nc` does. (What would have to wait for a source to start is taken back.)
#[tokio::test]
async fn who_has_nothing_more_to_say_is_answered() {
    let house = House::open(Ipv4Addr::LOCALHOST);
    Client::connect(house.address).await.get("DESCRIBE", "").await;
    let mut client = Client::connect(house.address).await;
    let requests = client.request("OPTIONS", "") + &client.request("DESCRIBE", "");
    client.send(requests.as_bytes()).await;
    client.finish().await;
    for cseq in ["\r\nCSeq: 1\r\n", "\r\nCSeq: 2\r\n"] {
        let answer = client.answer().await;
        assert!(answer.starts_with("RTSP/1.0 200 OK\r\n") && answer.contains(cseq), "{answer}");
    }
    client.end().await;
    house.close().await;
}
