//! Heads of messages (RFC 2326 section 4, 6.1; RFC 2068 section 4.2): lines, and headers in them.
//!
//! A head that arrives in pieces is scanned from where the last piece ended, never from its
//! beginning, and nothing is set aside for it before it is whole. Lines may end in LF alone. A CR
//! alone ends no line: nobody sends that, and two readings of one byte are one too many.

use std::ops::Range;

use bytes::Bytes;

/// Finds the lines of a head while it arrives.
#[derive(Debug, Default)]
pub(crate) struct LineScanner {
    /// Everything before is known to hold no line end but those of lines already returned.
    scanned: usize,
    line_start: usize,
}

/// A head has reached the limit and not ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl LineScanner {
    /// The next line of `input`, its end left out; `None` when it has not arrived yet. `input` has
    /// to begin with the same bytes each time. At most `limit` bytes are ever looked at.
    pub(crate) fn next_line(
        &mut self,
        input: &[u8],
        limit: usize,
    ) -> Result<Option<Range<usize>>, TooLarge> {
        let end = input.len().min(limit);
        let unseen = input.get(self.scanned..end).unwrap_or_default();
        let Some(at) = unseen.iter().position(|&byte| byte == b'\n') else {
            self.scanned = end;
            return if input.len() >= limit { Err(TooLarge) } else { Ok(None) };
        };
        let line_end = self.scanned + at;
        let start = std::mem::replace(&mut self.line_start, line_end + 1);
        self.scanned = line_end + 1;
        let line = input.get(start..line_end).unwrap_or_default();
        let carriage_return = usize::from(line.ends_with(b"\r"));
        Ok(Some(start..line_end - carriage_return))
    }

    /// How many bytes the lines returned so far take, ends included.
    pub(crate) fn consumed(&self) -> usize {
        self.line_start
    }
}

/// What the first line of a message says it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FirstLine<'a> {
    /// An RTSP request of any version.
    Request { method: &'a str, uri: &'a [u8], version: &'a str },
    /// An RTSP response of any version.
    Response,
    /// An HTTP request.
    Http { method: &'a str },
}

impl<'a> FirstLine<'a> {
    /// `None`: none of these.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        if line.starts_with(b"RTSP/") {
            return Some(Self::Response);
        }
        let line = line.trim_ascii_end();
        let (method, rest) = split_once(line, b' ')?;
        let (uri, version) = rsplit_once(rest, b' ').unwrap_or((b"", rest));
        let method = token(method).filter(|method| method.len() <= MAX_METHOD_LEN)?;
        let version = str::from_utf8(version).ok()?;
        let (protocol, number) = version.split_once('/')?;
        let (major, minor) = number.split_once('.')?;
        if !is_number(major) || !is_number(minor) {
            return None;
        }
        match protocol {
            "RTSP" => Some(Self::Request { method, uri: uri.trim_ascii(), version }),
            "HTTP" => Some(Self::Http { method }),
            _ => None,
        }
    }
}

/// One header.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    name: Bytes,
    value: Bytes,
}

impl Header {
    /// Whether this is its name, in any case of letters.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value, without space around it; `None` when it is not UTF-8 or holds control
    /// characters other than the tab.
    pub(crate) fn text(&self) -> Option<&str> {
        let text = str::from_utf8(&self.value).ok()?;
        // Nearly all of them, and quicker to tell.
        let is_plain = self.value.iter().all(|byte| (b' '..=b'~').contains(byte));
        let is_text = is_plain || text.chars().all(|c| c == '\t' || !c.is_control());
        is_text.then_some(text)
    }
}

/// A line of a head that is not a header, or is too long a one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("a header is longer than {0} bytes")]
    TooLong(usize),
    #[error("a header line has no colon")]
    NoColon,
    #[error("the name of a header is not a token")]
    Name,
    #[error("the first header line begins with a space")]
    FoldedIntoNothing,
}

/// The headers of a whole head, one after another; after an error the next one.
pub(crate) struct Headers<'a> {
    head: &'a Bytes,
    rest: &'a [u8],
    max_len: usize,
}

