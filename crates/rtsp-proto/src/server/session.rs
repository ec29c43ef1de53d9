//! The session state machine of a server (RFC 2326 appendix A.2).
//!
//! ```text
//!            SETUP            PLAY
//!   Init ───────────▶ Ready ───────────▶ Playing
//!     ▲               │  ▲ ◀───────────────┘ │
//!     └── TEARDOWN ───┘  └ SETUP   PAUSE     │
//!     └────────────────── TEARDOWN ──────────┘
//! ```
//!
//! It says what may happen and what then is so. It sends nothing, starts no source, and knows
//! nothing of connections.

use std::time::{Duration, Instant};

use crate::{
    header::SessionId,
    server::{
        reply::{Refusal, Status},
        request::PUBLIC,
    },
};

/// One client's session with one stream.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    timeout: Duration,
    touched: Instant,
    playing: bool,
    tracks: [Option<Track>; MAX_TRACKS],
}

/// Tracks in one session, and so in one stream: video, audio, metadata, and one to spare.
pub const MAX_TRACKS: usize = 4;

/// Longer than the advertised timeout by this much: clients that keep alive exactly every
/// `timeout` seconds (Media Foundation) must not lose the race.
pub const GRACE: Duration = Duration::from_secs(10);

impl Session {
    /// A session with nothing set up, which advertises `timeout`.
    pub fn new(id: SessionId, now: Instant, timeout: Duration) -> Self {
        Self { id, timeout, touched: now, playing: false, tracks: Default::default() }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The value of the `Session` header of every reply in this session.
    pub fn header(&self) -> String {
        self.id.header(self.timeout)
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        match (self.playing, self.tracks().next()) {
            (_, None) => State::Init,
            (false, Some(_)) => State::Ready,
            (true, Some(_)) => State::Playing,
        }
    }

    /// The tracks that are set up, by number.
    pub fn tracks(&self) -> impl Iterator<Item = (u8, &Track)> {
        (0..).zip(&self.tracks).filter_map(|(number, track)| Some((number, track.as_ref()?)))
    }

    /// A track that is set up.
    pub fn track(&self, number: u8) -> Option<&Track> {
        self.tracks.get(usize::from(number))?.as_ref()
    }

    /// Puts the deadline off. To be called on any request of the session and on any RTCP of it.
    pub fn touch(&mut self, now: Instant) {
        self.touched = now;
    }

    /// When the session ends unless it is touched before: the advertised timeout and [`GRACE`].
    pub fn deadline(&self) -> Instant {
        self.touched + self.timeout + GRACE
    }

    /// SETUP of `track`, which travels over `lower` and which the client calls `url`. Redoing a
    /// track that is set up replaces it, as live555 does.
    ///
    /// # Errors
    ///
    /// 455 while playing; 404 for a track there cannot be.
    pub fn setup(&mut self, track: u8, lower: LowerKind, url: String) -> Result<Setup, Refusal> {
        //= https://www.rfc-editor.org/rfc/rfc2326#section-10.4
        //# A client can issue a SETUP request for a
        //# stream that is already playing to change transport parameters, which
        //# a server MAY allow. If it does not allow this, it MUST respond with
        //# error "455 Method Not Valid In This State".
        if self.playing {
            return Err(self.wrong_state("SETUP while playing; PAUSE or TEARDOWN first"));
        }
        let Some(slot) = self.tracks.get_mut(usize::from(track)) else {
            return Err(Refusal::new(Status::NotFound, "no such track"));
        };
        Ok(match slot.replace(Track { lower, url }) {
            None => Setup::New,
            Some(before) => Setup::Replaced(before),
        })
    }

    /// PLAY of the whole (`None`), or asked of a track's URL, which plays the whole too: clients
    /// send it so when there is one track, and once for each when there are several.
    ///
    /// # Errors
    ///
    /// 455 when nothing is set up, or not this track.
    pub fn play(&mut self, track: Option<u8>) -> Result<Play, Refusal> {
        self.require_set_up(track)?;
        //= https://www.rfc-editor.org/rfc/rfc2326#section-10.5
        //# If a stream is playing, such a PLAY request causes no
        //# further action and can be used by the client to test server liveness.
        let already = std::mem::replace(&mut self.playing, true);
        Ok(if already { Play::AlreadyPlaying } else { Play::Start })
    }

    /// PAUSE of the whole (`None`) or of its only track.
    ///
    /// # Errors
    ///
    /// 455 when nothing is set up, or not this track; 460 for one track of several, which could
    /// only stop them all.
    pub fn pause(&mut self, track: Option<u8>) -> Result<Pause, Refusal> {
        self.require_set_up(track)?;
        if track.is_some() && self.tracks().count() > 1 {
            return Err(Refusal::new(
                Status::OnlyAggregateOperationAllowed,
                "PAUSE the whole stream, not one track",
            ));
        }
        let playing = std::mem::replace(&mut self.playing, false);
        Ok(if playing { Pause::Stop } else { Pause::NotPlaying })
    }

    /// TEARDOWN of the whole (`None`) or of one track; the last track takes the session along.
    ///
    /// # Errors
    ///
    /// 455 when this track is not set up.
    pub fn teardown(&mut self, track: Option<u8>) -> Result<Torn, Refusal> {
        if let Some(number) = track {
            self.require_set_up(track)?;
            let torn = self.tracks.get_mut(usize::from(number)).and_then(Option::take);
            if let (Some(torn), State::Ready | State::Playing) = (torn, self.state()) {
                return Ok(Torn::Track(torn));
            }
        }
        self.playing = false;
        self.tracks = Default::default();
        Ok(Torn::Session)
    }

    //= https://www.rfc-editor.org/rfc/rfc2326#section-11.3.6
    //# The client or server cannot process this request in its current
    //# state.  The response SHOULD contain an Allow header to make error
    //# recovery easier.
    fn wrong_state(&self, detail: &'static str) -> Refusal {
        Refusal::new(Status::MethodNotValidInThisState, detail).allow(match self.state() {
            State::Init => "OPTIONS, DESCRIBE, SETUP, TEARDOWN, GET_PARAMETER, SET_PARAMETER",
            State::Ready | State::Playing => PUBLIC,
        })
    }

    fn require_set_up(&self, track: Option<u8>) -> Result<(), Refusal> {
        let ready = match track {
            None => self.state() != State::Init,
            Some(number) => self.track(number).is_some(),
        };
        if ready { Ok(()) } else { Err(self.wrong_state("nothing is set up; SETUP first")) }
    }
}

/// A track that is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// What it travels over.
    pub lower: LowerKind,
    /// The URL its SETUP was asked of (`Target::url`), for RTP-Info.
    pub url: String,
}

