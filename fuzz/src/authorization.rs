//! Logging in: whoever proves to know the password is let in, and nobody else.
//!
//! Input: a byte that chooses. Even: the rest is the value of an `Authorization` header, which
//! cannot be right, since the nonce is not known outside (but for Basic, which is worked out a
//! second time). Odd: the rest says how a right header is spelled, and what is then spoiled.

use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use rtsp_proto::{
    RequestUri,
    auth::{Accepted, Attempt, Authenticator, Config, Denial, Ha1, Realm, UserName, Users},
    header::authorization::{Authorization, Basic},
};
use sha2::{Digest as _, Sha256};

use crate::server::{PASSWORD, USER, md5_response};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let house = House::new(choice & 2 != 0);
    if choice & 1 == 0 {
        if let Ok(value) = str::from_utf8(rest) {
            house.stranger(value);
        }
    } else {
        let _ = house.guest(&mut Unstructured::new(rest));
    }
}

struct House {
    authenticator: Authenticator,
    users: OneUser,
    basic: bool,
    now: Instant,
}

struct OneUser(Ha1);

impl Users for OneUser {
    fn ha1(&self, name: &str) -> Option<&Ha1> {
        (name == USER).then_some(&self.0)
    }
}

impl House {
    fn new(basic: bool) -> Self {
        let realm: Realm = REALM.parse().expect("a realm");
        let users = OneUser(Ha1::from_password(USER, &realm, PASSWORD));
        let mut config = Config::new(realm);
        config.schemes.sha256 = true;
        config.schemes.basic = basic;
        let now = Instant::now();
        Self { authenticator: Authenticator::new(config, [7; 32], now), users, basic, now }
    }

    fn check(
        &self,
        value: &str,
        method: &str,
        uri: &RequestUri,
        accepted: &mut Accepted,
        at: Instant,
    ) -> std::result::Result<UserName, Denial> {
        let attempt = Attempt { method, uri, authorization: Some(value) };
        self.authenticator.check(&attempt, accepted, &self.users, at)
    }

    fn nonce(&self) -> String {
        let challenges = self.authenticator.challenge(&Denial::Missing, None, self.now);
        let nonces: Vec<&str> =
            challenges.iter().filter_map(|text| text.split("nonce=\"").nth(1)).collect();
        assert_eq!(nonces.len(), 2, "one for each algorithm");
        nonces[0].split('"').next().expect("a closing quote").to_owned()
    }

    fn stranger(&self, value: &str) {
        let uri = RequestUri::parse("rtsp://h/cam").expect("a URL");
        let mut accepted = Accepted::new();
        let let_in = self.check(value, "DESCRIBE", &uri, &mut accepted, self.now);
        let parsed = Authorization::parse(value);
        match &let_in {
            Ok(user) => {
                assert_eq!(user.as_str(), USER);
                let Ok(Authorization::Basic(basic)) = &parsed else {
                    panic!("let in with a nonce it cannot know: {value}");
                };
                assert!(self.basic && basic.username == USER && basic.password == PASSWORD);
            }
            Err(denial) => {
                assert!(accepted.user().is_none(), "denied, and yet somebody");
                assert_eq!(parsed.is_err(), matches!(denial, Denial::Malformed(_)), "{denial}");
                if let Ok(Authorization::Basic(basic)) = &parsed {
                    // The log says the same whatever the password is.
                    let other = Basic { password: PASSWORD.to_owned(), ..basic.clone() };
                    assert_eq!(format!("{basic:?}"), format!("{other:?}"));
                }
                let challenges = self.authenticator.challenge(denial, None, self.now);
                assert!(challenges.iter().all(|one| !one.contains(['\r', '\n'])));
            }
        }
    }

