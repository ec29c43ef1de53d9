use proptest::prelude::*;

use super::*;

const MD5: &str = "6629fae49393a05397450978507c4ef1";
const MD5_BYTES: [u8; 16] = [
    0x66, 0x29, 0xfa, 0xe4, 0x93, 0x93, 0xa0, 0x53, 0x97, 0x45, 0x09, 0x78, 0x50, 0x7c, 0x4e, 0xf1,
];

fn digest(value: &str) -> Digest<'_> {
    match Authorization::parse(value) {
        Ok(Authorization::Digest(digest)) => digest,
        other => panic!("{value}: {other:?}"),
    }
}

fn error(value: &str) -> AuthorizationError {
    Authorization::parse(value).expect_err(value)
}

/// aiortsp 1.4, offered SHA-256, answers with it and leaves `algorithm` out.
#[test]
fn the_length_of_a_response_tells_its_algorithm() {
    let value = |response| {
        format!(r#"Digest username="ann", realm="r", nonce="n", uri="/cam", response="{response}""#)
    };
    let twice = [MD5_BYTES, MD5_BYTES].concat().try_into().unwrap();
    assert_eq!(digest(&value([MD5, MD5].concat())).proof, Proof::Sha256(twice));
    assert_eq!(digest(&value(MD5.to_owned())).proof, Proof::Md5(MD5_BYTES));
    for odd in [&MD5[..31], &[MD5, "0"].concat(), &[MD5, MD5, "0"].concat()] {
        assert_eq!(error(&value(odd.to_owned())), AuthorizationError::Value("response"), "{odd}");
    }
}

#[test]
fn order_spacing_and_quotes_are_free() {
    let plain =
        format!(r#"Digest username="ann", realm="r", nonce="n", uri="/cam", response="{MD5}""#);
    let expected = digest(&plain);
    assert_eq!(expected.proof, Proof::Md5(MD5_BYTES));
    assert_eq!((&*expected.username, &*expected.nonce, &*expected.uri), ("ann", "n", "/cam"));
    for value in [
        format!(r#"Digest response="{MD5}",uri="/cam",nonce="n",realm="r",username="ann""#),
        format!(
            r#"digest   username = "ann" ,realm= "r" ,, nonce="n",uri="/cam", response ={MD5} ,"#
        ),
        format!("DIGEST\tusername=ann,\tnonce=n, uri=/cam, response={MD5}"),
        format!(
            r#"  Digest USERNAME="ann", Nonce="n", URI="/cam", Response="{}"  "#,
            MD5.to_uppercase()
        ),
        format!(r#"{plain}, algorithm=MD5, opaque="", stale=FALSE, x="a, b=c", x="again""#),
        format!(r#"{plain}, algorithm="md5""#),
        format!(r#"{plain}, userhash=false"#),
        format!(r#"Digest username*=utf-8'en'%61nn, nonce="n", uri="/cam", response="{MD5}""#),
    ] {
        assert_eq!(digest(&value), expected, "{value}");
    }
}

#[test]
fn quoted_strings_hold_commas_quotes_and_any_language() {
    let rest = format!(r#"nonce="n", uri="/cam?a=b,c=d", response="{MD5}""#);
    for (written, name) in [
        (r#"username="Müller, Jörg""#, "Müller, Jörg"),
        (r#"username="a\"b\\c""#, r#"a"b\c"#),
        (r#"username="""#, ""),
        (r#"username="realm=\"x\", nonce=y""#, r#"realm="x", nonce=y"#),
        ("username*=UTF-8''M%C3%BCller%2C%20J%C3%B6rg", "Müller, Jörg"),
    ] {
        let value = format!("Digest {written}, {rest}");
        assert_eq!(digest(&value).username, name);
        assert_eq!(digest(&value).uri, "/cam?a=b,c=d");
    }
}

#[test]
fn quality_of_protection_needs_its_companions() {
    let base = format!(r#"Digest username="u", nonce="n", uri="*", response="{MD5}""#);
    let with =
        digest(&format!(r#"{base}, qop=auth, nc=0000001f, cnonce="c""#)).qop.map(|qop| qop.count);
    assert_eq!(with, Some(31));
    let quoted = format!(r#"{base}, qop="auth", nc="0000001f", cnonce=c"#);
    assert_eq!(
        digest(&quoted).qop,
        digest(&format!(r#"{base}, nc=0000001f, cnonce="c", qop=AUTH"#)).qop
    );
    // Without qop the others mean nothing.
    assert_eq!(digest(&format!(r#"{base}, nc=xyz, cnonce="c""#)).qop, None);
    for (added, expected) in [
        ("qop=auth, nc=00000001", AuthorizationError::Missing("cnonce")),
        ("qop=auth, cnonce=c", AuthorizationError::Missing("nc")),
        ("qop=auth, cnonce=c, nc=g", AuthorizationError::Value("nc")),
        ("qop=auth, cnonce=c, nc=+1", AuthorizationError::Value("nc")),
        ("qop=auth, cnonce=c, nc=\"\"", AuthorizationError::Value("nc")),
        ("qop=auth, cnonce=c, nc=100000000", AuthorizationError::Value("nc")),
    ] {
        assert_eq!(error(&format!("{base}, {added}")), expected, "{added}");
    }
}

#[test]
fn what_is_not_spoken_is_told_from_what_cannot_be_read() {
    let base = format!(r#"Digest username="u", nonce="n", uri="*", response="{MD5}""#);
    for (value, what) in [
        ("Bearer abc".to_owned(), Unsupported::Scheme),
        ("NTLM".to_owned(), Unsupported::Scheme),
        (String::new(), Unsupported::Scheme),
        (format!("{base}, algorithm=MD5-sess"), Unsupported::Algorithm),
        (format!("{base}, algorithm=SHA-512-256"), Unsupported::Algorithm),
        (format!("{base}, qop=auth-int, nc=00000001, cnonce=c"), Unsupported::Qop),
        (format!("{base}, userhash=true"), Unsupported::UserHash),
    ] {
        assert_eq!(Authorization::parse(&value), Ok(Authorization::Unsupported(what)), "{value}");
    }
}

#[test]
fn refuses_what_could_be_read_two_ways() {
    let all = [
        ("username", r#"username="u""#.to_owned()),
        ("nonce", r#"nonce="n""#.to_owned()),
        ("uri", r#"uri="/""#.to_owned()),
        ("response", format!("response={MD5}")),
    ];
    for (name, parameter) in &all {
        let list = |keep: &dyn Fn(&str) -> bool| {
            let kept = all.iter().filter(|(name, _)| keep(name)).map(|(_, text)| text.as_str());
            format!("Digest {}", kept.collect::<Vec<_>>().join(", "))
        };
        assert_eq!(error(&list(&|other| other != *name)), AuthorizationError::Missing(name));
        let twice = format!("{}, {}", list(&|_| true), parameter.to_uppercase());
        assert_eq!(error(&twice), AuthorizationError::Duplicate(name));
    }
    let both = format!("{}, username*=UTF-8''v", "Digest username=u, nonce=n, uri=/, response=")
        .replace("response=", &format!("response={MD5}"));
    assert_eq!(error(&both), AuthorizationError::Duplicate("username"));
    for (response, algorithm) in [
        ("", "MD5"),
        (&MD5[1..], "MD5"),
        (MD5, "SHA-256"),
        ("6629fae49393a05397450978507c4efg", "MD5"),
        ("+629fae49393a05397450978507c4ef1", "MD5"),
        ("6629fae49393a05397450978507c4eé", "MD5"),
    ] {
        let value = format!(
            r#"Digest username=u, nonce=n, uri=/, response="{response}", algorithm={algorithm}"#
        );
        assert_eq!(error(&value), AuthorizationError::Value("response"), "{value}");
    }
}

#[test]
fn says_where_the_list_breaks() {
    for (list, at) in [
        ("username", 0),
        ("=x", 0),
        ("a=1, b", 5),
        (r#"a="1" b="2""#, 6),
        (r#"a="1"#, 2),
        (r#"a="1\"#, 2),
        ("a=", 2),
        ("a=,b=1", 2),
        ("a=1 2", 2),
        ("a b=1", 0),
        ("é=1", 0),
    ] {
        let value = format!("Digest {list}");
        assert_eq!(error(&value), AuthorizationError::Syntax { at }, "{list}");
    }
}

#[test]
fn length_and_number_are_bounded() {
    let value = |padding: usize| {
        format!(r#"Digest username=u, nonce=n, uri=/, response={MD5}, x="{}""#, "x".repeat(padding))
    };
    let room = MAX_LENGTH - value(0).len();
    assert!(Authorization::parse(&value(room)).is_ok());
    assert_eq!(error(&value(room + 1)), AuthorizationError::TooLong);

    let many = |count: usize| {
        let others = (4..count).map(|n| format!(", x{n}=y")).collect::<String>();
        format!("Digest username=u, nonce=n, uri=/, response={MD5}{others}")
    };
    assert!(Authorization::parse(&many(MAX_PARAMETERS)).is_ok());
    assert_eq!(error(&many(MAX_PARAMETERS + 1)), AuthorizationError::TooMany);
}

#[test]
fn basic_splits_at_the_first_colon() {
    // Made with Python's base64 module.
    for (encoded, username, password) in [
        ("bGVuczpzMzpjcmV0", "lens", "s3:cret"),
        ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),
        ("QWxhZGRpbjpvcGVuIHNlc2FtZQ", "Aladdin", "open sesame"),
        ("Og==", "", ""),
        ("dGVzdDoxMjPCow==", "test", "123£"),
    ] {
        let parsed = Authorization::parse(encoded).map(|_| ());
        assert_eq!(parsed, Ok(()), "a lone word is a scheme");
        let value = format!("Basic   {encoded} ");
        let expected = Basic { username: username.to_owned(), password: password.to_owned() };
        assert_eq!(Authorization::parse(&value), Ok(Authorization::Basic(expected)));
    }
    assert_eq!(error("Basic"), AuthorizationError::Colon);
    assert_eq!(error("Basic bGVucw=="), AuthorizationError::Colon);
    assert_eq!(error("Basic ????"), AuthorizationError::Base64);
    assert_eq!(error("Basic /zo="), AuthorizationError::Base64);
}

#[test]
fn debug_does_not_show_the_password() {
    let parsed = Authorization::parse("Basic bGVuczpzMzpjcmV0");
    let shown = format!("{parsed:?}");
    assert!(shown.contains("lens") && !shown.contains("cret"), "{shown}");
}

#[test]
fn challenges_are_spelled_as_live555_reads_them() {
    let (realm, nonce) = ("R", "N");
    for (challenge, expected) in [
        (Challenge::Md5 { realm, nonce, stale: false }, r#"Digest realm="R", nonce="N""#),
        (
            Challenge::Md5 { realm, nonce, stale: true },
            r#"Digest realm="R", nonce="N", stale=TRUE"#,
        ),
        (
            Challenge::Sha256 { realm, nonce, stale: false },
            r#"Digest realm="R", nonce="N", algorithm=SHA-256, qop="auth""#,
        ),
        (
            Challenge::Sha256 { realm, nonce, stale: true },
            r#"Digest realm="R", nonce="N", stale=TRUE, algorithm=SHA-256, qop="auth""#,
        ),
        (Challenge::Basic { realm }, r#"Basic realm="R""#),
    ] {
        assert_eq!(challenge.to_string(), expected);
    }
}

#[test]
fn hexadecimal_digits_go_both_ways() {
    assert_eq!(decode_hex(MD5), Some(MD5_BYTES));
    assert_eq!(encode_hex(&MD5_BYTES), MD5);
    assert_eq!(decode_hex::<2>("00fF"), Some([0, 255]));
    assert_eq!(decode_hex::<2>("00f"), None);
    assert_eq!(decode_hex::<2>("00f0f"), None);
    assert_eq!(decode_hex::<2>("é€"), None);
}

/// Text that comes close to being a header, so that the parser's depths are reached.
fn nearly_a_header() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("Digest ".to_owned()),
        Just("Basic ".to_owned()),
        Just(format!("response={MD5}")),
        "(username\\*?|realm|nonce|uri|response|algorithm|qop|nc|cnonce)=",
        "\"?[a-z0-9/:*'%]{0,12}\"?",
        "[,=\"\\\\ \t]{1,3}",
        "\\PC{0,4}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in ".{0,300}") {
        let _ = Authorization::parse(&text);
        let _ = Authorization::parse(&format!("Digest {text}"));
        let _ = Authorization::parse(&format!("Basic {text}"));
    }

    #[test]
    fn nearly_a_header_is_parsed_or_refused(text in nearly_a_header()) {
        let _ = Authorization::parse(&text);
        if let Err(AuthorizationError::Syntax { at }) = Authorization::parse(&text) {
            prop_assert!(at < text.len(), "{at} is within the text");
        }
    }

    #[test]
    fn whatever_is_quoted_comes_out(name in "\\PC{0,40}", uri in "\\PC{0,40}") {
        let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let value = format!(
            r#"Digest uri="{}", username="{}", nonce=n, response={MD5}"#, quote(&uri), quote(&name)
        );
        let parsed = digest(&value);
        prop_assert_eq!((&*parsed.username, &*parsed.uri), (&*name, &*uri));
    }
}
