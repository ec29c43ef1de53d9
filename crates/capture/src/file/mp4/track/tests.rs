//! Indexes of real files, whole, edited and damaged.

use proptest::prelude::*;

use super::*;

const BFRAMES: &[u8] = include_bytes!("../../../../tests/data/bframes.mp4");

/// The payload of a file's `moov` box.
fn index_of(file: &[u8]) -> Vec<u8> {
    need(file, b"moov").unwrap().payload.to_vec()
}

fn parse(moov: &[u8]) -> Result<Track, Refusal> {
    Track::parse(moov, BFRAMES.len() as u64)
}

/// `container` with the payload of the box at `path`, the first of each kind, changed by `change`.
fn edited(container: &[u8], path: &[&FourCc], change: &dyn Fn(&mut Vec<u8>)) -> Vec<u8> {
    let Some((kind, inner)) = path.split_first() else {
        let mut payload = container.to_vec();
        change(&mut payload);
        return payload;
    };
    let mut out = Vec::new();
    let mut done = false;
    for child in children(container) {
        let mut whole = child.whole.to_vec();
        if child.kind == **kind && !done {
            let payload = edited(child.payload, inner, change);
            whole = (payload.len() as u32 + 8).to_be_bytes().to_vec();
            whole.extend(child.kind);
            whole.extend(payload);
            done = true;
        }
        out.extend(whole);
    }
    assert!(done, "no {}", readable(**kind));
    out
}

const STBL: [&FourCc; 4] = [b"trak", b"mdia", b"minf", b"stbl"];

fn edited_table(kind: &FourCc, change: &dyn Fn(&mut Vec<u8>)) -> Vec<u8> {
    edited(&index_of(BFRAMES), &[&STBL[..], &[kind]].concat(), change)
}

/// The payload of a sample description with the entries that `entries` makes of the one there is.
fn with_entries(entries: &dyn Fn(&[u8]) -> Vec<Vec<u8>>) -> Vec<u8> {
    edited_table(b"stsd", &|payload| {
        let entries = entries(&payload[8..]);
        payload.truncate(4);
        payload.extend((entries.len() as u32).to_be_bytes());
        payload.extend(entries.concat());
    })
}

/// Where `needle` begins.
fn position(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).unwrap()
}

#[test]
fn the_edits_of_these_tests_change_nothing_by_themselves() {
    assert_eq!(edited_table(b"stts", &|_| {}), index_of(BFRAMES));
    assert_eq!(with_entries(&|entry| vec![entry.to_vec()]), index_of(BFRAMES));
    assert!(parse(&index_of(BFRAMES)).is_ok());
}

#[test]
fn what_the_header_says() {
    let track = parse(&index_of(BFRAMES)).unwrap();
    let sps = track.parameter_sets.as_ref().unwrap().description().clone();
    assert_eq!((sps.width, sps.height, sps.profile), (64, 64, "High"));
    assert_eq!((track.prefix, track.hidden, track.ignored), (4, 0, 0));
    assert_eq!(track.rate, FrameRate::new(25, 1));
    assert_eq!(track.timeline.pass, 20 * 512);
    assert_eq!(track.timeline.timescale.get(), 12_800);
}

#[test]
fn damage_is_refused_with_its_reason() {
    let index = |why: &str| Refusal::Index(why.into());
    let renamed = |from: &FourCc, to: &FourCc| {
        let mut moov = index_of(BFRAMES);
        let at = position(&moov, from);
        moov[at..at + 4].copy_from_slice(to);
        parse(&moov).unwrap_err()
    };
    assert_eq!(renamed(b"stsz", b"stz2"), index("stsz is missing"));
    assert_eq!(renamed(b"mdhd", b"xxxx"), index("mdhd is missing"));
    assert_eq!(renamed(b"avcC", b"xxxx"), index("avcC is missing"));
    assert_eq!(renamed(b"vide", b"soun"), Refusal::NoVideo);
    assert_eq!(renamed(b"trak", b"free"), Refusal::NoVideo);
    assert_eq!(renamed(b"avc1", b"hvc1"), Refusal::Codec("hvc1".into()));
    assert_eq!(renamed(b"avc1", b"encv"), Refusal::Encrypted);
    assert_eq!(renamed(b"udta", b"cmov"), Refusal::CompressedIndex);
    assert_eq!(renamed(b"udta", b"mvex"), Refusal::Fragmented);

    let refused = |kind, at: usize, value: u32| {
        let moov = edited_table(kind, &|payload| {
            payload[at..at + 4].copy_from_slice(&value.to_be_bytes());
        });
        parse(&moov).unwrap_err()
    };
    // The duration and the count of the only entry of stts.
    assert_eq!(refused(b"stts", 12, u32::MAX), Refusal::TooLong { number: 1 });
    assert!(matches!(refused(b"stts", 8, 21), Refusal::Index(_)));
    // The size of the third sample.
    assert_eq!(refused(b"stsz", 20, 1 << 16), Refusal::BeyondEnd { number: 3 });
    let size = (16 << 20) + 1;
    assert_eq!(refused(b"stsz", 20, size), Refusal::SampleTooLarge { number: 3, size });
    assert_eq!(refused(b"stco", 8, u32::MAX), Refusal::BeyondEnd { number: 1 });
    // A composition offset of some hours.
    assert!(matches!(refused(b"ctts", 12, 1 << 30), Refusal::Index(_)));
}

