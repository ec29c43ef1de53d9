//! The `Transport` header (RFC 2326 section 12.39): how media shall travel.
//!
//! Clients list alternatives in their order of preference, with spellings the grammar does not
//! know. One that cannot be used is kept as such: the next may do, and where none does the answer
//! is 461, on which players try another transport; after a 400 they give up.

use std::{fmt, net::IpAddr};

use smallvec::SmallVec;

/// What the client can use, in its order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportList(SmallVec<[Alternative; 2]>);

/// One alternative of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alternative {
    /// RTP/AVP over something this server knows.
    Rtp(TransportSpec),
    /// Any other, as the client wrote it: another profile or protocol, or numbers that are none.
    Unsupported(String),
}

/// An RTP/AVP transport as the client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportSpec {
    /// What RTP travels over.
    pub lower: Lower,
    /// Whether `multicast` is asked for. Without either word unicast is meant, against the
    /// letter of the RFC: no client that leaves it out means multicast.
    pub multicast: bool,
    /// Whether the client wants to send (`mode=record`, or `receive` as old FFmpeg writes).
    pub record: bool,
}

/// What RTP travels over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// UDP.
    Udp {
        /// The client's ports for RTP and RTCP.
        client_port: Option<(u16, u16)>,
    },
    /// Interleaved in the RTSP connection.
    Tcp {
        /// The channels for RTP and RTCP; `None`: the server chooses (QuickTime, go2rtc).
        interleaved: Option<(u8, u8)>,
    },
}

/// A `Transport` header without a transport in it, or no such header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// SETUP cannot do without.
    #[error("no Transport header")]
    Missing,
    /// Nothing but separators.
    #[error("the Transport header is empty")]
    Empty,
}

impl TransportList {
    /// Reads one header.
    ///
    /// # Errors
    ///
    /// When nothing stands in it.
    pub fn parse(value: &str) -> Result<Self, TransportError> {
        Self::parse_all(std::iter::once(value))
    }

    /// Reads several headers as if they were one.
    ///
    /// # Errors
    ///
    /// When there is none, or nothing stands in them.
    pub fn parse_all<'a>(values: impl Iterator<Item = &'a str>) -> Result<Self, TransportError> {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return Err(TransportError::Missing);
        }
        let list: SmallVec<_> = values
            .flat_map(|value| split(value, ','))
            .map(str::trim)
            .filter(|alternative| !alternative.is_empty())
            .take(MAX_ALTERNATIVES)
            .map(Alternative::parse)
            .collect();
        if list.is_empty() { Err(TransportError::Empty) } else { Ok(Self(list)) }
    }

    /// All alternatives, the preferred first.
    pub fn iter(&self) -> std::slice::Iter<'_, Alternative> {
        self.0.iter()
    }

    /// The alternatives that this server knows, the preferred first.
    pub fn specs(&self) -> impl Iterator<Item = &TransportSpec> {
        self.0.iter().filter_map(|alternative| match alternative {
            Alternative::Rtp(spec) => Some(spec),
            Alternative::Unsupported(_) => None,
        })
    }
}

impl Alternative {
    fn parse(text: &str) -> Self {
        TransportSpec::parse(text).map_or_else(|| Self::Unsupported(text.to_owned()), Self::Rtp)
    }
}

impl TransportSpec {
    /// `None`: not RTP/AVP, or numbers that cannot be meant.
    fn parse(text: &str) -> Option<Self> {
        let mut parameters = split(text, ';').map(str::trim);
        let protocol = parameters.next()?.to_ascii_uppercase();
        let mut lower = match protocol.as_str() {
            "RTP/AVP" | "RTP/AVP/UDP" => Lower::Udp { client_port: None },
            "RTP/AVP/TCP" => Lower::Tcp { interleaved: None },
            _ => return None,
        };
        let (mut multicast, mut record) = (false, false);
        for parameter in parameters {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"').trim();
            match (name.trim().to_ascii_lowercase().as_str(), &mut lower) {
                ("multicast", _) => multicast = true,
                ("mode", _) => record = names_record(value),
                ("client_port", Lower::Udp { client_port }) => *client_port = Some(ports(value)?),
                ("interleaved", Lower::Tcp { interleaved }) => *interleaved = Some(pair(value)?),
                // `ssrc` belongs to the stream; `destination` would send to a third party.
                _ => {}
            }
        }
        Some(Self { lower, multicast, record })
    }
}

/// The one transport a reply names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Lower transport and its numbers.
    pub lower: ChosenLower,
    /// The stream's SSRC.
    pub ssrc: Option<u32>,
    /// Where the media come from; only when it is another host than the RTSP server.
    pub source: Option<IpAddr>,
}

/// Lower transport of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenLower {
    /// UDP unicast.
    Udp {
        /// The client's ports, as it gave them.
        client_port: (u16, u16),
        /// The ports media come from and reports go to.
        server_port: (u16, u16),
    },
    /// Interleaved in the RTSP connection.
    Tcp {
        /// Channels for RTP and RTCP.
        interleaved: (u8, u8),
    },
}

//= https://www.rfc-editor.org/rfc/rfc2326#section-12.39
//# In that case, the server MUST
//# return a single option which was actually chosen.
impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lower {
            ChosenLower::Udp { client_port: (rtp, rtcp), server_port: (from, from_rtcp) } => {
                write!(
                    f,
                    "RTP/AVP;unicast;client_port={rtp}-{rtcp};server_port={from}-{from_rtcp}"
                )?
            }
            ChosenLower::Tcp { interleaved: (rtp, rtcp) } => {
                write!(f, "RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")?;
            }
        }
        if let Some(source) = self.source {
            write!(f, ";source={source}")?;
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        f.write_str(";mode=\"PLAY\"")
    }
}

fn names_record(mode: &str) -> bool {
    mode.split(',')
        .map(|word| word.trim().trim_matches('"'))
        .any(|word| word.eq_ignore_ascii_case("record") || word.eq_ignore_ascii_case("receive"))
}

/// Two ports; port 0 cannot be sent to.
fn ports(text: &str) -> Option<(u16, u16)> {
    pair::<u16>(text).filter(|&(rtp, rtcp)| rtp != 0 && rtcp != 0)
}

/// `4-5`, or `4` alone, which means the same.
fn pair<T: TryFrom<u32>>(text: &str) -> Option<(T, T)> {
    let number = |text: &str| {
        let text = text.trim();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (first, second) = match text.split_once('-') {
        Some((first, second)) => (number(first)?, number(second)?),
        None => number(text).and_then(|first| Some((first, first.checked_add(1)?)))?,
    };
    Some((T::try_from(first).ok()?, T::try_from(second).ok()?))
}

/// Splits at `separator`, but not inside quotes: `mode="PLAY,RECORD"`.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

/// More than any client sends (rtspsrc: three); the rest is not looked at.
const MAX_ALTERNATIVES: usize = 16;

#[cfg(test)]
mod tests;