/// What a track travels over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LowerKind {
    /// Datagrams: the session outlives its connection.
    Udp,
    /// Interleaved: the session ends with its connection.
    Tcp,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing is set up.
    Init,
    /// Set up, or paused.
    Ready,
    /// Media are to flow.
    Playing,
}

/// What SETUP did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setup {
    /// The track was not set up before.
    New,
    /// It was, like this: release that.
    Replaced(Track),
}

/// What PLAY asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Play {
    /// Begin to send.
    Start,
    /// Answer, and do nothing else.
    AlreadyPlaying,
}

/// What PAUSE asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Stop sending.
    Stop,
    /// Answer, and do nothing else.
    NotPlaying,
}

/// What TEARDOWN ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Torn {
    /// One track; the session goes on with the others.
    Track(Track),
    /// The session: forget it.
    Session,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "tests have to begin somewhere")]
    fn session() -> (Session, Instant) {
        let now = Instant::now();
        (Session::new(SessionId::from_entropy([1; 16]), now, Duration::from_secs(60)), now)
    }

    fn set_up(session: &mut Session, track: u8) -> Result<Setup, Refusal> {
        session.setup(track, LowerKind::Udp, format!("/cam/{track}"))
    }

    fn with_tracks(tracks: &[u8]) -> Session {
        let (mut session, _) = session();
        for &track in tracks {
            assert_eq!(set_up(&mut session, track), Ok(Setup::New));
        }
        session
    }

    fn status<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Status {
        result.unwrap_err().status
    }

    #[test]
    fn the_way_of_a_session() {
        let mut session = with_tracks(&[]);
        assert_eq!(session.state(), State::Init);
        assert_eq!(set_up(&mut session, 0), Ok(Setup::New));
        assert_eq!(session.state(), State::Ready);
        assert_eq!(session.play(None), Ok(Play::Start));
        assert_eq!(session.state(), State::Playing);
        assert_eq!(session.play(None), Ok(Play::AlreadyPlaying));
        assert_eq!(session.pause(None), Ok(Pause::Stop));
        assert_eq!(session.state(), State::Ready);
        assert_eq!(session.pause(None), Ok(Pause::NotPlaying));
        assert_eq!(session.play(None), Ok(Play::Start));
        assert_eq!(session.teardown(None), Ok(Torn::Session));
        assert_eq!(session.state(), State::Init);
        assert_eq!(session.teardown(None), Ok(Torn::Session));
    }

    #[test]
    fn nothing_plays_or_pauses_before_it_is_set_up() {
        let mut session = with_tracks(&[]);
        for track in [None, Some(0), Some(255)] {
            for refusal in [session.play(track).unwrap_err(), session.pause(track).unwrap_err()] {
                assert_eq!(refusal.status, Status::MethodNotValidInThisState);
                let allow = refusal.allow.unwrap();
                assert!(allow.contains("SETUP") && !allow.contains("PLAY"), "{allow}");
            }
        }
        assert_eq!(status(session.teardown(Some(0))), Status::MethodNotValidInThisState);
        assert_eq!(session.state(), State::Init);
    }

    #[test]
    fn the_only_track_stands_for_the_whole() {
        let mut session = with_tracks(&[2]);
        assert_eq!(session.play(Some(2)), Ok(Play::Start));
        assert_eq!(status(session.play(Some(0))), Status::MethodNotValidInThisState);
        assert_eq!(session.pause(Some(2)), Ok(Pause::Stop));
        assert_eq!(session.play(None), Ok(Play::Start));
        assert_eq!(session.teardown(Some(2)), Ok(Torn::Session));
        assert_eq!(session.state(), State::Init);
    }

    #[test]
    fn one_track_of_several() {
        let mut session = with_tracks(&[0, 1]);
        assert_eq!(session.play(Some(0)), Ok(Play::Start));
        assert_eq!(session.play(Some(1)), Ok(Play::AlreadyPlaying));
        assert_eq!(status(session.pause(Some(1))), Status::OnlyAggregateOperationAllowed);
        assert_eq!(session.state(), State::Playing);
        let torn = session.teardown(Some(1));
        assert_eq!(torn, Ok(Torn::Track(Track { lower: LowerKind::Udp, url: "/cam/1".into() })));
        assert_eq!(session.state(), State::Playing, "the other track goes on");
        assert_eq!(session.tracks().map(|(number, _)| number).collect::<Vec<_>>(), [0]);
        assert_eq!(session.pause(Some(0)), Ok(Pause::Stop));
    }

    #[test]
    fn setting_up_again_replaces_the_track() {
        let mut session = with_tracks(&[0]);
        let tcp = ("/cam?x".to_owned(), LowerKind::Tcp);
        let again = session.setup(0, tcp.1, tcp.0.clone());
        let before = Track { lower: LowerKind::Udp, url: "/cam/0".into() };
        assert_eq!(again, Ok(Setup::Replaced(before)));
        let track = session.track(0).unwrap();
        assert_eq!((&track.url, track.lower), (&tcp.0, tcp.1));
    }

    #[test]
    fn setting_up_while_playing_is_refused() {
        let mut session = with_tracks(&[0]);
        session.play(None).unwrap();
        assert_eq!(status(set_up(&mut session, 0)), Status::MethodNotValidInThisState);
        assert_eq!(status(set_up(&mut session, 1)), Status::MethodNotValidInThisState);
        assert_eq!(session.track(0).unwrap().lower, LowerKind::Udp, "a refusal changes nothing");
        assert_eq!(session.state(), State::Playing);
        session.pause(None).unwrap();
        assert_eq!(set_up(&mut session, 1), Ok(Setup::New), "as FFmpeg changes its transport");
    }

    #[test]
    fn tracks_at_their_limit() {
        let mut session = with_tracks(&[0, 1, 2, 3]);
        assert_eq!(MAX_TRACKS, 4);
        assert_eq!(status(set_up(&mut session, 4)), Status::NotFound);
        assert_eq!(status(set_up(&mut session, 255)), Status::NotFound);
    }

    #[test]
    fn whatever_touches_a_session_puts_off_its_end() {
        let (mut session, now) = session();
        let wait = Duration::from_secs(60) + GRACE;
        assert_eq!(session.deadline(), now + wait);
        let later = now + Duration::from_secs(50);
        session.touch(later);
        assert_eq!(session.deadline(), later + wait);
        assert!(session.header().ends_with(";timeout=60"), "{}", session.header());
    }
}
