//! `kluis mount --supervised`: a process that does nothing but hold the mount's connection to the
//! kernel and start another mount where one has died. While it holds the connection, readers wait;
//! it has no key, no plaintext and no credential, and no reason to die.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::net::UnixStream as Line;
use tokio::time::Instant;

use super::output::{CliError, Exit, Output};
use super::serve::runtime;
use crate::app::shutdown;
use crate::mount::{Opened, Word, hear, say, unmount};
use crate::types::limits;

/// How long a mount that is to end may take.
const END: Duration = Duration::from_secs(15);
/// What a process that panicked exits with.
const PANICKED: i32 = 101;

/// How much a mount is spared when memory is short: less than its supervisor, who takes none and
/// starts another, so that what one job reads does not end everybody else's processes first.
const SPARED: i32 = -300;

/// A mount of a supervisor's takes back what it was spared beyond that.
pub(super) fn spare_less() {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let now = std::fs::read_to_string(SCORE).ok();
    let now = now.and_then(|text| text.trim().parse::<i32>().ok());
    if now.is_some_and(|now| now < SPARED)
        && let Err(error) = std::fs::write(SCORE, SPARED.to_string())
    {
        tracing::warn!(%error, "the system spares this process more than others");
    }
}

/// A line that is listened to beside other things.
pub(super) fn watched(line: UnixStream) -> io::Result<Line> {
    line.set_nonblocking(true)?;
    Line::from_std(line)
}

/// The next word of the other side; `None` when it has ended.
pub(super) async fn hear_from(line: &Line) -> io::Result<Option<(Word, Vec<OwnedFd>)>> {
    line.async_io(Interest::READABLE, || hear(line)).await
}

/// Deaths of late.
#[derive(Default)]
struct Deaths(VecDeque<Instant>);

impl Deaths {
    /// Notes one; whether they are too many.
    fn too_many(&mut self, now: Instant) -> bool {
        let span = Duration::from_secs(limits::MOUNT_DEATHS_SECONDS);
        self.0.retain(|then| now.duration_since(*then) < span);
        self.0.push_back(now);
        self.0.len() > limits::MOUNT_DEATHS_MAX
    }
}

/// What is kept from mount to mount.
struct Kept {
    opened: Opened,
    connection: Option<OwnedFd>,
    /// That the mount could not go on with the connection.
    lost: bool,
}

/// How a mount ended.
enum Ended {
    /// As it was told to.
    Stopped,
    /// By itself, in order.
    Exited(i32),
    /// By a signal or a panic.
    Died(ExitStatus),
}

/// Mounts, and mounts again.
pub(super) fn run(directory: &Path, output: &mut Output) -> Result<Exit, CliError> {
    runtime()?.block_on(async {
        let mut signals = shutdown::signals()?;
        let mut deaths = Deaths::default();
        let mut kept = Kept {
            opened: Opened::create()?,
            connection: None,
            lost: false,
        };
        loop {
            let (child, line) = start(&kept)?;
            match attend(child, &watched(line)?, &mut kept, &mut signals).await? {
                Ended::Stopped => return Ok(Exit::Done),
                Ended::Exited(code) if !kept.lost => return Ok(exit_of(code)),
                Ended::Exited(_) => output.note("the connection cannot be gone on with"),
                Ended::Died(status) => output.note(&format!("the mount died: {status}")),
            }
            let enough = deaths.too_many(Instant::now());
            if enough || kept.lost {
                // Whoever waits is told at once; what is open is lost to its reader.
                let held = kept.connection.take().is_some();
                kept.lost = false;
                if held && let Err(error) = unmount(directory) {
                    tracing::warn!(%error, "it cannot be unmounted");
                }
            }
            if enough {
                let message = "the mount dies again and again";
                return Err(CliError::new(Exit::Unavailable, message));
            }
        }
    })
}

const fn exit_of(code: i32) -> Exit {
    match code {
        0 => Exit::Done,
        1 => Exit::No,
        2 => Exit::Usage,
        _ => Exit::Unavailable,
    }
}

/// A supervisor's arguments as its mount has them. Behind `--` there are no options.
fn words(own: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = own.collect();
    let end = words.iter().position(|word| word == "--");
    words.insert(end.unwrap_or(words.len()), "--worker".into());
    words
}

