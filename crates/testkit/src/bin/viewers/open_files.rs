//! The limit on open files, which every viewer needs some of (getrlimit(2)).

use anyhow::bail;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Raises the limit to `needed`, and beyond to what the system grants anyhow.
///
/// # Errors
///
/// When that many are not to be had; it says how they would be.
pub(crate) fn raise_to(needed: u64) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = rlim_t::max(needed, hard);
    // Beyond the hard limit for root only.
    let raised = setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted)
        .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    let granted = match raised {
        Ok(()) => getrlimit(Resource::RLIMIT_NOFILE)?.0,
        Err(_) => soft,
    };
    if granted < needed {
        bail!(
            "so many viewers need {needed} open files, and the system grants {granted}: raise the \
             limit as root (ulimit -Hn {needed}; systemd: LimitNOFILE=), or take fewer viewers"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_can_be_is_refused_with_both_numbers() {
        // Above what the kernel grants even to root (fs.nr_open).
        let error = raise_to(u64::from(u32::MAX)).unwrap_err().to_string();
        assert!(error.contains("4294967295 open files"), "{error}");
        assert!(raise_to(16).is_ok());
    }
}
