//! A configuration that nobody named: the one in the directory where a command is run. It says
//! which programs open the vault and which vault that is: one that somebody else laid there would
//! act as whoever runs the next command.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use super::ConfigError;

/// Whose hands could have put it there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hands {
    /// This user's or root's alone.
    Ours,
    /// A user's of this number.
    Of(u32),
    /// Those of everybody, or of a group.
    Many,
}

fn hands(seen: &Metadata, own: u32) -> Hands {
    match (seen.uid(), seen.mode()) {
        (user, _) if user != 0 && user != own => Hands::Of(user),
        // In a directory like `/tmp` nobody replaces what is another's.
        (_, mode) if mode & 0o022 != 0 && mode & 0o1000 == 0 => Hands::Many,
        _ => Hands::Ours,
    }
}

/// Refuses an opened file, or its directory, that is neither this user's nor root's.
pub(super) fn judge(path: &Path, file: &Metadata) -> Result<(), ConfigError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = std::fs::metadata(dir.unwrap_or_else(|| Path::new(".")));
    let dir = dir.map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let own = geteuid().as_raw();
    for seen in [file, &dir] {
        let user = match hands(seen, own) {
            Hands::Ours => continue,
            Hands::Of(user) => Some(user),
            Hands::Many => None,
        };
        let path = path.to_owned();
        return Err(ConfigError::Strange { path, user });
    }
    Ok(())
}

/// Whether a directory is this user's own, and nobody else may write it or put another in its
/// place: what is laid into it is read by nobody who was not meant to.
pub fn is_own_directory(path: &Path) -> std::io::Result<bool> {
    let own = geteuid().as_raw();
    let seen = std::fs::symlink_metadata(path)?;
    if !seen.is_dir() || seen.uid() != own || seen.mode() & 0o022 != 0 {
        return Ok(false);
    }
    let whole = std::fs::canonicalize(path)?;
    let Some(above) = whole.parent() else {
        return Ok(true);
    };
    Ok(hands(&std::fs::metadata(above)?, own) == Hands::Ours)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A configuration of this mode, in a directory of that one.
    fn told(file_mode: u32, dir_mode: u32) -> Result<(), ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kluis.toml");
        std::fs::write(&path, "").unwrap();
        let mode = |path: &Path, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, mode).unwrap();
        };
        mode(&path, file_mode);
        mode(dir.path(), dir_mode);
        judge(&path, &std::fs::metadata(&path).unwrap())
    }

    #[test]
    fn what_others_could_have_written_is_not_taken() {
        for (file, dir) in [(0o644, 0o755), (0o600, 0o700), (0o600, 0o1777)] {
            assert!(told(file, dir).is_ok(), "{file:o} in {dir:o}");
        }
        for (file, dir) in [
            (0o646, 0o755),
            (0o664, 0o755),
            (0o644, 0o777),
            (0o644, 0o775),
        ] {
            let error = told(file, dir).unwrap_err();
            assert!(matches!(error, ConfigError::Strange { user: None, .. }));
        }
    }

    #[test]
    fn whoever_owns_it_is_root_or_who_runs_this() {
        let dir = tempfile::tempdir().unwrap();
        let seen = std::fs::metadata(dir.path()).unwrap();
        let owner = seen.uid();
        assert_eq!(hands(&seen, owner), Hands::Ours);
        if owner != 0 {
            assert_eq!(hands(&seen, owner + 1), Hands::Of(owner));
        }
        // Root's is everybody's to trust.
        let roots = std::fs::metadata("/").unwrap();
        assert_eq!(hands(&roots, 12_345), Hands::Ours);
    }

    /// Where the test may give files away, which root may.
    #[test]
    fn another_users_file_is_refused_for_root_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kluis.toml");
        std::fs::write(&path, "").unwrap();
        let given = std::os::unix::fs::chown(&path, Some(65_534), None);
        if given.is_err() {
            return;
        }
        let told = judge(&path, &std::fs::metadata(&path).unwrap()).unwrap_err();
        assert!(matches!(
            told,
            ConfigError::Strange {
                user: Some(65_534),
                ..
            }
        ));
        assert!(!told.to_string().is_empty());
    }

    #[test]
    fn a_directory_that_others_could_fill_is_not_ones_own() {
        let above = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, mode).unwrap();
        };
        let dir = above.path().join("drill");
        std::fs::create_dir(&dir).unwrap();
        for (upper, lower, own) in [
            (0o700, 0o700, true),
            (0o755, 0o755, true),
            (0o1777, 0o700, true),
            (0o777, 0o700, false),
            (0o700, 0o777, false),
            (0o700, 0o775, false),
            (0o700, 0o1777, false),
        ] {
            mode(above.path(), upper);
            mode(&dir, lower);
            assert_eq!(is_own_directory(&dir).unwrap(), own, "{upper:o} {lower:o}");
        }
        mode(above.path(), 0o700);
        mode(&dir, 0o700);
        let link = above.path().join("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        assert!(!is_own_directory(&link).unwrap());
        assert!(is_own_directory(&above.path().join("absent")).is_err());
        // Where the test may give it away, which root may: root's drill is not for another.
        if std::os::unix::fs::chown(&dir, Some(65_534), None).is_ok() {
            assert!(!is_own_directory(&dir).unwrap());
        }
    }
}
