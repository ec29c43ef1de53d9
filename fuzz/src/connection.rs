//! One connection with a whole server, its streams and sessions behind it: arbitrary bytes in
//! arbitrary pieces, `$` frames, jumps of time, a client that stops reading.
//!
//! Every request is answered once and in order, by the pure core's account of what is a request;
//! all that is sent can be read by another's parser; nothing is left when the client has gone.
//!
//! Input: a byte that says what kind of server it is, then what the client sends. In it `ff` stands
//! before what is no byte of the stream, and [`crate::server`]'s mark before what only the server
//! knows:
//!
//! ```text
//!  ff 00..1f   time passes            ff 's' | 'S'   the client stops reading | reads again
//!  ff 20..2f   a few turns            ff 'c'         closes its sending half
//!  ff ff       a byte ff              ff 'p' 'g' 'e' the source pauses, goes on, ends
//!                                     ff 'q'         the server stops
//! ```

use std::time::Duration;

use crate::server::{Kind, Step, play};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, stream)) = data.split_first() else { return };
    play(Kind { udp: false, ..Kind::of(kind) }, &script(stream));
}

fn script(stream: &[u8]) -> Vec<Step> {
    let (mut steps, mut piece) = (Vec::new(), Vec::new());
    let mut bytes = stream.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != ESCAPE {
            piece.push(byte);
            continue;
        }
        let step = match bytes.next() {
            Some(ESCAPE) => {
                piece.push(ESCAPE);
                continue;
            }
            Some(time @ 0..=0x1f) => Step::Sleep(jump(time)),
            Some(turns @ 0x20..=0x2f) => Step::Turns(turns & 15),
            Some(b's') => Step::Reading(0, false),
            Some(b'S') => Step::Reading(0, true),
            Some(b'c') => Step::HalfClose(0),
            Some(b'p') => Step::Pause,
            Some(b'g') => Step::GoOn,
            Some(b'e') => Step::End,
            Some(b'q') => Step::Stop,
            _ => continue,
        };
        if !piece.is_empty() {
            steps.push(Step::Send(0, std::mem::take(&mut piece)));
        }
        steps.push(step);
    }
    steps.push(Step::Send(0, piece));
    steps
}

/// Times that lie around those that mean something.
pub(crate) fn jump(byte: u8) -> Duration {
    const MILLIS: [u64; 16] = [
        1, 3, 20, 40, 100, 249, 999, 1001, 4999, 5001, 9_999, 10_001, 30_001, 59_000, 61_000,
        75_000,
    ];
    Duration::from_millis(MILLIS[usize::from(byte & 15)])
}

const ESCAPE: u8 = 0xff;
