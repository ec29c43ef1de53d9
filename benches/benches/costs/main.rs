//! What things cost, in time. `cargo bench -p benches` measures all, `cargo bench -p benches -- log`
//! those with `log` in their names; as a test (`cargo nextest run -p benches`) each runs once, to
//! show that it still does. docs/performance.md says what the figures mean.
//!
//! What is measured is what the server does, by its own functions: nothing is rebuilt here.

use criterion::{Criterion, criterion_main};

mod auth;
mod convert;
mod egress;
mod fanout;
mod log;
mod packetize;
mod parse;
mod rtcp;

/// Everything, in the order of a picture's and a request's way.
fn costs() {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    convert::benches(&mut criterion);
    packetize::benches(&mut criterion);
    log::benches(&mut criterion);
    egress::benches(&mut criterion);
    fanout::benches(&mut criterion);
    rtcp::benches(&mut criterion);
    parse::benches(&mut criterion);
    auth::benches(&mut criterion);
}

criterion_main!(costs);