/// Starts a mount: this program with the same arguments.
fn start(kept: &Kept) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let child = Command::new("/proc/self/exe")
        .args(words(std::env::args_os().skip(1)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    let list = kept.opened.as_fd();
    let said = match &kept.connection {
        None => say(&ours, Word::Begin, &[list]),
        Some(connection) => say(&ours, Word::Resume, &[list, connection.as_fd()]),
    };
    if let Err(error) = said {
        // It has died already, which is found by waiting for it.
        tracing::debug!(%error, "the mount hears nothing");
    }
    Ok((child, ours))
}

/// Attends to a mount until it ends.
async fn attend(
    mut child: Child,
    line: &Line,
    kept: &mut Kept,
    signals: &mut (impl Stream<Item = ()> + Unpin),
) -> io::Result<Ended> {
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    // One that has ended meanwhile takes no signal.
    let tell = |signal| {
        let _ended = pidfd_send_signal(&process, signal);
    };
    let mut wait = tokio::task::spawn_blocking(move || child.wait());
    let mut stopping: Option<Instant> = None;
    let mut listening = true;
    let status = loop {
        let deadline = stopping.unwrap_or_else(Instant::now);
        tokio::select! {
            status = &mut wait => break status.map_err(io::Error::other)??,
            // A line that is broken has an end.
            word = hear_from(line), if listening => listening = take(kept, word.unwrap_or(None)),
            Some(()) = signals.next() => {
                tell(if stopping.is_some() { Signal::KILL } else { Signal::TERM });
                stopping = Some(Instant::now() + END);
            }
            () = tokio::time::sleep_until(deadline), if stopping.is_some() => {
                tell(Signal::KILL);
                stopping = Some(Instant::now() + END);
            }
        }
    };
    // What it said last.
    while let Ok(word) = hear(line) {
        if !take(kept, word) {
            break;
        }
    }
    Ok(match status.code() {
        _ if stopping.is_some() => Ended::Stopped,
        Some(code) if code != PANICKED && status.signal().is_none() => Ended::Exited(code),
        _ => Ended::Died(status),
    })
}

/// Takes what a mount says; `false` when it has no more to say.
fn take(kept: &mut Kept, word: Option<(Word, Vec<OwnedFd>)>) -> bool {
    match word {
        Some((Word::Mounted, with)) => {
            if let Some(connection) = with.into_iter().next() {
                kept.connection = Some(connection);
            }
            true
        }
        Some((Word::Lost, _)) => {
            kept.lost = true;
            true
        }
        Some((Word::Begin | Word::Resume, _)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn five_deaths_in_a_minute_are_borne_and_six_are_not() {
        let mut deaths = Deaths::default();
        for _ in 0..limits::MOUNT_DEATHS_MAX {
            assert!(!deaths.too_many(Instant::now()));
        }
        assert!(deaths.too_many(Instant::now()));
        let mut deaths = Deaths::default();
        for _ in 0..100 {
            assert!(!deaths.too_many(Instant::now()));
            tokio::time::advance(Duration::from_secs(13)).await;
        }
    }

    #[test]
    fn a_mount_is_told_what_its_supervisor_was() {
        let told = |text: &str| words(text.split(' ').map(OsString::from)).join(" ".as_ref());
        assert_eq!(told("mount v d"), "mount v d --worker");
        assert_eq!(told("mount -- v d"), "mount --worker -- v d");
    }

    #[test]
    fn a_mount_says_what_it_has_and_nothing_else_is_taken() {
        let mut kept = Kept {
            opened: Opened::create().unwrap(),
            connection: None,
            lost: false,
        };
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(!take(&mut kept, Some((Word::Resume, vec![one.into()]))));
        assert!(kept.connection.is_none());
        let (one, _other) = UnixStream::pair().unwrap();
        assert!(take(&mut kept, Some((Word::Mounted, vec![one.into()]))));
        // One that goes on says so without another connection.
        assert!(take(&mut kept, Some((Word::Mounted, Vec::new()))));
        assert!(kept.connection.is_some() && !kept.lost);
        assert!(take(&mut kept, Some((Word::Lost, Vec::new()))) && kept.lost);
        assert!(!take(&mut kept, None));
    }
}
