//! RTP and RTCP packets in words.

use super::pattern::{Names, Pattern};

/// Which of a client's two ports.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}

/// A pair of ports of the client's host: 1 is the one it names, others are what address translation
/// may make of it.
pub type Pair = usize;

/// One port of the client's host.
pub type Place = (Pair, Port);

/// What a packet has to be.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    text: String,
    protocol: Port,
    words: Vec<String>,
    fields: Vec<(String, Pattern)>,
}

/// What a packet is.
#[derive(Debug)]
pub(super) struct Described {
    protocol: Port,
    words: Vec<&'static str>,
    fields: Vec<(&'static str, String)>,
}

impl Expected {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (protocol, known) = match words.next() {
            Some("rtp") => (Port::Rtp, RTP_WORDS),
            Some("rtcp") => (Port::Rtcp, RTCP_WORDS),
            _ => return Err(format!("neither rtp nor rtcp: {text:?}")),
        };
        let mut expected =
            Self { text: text.to_owned(), protocol, words: Vec::new(), fields: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some((name, value)) if FIELDS.contains(&name) => {
                    expected.fields.push((name.to_owned(), Pattern::parse(value)?));
                }
                None if known.contains(&word) => expected.words.push(word.to_owned()),
                _ => return Err(format!("no packet is {word:?}")),
            }
        }
        Ok(expected)
    }

    pub(super) fn matches(&self, described: &Described, names: &mut Names) -> bool {
        let words = match self.protocol {
            Port::Rtp => self.words.iter().all(|word| described.words.contains(&word.as_str())),
            Port::Rtcp => self.words == described.words,
        };
        let field = |name: &str| described.fields.iter().find(|(known, _)| *known == name);
        // Names are taken only from a packet that is the right one in all.
        let mut new = names.clone();
        let is_it = self.protocol == described.protocol
            && words
            && self.fields.iter().all(|(name, pattern)| {
                field(name).is_some_and(|(_, value)| pattern.matches(value, &mut new))
            });
        if is_it {
            *names = new;
        }
        is_it
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Described {
    /// `None`: neither RTP nor RTCP.
    pub(super) fn of(packet: &[u8]) -> Option<Self> {
        let [first, second, ..] = *packet else { return None };
        match (first >> 6, second) {
            (2, 200..=207) => rtcp(packet),
            (2, _) => rtp(packet),
            _ => None,
        }
    }
}

/// A packet in words, for messages.
pub(super) fn describe(packet: &[u8]) -> String {
    match Described::of(packet) {
        Some(described) => format!("{described:?}"),
        None => format!("{} bytes {:02x?}", packet.len(), &packet[..packet.len().min(16)]),
    }
}

/// A receiver report (RFC 3550 section 6.4.2) about `ssrc`, with nothing lost.
pub(super) fn receiver_report(ssrc: u32) -> Vec<u8> {
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(REPORTER.to_be_bytes());
    report.extend(ssrc.to_be_bytes());
    report.resize(32, 0);
    report
}

fn rtp(packet: &[u8]) -> Option<Described> {
    let payload = packet.get(12..)?;
    let mut words = Vec::new();
    let nal_type = |byte: &u8| byte & 0x1f;
    let unit = match payload.first().map(nal_type)? {
        // STAP-A: the first unit stands behind its length.
        24 => payload.get(3).map(nal_type)?,
        // FU-A: only the first fragment begins the unit.
        28 => match payload.get(1)? {
            header if header & 0x80 != 0 => nal_type(header),
            header => nal_type(header) | NOT_THE_FIRST,
        },
        unit => unit,
    };
    words.extend(match unit {
        7 => Some("keyframe"),
        5 => Some("idr"),
        1 => Some("slice"),
        _ => None,
    });
    if packet[1] & 0x80 != 0 {
        words.push("marker");
    }
    let fields = vec![
        ("pt", (packet[1] & 0x7f).to_string()),
        ("seq", u16::from_be_bytes([packet[2], packet[3]]).to_string()),
        ("rtptime", number(packet, 4)?.to_string()),
        ("ssrc", format!("{:08X}", number(packet, 8)?)),
    ];
    Some(Described { protocol: Port::Rtp, words, fields })
}

fn rtcp(mut rest: &[u8]) -> Option<Described> {
    let mut described = Described { protocol: Port::Rtcp, words: Vec::new(), fields: Vec::new() };
    while let &[_, packet_type, high, low, ..] = rest {
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let (packet, behind) = rest.split_at_checked(length)?;
        described.words.push(match packet_type {
            200 => "sr",
            201 => "rr",
            202 => "sdes",
            203 => "bye",
            _ => return None,
        });
        match packet_type {
            200 => described.fields.extend([
                ("ssrc", format!("{:08X}", number(packet, 4)?)),
                ("ntp", format!("{}.{}", number(packet, 8)?, number(packet, 12)?)),
                ("rtptime", number(packet, 16)?.to_string()),
                ("packets", number(packet, 20)?.to_string()),
                ("octets", number(packet, 24)?.to_string()),
            ]),
            203 => {
                let reason = packet.get(8).and_then(|&length| packet.get(9..9 + length as usize));
                let reason = String::from_utf8_lossy(reason.unwrap_or_default());
                // Fields are parted by spaces.
                described.fields.push(("reason", reason.replace(' ', "-")));
            }
            _ => {}
        }
        rest = behind;
    }
    rest.is_empty().then_some(described)
}

fn number(packet: &[u8], at: usize) -> Option<u32> {
    let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

const RTP_WORDS: &[&str] = &["keyframe", "idr", "slice", "marker"];
const RTCP_WORDS: &[&str] = &["sr", "rr", "sdes", "bye"];
const FIELDS: &[&str] = &["seq", "rtptime", "ssrc", "pt", "ntp", "packets", "octets", "reason"];
/// A bit that no NAL unit type has.
const NOT_THE_FIRST: u8 = 0x80;
/// The SSRC our reports come from.
const REPORTER: u32 = 0x5eed_0001;
