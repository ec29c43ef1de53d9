//! Request URIs (RFC 2326 section 3.2), and both ways of naming a track under a stream.
//!
//! Our SDP names a track by the relative URL `trackID=N`. Clients join that to the Content-Base of
//! the DESCRIBE reply in one of two ways, which differ as soon as the URL has a query:
//!
//! ```text
//!  DESCRIBE      rtsp://host/cam?q
//!  Content-Base  rtsp://host/cam/?q          slash before the query: the only form both can use
//!  FFmpeg        rtsp://host/cam/?q/trackID=0   appends text
//!  GStreamer     rtsp://host/cam/trackID=0      resolves as RFC 3986 says, so the query is lost
//! ```
//!
//! With the slash after the query, GStreamer would ask for `rtsp://host/trackID=0`, and the stream
//! would be lost too. Nothing else in this workspace knows of these spellings.

use std::fmt;

use percent_encoding::percent_decode_str;

/// What a request is asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestUri {
    /// `*`: the server as a whole.
    Asterisk,
    /// A stream, or a track of one.
    Target(Target),
}

/// A stream, or a track of one, and how the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    text: String,
    /// `scheme://authority` without userinfo; empty in the form that is only a path.
    origin: String,
    /// From the first slash to the query, track left out, as written.
    raw_path: String,
    /// What stands behind the `?`, track left out, as written.
    query: Option<String>,
    stream: String,
    track: Option<u8>,
}

impl RequestUri {
    /// Reads the URI of a request line: `*`, an absolute URL, or an absolute path.
    ///
    /// # Errors
    ///
    /// When it is none of these, or cannot name a stream.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        if text == "*" { Ok(Self::Asterisk) } else { Target::parse(text).map(Self::Target) }
    }

    /// As it was received.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Asterisk => "*",
            Self::Target(target) => target.as_str(),
        }
    }
}

impl Target {
    /// Reads an absolute URL, or an absolute path.
    ///
    /// # Errors
    ///
    /// When it is neither, or cannot name a stream.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        // Nearly all of them are, and that is quicker to tell.
        let mut unplain = if is_plain { "".chars() } else { text.chars() };
        if let Some(bad) = unplain.find(|c| c.is_control() || c.is_whitespace()) {
            return Err(UriError::Character(bad));
        }
        let (origin, rest) = split_origin(text)?;
        // A fragment is the client's own business.
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let (raw_path, path_track) = split_track(path);
        let (query, query_track) = match query.map(split_track) {
            Some((query, track)) => (Some(query), track),
            None => (None, None),
        };
        Ok(Self {
            text: text.to_owned(),
            origin,
            raw_path: raw_path.to_owned(),
            query: query.filter(|query| !query.is_empty()).map(str::to_owned),
            stream: stream_name(raw_path)?,
            track: path_track.or(query_track),
        })
    }

    /// As it was received; a digest is computed over this text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The stream's name: the path, percent-decoded, without slashes around it and without the
    /// track. Empty for the root.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The track, when one is named.
    pub fn track(&self) -> Option<u8> {
        self.track
    }

    /// The whole URL as the client wrote it, but for userinfo. What RTP-Info calls a track whose
    /// SETUP was asked of this URL.
    pub fn url(&self) -> String {
        let after_origin = split_origin(&self.text).map(|(_, rest)| rest).unwrap_or_default();
        format!("{}{after_origin}", self.origin)
    }

    /// The value of Content-Base in the reply to a DESCRIBE of this URL: userinfo left out, query
    /// kept, and a slash at the end of the path, so that appending and resolving agree.
    pub fn content_base(&self) -> String {
        let path = self.raw_path.trim_end_matches('/');
        let query = self.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{path}/{query}", self.origin)
    }
}

impl fmt::Display for Target {
    /// Without userinfo, which may hold a password: fit for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// The `a=control` attribute of a track in an SDP: a URL relative to Content-Base.
pub fn control(track: u8) -> String {
    format!("{TRACK_PREFIX}{track}")
}

/// A request URI that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Must be percent-encoded.
    #[error("the URL holds {0:?}; write it percent-encoded")]
    Character(char),
    /// Not one of RTSP's.
    #[error("not an rtsp:// URL")]
    Scheme,
    /// Encodes bytes that are not text.
    #[error("the path of the URL is not UTF-8 or holds control characters")]
    NotText,
    /// `..`, which here is nobody's parent.
    #[error("the path of the URL holds \"..\"")]
    ParentDirectory,
}

/// `scheme://authority` without userinfo, and what follows it.
fn split_origin(text: &str) -> Result<(String, &str), UriError> {
    if text.starts_with('/') {
        return Ok((String::new(), text));
    }
    let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
    if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(UriError::Scheme);
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_userinfo, host)| host);
    Ok((format!("{scheme}://{host}"), rest))
}

/// Cuts `…/trackID=N` off the end of a path or query, and slashes around it with it.
fn split_track(text: &str) -> (&str, Option<u8>) {
    let trimmed = text.trim_end_matches('/');
    let (before, last) = match trimmed.rsplit_once('/') {
        Some((before, last)) => (before, last),
        None => ("", trimmed),
    };
    // Some URL libraries percent-encode the equals sign.
    let last = percent_decode_str(last).decode_utf8_lossy();
    match last.strip_prefix(TRACK_PREFIX).and_then(track_number) {
        Some(track) => (before.trim_end_matches('/'), Some(track)),
        None => (trimmed, None),
    }
}

fn track_number(digits: &str) -> Option<u8> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn stream_name(raw_path: &str) -> Result<String, UriError> {
    let name = percent_decode_str(raw_path).decode_utf8().map_err(|_| UriError::NotText)?;
    if name.chars().any(char::is_control) {
        return Err(UriError::NotText);
    }
    let name = name.trim_matches('/');
    if name.split('/').any(|segment| segment == "..") {
        return Err(UriError::ParentDirectory);
    }
    Ok(name.to_owned())
}

const TRACK_PREFIX: &str = "trackID=";

/// `rtspu` is RTSP over UDP and `rtsph` GStreamer's HTTP tunnel; whoever got here got here by TCP.
const SCHEMES: [&str; 5] = ["rtsp", "rtsps", "rtspt", "rtspu", "rtsph"];

#[cfg(test)]
mod tests;
