//! Files that a command writes when its work is done. That they can be written is tried before: an hour of work must not be
//! lost to a folder that is not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Tries whether a page can be written. What is in the file stays; one that is not there is not left behind.
pub fn try_page(file: &Path) -> Result<()> {
    let is_there = fs::symlink_metadata(file).is_ok();
    // A pipe or a terminal takes what it is sent, and opening it may wait for a reader.
    if fs::metadata(file).is_ok_and(|of| !of.is_file() && !of.is_dir()) {
        return Ok(());
    }
    OpenOptions::new().write(true).create(true).truncate(false).open(file).map_err(Error::io(file))?;
    if is_there { Ok(()) } else { fs::remove_file(file).map_err(Error::io(file)) }
}

/// Writes a page, in place of what was there.
pub fn write_page(file: &Path, html: &str) -> Result<()> {
    fs::write(file, html).map_err(Error::io(file))
}

/// Tries whether a file can be replaced, without touching it.
pub fn try_replacing(given: &Path) -> Result<()> {
    let (file, beside) = places(given);
    if file.is_dir() {
        return Err(Error::io(given)(io::ErrorKind::IsADirectory.into()));
    }
    File::create(&beside).and_then(|_| fs::remove_file(&beside)).map_err(Error::io(given))
}

/// Writes a file whole or not at all, in place of what was there; it is on disk when this returns. A link stays a link,
/// and who may read the file stays as it was.
pub fn replace(file: &Path, text: &str) -> Result<()> {
    let (file, beside) = places(file);
    let written = || {
        let mut new = File::create(&beside)?;
        if let Ok(old) = fs::metadata(&file) {
            new.set_permissions(old.permissions())?;
        }
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, &file)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    written().map_err(Error::io(&file))
}

/// The file that is meant, and the one beside it that becomes it.
fn places(file: &Path) -> (PathBuf, PathBuf) {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
    let mut beside = file.clone().into_os_string();
    beside.push(".new");
    (file, beside.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_tells_what_cannot_be_written_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new, lost) =
            (dir.path().join("old"), dir.path().join("new"), dir.path().join("missing").join("file"));
        fs::write(&old, "old").unwrap();
        for attempt in [try_page, try_replacing] {
            assert!(attempt(&old).is_ok() && attempt(&new).is_ok());
            for file in [dir.path(), &lost] {
                let error = attempt(file).unwrap_err().to_string();
                assert!(error.starts_with(&file.display().to_string()), "{error}");
            }
        }
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["old"]);
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
    }

    #[cfg(unix)]
    #[test]
    fn a_replaced_file_keeps_its_link_and_its_permissions() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file.toml"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
