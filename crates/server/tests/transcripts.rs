//! Conversations with the server, played in virtual time: what real clients send, and what they
//! are known to stumble over. The files say what each is about.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use proptest::{collection::vec, prelude::*, sample};
use support::{in_virtual_time, stage::Stage};
use testkit::transcript::{Cuts, Pause, Player, Transcript};

mod support;

macro_rules! transcripts {
    ($($name:ident = $file:literal)*) => {
        $(#[test]
        fn $name() {
            play($file, Cuts::default());
        })*

        const TESTED: &[&str] = &[$($file),*];
    };
}

transcripts! {
    aiortsp_1_4_tcp_digest = "aiortsp-1.4-tcp-digest.rtsp"
    aiortsp_1_4_tcp_keepalive = "aiortsp-1.4-tcp-keepalive.rtsp"
    aiortsp_1_4_tcp_sha256 = "aiortsp-1.4-tcp-sha256.rtsp"
    aiortsp_1_4_tcp = "aiortsp-1.4-tcp.rtsp"
    aiortsp_1_4_udp_digest = "aiortsp-1.4-udp-digest.rtsp"
    aiortsp_1_4_udp_keepalive = "aiortsp-1.4-udp-keepalive.rtsp"
    aiortsp_1_4_udp_reports = "aiortsp-1.4-udp-reports.rtsp"
    aiortsp_1_4_udp = "aiortsp-1.4-udp.rtsp"
    cached_keyframe = "cached-keyframe.rtsp"
    cseq = "cseq.rtsp"
    describe_503 = "describe-503.rtsp"
    digest_uris = "digest-uris.rtsp"
    ffmpeg_5_1_no_udp = "ffmpeg-5.1-no-udp.rtsp"
    ffmpeg_5_1_query = "ffmpeg-5.1-query.rtsp"
    ffmpeg_5_1_tcp_digest = "ffmpeg-5.1-tcp-digest.rtsp"
    ffmpeg_5_1_tcp_keepalive = "ffmpeg-5.1-tcp-keepalive.rtsp"
    ffmpeg_5_1_tcp = "ffmpeg-5.1-tcp.rtsp"
    ffmpeg_5_1_udp_digest = "ffmpeg-5.1-udp-digest.rtsp"
    ffmpeg_5_1_udp_timeout = "ffmpeg-5.1-udp-timeout.rtsp"
    ffmpeg_5_1_udp = "ffmpeg-5.1-udp.rtsp"
    ffprobe_5_1_tcp_digest = "ffprobe-5.1-tcp-digest.rtsp"
    ffprobe_5_1_tcp = "ffprobe-5.1-tcp.rtsp"
    ffprobe_5_1_udp_digest = "ffprobe-5.1-udp-digest.rtsp"
    ffprobe_5_1_udp = "ffprobe-5.1-udp.rtsp"
    frames_between = "frames-between.rtsp"
    frames_inside = "frames-inside.rtsp"
    gstreamer_1_22_no_udp = "gstreamer-1.22-no-udp.rtsp"
    gstreamer_1_22_query = "gstreamer-1.22-query.rtsp"
    gstreamer_1_22_tcp_digest = "gstreamer-1.22-tcp-digest.rtsp"
    gstreamer_1_22_udp = "gstreamer-1.22-udp.rtsp"
    header_case = "header-case.rtsp"
    header_needed = "header-needed.rtsp"
    http = "http.rtsp"
    ignored_headers = "ignored-headers.rtsp"
    ipv6 = "ipv6.rtsp"
    keep_alive_bodies = "keep-alive-bodies.rtsp"
    leaving_early = "leaving-early.rtsp"
    libcurl_8_23_tcp_digest = "libcurl-8.23-tcp-digest.rtsp"
    libcurl_8_23_tcp_sha256 = "libcurl-8.23-tcp-sha256.rtsp"
    libcurl_8_23_tcp = "libcurl-8.23-tcp.rtsp"
    line_ends = "line-ends.rtsp"
    login_first = "login-first.rtsp"
    methods = "methods.rtsp"
    mpv_0_35_tcp = "mpv-0.35-tcp.rtsp"
    mpv_0_35_udp_digest = "mpv-0.35-udp-digest.rtsp"
    names_of_a_stream = "names-of-a-stream.rtsp"
    nat_late = "nat-late.rtsp"
    nat_rebinding = "nat-rebinding.rtsp"
    nat = "nat.rtsp"
    nonsense_behind_requests = "nonsense-behind-requests.rtsp"
    nonsense_behind_waiting = "nonsense-behind-waiting.rtsp"
    not_rtsp = "not-rtsp.rtsp"
    old_nonce = "old-nonce.rtsp"
    one_url = "one-url.rtsp"
    onvif = "onvif.rtsp"
    opencv_5_0_tcp_digest = "opencv-5.0-tcp-digest.rtsp"
    opencv_5_0_tcp = "opencv-5.0-tcp.rtsp"
    opencv_5_0_udp_digest = "opencv-5.0-udp-digest.rtsp"
    opencv_5_0_udp = "opencv-5.0-udp.rtsp"
    pause_and_play_udp = "pause-and-play-udp.rtsp"
    pause_and_play = "pause-and-play.rtsp"
    pipelined_whole = "pipelined-whole.rtsp"
    pipelined = "pipelined.rtsp"
    play_twice = "play-twice.rtsp"
    play_variants = "play-variants.rtsp"
    play_while_starting = "play-while-starting.rtsp"
    play_without_pictures = "play-without-pictures.rtsp"
    pyav_18_tcp_digest = "pyav-18-tcp-digest.rtsp"
    pyav_18_udp = "pyav-18-udp.rtsp"
    refusals = "refusals.rtsp"
    responses = "responses.rtsp"
    retina_0_4_tcp_digest = "retina-0.4-tcp-digest.rtsp"
    retina_0_4_tcp = "retina-0.4-tcp.rtsp"
    retina_0_4_udp = "retina-0.4-udp.rtsp"
    server_stops = "server-stops.rtsp"
    session_spellings = "session-spellings.rtsp"
    setup_and_play = "setup-and-play.rtsp"
    setup_twice = "setup-twice.rtsp"
    sha256_login = "sha256-login.rtsp"
    silence = "silence.rtsp"
    source_pauses = "source-pauses.rtsp"
    stale_nonce = "stale-nonce.rtsp"
    stream_ends = "stream-ends.rtsp"
    tcp_not_playing = "tcp-not-playing.rtsp"
    tcp_silent = "tcp-silent.rtsp"
    teardown_tracks = "teardown-tracks.rtsp"
    teardown_twice = "teardown-twice.rtsp"
    theft = "theft.rtsp"
    transport_lists = "transport-lists.rtsp"
    transports_udp = "transports-udp.rtsp"
    transports = "transports.rtsp"
    two_sessions = "two-sessions.rtsp"
    udp_adopted = "udp-adopted.rtsp"
    udp_dies_of_silence = "udp-dies-of-silence.rtsp"
    udp_kept_by_reports = "udp-kept-by-reports.rtsp"
    udp_signs_of_life = "udp-signs-of-life.rtsp"
    wrong_channel = "wrong-channel.rtsp"
    wrong_order = "wrong-order.rtsp"
    wrong_password = "wrong-password.rtsp"
    yellowstone_2_1_first_picture = "yellowstone-2.1-first-picture.rtsp"
    yellowstone_2_1_tcp_digest = "yellowstone-2.1-tcp-digest.rtsp"
    yellowstone_2_1_tcp = "yellowstone-2.1-tcp.rtsp"
}

