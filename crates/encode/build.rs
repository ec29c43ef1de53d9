//! Says so when openh264 is about to be built without SIMD, and tells the crate.
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

    println!("cargo:rustc-check-cfg=cfg(openh264_assembly, values(\"present\", \"absent\"))");

    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    match architecture.as_str() {
        "x86" | "x86_64" => {}
        // The C++ compiler assembles that.
        "arm" | "aarch64" => return tell("present"),
        _ => return,
    }
    let is_forbidden = env::var_os("OPENH264_NO_ASM").is_some();
    let has_assembly = !is_forbidden && has_nasm();
    tell(if has_assembly { "present" } else { "absent" });
    if is_forbidden {
        println!(
            "cargo:warning=OPENH264_NO_ASM is set: software encoding is two to three times slower"
        );
    } else if !has_assembly {
        println!(
            "cargo:warning=nasm not found: software encoding will be two to three times slower. \
             Install it (apt install nasm, dnf install nasm, pacman -S nasm, brew install nasm), \
             then: cargo clean -p openh264-sys2 && cargo build"
        );
    }
}

fn tell(assembly: &str) {
    println!("cargo:rustc-cfg=openh264_assembly=\"{assembly}\"");
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
