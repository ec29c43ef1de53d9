//! Which devices a library answers for, in the kernel's place.
//!
//! Some boards' encoders are no devices of the kernel's to anybody but a library of the board's maker
//! (NVIDIA's Jetson). Such a library has the functions of libv4l2, and is loaded while the program
//! runs; which device it answers for is told once, before that is opened.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use crate::{calls::Calls, sys};

/// Why a library cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It cannot be loaded.
    #[error("cannot load {}: {said}", library.display())]
    NotLoaded {
        /// Which library.
        library: PathBuf,
        /// What the loader said.
        said: String,
    },
    /// It is another kind of library.
    #[error("{} has no function {function}: it is not built to answer for devices", library.display())]
    NoFunction {
        /// Which library.
        library: PathBuf,
        /// What it lacks.
        function: String,
    },
    /// This program is static.
    #[error(
        "cannot load {}: this program is linked statically, and such cannot load libraries\n  \
         try: cargo build --release   # on the machine that has the library: that links dynamically",
        library.display()
    )]
    Static {
        /// Which library.
        library: PathBuf,
    },
}

/// Has `library` answer whenever `node`, as `/dev/v4l2-nvenc`, is opened from now on. A name without
/// a slash is looked for where the system has its libraries.
///
/// The library is trusted as the kernel is: it runs within this process, and nothing that it does
/// there can be checked. So the caller answers for these:
///
/// - The name of the library comes from whoever runs this program, who could as well run another,
///   and never from elsewhere, as from a viewer or a device.
/// - The functions that it has of libv4l2's names are as `libv4l2.h` declares them, and keep what
///   the kernel promises of those they stand for: which memory they use, and that a descriptor or
///   a mapping that they give belongs to nobody else. So is its `v4l2_log_file`, if it has one.
///
/// It is no `unsafe fn` all the same, as [`std::process::Command`] has none, which runs whatever it
/// is told to: no caller could argue more than where it has the name from.
///
/// # Errors
///
/// When the library cannot be loaded.
pub fn answer_for(node: &Path, library: &Path) -> Result<(), Refusal> {
    let calls = load(library)?;
    let mut answering = ANSWERING.write().unwrap_or_else(PoisonError::into_inner);
    answering.retain(|(known, _)| known != node);
    answering.push((node.to_owned(), calls));
    Ok(())
}

/// The nodes that libraries answer for.
pub fn nodes() -> Vec<PathBuf> {
    let answering = ANSWERING.read().unwrap_or_else(PoisonError::into_inner);
    answering.iter().map(|(node, _)| node.clone()).collect()
}

/// Who answers for `path`: a node, or a link to one.
pub(crate) fn calls_for(path: &Path) -> Arc<dyn Calls> {
    let answering = ANSWERING.read().unwrap_or_else(PoisonError::into_inner);
    let is_same = |node: &Path| {
        node == path
            || fs::canonicalize(node).is_ok_and(|node| fs::canonicalize(path).ok() == Some(node))
    };
    match answering.iter().find(|(node, _)| is_same(node)) {
        Some((_, calls)) => calls.clone(),
        None => Arc::new(sys::Kernel),
    }
}

#[cfg(not(target_feature = "crt-static"))]
fn load(library: &Path) -> Result<Arc<dyn Calls>, Refusal> {
    Ok(Arc::new(sys::library::Library::load(library)?))
}

#[cfg(target_feature = "crt-static")]
fn load(library: &Path) -> Result<Arc<dyn Calls>, Refusal> {
    Err(Refusal::Static { library: library.to_owned() })
}

static ANSWERING: RwLock<Vec<(PathBuf, Arc<dyn Calls>)>> = RwLock::new(Vec::new());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(target_feature = "crt-static"))]
    fn what_cannot_answer_is_refused() {
        let node = Path::new("/dev/none");
        let missing = answer_for(node, Path::new("/nowhere/libv4l2.so.0")).unwrap_err();
        assert!(
            missing.to_string().starts_with("cannot load /nowhere/libv4l2.so.0: "),
            "{missing}"
        );
        let other = answer_for(node, Path::new("libc.so.6")).unwrap_err();
        assert_eq!(
            other.to_string(),
            "libc.so.6 has no function v4l2_open: it is not built to answer for devices"
        );
        assert_eq!(nodes(), Vec::<PathBuf>::new());
    }

    #[test]
    #[cfg(target_feature = "crt-static")]
    fn a_static_program_says_that_it_is_one() {
        let refusal = answer_for(Path::new("/dev/none"), Path::new("libc.so.6")).unwrap_err();
        assert!(refusal.to_string().contains("try: cargo build --release"), "{refusal}");
    }
}
