use super::*;

fn only(text: &str) -> Alternative {
    let list = TransportList::parse(text).unwrap();
    assert_eq!(list.iter().count(), 1, "{text}");
    list.iter().next().unwrap().clone()
}

fn spec(text: &str) -> TransportSpec {
    match only(text) {
        Alternative::Rtp(spec) => spec,
        Alternative::Unsupported(text) => panic!("unsupported: {text}"),
    }
}

fn udp(client_port: impl Into<Option<(u16, u16)>>) -> Lower {
    Lower::Udp { client_port: client_port.into() }
}

fn tcp(interleaved: impl Into<Option<(u8, u8)>>) -> Lower {
    Lower::Tcp { interleaved: interleaved.into() }
}

#[test]
fn lower_transports_and_their_numbers() {
    for (text, lower) in [
        ("RTP/AVP;unicast;client_port=5000-5001", udp((5000, 5001))),
        ("RTP/AVP/UDP;unicast;client_port=5000-5001", udp((5000, 5001))),
        ("rtp/avp/udp;client_port=6970-6971;mode=play", udp((6970, 6971))),
        // Any order, any case, unknown parameters, empty ones, spaces.
        ("RTP/AVP;foo=bar;;Client_Port = 5000 - 5001 ; UNICAST;", udp((5000, 5001))),
        ("RTP/AVP;unicast;client_port=5000", udp((5000, 5001))),
        ("RTP/AVP;unicast;client_port=65534-65535", udp((65534, 65535))),
        ("RTP/AVP;unicast", udp(None)),
        ("RTP/AVP/TCP;unicast;interleaved=0-1", tcp((0, 1))),
        ("RTP/AVP/TCP;interleaved=254-255", tcp((254, 255))),
        ("RTP/AVP/TCP;interleaved=4", tcp((4, 5))),
        ("RTP/AVP/TCP", tcp(None)),
        // Ports of the wrong lower transport are not looked at.
        ("RTP/AVP/TCP;client_port=nonsense;interleaved=2-3", tcp((2, 3))),
        ("RTP/AVP;interleaved=nonsense;client_port=4-5", udp((4, 5))),
    ] {
        let spec = spec(text);
        assert_eq!(spec.lower, lower, "{text}");
        assert!(!spec.multicast, "{text}");
        assert!(!spec.record, "{text}");
    }
}

#[test]
fn what_cannot_be_used_is_kept_for_a_461() {
    for text in [
        "RTP/SAVP;unicast;client_port=5000-5001",
        "RTP/AVPF;unicast;client_port=5000-5001",
        "RTP/AVP/DCCP;unicast",
        "MP2T/H2221/UDP;unicast;client_port=5000",
        "RAW/RAW/UDP;unicast;client_port=5000-5001",
        "RTP/AVP;client_port=0-1",
        "RTP/AVP;client_port=65535",
        "RTP/AVP;client_port=65536-65537",
        "RTP/AVP;client_port=-5",
        "RTP/AVP;client_port=+5000-+5001",
        "RTP/AVP;client_port=",
        "RTP/AVP;client_port=5000-",
        "RTP/AVP/TCP;interleaved=255",
        "RTP/AVP/TCP;interleaved=256-257",
        "RTP/AVP/TCP;interleaved=99999999999-1",
        "RTP/AVP/TCP;interleaved=a-b",
        "x",
        ";",
    ] {
        assert_eq!(only(text), Alternative::Unsupported(text.to_owned()));
    }
}

#[test]
fn modes_in_quotes_and_without() {
    for (mode, record) in [
        ("play", false),
        ("PLAY", false),
        ("\"PLAY\"", false),
        ("record", true),
        ("\"RECORD\"", true),
        ("receive", true),
        ("\"PLAY,RECORD\"", true),
        ("", false),
    ] {
        let text = format!("RTP/AVP;unicast;client_port=2-3;mode={mode}");
        assert_eq!(spec(&text).record, record, "{text}");
    }
}

#[test]
fn wishes_that_are_not_granted() {
    let plain = spec("RTP/AVP;unicast;client_port=2-3");
    for wish in ["ssrc=DEADBEEF", "ssrc=xyz", "destination=192.0.2.1", "destination", "ttl=5", "x="]
    {
        assert_eq!(spec(&format!("RTP/AVP;{wish};unicast;client_port=2-3")), plain, "{wish}");
    }
    let multicast = spec("RTP/AVP;multicast;destination=239.0.0.1;port=5000-5001;ttl=5");
    assert_eq!((multicast.multicast, multicast.lower), (true, udp(None)));
}

#[test]
fn alternatives_keep_their_order() {
    let list = TransportList::parse(
        "RTP/AVP/UDP;unicast;client_port=5000-5001;mode=\"PLAY,RECORD\", RTP/SAVP;unicast,, \
         RTP/AVP/UDP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1 ,",
    )
    .unwrap();
    assert_eq!(list.iter().count(), 4);
    let lowers: Vec<_> = list.specs().map(|spec| (spec.lower, spec.multicast)).collect();
    assert_eq!(lowers, [(udp((5000, 5001)), false), (udp(None), true), (tcp((0, 1)), false)]);
}

#[test]
fn several_headers_are_one_list() {
    let list =
        TransportList::parse_all(["RTP/AVP;client_port=2-3", "RTP/AVP/TCP"].into_iter()).unwrap();
    assert_eq!(list.specs().map(|spec| spec.lower).collect::<Vec<_>>(), [udp((2, 3)), tcp(None)]);
}

#[test]
fn nothing_is_an_error() {
    assert_eq!(TransportList::parse_all(std::iter::empty()), Err(TransportError::Missing));
    for text in ["", " ", ",", " , ,"] {
        assert_eq!(TransportList::parse(text), Err(TransportError::Empty), "{text:?}");
    }
}

#[test]
fn the_list_is_bounded() {
    let many = "RTP/AVP/TCP,".repeat(1000);
    assert_eq!(TransportList::parse(&many).unwrap().iter().count(), MAX_ALTERNATIVES);
}

#[test]
fn replies_name_one_transport() {
    let udp = Chosen {
        lower: ChosenLower::Udp { client_port: (5000, 5001), server_port: (8000, 8001) },
        ssrc: Some(0xbeef),
        source: None,
    };
    assert_eq!(
        udp.to_string(),
        "RTP/AVP;unicast;client_port=5000-5001;server_port=8000-8001;ssrc=0000BEEF;mode=\"PLAY\""
    );
    let tcp = Chosen {
        lower: ChosenLower::Tcp { interleaved: (2, 3) },
        ssrc: None,
        source: Some(IpAddr::from([192, 0, 2, 1])),
    };
    assert_eq!(
        tcp.to_string(),
        "RTP/AVP/TCP;unicast;interleaved=2-3;source=192.0.2.1;mode=\"PLAY\""
    );
}
