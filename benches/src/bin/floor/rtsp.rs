//! Just enough RTSP (RFC 2326) for viewers to join and leave: one thread per connection, one viewer
//! each, which waits in a read while the pictures go out. It judges nothing.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Instant,
};

use anyhow::Context;
use bytes::{BufMut, BytesMut};
use media::Clock;
use rtp_packetizer::{
    RtpTimestamp, Ssrc, batch,
    rtcp::{self, SenderInfo},
};
use rtsp_proto::{Connection, Event, Method, Reply, Request, Status, header::Lower, wire::Limits};

use crate::{
    hall::{Hall, Place},
    spawn,
};

/// What is offered, and to whom it goes.
#[derive(Clone)]
pub(crate) struct Stream {
    fmtp: Arc<str>,
    ssrc: Ssrc,
    hall: Arc<Hall>,
    clock: Arc<dyn Clock>,
}

impl Stream {
    /// `fmtp` is the parameters of the session description (RFC 6184 section 8.2.1).
    pub(crate) fn new(fmtp: String, ssrc: Ssrc, hall: Arc<Hall>, clock: Arc<dyn Clock>) -> Self {
        Self { fmtp: fmtp.into(), ssrc, hall, clock }
    }

    /// Waits for viewers from now on; the URL.
    pub(crate) fn listen(self, address: SocketAddr) -> anyhow::Result<String> {
        let listener =
            TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let url = format!("rtsp://{}/floor", listener.local_addr()?);
        spawn("listener", move || {
            for connection in listener.incoming().flatten() {
                let stream = self.clone();
                let serve = move || {
                    let Ok(peer) = connection.peer_addr() else { return };
                    if let Err(error) = stream.serve(connection, peer) {
                        eprintln!("floor: {peer}: {error:#}");
                    }
                    stream.hall.leave(peer);
                };
                if let Err(error) = spawn("connection", serve) {
                    eprintln!("floor: {error:#}");
                }
            }
        })?;
        Ok(url)
    }

    fn serve(&self, mut connection: TcpStream, peer: SocketAddr) -> anyhow::Result<()> {
        connection.set_nodelay(true)?;
        let mut protocol = Connection::new(Limits::default(), Instant::now());
        let mut input = BytesMut::new();
        let mut chunk = [0; 4096];
        let mut chosen = None;
        loop {
            while let Some(event) = protocol.receive(&mut input, Instant::now())? {
                match event {
                    Event::Request(request) => {
                        self.answer(&request, &connection, peer, &mut chosen)?;
                    }
                    Event::Refused(reply) => self.hall.write(&connection, &reply.to_bytes())?,
                    Event::Interleaved { .. } => {}
                }
            }
            let length = connection.read(&mut chunk)?;
            if length == 0 {
                return Ok(());
            }
            input.extend_from_slice(&chunk[..length]);
        }
    }

    fn answer(
        &self,
        request: &Request,
        connection: &TcpStream,
        peer: SocketAddr,
        chosen: &mut Option<Chosen>,
    ) -> anyhow::Result<()> {
        let ok = Reply::to(request, Status::Ok);
        let mut out = BytesMut::new();
        match request.method() {
            Method::Describe => {
                let base = format!("{}/", request.uri_text().trim_end_matches('/'));
                let ok = ok.header("Content-Base", base);
                ok.body("application/sdp", self.describe()).write(&mut out);
            }
            Method::Setup => {
                let offered = request.transports();
                let lower = offered.iter().flat_map(|list| list.specs()).map(|spec| spec.lower);
                let usable = lower.filter_map(|lower| self.choose(lower, peer)).next();
                let Some((place, transport)) = usable else {
                    let reply = Reply::to(request, Status::UnsupportedTransport);
                    return Ok(self.hall.write(connection, &reply.to_bytes())?);
                };
                *chosen = Some(place);
                let ok = ok.header("Session", SESSION).header("Transport", transport);
                ok.write(&mut out);
            }
            Method::Play => {
                let Some(chosen) = *chosen else {
                    let reply = Reply::to(request, Status::MethodNotValidInThisState);
                    return Ok(self.hall.write(connection, &reply.to_bytes())?);
                };
                ok.header("Session", SESSION).write(&mut out);
                self.report(chosen, false, &mut out);
                self.hall.write(connection, &out)?;
                let place = match chosen {
                    Chosen::Udp { rtp, .. } => Place::Udp(rtp),
                    Chosen::Tcp => Place::Tcp(connection.try_clone()?),
                };
                self.hall.enter(peer, place);
                return Ok(());
            }
            Method::Teardown => {
                self.hall.leave(peer);
                if let Some(chosen) = chosen.take() {
                    self.report(chosen, true, &mut out);
                }
                ok.header("Session", SESSION).write(&mut out);
            }
            _ => ok.header("Session", SESSION).write(&mut out),
        }
        Ok(self.hall.write(connection, &out)?)
    }

    fn choose(&self, lower: Lower, peer: SocketAddr) -> Option<(Chosen, String)> {
        match lower {
            Lower::Udp { client_port: Some((rtp, rtcp)) } => {
                let (own_rtp, own_rtcp) = self.hall.ports().ok()?;
                let transport = format!(
                    "RTP/AVP;unicast;client_port={rtp}-{rtcp};server_port={own_rtp}-{own_rtcp}"
                );
                let [rtp, rtcp] = [rtp, rtcp].map(|port| SocketAddr::new(peer.ip(), port));
                Some((Chosen::Udp { rtp, rtcp }, transport))
            }
            Lower::Tcp { interleaved: None | Some((0, 1)) } => {
                Some((Chosen::Tcp, "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned()))
            }
            _ => None,
        }
    }

    /// A sender report, into `out` where it is interleaved. What was sent is not counted.
    fn report(&self, chosen: Chosen, goodbye: bool, out: &mut BytesMut) {
        let info = SenderInfo {
            ssrc: self.ssrc,
            ntp: self.clock.wall().to_ntp(),
            timestamp: RtpTimestamp(0),
            packets: 0,
            octets: 0,
            cname: "floor",
        };
        let mut report = BytesMut::new();
        if goodbye {
            rtcp::write_bye(&mut report, &info, "");
        } else {
            rtcp::write_sender_report(&mut report, &info);
        }
        match chosen {
            Chosen::Udp { rtcp, .. } => self.hall.report(rtcp, &report),
            Chosen::Tcp => {
                out.put_slice(&batch::interleaved_header(1, report.len()));
                out.put_slice(&report);
            }
        }
    }

    fn describe(&self) -> String {
        let fmtp = &self.fmtp;
        format!(
            "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=floor\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
             a=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 {fmtp}\r\na=control:trackID=0\r\n"
        )
    }
}

/// How a viewer's packets go.
#[derive(Copy, Clone)]
enum Chosen {
    Udp { rtp: SocketAddr, rtcp: SocketAddr },
    Tcp,
}

/// The same for all: it is the connection that tells viewers apart.
const SESSION: &str = "floor00000000000000;timeout=600";
