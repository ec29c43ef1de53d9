//! What a server sends, read by another's parser, and what it has to send, told by the pure
//! protocol core.

use std::time::Instant;

use bytes::BytesMut;
use rtp_packetizer::rtcp;
use rtsp_proto::{Connection, Event, wire::Limits};

/// What is in the bytes that a server sent on one connection, read as they come.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// What has come and cannot be read yet.
    rest: Vec<u8>,
    /// The session that was named last.
    pub(crate) session: Option<String>,
    /// Realm and nonce of the last Digest with MD5 that was asked for.
    pub(crate) challenge: Option<(String, String)>,
    /// The CSeq of each reply, in order; `None` where it has none.
    pub(crate) cseqs: Vec<Option<String>>,
    /// How many `$` frames there were.
    pub(crate) frames: usize,
    /// Whether the last reply was one in HTTP, which ends a connection.
    pub(crate) http: bool,
}

impl Replies {
    /// Reads what came; panics where it is neither reply nor frame.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let mut unread = std::mem::take(&mut self.rest);
        unread.extend_from_slice(bytes);
        let mut rest = &unread[..];
        while let Some(&first) = rest.first() {
            // Nothing follows it.
            self.http |= rest.starts_with(b"HTTP/1.1 400 ");
            let length = match first {
                _ if self.http => None,
                b'$' => self.frame(rest),
                _ => self.reply(rest),
            };
            let Some(after) = length.and_then(|length| rest.get(length..)) else { break };
            rest = after;
        }
        self.rest = rest.to_vec();
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
        if let Some(session) = reply.header(&rtsp_types::headers::SESSION) {
            self.session = session.as_str().split(';').next().map(str::to_owned);
        }
        for (name, value) in reply.headers() {
            let digest = value.as_str().rsplit("Digest ").next().unwrap_or_default();
            let of = |key: &str| Some(digest.split(key).nth(1)?.split('"').next()?.to_owned());
            if name.as_str() == "WWW-Authenticate" {
                self.challenge = of("realm=\"").zip(of("nonce=\"")).or(self.challenge.take());
            }
        }
        Some(consumed)
    }
}

/// What the requests in a client's bytes have to be answered with, time left out.
#[derive(Debug)]
pub(crate) struct Due {
    connection: Connection,
    input: BytesMut,
    began: Instant,
    /// The CSeq of each request that is to be answered, in order.
    pub(crate) cseqs: Vec<Option<String>>,
    /// Whether the connection ends behind them, and the CSeqs of what it is told then.
    pub(crate) fatal: Option<Vec<Option<String>>>,
}

impl Due {
    /// Of a client that has sent nothing yet.
    pub(crate) fn new(limits: &Limits) -> Self {
        let began = Instant::now();
        let connection = Connection::new(limits.clone(), began);
        Self { connection, input: BytesMut::new(), began, cseqs: Vec::new(), fatal: None }
    }

    /// The client has sent more.
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        loop {
            match self.connection.receive(&mut self.input, self.began) {
                Ok(Some(Event::Request(request))) => {
                    self.cseqs.push(Some(request.cseq().as_str().to_owned()));
                }
                Ok(Some(Event::Refused(reply))) => {
                    let mut read = Replies::default();
                    read.receive(&reply.to_bytes());
                    assert_eq!((read.cseqs.len(), read.rest.len()), (1, 0));
                    self.cseqs.extend(read.cseqs);
                }
                Ok(Some(Event::Interleaved { .. })) => {}
                Ok(None) => return,
                Err(fatal) => {
                    let mut farewell = Replies::default();
                    if let Some(answer) = fatal.answer().filter(|a| a.starts_with(b"RTSP/")) {
                        farewell.receive(&answer);
                    }
                    self.fatal = Some(farewell.cseqs);
                    return;
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
        assert!(is_farewell || matches!(beyond, [] | [None]), "{:?} {came:?}", self.cseqs);
    }
}
