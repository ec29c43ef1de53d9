//! The quirks of clients, each exercised on purpose: served as a good server serves them, or refused
//! with the session none the worse.
//!
//! Here is what needs a kernel: ports that are translated or closed, zones, resets. What is pure
//! conversation is played in virtual time, by `tests/transcripts`; names ending in `.rtsp` are there.
//!
//! | quirk | shown by |
//! |---|---|
//! | Transport: alternatives, order, spaces, quotes, missing `unicast`, one port or channel, `mode`, odd `ssrc`, `destination`, other protocols | `transports.rtsp`, `transports-udp.rtsp`, `transport-lists.rtsp` |
//! | Transport: no channels, no UDP to be had (461, then TCP) | `transports.rtsp`, `ffmpeg-5.1-no-udp.rtsp`, `gstreamer-1.22-no-udp.rtsp` |
//! | URIs: absolute, only a path, `*`, empty path, userinfo, percent-encoding, upper-case scheme, query, slash at the end | `names-of-a-stream.rtsp`, `play-variants.rtsp`, `keep-alive-bodies.rtsp` |
//! | IPv6 literals and zones | `ipv6.rtsp`, [`zones`] |
//! | URI of a digest: other than that of the request | `digest-uris.rtsp` |
//! | SHA-256 where it is offered | `sha256-login.rtsp`, `libcurl-8.23-tcp-sha256.rtsp`, `aiortsp-1.4-tcp-sha256.rtsp` |
//! | LF alone, folded headers, spaces, empty lines before a request | `line-ends.rtsp` |
//! | header case | `header-case.rtsp` |
//! | CSeq: twice, missing, odd | `cseq.rtsp`, `yellowstone-2.1-tcp-digest.rtsp` |
//! | Session: echoed with its parameter, empty | `session-spellings.rtsp`, `one-url.rtsp` |
//! | `$` frames between requests, and in one segment with half a request | `frames-between.rtsp`, `frames-inside.rtsp` |
//! | wrong channels | `wrong-channel.rtsp`, `frames-between.rtsp` |
//! | one byte to a segment | `one_byte_at_a_time_gets_the_same_answer` in `tests/transcripts.rs`, [`segments`] |
//! | sending side closed behind the last request | [`segments`] |
//! | pipelining | `pipelined.rtsp`, `pipelined-whole.rtsp`, `nonsense-behind-requests.rtsp` |
//! | responses from the client | `responses.rtsp` |
//! | unknown methods, and RTSP's that are not done here | `methods.rtsp`, `refusals.rtsp` |
//! | headers that are ignored, any Accept | `ignored-headers.rtsp` |
//! | ONVIF: Require, headers of a replay | `onvif.rtsp` |
//! | SETUP twice | `setup-twice.rtsp`, `wrong-order.rtsp` |
//! | SETUP with Range or x-playNow | `setup-and-play.rtsp` |
//! | PLAY twice; on either URL, with and without slash and query; Range, Scale, Speed | `play-twice.rtsp`, `play-variants.rtsp`, `pause-and-play.rtsp` |
//! | FFmpeg's way from UDP to TCP | `ffmpeg-5.1-udp-timeout.rtsp` |
//! | a UDP session adopted by a second connection | `udp-adopted.rtsp`, [`connections`] |
//! | keep-alive by RR alone | `udp-kept-by-reports.rtsp`, `aiortsp-1.4-udp-reports.rtsp` |
//! | keep-alive by OPTIONS, GET_PARAMETER, SET_PARAMETER, with and without Session and body | `udp-signs-of-life.rtsp`, `keep-alive-bodies.rtsp` |
//! | ports that are translated, and translated anew | `nat.rtsp`, `nat-late.rtsp`, `nat-rebinding.rtsp`, [`translation`] |
//! | a closed UDP port | [`closed_ports`] |
//! | TEARDOWN of the track, and twice | `teardown-tracks.rtsp`, `teardown-twice.rtsp` |
//! | reset and closed connections | [`connections`], `leaving-early.rtsp` |

mod client;
mod closed_ports;
mod connections;
mod house;
mod segments;
mod translation;
mod zones;
