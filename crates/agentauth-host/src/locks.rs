//! Who holds a lock on a file, without taking it. Linux only; elsewhere nobody is named.

use std::path::Path;

/// The process that holds a `flock` on the file, if one does and the kernel shows it. Blocking for a moment.
#[must_use]
pub fn holder(file: &Path) -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt as _;
        let inode = std::fs::metadata(file).ok()?.ino();
        held_by(&std::fs::read_to_string("/proc/locks").ok()?, inode)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        None
    }
}

/// The process that holds a `flock` on this inode, from `/proc/locks` (proc_locks(5)). The device is not compared: on
/// layered file systems it is not the one that `stat` shows.
#[cfg(target_os = "linux")]
fn held_by(table: &str, inode: u64) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let kind = fields.nth(1)?;
        let pid = fields.nth(2)?;
        let (_, found) = fields.next()?.rsplit_once(':')?;
        (kind == "FLOCK" && found.parse() == Ok(inode)).then(|| pid.parse().ok())?
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found() {
        let table = "1: POSIX  ADVISORY  WRITE 11 08:01:131 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 08:01:131 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 13 08:01:131 0 EOF\n";
        assert_eq!(held_by(table, 131), Some(12));
        assert_eq!(held_by(table, 132), None);

        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(holder(file.path()), None);
        file.as_file().lock().unwrap();
        assert_eq!(holder(file.path()), Some(std::process::id()));
    }
}