#[test]
fn what_keeps_a_processor_busy_is_refused() {
    // One tick for each picture and none between decoding and showing: 12800 pictures a second.
    let moov = edited_table(b"stts", &|payload| payload[12..16].copy_from_slice(&[0, 0, 0, 1]));
    let at = position(&moov, b"ctts");
    let mut moov = moov;
    moov[at..at + 4].copy_from_slice(b"free");
    assert_eq!(parse(&moov).unwrap_err(), Refusal::TooFast { count: 20, milliseconds: 1 });
}

#[test]
fn a_last_duration_of_zero_is_taken_for_the_one_before() {
    let moov = edited_table(b"stts", &|payload| {
        payload.clear();
        payload.extend([0, 0, 0, 0, 0, 0, 0, 2]);
        payload.extend([0, 0, 0, 19, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    });
    assert_eq!(parse(&moov).unwrap().timeline.pass, 20 * 512);
}

#[test]
fn a_pass_ends_after_its_last_picture() {
    // The second picture is shown 100 intervals later: the next pass must not begin before.
    let moov = edited_table(b"ctts", &|payload| {
        payload[20..24].copy_from_slice(&(100u32 * 512).to_be_bytes());
    });
    // Decoded at 1 and shown at 101, where the first is shown at 2 intervals.
    assert_eq!(parse(&moov).unwrap().timeline.pass, (101 - 2 + 1) * 512);
}

#[test]
fn negative_offsets_of_quicktime_are_negative() {
    let moov = edited_table(b"ctts", &|payload| {
        assert_eq!(payload[0], 0, "version");
        payload[12..16].copy_from_slice(&(-512i32).to_be_bytes());
    });
    let track = parse(&moov).unwrap();
    assert_eq!(track.sample(0).unwrap().presentation, -512 - 1024);
}

#[test]
fn sample_entries_that_are_the_same_may_be_several() {
    let same = with_entries(&|entry| vec![entry.to_vec(), entry.to_vec()]);
    assert!(parse(&same).is_ok());
    let other = with_entries(&|entry| {
        let mut other = entry.to_vec();
        // The level in the other one's avcC.
        let at = position(&other, b"avcC");
        other[at + 7] += 1;
        vec![entry.to_vec(), other]
    });
    assert_eq!(parse(&other).unwrap_err(), Refusal::SeveralEntries);
    let hevc = with_entries(&|entry| {
        let mut other = entry.to_vec();
        other[4..8].copy_from_slice(b"hvc1");
        vec![entry.to_vec(), other]
    });
    assert_eq!(parse(&hevc).unwrap_err(), Refusal::Codec("hvc1".into()));
    assert_eq!(parse(&with_entries(&|_| Vec::new())).unwrap_err(), Refusal::NoVideo);
}

#[test]
fn protected_entries_are_refused_whatever_they_are_called() {
    let moov = with_entries(&|entry| {
        let mut protected = entry.to_vec();
        protected.extend(*b"\0\0\0\x08sinf");
        let size = protected.len() as u32;
        protected[..4].copy_from_slice(&size.to_be_bytes());
        vec![protected]
    });
    assert_eq!(parse(&moov).unwrap_err(), Refusal::Encrypted);
}

#[test]
fn quicktime_may_end_a_sample_entry_with_zeros() {
    let moov = with_entries(&|entry| {
        let mut ended = [entry, &[0; 4]].concat();
        let size = ended.len() as u32;
        ended[..4].copy_from_slice(&size.to_be_bytes());
        vec![ended]
    });
    assert!(parse(&moov).is_ok());
}

#[test]
fn lengths_of_three_bytes_are_refused() {
    let with_length = |length_minus_one: u8| {
        parse(&with_entries(&|entry| {
            let mut entry = entry.to_vec();
            let at = position(&entry, b"avcC");
            entry[at + 8] = 0xfc | length_minus_one;
            vec![entry]
        }))
    };
    assert_eq!(with_length(2).unwrap_err(), Refusal::LengthSize(3));
    assert_eq!([0, 1].map(|length| with_length(length).unwrap().prefix), [1, 2]);
}

#[test]
fn pictures_in_another_file_are_refused() {
    let mut moov = index_of(BFRAMES);
    let at = position(&moov, b"url ");
    moov[at + 7] = 0;
    assert_eq!(parse(&moov).unwrap_err(), Refusal::Elsewhere);
}

#[test]
fn chunk_offsets_may_have_64_bits() {
    let narrow = parse(&index_of(BFRAMES)).unwrap().sample(0).unwrap();
    let mut moov = edited_table(b"stco", &|payload| {
        let wide = payload[8..].chunks(4).flat_map(|offset| [&[0; 4], offset].concat());
        let wide: Vec<_> = wide.collect();
        payload.truncate(8);
        payload.extend(wide);
    });
    let at = position(&moov, b"stco");
    moov[at..at + 4].copy_from_slice(b"co64");
    assert_eq!(parse(&moov).unwrap().sample(0).unwrap(), narrow);
}

proptest! {
    #[test]
    fn no_index_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(), cut in prop::bool::weighted(0.2),
    ) {
        let mut moov = index_of(BFRAMES);
        for (at, value) in changes {
            let at = at.index(moov.len());
            moov[at] = value;
        }
        if cut {
            moov.truncate(end.index(moov.len()));
        }
        if let Ok(track) = parse(&moov) {
            let samples = (0..).map_while(|index| track.sample(index));
            prop_assert!(samples.count() > 0);
        }
    }
}
