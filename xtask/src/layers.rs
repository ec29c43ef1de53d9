//! Imports run downward only, and the pure crates do no I/O.
//!
//! ```text
//!  lenscast ──▶ capture ──▶ media, v4l2
//!         ├───▶ encode ───▶ media, v4l2
//!         ├───▶ rtp-packetizer ──▶ media
//!         └───▶ rtsp-proto
//! ```
//!
//! For the pure crates (media, rtp-packetizer, rtsp-proto) everything they are built with is on a
//! list of crates known to do no I/O, have no clock, no randomness and no threads. That, and
//! clippy's `disallowed-methods` for what the standard library offers, is the proof; no target
//! without an operating system is needed.

use anyhow::{Context, bail};

use crate::workspace::{Workspace, output};

/// Checks all crates of the workspace; returns one line to show.
///
/// # Errors
///
/// Every breach, each with the crates on the way to it.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<String> {
    let members = names(&tree(workspace, "--workspace --depth 0 -e normal")?);
    let mut breaches = Vec::new();
    let mut pure = 0;
    for name in &members {
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            breaches.push(format!("{name} has no place in LAYERS of xtask/src/layers.rs"));
            continue;
        };
        let direct = tree(workspace, &format!("-p {name} --depth 1 -e normal,build"))?;
        let in_tests = tree(workspace, &format!("-p {name} --depth 1 -e dev"))?;
        let whole = match layer.purity {
            Purity::Pure => tree(workspace, &format!("-p {name} -e normal"))?,
            Purity::Free => String::new(),
        };
        pure += usize::from(layer.purity == Purity::Pure);
        breaches.extend(breaches_of(layer, &members, &direct, &in_tests, &whole)?);
    }
    if !breaches.is_empty() {
        bail!("the layers of the crates are broken:\n  {}", breaches.join("\n  "));
    }
    Ok(format!("{} crates use only those below them; {pure} are pure", members.len()))
}

/// The names of the pure crates.
pub(crate) fn pure() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().filter(|layer| layer.purity == Purity::Pure).map(|layer| layer.name)
}

/// What is wrong with one crate, from what `cargo tree --prefix depth` says of it.
fn breaches_of(
    layer: &Layer,
    members: &[String],
    direct: &str,
    in_tests: &str,
    whole: &str,
) -> anyhow::Result<Vec<String>> {
    let name = layer.name;
    let mut breaches = Vec::new();
    let own = |tree| names(tree).into_iter().skip(1).filter(|used| members.contains(used));
    for used in own(direct) {
        if !layer.uses.contains(&used.as_str()) {
            breaches.push(format!("{name} → {used}: {name} may not use {used}"));
        }
    }
    for used in own(in_tests) {
        let allowed =
            used == "testkit" || layer.uses.iter().chain(layer.tests_use).any(|u| *u == used);
        if !allowed {
            breaches.push(format!("{name} → {used} (in tests): {name} may not use {used}"));
        }
    }
    let mut path: Vec<&str> = Vec::new();
    for (depth, used) in entries(whole) {
        let depth = depth.with_context(|| format!("cargo tree: no depth before {used}"))?;
        path.truncate(depth);
        path.push(used);
        // What this leads to has already been told.
        let above = path.get(..depth).unwrap_or_default();
        if above.iter().any(|above| !is_pure(above, &[])) {
            continue;
        }
        if !is_pure(used, above) {
            breaches.push(format!(
                "{}: {used} is not on the list of crates known to do no I/O, and {name} is pure",
                path.join(" → ")
            ));
        }
    }
    breaches.dedup();
    Ok(breaches)
}

fn is_pure(used: &str, above: &[&str]) -> bool {
    let asks_the_processor = used == "libc" && above.last() == Some(&"cpufeatures");
    asks_the_processor
        || PURE.contains(&used)
        || BUILD_TIME.contains(&used)
        || LAYERS.iter().any(|layer| layer.name == used && layer.purity == Purity::Pure)
}

fn tree(workspace: &Workspace, arguments: &str) -> anyhow::Result<String> {
    let how = "--locked --all-features --target all --prefix depth --no-dedupe --format {p}";
    output(&mut workspace.cargo(&format!("tree {arguments} {how}")))
}

fn names(tree: &str) -> Vec<String> {
    entries(tree).map(|(_, name)| name.to_owned()).collect()
}

/// Depth and name in lines as `2bytes v1.12.1 (/path)`.
fn entries(tree: &str) -> impl Iterator<Item = (Option<usize>, &str)> {
    tree.lines().filter_map(|line| {
        let begin = line.find(|character: char| !character.is_ascii_digit())?;
        let (depth, rest) = line.split_at(begin);
        Some((depth.parse().ok(), rest.split(' ').next()?))
    })
}

/// A crate of the workspace and what it may use.
struct Layer {
    name: &'static str,
    purity: Purity,
    /// Crates of the workspace; beyond those every crate's tests may use testkit.
    uses: &'static [&'static str],
    tests_use: &'static [&'static str],
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Purity {
    /// No I/O, clock, randomness or threads, whatever it is built with.
    Pure,
    Free,
}

