//! Single values as text: sizes, rates, bitrates, times, names.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use capture::v4l2::choice::PictureFormat;
use media::{FrameRate, I420Layout, frame::MAX_SIDE};

use crate::config::{Library, Offline, Password, Problem, StreamName, UdpPorts};

/// The distance between keyframes, as people give it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Gop {
    /// A number of pictures, at least 1.
    Frames(u32),
    /// A time.
    Time(Duration),
}

impl Default for Gop {
    /// One keyframe a second: what a viewer that lost a packet waits for at most, and what recorders
    /// that cut at keyframes expect.
    fn default() -> Self {
        Self::Time(Duration::from_secs(1))
    }
}

impl Gop {
    /// The same in pictures, at least 1.
    pub fn frames(self, rate: FrameRate) -> u32 {
        match self {
            Self::Frames(frames) => frames.max(1),
            Self::Time(time) => rate.frames_in(time),
        }
    }
}

/// Reads `1280x720`.
pub(super) fn size(text: &str) -> Result<I420Layout, Problem> {
    let malformed = || Problem::malformed(text, "a size", "1280x720");
    let (width, height) = text.split_once('x').ok_or_else(malformed)?;
    let width = whole(width).ok_or_else(malformed)?;
    let height = whole(height).ok_or_else(malformed)?;
    let side = |side: u64| u32::try_from(side).unwrap_or(u32::MAX);
    I420Layout::new(side(width), side(height)).ok_or_else(|| {
        Problem::impossible(text, format!("each side has from 1 to {MAX_SIDE} pixels"))
    })
}

/// Reads `30`, `29.97` or `30000/1001`.
pub(super) fn frame_rate(text: &str) -> Result<FrameRate, Problem> {
    let malformed = || Problem::malformed(text, "a frame rate", "30, 29.97 or 30000/1001");
    // Longer numbers than these mean nothing as a rate.
    let parts = text.split(['.', '/']);
    if parts.into_iter().any(|part| part.len() > MAX_RATE_DIGITS) {
        return Err(malformed());
    }
    text.parse().map_err(|_| malformed())
}

/// Reads `/dev/v4l2-nvenc=/usr/lib/libnvv4l2.so`: a device, and the library that answers for it.
pub(super) fn library(text: &str) -> Result<Library, Problem> {
    let malformed = || Problem::malformed(text, "a device and its library", LIBRARY_EXAMPLE);
    let (node, path) = text.split_once('=').ok_or_else(malformed)?;
    let (node, path) = (Path::new(node), Path::new(path));
    let is_name = path.components().count() == 1 && path.file_name().is_some();
    if !node.is_absolute() || !(path.is_absolute() || is_name) {
        return Err(malformed());
    }
    Ok(Library { node: node.to_owned(), path: path.to_owned() })
}

/// Reads `2M`, `2.5M`, `800k` or `1500000`: bits per second.
pub(super) fn bitrate(text: &str) -> Result<u32, Problem> {
    let malformed = || Problem::malformed(text, "a bitrate", "2M, 800k or 1500000");
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        _ => (text, 1),
    };
    let bits = scaled(number, unit).ok_or_else(malformed)?;
    if !BITRATES.contains(&bits) {
        let why = format!(
            "a bitrate is from {}k to {}M bits per second",
            BITRATES.start() / 1_000,
            BITRATES.end() / 1_000_000
        );
        return Err(Problem::impossible(text, why));
    }
    u32::try_from(bits).map_err(|_| malformed())
}

/// Reads `1s`, `500ms` or `30`, the last in frames.
pub(super) fn gop(text: &str) -> Result<Gop, Problem> {
    let gop = if text.ends_with('s') {
        duration(text).map(Gop::Time)
    } else {
        whole(text).and_then(|frames| u32::try_from(frames).ok()).map(Gop::Frames)
    };
    match gop {
        None => Err(Problem::malformed(text, "a distance of keyframes", "1s, 500ms or 30")),
        Some(Gop::Frames(0)) => Err(Problem::impossible(text, "1 makes every frame a keyframe")),
        Some(gop) => Ok(gop),
    }
}

