//! Requests, as they come in a connection.

use std::{hint::black_box, time::Instant};

use benches::requests::{DESCRIBE, GET_PARAMETER, OPTIONS, PLAY, SETUP};
use bytes::BytesMut;
use gungraun::library_benchmark;
use rtsp_proto::{Connection, Event, wire::Limits};

#[library_benchmark]
#[bench::options(arrived(OPTIONS))]
#[bench::describe(arrived(DESCRIBE))]
#[bench::setup_with_digest(arrived(SETUP))]
#[bench::play(arrived(PLAY))]
#[bench::get_parameter(arrived(GET_PARAMETER))]
fn request((mut connection, mut input, now): (Connection, BytesMut, Instant)) -> Event {
    let event = connection.receive(black_box(&mut input), now).expect("a good client");
    event.expect("a whole request")
}

/// The bytes of a request, in a connection that has had one before.
fn arrived(request: &str) -> (Connection, BytesMut, Instant) {
    let now = Instant::now();
    let mut connection = Connection::new(Limits::default(), now);
    let mut first = BytesMut::from(request);
    let event = connection.receive(&mut first, now).expect("a good client");
    assert!(matches!(event, Some(Event::Request(_))), "{event:?}");
    (connection, BytesMut::from(request), now)
}
