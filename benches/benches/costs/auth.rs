//! Logging in with Digest (RFC 2617, RFC 7616): what a stranger can make the server do per request.

use std::{collections::HashMap, hint::black_box, time::Instant};

use criterion::{Criterion, Throughput};
use md5::{Digest, Md5};
use rtsp_proto::{
    RequestUri,
    auth::{Accepted, Attempt, Authenticator, Config, Denial, Ha1, Realm, Users},
};

pub(crate) fn benches(criterion: &mut Criterion) {
    let now = Instant::now();
    let realm: Realm = REALM.parse().expect("a realm");
    let ha1 = Ha1::from_password(USER, &realm, PASSWORD);
    let users = Known(HashMap::from([(USER.to_owned(), ha1.clone())]));
    let authenticator = Authenticator::new(Config::new(realm), [7; 32], now);
    let challenge = authenticator.challenge(&Denial::Missing, None, now).remove(0);
    let nonce = challenge.split('"').nth(3).expect("realm, then nonce");
    let uri = RequestUri::parse(URI).expect("a URI");
    let header = |user: &str, ha1: &str| {
        let ha2 = hex(&format!("SETUP:{URI}"));
        let response = hex(&format!("{ha1}:{nonce}:{ha2}"));
        format!(
            "Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{URI}\", \
             response=\"{response}\""
        )
    };
    let cases = [
        ("right password", header(USER, &ha1.md5_hex()), true),
        ("wrong password", header(USER, &hex("wrong")), false),
        ("unknown user", header("nobody", &hex("wrong")), false),
    ];

    let mut group = criterion.benchmark_group("auth");
    group.throughput(Throughput::Elements(1));
    for (name, header, is_right) in &cases {
        let attempt = Attempt { method: "SETUP", uri: &uri, authorization: Some(header) };
        let mut accepted = Accepted::new();
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                let checked = authenticator.check(black_box(&attempt), &mut accepted, &users, now);
                assert_eq!(checked.is_ok(), *is_right);
            });
        });
    }
    group.bench_function("challenge", |bencher| {
        bencher.iter(|| authenticator.challenge(&Denial::Missing, black_box(None), now));
    });
    group.finish();
}

struct Known(HashMap<String, Ha1>);

impl Users for Known {
    fn ha1(&self, name: &str) -> Option<&Ha1> {
        self.0.get(name)
    }
}

fn hex(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

const REALM: &str = "lenscast";
const USER: &str = "lens";
const PASSWORD: &str = "s3cret-and-long";
const URI: &str = "rtsp://127.0.0.1:8554/cam/trackID=0";
