//! What a server sends, read by another's parser, and what it has to send, told by the pure
//! protocol core.

use std::time::Instant;

use bytes::BytesMut;
use rtp_packetizer::rtcp;
use rtsp_proto::{Connection, Event, wire::Limits};

/// What is in the bytes that a server sent on one connection.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// The CSeq of each reply, in order; `None` where it has none.
    pub(crate) cseqs: Vec<Option<String>>,
    /// How many `$` frames there were.
    pub(crate) frames: usize,
    /// How many bytes at the end are the beginning of something.
    pub(crate) incomplete: usize,
    /// Whether the last reply was one in HTTP, which ends a connection.
    pub(crate) http: bool,
}

impl Replies {
    /// Reads all of `received`; panics where it is neither reply nor frame.
    pub(crate) fn read(received: &[u8]) -> Self {
        let mut replies = Self::default();
        let mut rest = received;
        while let Some(&first) = rest.first() {
            let length = if first == b'$' {
                replies.frame(rest)
            } else if rest.starts_with(b"HTTP/1.1 400 ") {
                (replies.http, replies.incomplete) = (true, 0);
                return replies;
            } else {
                replies.reply(rest)
            };
            let Some(after) = length.and_then(|length| rest.get(length..)) else { break };
            rest = after;
        }
        replies.incomplete = rest.len();
        replies
    }

    fn frame(&mut self, rest: &[u8]) -> Option<usize> {
        let &[_, _, high, low, ..] = rest else { return None };
        let end = 4 + usize::from(u16::from_be_bytes([high, low]));
        let packet = rest.get(4..end)?;
        if rtcp::is_rtcp(packet) {
            rtcp::parse(packet).expect("RTCP that can be read");
        } else {
            assert!(packet.len() > 12 && packet[0] == 0x80, "no RTP: {packet:x?}");
        }
        self.frames += 1;
        Some(end)
    }

    fn reply(&mut self, rest: &[u8]) -> Option<usize> {
        let (message, consumed) = match rtsp_types::Message::<Vec<u8>>::parse(rest) {
            Ok(read) => read,
            Err(rtsp_types::ParseError::Incomplete(_)) => return None,
            Err(error) => panic!("{error}: {}", rest.escape_ascii()),
        };
        let rtsp_types::Message::Response(reply) = message else {
            panic!("not a reply: {}", rest[..consumed].escape_ascii());
        };
        let cseq = reply.header(&rtsp_types::headers::CSEQ).map(|cseq| cseq.as_str().to_owned());
        self.cseqs.push(cseq);
        Some(consumed)
    }
}

/// What the requests in a client's bytes have to be answered with.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// The CSeq of each request that is to be answered, in order.
    pub(crate) cseqs: Vec<Option<String>>,
    /// Whether the connection ends behind them, and the CSeqs of what it is told then.
    pub(crate) fatal: Option<Vec<Option<String>>>,
}

impl Due {
    /// Of all that a client `sent`, time left out.
    pub(crate) fn to(sent: &[u8], limits: &Limits) -> Self {
        let now = Instant::now();
        let mut connection = Connection::new(limits.clone(), now);
        let mut input = BytesMut::from(sent);
        let mut due = Self::default();
        loop {
            match connection.receive(&mut input, now) {
                Ok(Some(Event::Request(request))) => {
                    due.cseqs.push(Some(request.cseq().as_str().to_owned()));
                }
                Ok(Some(Event::Refused(reply))) => {
                    let read = Replies::read(&reply.to_bytes());
                    assert_eq!((read.cseqs.len(), read.incomplete), (1, 0));
                    due.cseqs.extend(read.cseqs);
                }
                Ok(Some(Event::Interleaved { .. })) => {}
                Ok(None) => return due,
                Err(fatal) => {
                    let farewell = fatal.answer().filter(|answer| answer.starts_with(b"RTSP/"));
                    due.fatal = Some(farewell.map(|a| Replies::read(&a).cseqs).unwrap_or_default());
                    return due;
                }
            }
        }
    }

    /// Holds what came against it: one reply to each request, in order, perhaps not to the last
    /// ones, and then at most one that ends the connection.
    pub(crate) fn check_order(&self, came: &Replies) {
        let common = self.cseqs.iter().zip(&came.cseqs).take_while(|(due, came)| due == came);
        let common = common.count();
        let beyond = came.cseqs.get(common..).unwrap_or_default();
        // One without a number says why the connection ends: too slow, or no RTSP. One with the
        // number of a request answers that, and says that no other can be found behind it.
        let is_farewell = self.fatal.as_deref() == Some(beyond);
        assert!(is_farewell || matches!(beyond, [] | [None]), "{self:?}, but came {came:?}");
    }
}
