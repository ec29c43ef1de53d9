//! What things cost, in instructions: the same on a busy machine as on a quiet one, so that a change
//! that makes something worse can be refused. `cargo xtask counts` runs it and compares with
//! benches/counts.toml; docs/performance.md says how to read that.
//!
//! Only what is called within a `#[library_benchmark]` function is counted, and of that only what
//! runs in this process: system calls cost what reaching them costs. Values are made before, and
//! dropped after. No counted code may depend on chance (a hash map's seed), on time or on addresses.

// What `library_benchmark_group` makes of itself is public and has no documentation.
#![allow(missing_docs)]

use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark_group, main};

mod egress;
mod incoming;
mod log;
mod packetize;
mod rtcp;

use egress::{interleaved, runs, segmented};
use incoming::request;
use log::{append, read};
use packetize::{find_nals, packets};
use rtcp::{receiver_report, sender_report};

library_benchmark_group!(
    name = picture;
    benchmarks = find_nals, packets, append, read
);
library_benchmark_group!(
    name = viewers;
    benchmarks = runs, segmented, interleaved
);
library_benchmark_group!(
    name = messages;
    benchmarks = request, sender_report, receiver_report
);

main!(
    // Instructions alone: caches are for people.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = picture, viewers, messages
);
