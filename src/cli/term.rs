//! `kluis mount --while FILE`: for how long a mount stands that nobody ends. The file's time of
//! modification is the end, so whoever may write it can put it off, or end it by removing it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::output::{CliError, Exit};
use crate::types::Clock;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The end, in seconds since 1970: none where there is no file of that name itself.
fn end(file: &Path) -> Option<u64> {
    let metadata = std::fs::symlink_metadata(file).ok()?;
    u64::try_from(metadata.mtime())
        .ok()
        .filter(|_| metadata.is_file())
}

fn is_over(file: &Path, clock: &dyn Clock) -> bool {
    end(file).is_none_or(|end| end <= clock.now().seconds())
}

/// That it may begin at all.
pub(super) fn check(file: Option<&Path>, clock: &dyn Clock) -> Result<(), CliError> {
    let Some(file) = file.filter(|file| is_over(file, clock)) else {
        return Ok(());
    };
    let shown = file.display();
    let message = format!("--while: {shown} is no file whose time of modification is to come");
    Err(CliError::new(Exit::Usage, message).hint("touch -d '2 hours' FILE"))
}

/// Returns when the end has come; never without a file.
pub(super) async fn over(file: Option<&Path>, clock: &dyn Clock) {
    let Some(file) = file else {
        return std::future::pending().await;
    };
    while !is_over(file, clock) {
        tokio::time::sleep(LOOK).await;
    }
    tracing::info!(file = %file.display(), "the mount's time is over");
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::types::Timestamp;

    struct At(u64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.saturating_mul(1_000))
        }
    }

    /// A file whose time is 1,000 seconds after 1970.
    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("end");
        dated(&path, 1_000);
        (directory, path)
    }

    fn dated(path: &Path, seconds: u64) {
        let file = std::fs::File::create(path).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    }

    #[test]
    fn a_mount_begins_before_its_end_only_and_beside_a_file_only() {
        let (directory, path) = file();
        assert!(check(None, &At(5_000)).is_ok());
        assert!(check(Some(&path), &At(999)).is_ok());
        for late in [1_000, 1_001, u64::from(u32::MAX)] {
            assert!(check(Some(&path), &At(late)).is_err(), "{late}");
        }
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for none in [link.as_path(), directory.path(), Path::new("/absent")] {
            assert!(check(Some(none), &At(0)).is_err(), "{}", none.display());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_can_be_put_off_and_comes_when_the_file_is_gone() {
        let (_directory, path) = file();
        let begins = At(500);
        let mut waiting = Box::pin(over(Some(&path), &begins));
        let minute = Duration::from_mins(1);
        assert!(tokio::time::timeout(minute, &mut waiting).await.is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(tokio::time::timeout(LOOK, &mut waiting).await.is_ok());
        drop(waiting);
        dated(&path, 400);
        assert!(
            tokio::time::timeout(LOOK, over(Some(&path), &begins))
                .await
                .is_ok()
        );
        dated(&path, 2_000);
        let put_off = over(Some(&path), &At(1_500));
        assert!(tokio::time::timeout(minute, put_off).await.is_err());
    }
}
