//! Lines of a reply (RFC 2326 section 7.1, 4.2). Whatever text comes in, one call writes one line.

use bytes::{BufMut, BytesMut};

/// `RTSP/1.0 200 OK`.
pub(crate) fn status_line(out: &mut BytesMut, code: u16, reason: &str) {
    out.put_slice(b"RTSP/1.0 ");
    out.put_slice(code.to_string().as_bytes());
    out.put_u8(b' ');
    text(out, reason);
    line_end(out);
}

/// `Name: value`.
pub(crate) fn header(out: &mut BytesMut, name: &str, value: &str) {
    text(out, name);
    out.put_slice(b": ");
    text(out, value);
    line_end(out);
}

/// The empty line between headers and body.
pub(crate) fn end_of_head(out: &mut BytesMut) {
    line_end(out);
}

fn line_end(out: &mut BytesMut) {
    out.put_slice(b"\r\n");
}

//= https://www.rfc-editor.org/rfc/rfc2326#section-7.1
//# No CR or LF is allowed except in the
//# final CRLF sequence.
fn text(out: &mut BytesMut, text: &str) {
    out.extend(text.bytes().map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
}