    fn guest(&self, u: &mut Unstructured<'_>) -> Result<()> {
        let sha256: bool = u.arbitrary()?;
        let qop = sha256 || u.arbitrary()?;
        let method = *u.choose(&["DESCRIBE", "SETUP", "PLAY", "OPTIONS"])?;
        let uri = *u.choose(&["rtsp://h/cam", "/cam/trackID=0", "*", "rtsp://u:p@h:1/cam/?x#y"])?;
        let count: u32 = u.int_in_range(1..=u32::MAX)?;
        let cnonce = quotable(u.arbitrary::<&str>()?);
        let nonce = self.nonce();
        let nc = format!("{count:08x}");
        let response = match (sha256, qop) {
            (true, _) => sha256_response(&nonce, &nc, &cnonce, method, uri),
            (false, true) => {
                // The same with MD5, in which the nonce takes in the rest (RFC 2617 3.2.2.1).
                md5_response(
                    USER,
                    REALM,
                    PASSWORD,
                    &format!("{nonce}:{nc}:{cnonce}:auth"),
                    method,
                    uri,
                )
            }
            (false, false) => md5_response(USER, REALM, PASSWORD, &nonce, method, uri),
        };
        let mut fields = vec![
            ("username", quoted(USER)),
            ("realm", quoted(REALM)),
            ("nonce", quoted(&nonce)),
            ("uri", quoted(uri)),
            ("response", quoted(&response)),
        ];
        if qop {
            fields.push(("qop", "auth".to_owned()));
            fields.push(("nc", nc));
            fields.push(("cnonce", quoted(&cnonce)));
        }
        // Some do not say it; the response is as long as it is.
        if sha256 && u.arbitrary()? {
            fields.push(("algorithm", "SHA-256".to_owned()));
        }
        let spoiled = spoil(u, &mut fields)?;
        for _ in 0..u.int_in_range(0..=4)? {
            let (from, to) = (u.choose_index(fields.len())?, u.choose_index(fields.len())?);
            fields.swap(from, to);
        }
        let separator = *u.choose(&[", ", ",", " ,\t", ",,"])?;
        let fields: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let value = format!("Digest {}", fields.join(separator));

        let request_uri = RequestUri::parse(uri).expect("a URL");
        let mut accepted = Accepted::new();
        let first = self.check(&value, method, &request_uri, &mut accepted, self.now);
        if spoiled {
            assert!(first.is_err() && accepted.user().is_none(), "let in with {value}");
            return Ok(());
        }
        assert_eq!(first.as_ref().map(UserName::as_str), Ok(USER), "{value}");
        assert_eq!(accepted.user().map(UserName::as_str), Some(USER));

        // Again, however much later: good where the nonce has been used, but a count only once.
        let later = self.now + Duration::from_secs(u.int_in_range(0..=1_000_000)?);
        let again = self.check(&value, method, &request_uri, &mut accepted, later);
        match sha256 {
            true => assert_eq!(again, Err(Denial::Replayed)),
            false => assert!(again.is_ok(), "{again:?}"),
        }
        // Elsewhere only while the nonce is fresh.
        let elsewhere = self.check(&value, method, &request_uri, &mut Accepted::new(), later);
        if later.duration_since(self.now) < LIFE {
            assert!(elsewhere.is_ok(), "{elsewhere:?}");
        } else {
            assert_eq!(elsewhere, Err(Denial::Stale));
        }
        // A digest covers the method.
        let other = self.check(&value, "TEARDOWN", &request_uri, &mut Accepted::new(), self.now);
        assert!(matches!(other, Err(Denial::Wrong { .. })), "{other:?}");
        Ok(())
    }
}

/// Makes one of `fields` wrong, unless it is to stay right. Says whether it did.
fn spoil(u: &mut Unstructured<'_>, fields: &mut [(&'static str, String)]) -> Result<bool> {
    if u.ratio(1, 3)? {
        return Ok(false);
    }
    let at = u.choose_index(fields.len())?;
    let (name, value) = &mut fields[at];
    // Nobody reads it; and more of the same is what these are.
    if matches!(*name, "realm" | "qop" | "algorithm") {
        return Ok(false);
    }
    let quoted = value.starts_with('"');
    let inner = value.trim_matches('"').to_owned();
    let place = u.choose_index(inner.len().max(1))?.min(inner.len());
    let digit = u.int_in_range(0..=15)?;
    let digit = char::from_digit(digit, 16).unwrap_or('0');
    let mut spoiled = inner.clone();
    if !spoiled.is_char_boundary(place) {
        return Ok(false);
    }
    match inner[place..].chars().next() {
        Some(there) if there != digit => {
            spoiled.replace_range(place..place + there.len_utf8(), digit.encode_utf8(&mut [0; 4]));
        }
        Some(_) => return Ok(false),
        None => spoiled.push(digit),
    }
    *value = if quoted { format!("\"{spoiled}\"") } else { spoiled };
    Ok(true)
}

/// Visible ASCII without what would need an escape.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\')).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn sha256_response(nonce: &str, nc: &str, cnonce: &str, method: &str, uri: &str) -> String {
    let hex = |text: String| {
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let ha1 = hex(format!("{USER}:{REALM}:{PASSWORD}"));
    let ha2 = hex(format!("{method}:{uri}"));
    hex(format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"))
}

const REALM: &str = "lenscast-fuzz";
/// How long a nonce can be used for the first time.
const LIFE: Duration = Duration::from_secs(300);