/// Plays a transcript; what the server has sent, by connection.
fn play(file: &str, cuts: Cuts) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(directory().join(file)).expect(file);
    let transcript = Transcript::parse(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    in_virtual_time(async {
        let played = Player::new(Stage::default(), cuts.clone()).play(&transcript).await;
        played.unwrap_or_else(|failure| panic!("{file}:{failure}\n  {cuts:?}"))
    })
}

/// One byte to a segment, each looked at before the next.
#[test]
fn one_byte_at_a_time_gets_the_same_answer() {
    for file in WITHOUT_PORTS {
        let cut = play(file, Cuts { lengths: vec![1], pause: Pause::Turns(2) });
        assert!(play(file, Cuts::default()) == cut, "{file}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// However a conversation is cut into pieces, the server says the same, byte for byte.
    #[test]
    fn any_cut_gets_the_same_answer(
        lengths in vec(prop_oneof![1..4usize, 1..40usize, 100..400usize], 1..12),
        turns in 1..20usize,
        file in sample::select(WITHOUT_PORTS),
    ) {
        let whole = play(file, Cuts::default());
        let cut = play(file, Cuts { lengths, pause: Pause::Turns(turns) });
        prop_assert!(whole == cut, "{file}");
        prop_assert!(whole.iter().any(|connection| !connection.is_empty()));
    }

    /// However long the pieces take to come, the conversation is the same.
    #[test]
    fn slow_clients_are_answered_alike(
        lengths in vec(20..400usize, 1..6),
        millis in 1..3u64,
        file in sample::select(WITHOUT_PORTS),
    ) {
        play(file, Cuts { lengths, pause: Pause::Time(Duration::from_millis(millis)) });
    }
}

/// Transcripts without UDP, whose ports differ each time: with and without a login, pictures,
/// pauses, `$` frames and requests that wait.
const WITHOUT_PORTS: &[&str] = &[
    "ffmpeg-5.1-tcp-digest.rtsp",
    "frames-between.rtsp",
    "frames-inside.rtsp",
    "gstreamer-1.22-tcp-digest.rtsp",
    "header-case.rtsp",
    "line-ends.rtsp",
    "names-of-a-stream.rtsp",
    "pause-and-play.rtsp",
    "pipelined-whole.rtsp",
    "pipelined.rtsp",
    "play-variants.rtsp",
    "refusals.rtsp",
    "responses.rtsp",
    "two-sessions.rtsp",
    "wrong-order.rtsp",
    "wrong-password.rtsp",
];

#[test]
fn every_transcript_is_played() {
    let files = fs::read_dir(directory()).expect("the transcripts");
    let files: BTreeSet<_> =
        files.map(|file| file.expect("a file").file_name().into_string().unwrap()).collect();
    assert_eq!(files, TESTED.iter().map(|file| (*file).to_owned()).collect());
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}