impl<'a> Headers<'a> {
    /// `head` is whole, its first line included.
    pub(crate) fn new(head: &'a Bytes, max_len: usize) -> Self {
        let (_, rest) = split_line(head);
        Self { head, rest, max_len }
    }
}

impl Iterator for Headers<'_> {
    type Item = Result<Header, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, mut rest) = split_line(self.rest);
        if first.is_empty() {
            return None;
        }
        let mut len = first.len();
        let mut folded = Vec::new();
        while rest.first().is_some_and(|&byte| is_space(byte)) {
            let (line, behind) = split_line(rest);
            len += line.len();
            // Not copied once it is too long to be accepted.
            if len <= self.max_len {
                folded.push(line.trim_ascii());
            }
            rest = behind;
        }
        self.rest = rest;
        Some(if first.first().is_some_and(|&byte| is_space(byte)) {
            Err(HeaderError::FoldedIntoNothing)
        } else if len > self.max_len {
            Err(HeaderError::TooLong(self.max_len))
        } else {
            self.header(first, &folded)
        })
    }
}

impl Headers<'_> {
    fn header(&self, line: &[u8], folded: &[&[u8]]) -> Result<Header, HeaderError> {
        let (name, value) = split_once(line, b':').ok_or(HeaderError::NoColon)?;
        let name = name.trim_ascii_end();
        if !is_token(name) {
            return Err(HeaderError::Name);
        }
        let value = value.trim_ascii();
        let value = if folded.is_empty() {
            self.head.slice_ref(value)
        } else {
            // RFC 2068 section 2.2: all linear white space, including folding, has the same
            // semantics as SP.
            let parts: Vec<_> = std::iter::once(&value).chain(folded).copied().collect();
            let joined = Bytes::from(parts.join(&b' '));
            joined.slice_ref(joined.trim_ascii())
        };
        Ok(Header { name: self.head.slice_ref(name), value })
    }
}

/// Whether a message can begin with this byte.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn token(text: &[u8]) -> Option<&str> {
    is_token(text).then(|| str::from_utf8(text).ok()).flatten()
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The first line without its end, and what follows it.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = split_once(text, b'\n').unwrap_or((text, b""));
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn rsplit_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|&byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Longer than any method's name.
const MAX_METHOD_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_where_they_end() {
        let mut lines = LineScanner::default();
        let text = b"one\r\ntwo\n\r\r\n\r\nrest";
        let mut found = Vec::new();
        while let Some(range) = lines.next_line(text, 100).unwrap() {
            found.push(&text[range]);
        }
        assert_eq!(found, [&b"one"[..], b"two", b"\r", b""]);
        assert_eq!(lines.consumed(), text.len() - "rest".len());
    }

    /// What was looked at once is not looked at again: a line end that turns up there later, which
    /// no real input does, is not seen.
    #[test]
    fn scanned_bytes_are_not_scanned_again() {
        let mut lines = LineScanner::default();
        assert_eq!(lines.next_line(b"abcdef", 100), Ok(None));
        assert_eq!(lines.next_line(b"a\ncdefgh", 100), Ok(None));
        assert_eq!(lines.next_line(b"a\ncdefgh\n", 100), Ok(Some(0..8)));
    }

    #[test]
    fn the_limit_counts_from_the_beginning_of_the_head() {
        let mut lines = LineScanner::default();
        assert_eq!(lines.next_line(b"abc\ndefg", 8), Ok(Some(0..3)));
        assert_eq!(lines.next_line(b"abc\ndef", 8), Ok(None));
        assert_eq!(lines.next_line(b"abc\ndef\n", 8), Ok(Some(4..7)));
        let mut lines = LineScanner::default();
        assert_eq!(lines.next_line(b"abcdefg", 8), Ok(None));
        assert_eq!(lines.next_line(b"abcdefgh\n", 8), Err(TooLarge));
    }

    #[test]
    fn folded_headers_are_one_line() {
        let head = Bytes::from_static(b"X\r\nA: 1\r\n\t2 \r\n   3\r\nB:\r\n \r\n\r\n");
        let values: Vec<_> = Headers::new(&head, 100)
            .map(|header| header.unwrap().text().unwrap().to_owned())
            .collect();
        assert_eq!(values, ["1 2 3", ""]);
    }
}
