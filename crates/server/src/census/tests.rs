use std::net::Ipv4Addr;

use super::*;

fn host(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn census() -> Arc<Census> {
    Arc::new(Census::default())
}

fn full(admitted: Result<(Resident, Option<Stranger>), (Full, u64)>) -> Full {
    admitted.expect_err("one too many").0
}

#[test]
fn connections_in_all_up_to_the_limit() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let census = census();
    let mut residents: Vec<_> = (0..3)
        .map(|last| census.admit(host(last), false, &limits).expect("up to the limit"))
        .collect();
    assert_eq!(full(census.admit(host(3), false, &limits)), Full::All);
    assert_eq!(census.admit(host(0), false, &limits).unwrap_err(), (Full::All, 2));
    residents.pop();
    residents.push(census.admit(host(3), false, &limits).expect("one has left"));
    assert_eq!(full(census.admit(host(4), false, &limits)), Full::All);
}

#[test]
fn connections_of_one_address_up_to_the_limit() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let census = census();
    let first = census.admit(host(1), false, &limits).expect("the first");
    let _second = census.admit(host(1), false, &limits).expect("the second");
    assert_eq!(full(census.admit(host(1), false, &limits)), Full::Address);
    let _other = census.admit(host(2), false, &limits).expect("another address");
    drop(first);
    let _third = census.admit(host(1), false, &limits).expect("one has left");
    assert_eq!(full(census.admit(host(1), false, &limits)), Full::Address);
}

#[test]
fn an_ipv6_network_is_one_address() {
    let limits = Limits { connections_per_address: 1, ..Limits::default() };
    let census = census();
    let at = |text: &str| text.parse::<IpAddr>().unwrap();
    let _first = census.admit(at("2001:db8:0:1::1"), false, &limits).expect("the first");
    let same_network = census.admit(at("2001:db8:0:1:ffff::2"), false, &limits);
    assert_eq!(full(same_network), Full::Address);
    let _other = census.admit(at("2001:db8:0:2::1"), false, &limits).expect("another network");
}

#[test]
fn strangers_up_to_the_limit_where_one_has_to_log_in() {
    let limits = Limits { unauthenticated: 2, ..Limits::default() };
    let census = census();
    let (_resident, stranger) = census.admit(host(1), true, &limits).expect("the first");
    let second = census.admit(host(2), true, &limits).expect("the second");
    assert_eq!(full(census.admit(host(3), true, &limits)), Full::Strangers);
    // Once it has logged in, or has gone.
    drop(stranger.expect("a place among strangers"));
    let third = census.admit(host(3), true, &limits).expect("one has logged in");
    assert_eq!(full(census.admit(host(4), true, &limits)), Full::Strangers);
    drop((second, third));
    let _fourth = census.admit(host(4), true, &limits).expect("two have left");

    let residents: Vec<_> =
        (0..10).map(|last| census.admit(host(last), false, &limits).unwrap()).collect();
    assert!(residents.iter().all(|(_, stranger)| stranger.is_none()), "nobody is one");
}

#[test]
fn one_address_cannot_take_all_places_of_strangers() {
    let limits = Limits::default();
    let census = census();
    let places: Vec<_> = (0..limits.unauthenticated_per_address)
        .map(|_| census.admit(host(1), true, &limits).expect("its share"))
        .collect();
    assert_eq!(full(census.admit(host(1), true, &limits)), Full::StrangersOfAddress);
    assert!(places.len() < limits.unauthenticated);
    let _other = census.admit(host(2), true, &limits).expect("there is room for others");
    // Those who have logged in no longer count.
    let residents: Vec<_> = places.into_iter().map(|(resident, _)| resident).collect();
    let _next = census.admit(host(1), true, &limits).expect("a new stranger");
    drop(residents);
}

#[test]
fn who_has_left_is_forgotten() {
    let limits = Limits::default();
    let census = census();
    let places: Vec<_> = (0..50).map(|last| census.admit(host(last), true, &limits)).collect();
    drop(places);
    // In the other order too.
    let (resident, stranger) = census.admit(host(1), true, &limits).unwrap();
    drop((stranger, resident));
    let counts = census.counts.lock().unwrap();
    assert_eq!((counts.all, counts.strangers, counts.by_host.len()), (0, 0, 0));
}

#[test]
fn guessing_slows_down_over_all_connections_of_a_host() {
    let census = census();
    let start = Instant::now();
    let delays: Vec<_> = (0..9).map(|_| census.guessed(host(1), start).1.as_millis()).collect();
    assert_eq!(delays, [0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
    assert_eq!(census.guessed(host(2), start), (1, Duration::ZERO));
    let almost = start + FORGET - Duration::from_nanos(1);
    assert_eq!(census.guessed(host(1), almost), (10, LONGEST_DELAY));
    assert_eq!(census.guessed(host(1), almost + FORGET), (1, Duration::ZERO));
}

#[test]
fn guessers_beyond_memory_share_one_place() {
    let census = census();
    let now = Instant::now();
    for number in 0..MOST_GUESSERS as u32 {
        census.guessed(Ipv4Addr::from_bits(number).into(), now);
    }
    for count in 1..=5 {
        let new = Ipv4Addr::from_bits(0x0a00_0000 + count).into();
        assert_eq!(census.guessed(new, now).0, count);
    }
    assert!(census.guesses.lock().unwrap().len() <= MOST_GUESSERS + 1);
    // Room is made as soon as old ones can be forgotten.
    assert_eq!(census.guessed(host(9), now + FORGET).0, 1);
    assert_eq!(census.guesses.lock().unwrap().len(), 1);
}
