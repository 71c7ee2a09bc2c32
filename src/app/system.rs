//! The machine's clock and randomness, the one place that asks for them; and what a process that
//! holds keys asks of the system before it opens any.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::disable_transparent_huge_pages;
use tokio::time::Instant;

use crate::types::{Clock, Entropy, EntropyError, Timestamp};

/// The wall clock of this machine. A clock before 1970 reads as 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the wall clock"
        )]
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The wall clock of this machine as it was when this began, and what has passed since by a clock
/// that nobody sets: NTP's answers travel in clear, and some daemons step by any amount. A machine
/// that stood still is behind until the process begins anew, which only keeps things longer.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock<C> {
    wall: C,
    began: (Timestamp, Instant),
}

impl<C: Clock> SteadyClock<C> {
    /// Begins with what the wall clock says now.
    pub fn new(wall: C) -> Self {
        let began = (wall.now(), Instant::now());
        Self { wall, began }
    }
}

impl<C: Clock> Clock for SteadyClock<C> {
    fn now(&self) -> Timestamp {
        self.wall.now()
    }

    fn settled(&self) -> Timestamp {
        let passed = u64::try_from(self.began.1.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.now().min(self.began.0.plus_millis(passed))
    }
}

/// The operating system's randomness.
#[derive(Debug, Clone)]
pub struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    /// Opens it; nothing is drawn yet.
    #[must_use]
    pub fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that opens the randomness"
        )]
        Self(SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0
            .fill(out)
            .map_err(|ring::error::Unspecified| EntropyError)
    }
}

/// Forbids core dumps, which would hold keys and plaintext (CR-1), and reading of this process's
/// memory by others of the same user.
pub fn forbid_dumps() -> std::io::Result<()> {
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Forbids huge pages: with them the first byte of a stretch of 2 MiB makes all of it resident, and
/// what is freed stays, so that a resting vault holds twice what it uses.
pub fn forbid_huge_pages() -> std::io::Result<()> {
    Ok(disable_transparent_huge_pages(true)?)
}

/// Bounds the addresses that this process may have, for what no count of its own covers: beyond,
/// the system refuses memory and the process ends.
pub fn bound_memory(bytes: u64) -> std::io::Result<()> {
    let limits = getrlimit(Resource::As);
    let most = limits.maximum.map_or(bytes, |most| most.min(bytes));
    setrlimit(
        Resource::As,
        Rlimit {
            current: Some(most),
            maximum: limits.maximum,
        },
    )?;
    Ok(())
}

/// Raises the number of files that may be open to what the system allows, and returns it; `None`
/// where there is no bound. Each connection is a file.
pub fn raise_open_files() -> std::io::Result<Option<u64>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    Ok(maximum)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_core_is_dumped() {
        forbid_dumps().expect("allowed");
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        let dumpable = rustix::process::dumpable_behavior().expect("known");
        assert_eq!(dumpable, DumpableBehavior::NotDumpable);
    }

    #[test]
    fn as_many_files_as_allowed_may_be_open() {
        let most = raise_open_files().expect("allowed");
        assert_eq!(getrlimit(Resource::Nofile).current, most);
    }

    #[test]
    fn the_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > Timestamp::from_millis(1_700_000_000_000));
    }

    /// A wall clock that a test sets.
    struct Wall(AtomicU64);

    impl Clock for Arc<Wall> {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_settled_goes_no_faster_than_time_and_never_before_the_clock() {
        let wall = Arc::new(Wall(AtomicU64::new(1_000_000)));
        let clock = SteadyClock::new(Arc::clone(&wall));
        let settled = || clock.settled().millis();
        let set = |millis| wall.0.store(millis, Ordering::SeqCst);
        assert_eq!(settled(), 1_000_000);
        // Eleven years ahead: nothing has passed, and then as much as passes.
        set(1_000_000 + 11 * 365 * 86_400_000);
        assert_eq!(settled(), 1_000_000);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(settled(), 1_005_000);
        // Set right again, it is as if nothing had been.
        set(1_006_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(settled(), 1_006_000);
        // Set back, it is behind like the clock.
        set(400_000);
        assert_eq!(settled(), 400_000);
        set(0);
        assert_eq!(settled(), 0);
    }

    #[test]
    fn two_draws_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        let entropy = SystemEntropy::new();
        assert!(entropy.fill(&mut a).is_ok() && entropy.fill(&mut b).is_ok());
        assert_ne!(a, b);
    }
}
