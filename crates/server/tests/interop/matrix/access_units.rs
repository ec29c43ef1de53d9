//! Access units of a file and of what a client received, NAL unit by NAL unit.

use std::{fs, path::Path, pin::pin};

use futures::StreamExt;
use media::h264::NalType;
use retina::{
    client::{
        Credentials, PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions,
        TcpTransportOptions, UdpTransportOptions,
    },
    codec::{CodecItem, FrameFormat},
};
use testkit::depacketizer::Depacketizer;
use tokio::{runtime, time::timeout};
use url::Url;

use super::cell::Cell;
use crate::{
    LOGIN,
    player::{LIMIT, Transport},
};

/// Access units, each a list of NAL units.
pub(super) struct AccessUnits(pub(super) Vec<Vec<Vec<u8>>>);

impl AccessUnits {
    /// Those of an Annex B file of one slice a picture, where what is not a slice precedes one.
    pub(super) fn of_file(path: &Path) -> Self {
        let file = fs::read(path).expect("the clip can be read");
        Self(grouped(nal_units(&file)))
    }

    /// Those in RTP packets, each preceded by its length in two bytes (RFC 4571). Any defect of any
    /// packet is a failure, also a first one in the middle of an access unit.
    pub(super) fn of_rtp(cell: &Cell, mut framed: &[u8]) -> Self {
        let mut depacketizer = Depacketizer::new();
        let mut units = Vec::new();
        while let Some((length, rest)) = framed.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            let (packet, rest) = rest
                .split_at_checked(length)
                .unwrap_or_else(|| panic!("{cell}: {} bytes of a packet of {length}", rest.len()));
            framed = rest;
            match depacketizer.push(packet) {
                Ok(unit) => units.extend(unit.map(|unit| unit.nals)),
                Err(defect) => panic!("{cell}: after {} access units: {defect}", units.len()),
            }
        }
        assert_eq!(framed.len(), 0, "{cell}: half a length at the end");
        Self(units)
    }

    /// From the first keyframe on.
    pub(super) fn since_keyframe(self) -> Self {
        let has_idr = |unit: &Vec<Vec<u8>>| unit.iter().any(|nal| kind(nal) == NalType::Idr);
        Self(self.0.into_iter().skip_while(|unit| !has_idr(unit)).collect())
    }

    /// The first of them.
    pub(super) fn first(self, count: usize) -> Self {
        Self(self.0.into_iter().take(count).collect())
    }

    /// Without SPS and PPS, which retina hands out by other means.
    pub(super) fn without_sets(self) -> Self {
        let is_set = |nal: &Vec<u8>| matches!(kind(nal), NalType::Sps | NalType::Pps);
        let without = |unit: Vec<Vec<u8>>| unit.into_iter().filter(|nal| !is_set(nal)).collect();
        Self(self.0.into_iter().map(without).collect())
    }
}

/// What retina's own depacketizer makes of the stream.
pub(super) fn by_retina(cell: &Cell, url: &str, frames: usize) -> AccessUnits {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let play = async { timeout(LIMIT, played_by_retina(cell, url, frames)).await };
    let played = runtime.expect("a runtime").block_on(play);
    let played = played.unwrap_or_else(|_| panic!("{cell} is not over in time"));
    played.unwrap_or_else(|error| panic!("{cell}: {error}"))
}

async fn played_by_retina(
    cell: &Cell,
    url: &str,
    frames: usize,
) -> Result<AccessUnits, retina::Error> {
    let group = std::sync::Arc::new(SessionGroup::default());
    let (username, password) = LOGIN.split_once(':').expect("a name and a password");
    let credentials = Credentials { username: username.to_owned(), password: password.to_owned() };
    let mut url = Url::parse(url).expect("a URL");
    url.set_username("").and_then(|()| url.set_password(None)).expect("a URL with a host");
    let options = SessionOptions::default()
        .session_group(group.clone())
        .creds(cell.is_locked.then_some(credentials));
    let mut session = Session::describe(url, options).await?;
    let transport = match cell.transport {
        Transport::Udp => retina::client::Transport::Udp(UdpTransportOptions::default()),
        Transport::Tcp => retina::client::Transport::Tcp(TcpTransportOptions::default()),
    };
    // Four bytes of length before each NAL unit.
    let setup = SetupOptions::default().transport(transport).frame_format(FrameFormat::MP4);
    session.setup(0, setup).await?;
    let session = session.play(PlayOptions::default()).await?;
    let mut units = Vec::new();
    {
        let mut items = pin!(session.demuxed()?);
        while units.len() < frames {
            let item = items.next().await;
            let item = item.unwrap_or_else(|| panic!("{cell} ends after {}", units.len()))?;
            if let CodecItem::VideoFrame(frame) = item {
                assert_eq!(frame.loss(), 0, "{cell}: packets lost before {}", units.len());
                units.push(length_prefixed(frame.data()));
            }
        }
    }
    // Its TEARDOWN; what becomes of it changes nothing.
    let _ = group.await_teardown().await;
    Ok(AccessUnits(units))
}

/// What is behind the first packet with a marker, of packets framed as [`AccessUnits::of_rtp`] says.
pub(super) fn behind_marker(mut framed: &[u8]) -> &[u8] {
    while let Some((length, rest)) = framed.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((packet, rest)) = rest.split_at_checked(length) else { break };
        framed = rest;
        if packet.get(1).is_some_and(|byte| byte & 0x80 != 0) {
            break;
        }
    }
    framed
}

fn length_prefixed(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut nals = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk() {
        let (nal, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        nals.push(nal.to_vec());
        data = rest;
    }
    nals
}

/// NAL units between start codes (ITU-T H.264 Annex B), without the zeros that belong to those.
fn nal_units(file: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<usize> =
        file.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    let nal = |(start, end): (&usize, usize)| {
        let nal = &file[start + 3..end];
        let length = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        nal[..length].to_vec()
    };
    starts.iter().zip(ends).map(nal).collect()
}

fn grouped(nals: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let is_slice = |nal: &Vec<u8>| matches!(kind(nal), NalType::Idr | NalType::Slice);
    nals.split_inclusive(is_slice).map(<[Vec<u8>]>::to_vec).collect()
}

fn kind(nal: &[u8]) -> NalType {
    NalType::of(nal[0])
}
