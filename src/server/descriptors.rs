//! File descriptors: each connection takes one, and so does each open file of the store. The process raises its own limit as
//! far as it may, and takes fewer connections where that is too little, rather than fail in the middle of a write.

/// What the store, the indexes and the logs may have open.
const FILES: usize = 1_280;

/// How many of the wanted connections the limit of open files leaves room for.
pub fn fitting(wanted: usize) -> usize {
    let Some(limit) = raised(wanted + FILES) else { return wanted };
    let room = room(limit);
    if room < wanted {
        tracing::warn!(
            limit,
            wanted,
            connections = room,
            "the limit of open files leaves room for fewer connections than server.max_connections; raise it (ulimit -n, \
             LimitNOFILE=)"
        );
    }
    wanted.min(room)
}

/// Connections that a limit leaves room for: what the store does not need, but half of it at least.
fn room(limit: usize) -> usize {
    limit.saturating_sub(FILES).max(limit / 2).max(1)
}

/// The limit of open files, raised to so many if it may be; `None` where there is none or nobody knows.
#[cfg(target_os = "linux")]
fn raised(wanted: usize) -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let now = current?;
    let wanted = maximum.map_or(wanted as u64, |maximum| maximum.min(wanted as u64));
    if now >= wanted {
        return usize::try_from(now).ok();
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => usize::try_from(wanted).ok(),
        Err(error) => {
            tracing::warn!(%error, now, wanted, "the limit of open files cannot be raised");
            usize::try_from(now).ok()
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn raised(_: usize) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_the_store() {
        assert_eq!(room(65_536), 65_536 - FILES);
        assert_eq!(room(1_024), 512);
        assert_eq!(room(0), 1);
        assert!(fitting(100) >= 1);
    }
}