/// Reads the name of a format of pictures.
pub(super) fn picture_format(text: &str) -> Result<PictureFormat, Problem> {
    let what = "format of pictures that lenscast takes from a camera";
    text.parse().map_err(|_| Problem::unknown_name(text, what, PICTURE_FORMATS))
}

/// Reads `auto`, `openh264`, or the node of an encoder, with or without `v4l2:` before it.
pub(super) fn encoder(text: &str) -> Result<encode::Choice, Problem> {
    if text.starts_with('/') {
        return Ok(encode::Choice::V4l2(text.into()));
    }
    text.parse()
        .map_err(|_| Problem::malformed(text, "an encoder", "auto, openh264 or /dev/video11"))
}

/// Reads `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, Problem> {
    text.parse().map_err(|_| Problem::malformed(text, "true or false", "true"))
}

/// Reads `card` or `freeze`.
pub(super) fn offline(text: &str) -> Result<Offline, Problem> {
    match text {
        "card" => Ok(Offline::Card),
        "freeze" => Ok(Offline::Freeze),
        _ => Err(Problem::unknown_name(text, "picture of a camera that is away", OFFLINE)),
    }
}

/// Reads `brightness=10`: a control of a camera, and its value.
pub(super) fn control(text: &str) -> Result<(String, String), Problem> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err(Problem::malformed(
            text,
            "a control and its value",
            "controls=brightness=10,contrast=5",
        )),
    }
}

/// Reads `30s`, `1.5s`, `500ms` or `2m`, in `allowed`.
pub(super) fn time(text: &str, allowed: RangeInclusive<Duration>) -> Result<Duration, Problem> {
    let time = duration(text).ok_or_else(|| Problem::malformed(text, "a time", "30s or 500ms"))?;
    if !allowed.contains(&time) {
        let (least, most) = (allowed.start(), allowed.end());
        return Err(Problem::impossible(text, format!("it is from {least:?} to {most:?}")));
    }
    Ok(time)
}

/// Reads a whole number in `allowed`.
pub(super) fn number(text: &str, allowed: RangeInclusive<u64>) -> Result<u64, Problem> {
    let (least, most) = (allowed.start(), allowed.end());
    let number = whole(text).ok_or_else(|| Problem::malformed(text, "a whole number", "100"))?;
    if !allowed.contains(&number) {
        return Err(Problem::impossible(text, format!("it is from {least} to {most}")));
    }
    Ok(number)
}

/// Reads the even port of a pair; 0 is any.
pub(super) fn udp_ports(text: &str) -> Result<UdpPorts, Problem> {
    let malformed = || Problem::malformed(text, "a UDP port", "8000");
    let port = whole(text).ok_or_else(malformed)?;
    let why = "an even port from 2 to 65534 for RTP (RTCP takes the next), or 0 for any";
    let ports = u16::try_from(port).ok().and_then(UdpPorts::new);
    ports.ok_or_else(|| Problem::impossible(text, format!("it is {why}")))
}

/// Reads the largest RTP packet, in bytes.
pub(super) fn packet_size(text: &str) -> Result<u16, Problem> {
    let bytes = whole(text)
        .ok_or_else(|| Problem::malformed(text, "a packet size", "1372, without a unit"))?;
    u16::try_from(bytes).ok().filter(|bytes| PACKET_SIZES.contains(bytes)).ok_or_else(|| {
        let (least, most) = (PACKET_SIZES.start(), PACKET_SIZES.end());
        Problem::impossible(text, format!("a packet has from {least} to {most} bytes"))
    })
}

/// Reads the name of a stream.
pub(super) fn stream_name(text: &str) -> Result<StreamName, Problem> {
    let impossible = |why: &str| Err(Problem::impossible(format!("{text:?}"), why));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_rooted = text.starts_with('/') || text.ends_with('/');
    if text.is_empty() {
        return impossible("a stream needs a name");
    }
    if text.len() > MAX_STREAM_NAME {
        return impossible(&format!("the name of a stream has at most {MAX_STREAM_NAME} letters"));
    }
    if !text.bytes().all(|byte| is_plain(byte) || byte == b'/') {
        return impossible("the name of a stream has letters a-z A-Z, digits, . _ - and inner /");
    }
    if is_rooted || text.split('/').any(str::is_empty) {
        return impossible("in the name of a stream, / stands between two parts");
    }
    if text.split('/').any(|part| matches!(part, "." | "..")) {
        return impossible("players resolve . and .. away: they can be no part of a name");
    }
    Ok(StreamName(text.to_owned()))
}

