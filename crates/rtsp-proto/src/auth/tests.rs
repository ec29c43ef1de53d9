//! Expected responses were computed with Python's hashlib and hmac, or recorded from the players
//! named.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// The first nonce of the key `[7; 32]`.
const NONCE: &str = "00000000000000002f802b5a5aec962876df8e32f7edb065";
const REALM: &str = "lenscast-test";
const PASSWORD: &str = "s3:cret";

struct Known(HashMap<&'static str, Ha1>);

impl Users for Known {
    fn ha1(&self, name: &str) -> Option<&Ha1> {
        self.0.get(name)
    }
}

/// A server, those it knows, and virtual time.
struct Bench {
    authenticator: Authenticator,
    users: Known,
    start: Instant,
}

impl Bench {
    fn new(schemes: Schemes) -> Self {
        Self::with_key(schemes, [7; 32])
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn with_key(schemes: Schemes, key: [u8; 32]) -> Self {
        let start = Instant::now();
        let config = Config { schemes, ..Config::new(realm()) };
        let users = [("lens", PASSWORD), ("ann", PASSWORD), ("Müller, Jörg", "pass")];
        let users = users.map(|(name, pass)| (name, Ha1::from_password(name, &realm(), pass)));
        let authenticator = Authenticator::new(config, key, start);
        Self { authenticator, users: Known(HashMap::from(users)), start }
    }

    fn check_at(
        &self,
        seconds: u64,
        request: (&str, &str),
        authorization: &str,
        accepted: &mut Accepted,
    ) -> Result<UserName, Denial> {
        let (method, uri) = request;
        let uri = &RequestUri::parse(uri).expect("a URI");
        let attempt = Attempt { method, uri, authorization: Some(authorization) };
        let now = self.start + Duration::from_secs(seconds);
        self.authenticator.check(&attempt, accepted, &self.users, now)
    }

    /// On a connection of its own, at the start.
    fn check(&self, request: (&str, &str), authorization: &str) -> Result<UserName, Denial> {
        self.check_at(0, request, authorization, &mut Accepted::new())
    }

    fn challenges(&self, denial: &Denial, user_agent: Option<&str>) -> Vec<String> {
        self.authenticator.challenge(denial, user_agent, self.start)
    }

    /// A nonce made at `seconds`.
    fn nonce_at(&self, seconds: u64) -> String {
        let now = self.start + Duration::from_secs(seconds);
        let challenge = self.authenticator.challenge(&Denial::Missing, None, now).remove(0);
        challenge.split('"').nth(3).expect("realm, then nonce").to_owned()
    }
}

const MD5_ONLY: Schemes = Schemes { sha256: false, basic: false };
const EVERYTHING: Schemes = Schemes { sha256: true, basic: true };

fn realm() -> Realm {
    REALM.parse().expect("a realm")
}

fn name(text: &str) -> UserName {
    UserName(text.into())
}

fn wrong(user: &str) -> Result<UserName, Denial> {
    Err(Denial::Wrong { user: user.into() })
}

/// What a client would send: without qop, and as `algorithm` says.
fn authorization(user: &str, password: &str, nonce: &str, method: &str, uri: &str) -> String {
    let md5 = |parts: &[&str]| {
        use md5::Digest;
        let hash = parts.iter().fold(md5::Md5::new(), |hash, part| hash.chain_update(part));
        crate::header::authorization::encode_hex(&hash.finalize())
    };
    let ha1 = md5(&[user, ":", REALM, ":", password]);
    let ha2 = md5(&[method, ":", uri]);
    let response = md5(&[&ha1, ":", nonce, ":", &ha2]);
    format!(
        r#"Digest username="{user}", realm="{REALM}", nonce="{nonce}", uri="{uri}", response="{response}""#
    )
}

fn sha256_authorization(nonce: &str, method: &str, uri: &str, nc: &str) -> String {
    let sha256 = |parts: &[&str]| {
        use sha2::Digest;
        let hash = parts.iter().fold(sha2::Sha256::new(), |hash, part| hash.chain_update(part));
        crate::header::authorization::encode_hex(&hash.finalize())
    };
    let ha1 = sha256(&["lens:", REALM, ":", PASSWORD]);
    let ha2 = sha256(&[method, ":", uri]);
    let response = sha256(&[&ha1, ":", nonce, ":", nc, ":c0ffee:auth:", &ha2]);
    format!(
        r#"Digest username="lens", realm="{REALM}", nonce="{nonce}", uri="{uri}", algorithm=SHA-256, nc={nc}, cnonce="c0ffee", qop=auth, response="{response}""#
    )
}

/// RFC 7616 section 3.9.1, and RFC 2617 section 3.5 with and without qop (the latter as corrected
/// by the errata of RFC 2069).
#[test]
fn computes_the_examples_of_the_rfcs() {
    let (nonce, cnonce) = (
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    );
    let rfc_7616 = |algorithm: &str, response: &str| {
        format!(
            r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={algorithm}, nonce="{nonce}", nc=00000001, cnonce="{cnonce}", qop=auth, response="{response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
        )
    };
    let rfc_2617 = |rest: &str| {
        format!(
            r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", opaque="5ccc069c403ebaf9f0171e9517f40e41", {rest}"#
        )
    };
    for (value, realm, password) in [
        (
            rfc_7616("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            "http-auth@example.org",
            "Circle of Life",
        ),
        (
            rfc_7616("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            "http-auth@example.org",
            "Circle of Life",
        ),
        (
            rfc_2617(
                r#"qop=auth, nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1""#,
            ),
            "testrealm@host.com",
            "Circle Of Life",
        ),
        (
            rfc_2617(r#"response="1949323746fe6a43ef61f9606e7febea""#),
            "testrealm@host.com",
            "CircleOfLife",
        ),
    ] {
        let Ok(Authorization::Digest(parsed)) = Authorization::parse(&value) else {
            panic!("{value}");
        };
        let realm = realm.parse().expect("a realm");
        let verify = |password: &str, method: &str| {
            let ha1 = Ha1::from_password("Mufasa", &realm, password);
            bool::from(digest::verify(&ha1, method, &parsed))
        };
        assert!(verify(password, "GET"), "{value}");
        assert!(!verify(password, "PUT"), "{value}");
        assert!(!verify("circle of life", "GET"), "{value}");
    }
}

#[test]
fn hashes_of_a_password_are_those_python_computes() {
    assert_eq!(name("lens").to_string(), "lens", "which the log does show");
    let ha1 = Ha1::from_password("lens", &realm(), PASSWORD);
    let (md5, sha256) = (
        "b4d2e5fcf4e2a93345e20d98b9b32f0e",
        "a0b2ed6354d679930016ce37533d1769dc0dbcaebd6fc9cb5451b498e5774caa",
    );
    assert_eq!((&*ha1.md5_hex(), &*ha1.sha256_hex()), (md5, sha256));
    assert_eq!(Ha1::from_hex(md5, &sha256.to_uppercase()), Some(ha1.clone()));
    assert_eq!(Ha1::from_hex(sha256, md5), None);
    assert_ne!(Ha1::from_hex(md5, &sha256.replace('a', "b")), Some(ha1.clone()));
    assert!(!format!("{ha1:?}").contains("b4d2"));
}

#[test]
fn a_realm_is_what_every_client_reads_alike() {
    for good in ["lenscast-k7m2qa9d", "R", "front door, camera 1", &"r".repeat(64)] {
        assert_eq!(good.parse::<Realm>().map(|realm| realm.to_string()), Ok(good.to_owned()));
    }
    assert_eq!("".parse::<Realm>(), Err(RealmError::Length));
    assert_eq!("r".repeat(65).parse::<Realm>(), Err(RealmError::Length));
    for bad in ['"', '\\', '\n', '\0', 'é', '\x7f'] {
        assert_eq!(format!("a{bad}").parse::<Realm>(), Err(RealmError::Character(bad)));
    }
}

/// Recorded where marked so; the others are spelled as the sources of these clients spell them,
/// with responses computed apart from this code.
#[test]
fn lets_in_what_real_clients_send() {
    let bench = Bench::new(EVERYTHING);
    let head =
        |uri: &str| format!(r#"username="lens", realm="{REALM}", nonce="{NONCE}", uri="{uri}""#);
    let here = "rtsp://127.0.0.1:18771/cam";
    let cam = "rtsp://192.0.2.7:8554/cam";
    for (client, request, value) in [
        (
            "FFmpeg 5.1 and GStreamer 1.22, recorded",
            ("DESCRIBE", here),
            format!(r#"Digest {}, response="432172bbe11b5a0c3815e191dd04514d""#, head(here)),
        ),
        (
            "FFmpeg 5.1 and GStreamer 1.22, recorded",
            ("SETUP", "rtsp://127.0.0.1:18771/cam/trackID=0"),
            format!(
                r#"Digest {}, response="c124b2c57d3af0f1aa04c0f53e2cd6d5""#,
                head("rtsp://127.0.0.1:18771/cam/trackID=0")
            ),
        ),
        (
            "FFmpeg 5.1 and GStreamer 1.22, recorded",
            ("PLAY", "rtsp://127.0.0.1:18771/cam/"),
            format!(
                r#"Digest {}, response="4db3b3acd9bbbdcdc4b9c04ffacad4a5""#,
                head("rtsp://127.0.0.1:18771/cam/")
            ),
        ),
        (
            "FFmpeg 5.1, recorded",
            ("TEARDOWN", "rtsp://127.0.0.1:18771/cam/"),
            format!(
                r#"Digest {}, response="9ce85deaebfb8fcb309c82b3ed1600b5""#,
                head("rtsp://127.0.0.1:18771/cam/")
            ),
        ),
        (
            "VLC (live555): SETUP of a track with the URL of the stream",
            ("SETUP", "rtsp://192.0.2.7:8554/cam/trackID=0"),
            format!(
                r#"Digest {}, response="1342ca467d5b5e6369c413888213b943""#,
                head("rtsp://192.0.2.7:8554/cam/")
            ),
        ),
        (
            "retina: its own order, and a query behind which FFmpeg would put the track",
            ("SETUP", "rtsp://192.0.2.7:8554/cam/?q/trackID=0"),
            format!(
                r#"Digest username="lens", realm="{REALM}", uri="rtsp://192.0.2.7:8554/cam/?q/trackID=0", nonce="{NONCE}", response="5da2685bd314a7f48132e20da4cef2fe""#
            ),
        ),
        (
            "retina with SHA-256",
            ("DESCRIBE", cam),
            format!(
                r#"Digest username="lens", realm="{REALM}", uri="{cam}", nonce="{NONCE}", algorithm=SHA-256, nc=00000001, cnonce="c0ffee", qop=auth, response="3d22d27d1c8ac9bc8b32da5683326a5da1e54edb0eaeaa4fdb931fb328e06664""#
            ),
        ),
        (
            "go2rtc: the algorithm in quotes",
            ("DESCRIBE", cam),
            format!(
                r#"Digest {}, response="488cdda7bdc3b954386f766a19a8e1fe", algorithm="MD5""#,
                head(cam)
            ),
        ),
        (
            "Bosch BVMS: only the path",
            ("DESCRIBE", cam),
            format!(r#"Digest {}, response="2fad430990a832791415a3ab13db3e73""#, head("/cam")),
        ),
        (
            "only the path, with a query",
            ("DESCRIBE", "rtsp://192.0.2.7:8554/cam?channel=1"),
            format!(
                r#"Digest {}, response="50A0E7A2741D5FB7144CAFD01B926DC4""#,
                head("/cam?channel=1")
            ),
        ),
        (
            "userinfo left in the URL",
            ("PLAY", "rtsp://lens:s3%3Acret@192.0.2.7:8554/cam"),
            format!(
                r#"Digest {}, response="e98d4e6f74725524b5634b6220aa0198""#,
                head("rtsp://lens:s3%3Acret@192.0.2.7:8554/cam")
            ),
        ),
        (
            "the port left out, a slash at the end",
            ("PLAY", "rtsp://192.0.2.7:554/cam"),
            format!(
                r#"Digest {}, response="2be20b512eb7961151acb5fa7ad002b4""#,
                head("rtsp://192.0.2.7/cam/")
            ),
        ),
        (
            "qop with MD5, though nobody asked for it",
            ("PLAY", "rtsp://192.0.2.7:8554/cam/"),
            format!(
                r#"Digest {}, qop="auth", nc=0000000a, cnonce="5f2c", response="340109089f0f39bef47df544c290f9c9""#,
                head("rtsp://192.0.2.7:8554/cam/")
            ),
        ),
        (
            "SHA-256 without the qop that was asked for",
            ("DESCRIBE", cam),
            format!(
                r#"Digest {}, algorithm=SHA-256, response="82d2859977d26a92e926f21f4a1f605f5be0c5e30aacdfc79076fd6afdc57a07""#,
                head(cam)
            ),
        ),
        ("Basic, a colon in the password", ("PLAY", cam), "Basic bGVuczpzMzpjcmV0".to_owned()),
    ] {
        let mut accepted = Accepted::new();
        let result = bench.check_at(0, request, &value, &mut accepted);
        assert_eq!(result, Ok(name("lens")), "{client}: {value}");
        assert_eq!(accepted.user(), Some(&name("lens")), "{client}");
    }
    let value = format!(
        r#"Digest username="Müller, Jörg", realm="{REALM}", nonce="{NONCE}", uri="/cam", response="7924b92f179a22556444460a61db7adb""#
    );
    assert_eq!(bench.check(("DESCRIBE", "/cam"), &value), Ok(name("Müller, Jörg")));
}

#[test]
fn wrong_user_password_method_and_nonce_are_one_answer() {
    let bench = Bench::new(MD5_ONLY);
    let cam = ("DESCRIBE", "/cam");
    let good = |user, password| authorization(user, password, NONCE, "DESCRIBE", "/cam");
    assert_eq!(bench.check(cam, &good("lens", PASSWORD)), Ok(name("lens")));
    assert_eq!(bench.check(cam, &good("lens", "s3:cres")), wrong("lens"));
    assert_eq!(bench.check(cam, &good("lens", "")), wrong("lens"));
    assert_eq!(bench.check(cam, &good("nobody", PASSWORD)), wrong("nobody"));
    assert_eq!(bench.check(cam, &good("", "")), wrong(""));
    assert_eq!(bench.check(("PLAY", "/cam"), &good("lens", PASSWORD)), wrong("lens"));
    // A header for one user does not serve another who has the same password.
    let stolen = good("lens", PASSWORD).replace(r#"username="lens""#, r#"username="ann""#);
    assert_eq!(bench.check(cam, &stolen), wrong("ann"));
    // The URI is part of the proof.
    let moved = good("lens", PASSWORD).replace("/cam", "/den");
    assert_eq!(bench.check(("DESCRIBE", "/den"), &moved), wrong("lens"));
    // A server before this one made the nonce, or the client did.
    let before = Bench::with_key(MD5_ONLY, [8; 32]).nonce_at(0);
    for foreign in [&before, "", "abc", &NONCE.replacen('0', "1", 1)] {
        let value = authorization("lens", PASSWORD, foreign, "DESCRIBE", "/cam");
        let denial = bench.check(cam, &value).expect_err(foreign);
        assert_eq!(denial, Denial::Wrong { user: "lens".into() });
        assert!(!denial.is_stale() && !denial.is_bad_request() && denial.is_guess());
    }
}

#[test]
fn nobody_is_let_in_by_the_decoy() {
    // What an unknown user is compared with is nothing that could be sent: even the response made
    // of the decoy itself is refused.
    let bench = Bench::new(EVERYTHING);
    let decoy = bench.authenticator.decoy.md5_hex();
    let hash = |text: String| {
        use md5::Digest;
        crate::header::authorization::encode_hex(&md5::Md5::digest(text))
    };
    let response = hash(format!("{decoy}:{NONCE}:{}", hash("DESCRIBE:/cam".to_owned())));
    let value = format!(
        r#"Digest username="nobody", realm="{REALM}", nonce="{NONCE}", uri="/cam", response="{response}""#
    );
    assert_eq!(bench.check(("DESCRIBE", "/cam"), &value), wrong("nobody"));
}

#[test]
fn the_uri_must_be_of_the_same_stream() {
    let bench = Bench::new(MD5_ONLY);
    let value = |uri: &str| authorization("lens", PASSWORD, NONCE, "SETUP", uri);
    for (request, proved, same) in [
        ("rtsp://h:8554/cam/trackID=0", "rtsp://h:8554/cam", true),
        ("rtsp://h:8554/cam/trackID=0", "rtsp://h:8554/cam/", true),
        ("rtsp://h:8554/cam/trackID=0", "rtsp://h:8554/cam/trackID=1", true),
        ("rtsp://h:8554/cam/trackID=0", "RTSP://10.0.0.1/cam", true),
        ("rtsp://h:8554/cam", "rtsp://u:p@h/cam?x=y", true),
        ("rtsp://h:8554/b%C3%BCro", "/büro", true),
        ("rtsp://h:8554/a/b", "/a/b/", true),
        ("rtsp://h:8554", "rtsp://h:8554/", true),
        ("rtsp://h:8554/", "/trackID=0", true),
        ("*", "rtsp://h:8554/cam", true),
        ("*", "*", true),
        ("rtsp://h:8554/cam", "rtsp://h:8554/garden", false),
        ("rtsp://h:8554/cam", "/ca", false),
        ("rtsp://h:8554/cam", "/cam/x", false),
        ("rtsp://h:8554/cam", "/CAM", false),
        ("rtsp://h:8554/cam", "/", false),
        ("rtsp://h:8554/cam", "", false),
        ("rtsp://h:8554/cam", "*", false),
        ("rtsp://h:8554/cam", "cam", false),
        ("rtsp://h:8554/cam", "http://h:8554/cam", false),
        ("rtsp://h:8554/cam", "/garden?/cam", false),
    ] {
        let result = bench.check(("SETUP", request), &value(proved));
        let expected = if same { Ok(name("lens")) } else { Err(Denial::OtherUri) };
        assert_eq!(result, expected, "{request} with {proved:?}");
    }
    assert!(Denial::OtherUri.is_bad_request() && !Denial::OtherUri.is_guess());
    // Which is not told to whoever does not know the password.
    let guess = authorization("lens", "guess", NONCE, "SETUP", "/garden");
    assert_eq!(bench.check(("SETUP", "/cam"), &guess), wrong("lens"));
}

#[test]
fn a_nonce_is_good_until_the_end_of_its_life() {
    let bench = Bench::new(MD5_ONLY);
    let nonce = bench.nonce_at(100);
    let value = authorization("lens", PASSWORD, &nonce, "DESCRIBE", "/cam");
    let at = |seconds| bench.check_at(seconds, ("DESCRIBE", "/cam"), &value, &mut Accepted::new());
    assert_eq!(at(100), Ok(name("lens")));
    assert_eq!(at(399), Ok(name("lens")));
    assert_eq!(at(400), Err(Denial::Stale));
    assert_eq!(at(1_000_000), Err(Denial::Stale));
    // The clock another thread has read may lie a little before.
    assert_eq!(at(99), Ok(name("lens")));
}

#[test]
fn an_old_nonce_is_called_stale_only_to_whoever_knows_the_password() {
    let bench = Bench::new(MD5_ONLY);
    let at = |user, password, nonce: &str, uri| {
        let value = authorization(user, password, nonce, "DESCRIBE", uri);
        bench.check_at(300, ("DESCRIBE", "/cam"), &value, &mut Accepted::new())
    };
    assert_eq!(at("lens", PASSWORD, NONCE, "/cam"), Err(Denial::Stale));
    assert_eq!(at("lens", "guess", NONCE, "/cam"), wrong("lens"));
    assert_eq!(at("nobody", PASSWORD, NONCE, "/cam"), wrong("nobody"));
    assert_eq!(at("lens", PASSWORD, NONCE, "/garden"), Err(Denial::OtherUri));
    assert!(Denial::Stale.is_stale() && !Denial::Stale.is_guess());

    // The challenge that follows says so, with a nonce that is good again.
    let challenge =
        bench.authenticator.challenge(&Denial::Stale, None, bench.start + Duration::from_secs(300));
    let fresh = bench.nonce_at(300);
    let expected = format!(r#"Digest realm="{REALM}", nonce="{fresh}", stale=TRUE"#);
    assert_eq!(challenge, [expected]);
    assert_eq!(at("lens", PASSWORD, &fresh, "/cam"), Ok(name("lens")));
}

#[test]
fn a_nonce_once_used_stays_good_on_its_connection() {
    let bench = Bench::new(MD5_ONLY);
    let mut accepted = Accepted::new();
    let value = |user, method| authorization(user, PASSWORD, NONCE, method, "/cam");
    let mut at = |seconds, user, method| {
        bench.check_at(seconds, (method, "/cam"), &value(user, method), &mut accepted)
    };
    assert_eq!(at(299, "lens", "DESCRIBE"), Ok(name("lens")));
    assert_eq!(at(3000, "lens", "PLAY"), Ok(name("lens")));
    assert_eq!(at(90_000, "lens", "TEARDOWN"), Ok(name("lens")));
    // Not for another user, nor on another connection.
    assert_eq!(at(90_000, "ann", "TEARDOWN"), Err(Denial::Stale));
    let mut other = Accepted::new();
    let elsewhere = bench.check_at(300, ("PLAY", "/cam"), &value("lens", "PLAY"), &mut other);
    assert_eq!(elsewhere, Err(Denial::Stale));
    assert_eq!(other.user(), None);
    // Unless that goes on with the session; which logs in nobody.
    other.learn(&accepted);
    assert_eq!(other.user(), None);
    let adopted = bench.check_at(300, ("PLAY", "/cam"), &value("lens", "PLAY"), &mut other);
    assert_eq!(adopted, Ok(name("lens")));
}

#[test]
fn a_stale_first_use_does_not_make_a_nonce_good() {
    let bench = Bench::new(MD5_ONLY);
    let mut accepted = Accepted::new();
    let value = authorization("lens", PASSWORD, NONCE, "PLAY", "/cam");
    for _ in 0..3 {
        let result = bench.check_at(300, ("PLAY", "/cam"), &value, &mut accepted);
        assert_eq!(result, Err(Denial::Stale));
    }
    assert_eq!(accepted.user(), None);
}

#[test]
fn failure_leaves_what_was_accepted() {
    let bench = Bench::new(MD5_ONLY);
    let mut accepted = Accepted::new();
    let good = authorization("lens", PASSWORD, NONCE, "PLAY", "/cam");
    bench.check_at(0, ("PLAY", "/cam"), &good, &mut accepted).expect("the right password");
    let bad = authorization("ann", "guess", NONCE, "PLAY", "/cam");
    assert_eq!(bench.check_at(1, ("PLAY", "/cam"), &bad, &mut accepted), wrong("ann"));
    assert_eq!(accepted.user(), Some(&name("lens")));
    let ann = authorization("ann", PASSWORD, NONCE, "PLAY", "/cam");
    assert_eq!(bench.check_at(2, ("PLAY", "/cam"), &ann, &mut accepted), Ok(name("ann")));
    assert_eq!(accepted.user(), Some(&name("ann")), "who proved it last");
}

#[test]
fn what_is_remembered_of_nonces_is_bounded() {
    let bench = Bench::new(MD5_ONLY);
    let mut accepted = Accepted::new();
    let mut use_at = |made: u64, now: u64| {
        let nonce = bench.nonce_at(made);
        let value = authorization("lens", PASSWORD, &nonce, "PLAY", "/cam");
        bench.check_at(now, ("PLAY", "/cam"), &value, &mut accepted)
    };
    for made in 0..8 {
        assert_eq!(use_at(made, made), Ok(name("lens")));
    }
    // The first is used again, so the second is now the one not used for longest.
    assert_eq!(use_at(0, 1000), Ok(name("lens")));
    assert_eq!(use_at(900, 1000), Ok(name("lens")));
    assert_eq!(use_at(1, 1000), Err(Denial::Stale));
    assert_eq!(use_at(0, 1000), Ok(name("lens")));
    assert_eq!(use_at(7, 1000), Ok(name("lens")));
}

#[test]
fn with_sha256_counts_rise_on_each_connection() {
    let bench = Bench::new(EVERYTHING);
    let mut connection = Accepted::new();
    let value = |nc| sha256_authorization(NONCE, "PLAY", "/cam", nc);
    let at = |seconds, nc, accepted: &mut Accepted| {
        bench.check_at(seconds, ("PLAY", "/cam"), &value(nc), accepted)
    };
    assert_eq!(at(0, "00000000", &mut connection), Err(Denial::Replayed), "they begin with 1");
    assert_eq!(at(0, "00000001", &mut connection), Ok(name("lens")));
    assert_eq!(at(0, "00000001", &mut connection), Err(Denial::Replayed));
    assert_eq!(at(0, "00000003", &mut connection), Ok(name("lens")), "one may have been lost");
    assert_eq!(at(0, "00000002", &mut connection), Err(Denial::Replayed));
    assert_eq!(at(9999, "0000000a", &mut connection), Ok(name("lens")));
    assert_eq!(at(9999, "ffffffff", &mut connection), Ok(name("lens")));
    assert_eq!(at(9999, "ffffffff", &mut connection), Err(Denial::Replayed));
    assert!(Denial::Replayed.is_stale() && !Denial::Replayed.is_guess());

    // The session's counts go with it to another connection.
    let mut other = Accepted::new();
    assert_eq!(at(0, "00000002", &mut other), Ok(name("lens")));
    other.learn(&connection);
    assert_eq!(at(0, "00000100", &mut other), Err(Denial::Replayed));

    // But never set back those of the connection they come to.
    let mut ahead = Accepted::new();
    assert_eq!(at(0, "00000005", &mut ahead), Ok(name("lens")));
    let mut behind = Accepted::new();
    assert_eq!(at(0, "00000002", &mut behind), Ok(name("lens")));
    ahead.learn(&behind);
    assert_eq!(at(0, "00000005", &mut ahead), Err(Denial::Replayed));

    // A changed count is no longer what was proved.
    let forged = value("00000001").replace("nc=00000001", "nc=00000002");
    assert_eq!(bench.check(("PLAY", "/cam"), &forged), wrong("lens"));
    // MD5 in between does not set the count back.
    let mut mixed = Accepted::new();
    assert_eq!(at(0, "00000005", &mut mixed), Ok(name("lens")));
    let md5 = authorization("lens", PASSWORD, NONCE, "PLAY", "/cam");
    assert_eq!(bench.check_at(0, ("PLAY", "/cam"), &md5, &mut mixed), Ok(name("lens")));
    assert_eq!(at(0, "00000005", &mut mixed), Err(Denial::Replayed));
}

#[test]
fn what_was_not_offered_is_not_accepted() {
    let bench = Bench::new(MD5_ONLY);
    let sha256 = sha256_authorization(NONCE, "PLAY", "/cam", "00000001");
    for (value, what) in [
        (&*sha256, Unsupported::Algorithm),
        ("Basic bGVuczpzMzpjcmV0", Unsupported::Scheme),
        ("Bearer abc", Unsupported::Scheme),
    ] {
        let denial = bench.check(("PLAY", "/cam"), value).expect_err(value);
        assert_eq!(denial, Denial::Unsupported(what));
        assert!(!denial.is_bad_request() && !denial.is_stale());
    }
}

#[test]
fn basic_is_compared_as_strictly() {
    let bench = Bench::new(EVERYTHING);
    // lens:wrong, nobody:s3:cret, lens:, made with Python's base64.
    for (encoded, user) in
        [("bGVuczp3cm9uZw==", "lens"), ("bm9ib2R5OnMzOmNyZXQ=", "nobody"), ("bGVuczo=", "lens")]
    {
        let result = bench.check(("PLAY", "/cam"), &format!("Basic {encoded}"));
        assert_eq!(result, wrong(user));
    }
}

#[test]
fn no_header_is_no_guess_and_a_broken_one_is() {
    let bench = Bench::new(MD5_ONLY);
    let uri = &RequestUri::parse("/cam").expect("a URI");
    let attempt = Attempt { method: "DESCRIBE", uri, authorization: None };
    let denial = bench
        .authenticator
        .check(&attempt, &mut Accepted::new(), &bench.users, bench.start)
        .expect_err("nothing was proved");
    assert_eq!(denial, Denial::Missing);
    assert!(!denial.is_guess() && !denial.is_bad_request() && !denial.is_stale());

    let denial = bench.check(("DESCRIBE", "/cam"), "Digest username").expect_err("broken");
    assert!(denial.is_guess() && denial.is_bad_request() && !denial.is_stale());
    let text = "the Authorization header cannot be read: not a list of name=value, at byte 0 \
                behind the scheme";
    assert_eq!(denial.to_string(), text);
}

#[test]
fn challenges_suit_those_who_read_them() {
    let md5 = format!(r#"Digest realm="{REALM}", nonce="{NONCE}""#);
    let sha256 = format!(r#"{md5}, algorithm=SHA-256, qop="auth""#);
    let basic = format!(r#"Basic realm="{REALM}""#);
    let all = [sha256.clone(), md5.clone(), basic.clone()];
    let sha256_only = Schemes { sha256: true, basic: false };
    let basic_only = Schemes { sha256: false, basic: true };
    for (schemes, agent, expected) in [
        (MD5_ONLY, None, &all[1..2]),
        (MD5_ONLY, Some("HappytimeClient"), &all[1..2]),
        (basic_only, None, &all[1..]),
        (sha256_only, Some("lenscast 0.1"), &all[..2]),
        (EVERYTHING, None, &all[..]),
        (EVERYTHING, Some("Lavf59.27.100"), &all[1..]),
        (EVERYTHING, Some("GStreamer/1.22.0"), &all[1..]),
        (EVERYTHING, Some("LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28)"), &all[1..]),
        (EVERYTHING, Some("openRTSP (LIVE555 Streaming Media v2024.01.01)"), &all[1..]),
        (EVERYTHING, Some("go2rtc/1.9.4"), &all[1..]),
        (sha256_only, Some("lavf58.1.100"), &all[1..2]),
    ] {
        let bench = Bench::new(schemes);
        assert_eq!(bench.challenges(&Denial::Missing, agent), expected, "{schemes:?} {agent:?}");
    }
}

#[test]
fn debug_shows_neither_key_nor_hashes() {
    let shown = format!("{:?}", Bench::with_key(EVERYTHING, [0xab; 32]).authenticator);
    assert!(shown.contains(REALM) && !shown.contains("171") && !shown.contains("ab"), "{shown}");
    let ha1 = Ha1::from_password("lens", &realm(), PASSWORD);
    assert_eq!(format!("{ha1:?}"), "Ha1(…)");
}

proptest! {
    #[test]
    fn no_text_lets_anybody_in(text in ".{0,200}", parameters in "[a-z=\",: ]{0,60}") {
        let bench = Bench::new(EVERYTHING);
        for value in [
            text.clone(),
            format!("Digest {text}"),
            format!("Basic {text}"),
            format!(r#"Digest username="lens", nonce="{NONCE}", uri="/cam", {parameters}"#),
        ] {
            let mut accepted = Accepted::new();
            prop_assert!(bench.check_at(0, ("PLAY", "/cam"), &value, &mut accepted).is_err());
            prop_assert_eq!(accepted.user(), None);
        }
    }

    /// A header that is right lets in; with one character changed it lets in nobody else, and
    /// only where the change means nothing.
    #[test]
    fn one_changed_character_never_makes_another_user(at in 0usize..200, to in " -~") {
        let bench = Bench::new(EVERYTHING);
        let mut value: Vec<char> =
            authorization("lens", PASSWORD, NONCE, "PLAY", "/cam").chars().collect();
        let at = at % value.len();
        value[at] = to.chars().next().expect("one");
        let value: String = value.into_iter().collect();
        if let Ok(user) = bench.check(("PLAY", "/cam"), &value) {
            prop_assert_eq!(user.as_str(), "lens");
            // What is proved is untouched, but for the case of digits.
            let parsed = Authorization::parse(&value);
            let Ok(Authorization::Digest(digest)) = parsed else { panic!("{value}") };
            prop_assert_eq!((&*digest.uri, &*digest.nonce), ("/cam", NONCE));
        }
    }
}