const LAYERS: &[Layer] = &[
    Layer { name: "media", purity: Purity::Pure, uses: &[], tests_use: &[] },
    Layer { name: "rtsp-proto", purity: Purity::Pure, uses: &[], tests_use: &[] },
    Layer { name: "rtp-packetizer", purity: Purity::Pure, uses: &["media"], tests_use: &[] },
    // Its tests switch on the stand-in for the kernel, a feature of its own.
    Layer { name: "v4l2", purity: Purity::Free, uses: &[], tests_use: &["v4l2"] },
    Layer { name: "capture", purity: Purity::Free, uses: &["media", "v4l2"], tests_use: &[] },
    // Its tests encode the test card.
    Layer {
        name: "encode",
        purity: Purity::Free,
        uses: &["media", "v4l2"],
        tests_use: &["capture"],
    },
    Layer {
        name: "lenscast",
        purity: Purity::Free,
        uses: &["capture", "encode", "media", "rtp-packetizer", "rtsp-proto", "v4l2"],
        tests_use: &[],
    },
    Layer {
        name: "testkit",
        purity: Purity::Free,
        uses: &["media", "rtp-packetizer", "rtsp-proto"],
        tests_use: &[],
    },
    // Nothing uses it: it is here that everything meets bytes from strangers.
    Layer {
        name: "fuzz",
        purity: Purity::Free,
        uses: &["capture", "lenscast", "media", "rtp-packetizer", "rtsp-proto", "testkit"],
        tests_use: &[],
    },
    // Measures all of them.
    Layer {
        name: "benches",
        purity: Purity::Free,
        uses: &["capture", "lenscast", "media", "rtp-packetizer", "rtsp-proto"],
        tests_use: &[],
    },
    Layer { name: "xtask", purity: Purity::Free, uses: &[], tests_use: &[] },
];

/// Looked at, and found to compute only. `log` is a facade: it writes nothing by itself.
#[rustfmt::skip]
const PURE: &[&str] = &[
    "base64", "bitstream-io", "block-buffer", "bytes", "cfg-if", "const-oid", "cpufeatures",
    "crypto-common", "digest", "four-cc", "h264-reader", "hex-slice", "hybrid-array", "log", "md-5",
    "memchr", "mp4ra-rust", "mpeg4-audio-const", "no_std_io2", "percent-encoding", "rfc6381-codec",
    "rtcp-types", "rtp-types", "sha2", "smallvec", "subtle", "thiserror", "typenum",
];

/// Procedural macros and what they are made of: they run in the compiler.
const BUILD_TIME: &[&str] = &["proc-macro2", "quote", "syn", "thiserror-impl", "unicode-ident"];

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str) -> &'static Layer {
        LAYERS.iter().find(|layer| layer.name == name).unwrap()
    }

    fn breaches(name: &str, direct: &str, in_tests: &str, whole: &str) -> Vec<String> {
        let members: Vec<String> = LAYERS.iter().map(|layer| layer.name.to_owned()).collect();
        breaches_of(layer(name), &members, direct, in_tests, whole).unwrap()
    }

    #[test]
    fn upward_and_sideways_uses_are_told() {
        let direct = "0capture v0.1.0 (/a b)\n1bytes v1.12.1\n1encode v0.1.0 (/a b)\n1media v0.1.0";
        assert_eq!(
            breaches("capture", direct, "0capture v0.1.0\n1testkit v0.1.0", ""),
            ["capture → encode: capture may not use encode"]
        );
        assert_eq!(
            breaches("encode", "0encode v0.1.0\n1testkit v0.1.0", "0encode v0\n1capture v0", ""),
            ["encode → testkit: encode may not use testkit"]
        );
        assert_eq!(
            breaches("rtsp-proto", "0rtsp-proto v0.1.0", "0rtsp-proto v0.1.0\n1media v0.1.0", ""),
            ["rtsp-proto → media (in tests): rtsp-proto may not use media"]
        );
    }

    #[test]
    fn an_unknown_crate_deep_below_a_pure_one_is_told_once_and_with_its_path() {
        let whole = "0rtp-packetizer v0.1.0\n1bytes v1\n1media v0.1.0\n2rand v0.9\n3getrandom v0.3\n\
                     4libc v0.2\n1smallvec v1";
        assert_eq!(
            breaches("rtp-packetizer", "", "", whole),
            [
                "rtp-packetizer → media → rand: rand is not on the list of crates known to do no I/O, \
              and rtp-packetizer is pure"
            ]
        );
    }

    #[test]
    fn libc_may_ask_for_the_processor_and_for_nothing_else() {
        let asks = "0rtsp-proto v0\n1sha2 v0\n2cpufeatures v0\n3libc v0";
        assert_eq!(breaches("rtsp-proto", "", "", asks), [""; 0]);
        let other = "0rtsp-proto v0\n1sha2 v0\n2libc v0";
        let told = breaches("rtsp-proto", "", "", other);
        assert!(matches!(&told[..], [one] if one.contains("sha2 → libc: libc")), "{told:?}");
    }
}
