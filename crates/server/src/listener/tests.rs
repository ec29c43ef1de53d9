use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtsp_proto::auth::{Authenticator, Config};
use tokio::{io::AsyncReadExt, time::Instant};

use super::*;
use crate::{
    clock::SystemClock,
    credentials::{Access, Accounts},
    entropy::Entropy,
    limits::Limits,
    shared::{Gate, Streams},
};

fn shared(limits: Limits, with_login: bool) -> Arc<Shared> {
    let realm: rtsp_proto::auth::Realm = "test".parse().unwrap();
    let now = Instant::now().into_std();
    let gate = if with_login {
        let authenticator = Authenticator::new(Config::new(realm.clone()), [1; 32], now);
        let access = Access::Users(Accounts { realm, users: Default::default() });
        Gate { access, authenticator: Some(authenticator) }
    } else {
        Gate { access: Access::Open, authenticator: None }
    };
    let entropy = Entropy::new(|bytes| bytes.fill(1));
    let clock = Arc::new(SystemClock);
    Arc::new(Shared::new(Streams::default(), gate, None, clock, entropy, limits))
}

fn host(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
    let mapped = Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped();
    assert_eq!(canonical((mapped, 9).into()), SocketAddr::new(host(7), 9));
    let v6: SocketAddr = (Ipv6Addr::LOCALHOST, 9).into();
    assert_eq!(canonical(v6), v6);
}

/// With real sockets: nothing else shows that the place is given back when the client has gone, and
/// what one that is refused gets to read.
#[tokio::test]
async fn one_too_many_is_told_so_and_closed() {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = watch::channel(false);
    let shared = shared(Limits { connections: 1, ..Limits::default() }, false);
    let server = tokio::spawn(run(listener, shared, shutdown));

    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await.unwrap();
    let mut reply = [0; 15];
    first.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"RTSP/1.0 200 OK");

    let mut second = TcpStream::connect(address).await.unwrap();
    let mut refusal = String::new();
    second.read_to_string(&mut refusal).await.unwrap();
    assert_eq!(refusal, "RTSP/1.0 503 Service Unavailable: too many connections\r\n\r\n");

    drop(first);
    // The server notices in its own time.
    let mut third = loop {
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await.unwrap();
        let read = third.read_exact(&mut reply).await;
        if read.is_ok() && &reply == b"RTSP/1.0 200 OK" {
            break third;
        }
    };

    stop.send_replace(true);
    let mut rest = Vec::new();
    third.read_to_end(&mut rest).await.expect("closed in order, not reset");
    drop(third);
    server.await.expect("all connections have said goodbye");
}
