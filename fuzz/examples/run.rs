//! Runs files through a target, as libFuzzer would, with any toolchain:
//!
//! ```sh
//! cargo run -p fuzz --example run -- TARGET FILE…
//! ```

use std::{env, fs, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(target), Some(first)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: run TARGET FILE…");
        return ExitCode::FAILURE;
    };
    for file in std::iter::once(first).chain(arguments) {
        let data = match fs::read(&file) {
            Ok(data) => data,
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::FAILURE;
            }
        };
        if fuzz::run(&target, &data).is_none() {
            let names: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            eprintln!("there is no target {target}; there are {}", names.join(", "));
            return ExitCode::FAILURE;
        }
        println!("{file}: nothing is broken");
    }
    ExitCode::SUCCESS
}