/// Reads the name of a user.
pub(super) fn user_name(text: &str) -> Result<String, Problem> {
    let impossible = |why: &str| Err(Problem::impossible(format!("{text:?}"), why));
    if text.is_empty() || text.len() > MAX_USER_NAME {
        return impossible(&format!("the name of a user has from 1 to {MAX_USER_NAME} bytes"));
    }
    // Digest joins with colons what it hashes; players put the name in quotes unescaped.
    if text.chars().any(|c| matches!(c, ':' | '"' | '\\') || c.is_control()) {
        return impossible("the name of a user has no : \" \\ or control character");
    }
    Ok(text.to_owned())
}

/// Reads a password. What is wrong with it is said without showing it.
pub(super) fn password(text: &str) -> Result<Password, Problem> {
    let impossible = |why: String| Err(Problem::impossible("this password", why));
    if text.is_empty() || text.len() > MAX_PASSWORD {
        return impossible(format!("it has from 1 to {MAX_PASSWORD} bytes"));
    }
    if text.chars().any(char::is_control) {
        return impossible("it has a control character (a line break, perhaps)".to_owned());
    }
    Ok(Password::new(text))
}

/// A bitrate that looks decent: 2 Mbit/s for 1280x720 at 30 frames per second; with the size to the
/// power of ¾, because larger pictures have more alike neighbours, and with the root of the rate,
/// because frames closer in time differ less. Rounded to 10 kbit/s.
pub(super) fn default_bitrate(layout: I420Layout, rate: FrameRate) -> u32 {
    let size = f64::from(layout.width()) * f64::from(layout.height()) / (1280.0 * 720.0);
    let rate = rate.as_f64() / 30.0;
    let bitrate = 2_000_000.0 * size.sqrt() * size.sqrt().sqrt() * rate.sqrt();
    let rounded = (bitrate / 10_000.0).round() as u64 * 10_000;
    rounded.clamp(*BITRATES.start(), *BITRATES.end()) as u32
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = if let Some(number) = text.strip_suffix("ms") {
        (number, 1)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1_000)
    } else {
        (text.strip_suffix('m')?, 60_000)
    };
    scaled(number, unit).map(Duration::from_millis)
}

/// `2.5` of 1,000 is 2,500; `None` unless that is whole.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (integer, decimals) = number.split_once('.').unwrap_or((number, ""));
    if number.ends_with('.') {
        return None;
    }
    let integer = whole(integer)?.checked_mul(unit)?;
    let Some(decimals) = Some(decimals).filter(|decimals| !decimals.is_empty()) else {
        return Some(integer);
    };
    let scale = 10u64.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let part = whole(decimals)?.checked_mul(unit)?;
    (part % scale == 0).then(|| integer.checked_add(part / scale)).flatten()
}

/// Digits and nothing else: no sign, no blank, no separator.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Below, no picture can be told from another; above, no network of a viewer carries it.
const BITRATES: RangeInclusive<u64> = 10_000..=200_000_000;
/// 576 bytes is the datagram that every IPv4 host must take (RFC 791 section 3.1); 65,507 is the
/// most that fits into one.
const PACKET_SIZES: RangeInclusive<u16> = 576..=65_507;
/// As [`PictureFormat::name`].
const OFFLINE: &[&str] = &["card", "freeze"];
const PICTURE_FORMATS: &[&str] = &["h264", "nv12", "i420", "yuyv", "uyvy", "mjpeg"];
const MAX_RATE_DIGITS: usize = 6;
const MAX_STREAM_NAME: usize = 64;
const MAX_USER_NAME: usize = 64;
const MAX_PASSWORD: usize = 256;
const LIBRARY_EXAMPLE: &str = "/dev/v4l2-nvenc=/usr/lib/aarch64-linux-gnu/tegra/libnvv4l2.so";

#[cfg(test)]
mod tests;
