//! File descriptors of the process: each connection needs one.

use rustix::process::{Resource, getrlimit};

/// Minimum and maximum number of descriptors that are reserved for files, the watcher and the runtime. Within this
/// range, a tenth of all descriptors is reserved.
const RESERVE: std::ops::RangeInclusive<usize> = 32..=1_024;

/// Returns the maximum number of connections that leaves descriptors for files and the watcher.
pub(super) fn for_connections() -> usize {
    // If the process has no limit, the system itself limits the descriptors.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    spared(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn spared(limit: usize) -> usize {
    let reserve = (limit / 10).clamp(*RESERVE.start(), *RESERVE.end());
    limit.saturating_sub(reserve).max(1)
}

/// Raises the limit of descriptors as far as the process may. Shells and service managers start programs with a limit
/// of 1,024, for compatibility with old programs.
#[cfg(feature = "internals")]
pub fn raise_limit() {
    use rustix::process::{Rlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Some systems reject this; the limit stays as it is then.
    let _ = setrlimit(Resource::Nofile, raised);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_left_for_files() {
        for (limit, expected) in [
            (10, 1),
            (300, 268),
            (1_024, 922),
            (524_288, 523_264),
            (usize::MAX, usize::MAX - 1_024),
        ] {
            assert_eq!(spared(limit), expected, "{limit}");
        }
    }
}
