//! The child that speaks to a token or a plugin: started, heard within bounds, ended with all that
//! it started. A library or a program of others that hangs, dies or talks without end does so
//! there, away from keys and data.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::words::Ask;
use super::{ASK_BYTES_MAX, KeeperError};
use crate::config::Variable;

/// A child, which ends with this, and its process group with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Its group is not given away before it is waited for.
        if let Err(error) = kill_process_group(Pid::from_child(&self.0), Signal::KILL) {
            tracing::debug!(%error, "what spoke to the keeper of the root was gone already");
        }
        if let Err(error) = self.0.wait() {
            tracing::warn!(%error, "what spoke to the keeper of the root is not ended");
        }
    }
}

/// The child of this program.
pub(super) fn own() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(super::KEEPER);
    command
}

/// Asks the child once: its answer, **wiped when dropped**.
pub(super) async fn ask(
    mut command: Command,
    ask: &Ask<'_>,
    wait: Duration,
) -> Result<Zeroizing<Vec<u8>>, KeeperError> {
    // The room is exact enough that no copy is left behind.
    let mut said = Zeroizing::new(Vec::with_capacity(ASK_BYTES_MAX));
    serde_json::to_writer(&mut *said, ask).map_err(|_no_text| KeeperError::Answer)?;
    if said.len() > ASK_BYTES_MAX {
        return Err(KeeperError::Answer);
    }
    for variable in Variable::ALL {
        if variable.is_secret() {
            command.env_remove(variable.name());
        }
    }
    let child = command
        .env_remove("AGEDEBUG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(KeeperError::Start)?;
    let mut running = Running(child);
    let (stdin, stdout) = (running.0.stdin.take(), running.0.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(KeeperError::Start(io::ErrorKind::BrokenPipe.into()));
    };
    // A pipe holds all of it, whether it is read or not.
    if let Err(error) = stdin.write_all(&said) {
        tracing::debug!(%error, "what speaks to the keeper of the root did not listen");
    }
    drop(stdin);
    let heard = timeout(wait, hear(OwnedFd::from(stdout))).await;
    match heard {
        Ok(heard) => heard.map_err(KeeperError::Start),
        Err(_late) => Err(KeeperError::Late { wait }),
    }
}

/// All that it says, or as much as is more than an answer; the buffer never grows.
async fn hear(from: OwnedFd) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut from = Receiver::from_owned_fd(from)?;
    let mut heard = Zeroizing::new(vec![0; ASK_BYTES_MAX]);
    let mut have = 0_usize;
    while let Some(rest) = heard.get_mut(have..).filter(|rest| !rest.is_empty()) {
        let read = from.read(rest).await?;
        if read == 0 {
            break;
        }
        have = have.saturating_add(read);
    }
    heard.truncate(have);
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::words::{Foreign, Work};
    use super::*;

    async fn told(script: &str, wait: u64) -> Result<String, KeeperError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let asked = Ask {
            keeper: Foreign::Plugin {
                identity: Cow::Borrowed("AGE-PLUGIN-X-1"),
                recipient: None,
            },
            pin: Some(Cow::Borrowed("12\"34")),
            recipient: Cow::Borrowed("age1"),
            work: Work::Open(Cow::Borrowed("AAAA")),
        };
        let heard = ask(command, &asked, Duration::from_millis(wait)).await?;
        Ok(String::from_utf8_lossy(&heard).into_owned())
    }

    #[tokio::test]
    async fn it_hears_what_it_is_asked_and_is_heard() {
        let heard = told("cat", 20_000).await.unwrap();
        let asked: Ask<'_> = serde_json::from_str(&heard).unwrap();
        assert_eq!(asked.pin.unwrap(), "12\"34");
        assert_eq!(told("exit 3", 20_000).await.unwrap(), "");
        assert_eq!(told("exec <&-; kill -9 $$", 20_000).await.unwrap(), "");
    }

    #[tokio::test]
    async fn one_that_hangs_ends_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; echo '{{'; wait", file.display());
        let mut wait = 500;
        // On a busy machine it may not have come that far.
        let pid = loop {
            let heard = told(&script, wait).await;
            assert!(matches!(heard, Err(KeeperError::Late { .. })));
            let pid = std::fs::read_to_string(&file).unwrap_or_default();
            if let Ok(pid) = pid.trim().parse::<i32>() {
                break pid;
            }
            wait *= 4;
            assert!(wait < 200_000, "the script never began");
        };
        // It is gone, or dead and waited for by nobody yet; the system takes a moment for it.
        let ended = async {
            loop {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
                let stat = stat.unwrap_or_default();
                let state = stat.rsplit(") ").next().unwrap_or_default();
                if state.is_empty() || state.starts_with(['Z', 'X']) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_mins(1), ended).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_talks_without_end_is_cut() {
        let heard = told("while :; do echo aaaaaaaaaaaaaaaa; done", 20_000).await;
        assert_eq!(heard.unwrap().len(), ASK_BYTES_MAX);
    }
}
