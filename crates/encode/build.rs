//! Says so when openh264 is about to be built without SIMD.
//!
//! The build of `openh264-sys2` assembles its x86 code with nasm (the one that the variable `NASM`
//! names, else the first in `PATH` that runs), and builds plain C++ without a word where there is
//! none. This looks in the same places.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

fn main() {
    for variable in ["NASM", "OPENH264_NO_ASM", "PATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rerun-if-changed=build.rs");

    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !["x86", "x86_64"].contains(&architecture.as_str()) {
        return;
    }
    if env::var_os("OPENH264_NO_ASM").is_some() {
        println!(
            "cargo:warning=OPENH264_NO_ASM is set: software encoding is two to three times slower"
        );
    } else if !has_nasm() {
        println!(
            "cargo:warning=nasm not found: software encoding will be two to three times slower. \
             Install it (apt install nasm, dnf install nasm, pacman -S nasm, brew install nasm), \
             then: cargo clean -p openh264-sys2 && cargo build"
        );
    }
}

fn has_nasm() -> bool {
    let candidates: Vec<PathBuf> = match env::var_os("NASM") {
        Some(path) => vec![path.into()],
        None => {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path).map(|directory| directory.join("nasm")).collect()
        }
    };
    candidates.iter().any(|nasm| {
        let mut version = Command::new(nasm);
        version.arg("-v").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    })
}
