//! A file of lines, bounded in size and number.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::sys;
use crate::writer::{Lost, write_lines};

/// A file of events.
///
/// One process writes to it: two that rotate the same file would take each other's lines away.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The file; rotated ones get `.1`, `.2` and so on, the newest `.1`.
    pub path: PathBuf,
    /// The size at which a file is rotated, in bytes. Default: 10 MiB. A line that is longer is
    /// written all the same, alone in its file.
    pub max_bytes: u64,
    /// How many files there may be in all. Default: 5. With 1, a full file is begun anew. Files
    /// that an earlier run left beyond this number stay where they are.
    pub max_files: u32,
}

impl FileOptions {
    /// The file at `path`, with the default bounds.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        FileOptions { path: path.into(), max_bytes: 10 << 20, max_files: 5 }
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    options: FileOptions,
    /// Absent while rotating, and after it failed.
    file: Option<File>,
    bytes: u64,
    /// The file does not end with a newline: an earlier write was cut short.
    torn: bool,
}

impl RotatingFile {
    /// Opens the file for appending, or makes it.
    pub(crate) fn open(options: FileOptions) -> io::Result<Self> {
        let invalid = |what: &str| Err(io::Error::new(ErrorKind::InvalidInput, what));
        if options.max_bytes == 0 || options.max_files == 0 {
            return invalid("a file of events needs at least one byte and one file");
        }
        let mut this = RotatingFile { options, file: None, bytes: 0, torn: false };
        this.reopen()?;
        Ok(this)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.options.path
    }

    /// Appends whole lines, and rotates where the next would not fit.
    pub(crate) fn write(&mut self, mut lines: &[u8]) -> Result<(), Lost> {
        while !lines.is_empty() {
            let room = self.options.max_bytes.saturating_sub(self.bytes);
            let mut fitting = fitting(lines, room);
            if fitting == 0 && self.bytes > 0 {
                self.rotate().map_err(|error| Lost::all(lines, error))?;
                continue;
            }
            if fitting == 0 {
                fitting = lines.iter().position(|&b| b == b'\n').map_or(lines.len(), |at| at + 1);
            }
            if self.file.is_none() {
                self.reopen().map_err(|error| Lost::all(lines, error))?;
                continue;
            }
            let file = self.file.as_mut().expect("it was just opened");
            let (batch, rest) = lines.split_at(fitting);
            match write_lines(file, batch, &mut self.torn) {
                Ok(()) => self.bytes += batch.len() as u64,
                Err(mut lost) => {
                    self.bytes += lost.written;
                    lost.lines += Lost::count(rest);
                    return Err(lost);
                }
            }
            lines = rest;
        }
        Ok(())
    }

    /// Opening a FIFO would wait for its reader, and nothing but a file can be rotated.
    fn reopen(&mut self) -> io::Result<()> {
        let path = &self.options.path;
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let mut open = OpenOptions::new();
        open.append(true).create(true);
        sys::private(&mut open);
        let file = open.open(path)?;
        self.bytes = file.metadata()?.len();
        self.torn = self.bytes > 0 && !ends_with_newline(path).unwrap_or(true);
        self.file = Some(file);
        Ok(())
    }

    /// Renames are done on closed files: Windows refuses others.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        let path = &self.options.path;
        let made_way = if self.options.max_files == 1 {
            fs::remove_file(path)
        } else {
            // Only up to the first number that is free, so that an attempt that failed half-way
            // and is repeated pushes nothing out.
            let last = self.options.max_files - 1;
            let free = (1..last).find(|&n| !numbered(path, n).exists()).unwrap_or(last);
            if free == last {
                // A rename onto a file makes some file systems write the renamed one out at once
                // (ext4's `auto_da_alloc`): here that would be one which is soon to go itself.
                match fs::remove_file(numbered(path, last)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            for number in (1..free).rev() {
                fs::rename(numbered(path, number), numbered(path, number + 1))?;
            }
            fs::rename(path, numbered(path, 1))
        };
        match made_way {
            // Somebody took the file away already: another is made all the same.
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => self.reopen(),
        }
    }
}

/// How many bytes of `lines` fit into `room`, in whole lines.
fn fitting(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if lines.len() <= room {
        return lines.len();
    }
    lines[..room].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn ends_with_newline(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut last = [0; 1];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn open(folder: &TempDir, max_bytes: u64, max_files: u32) -> RotatingFile {
        let path = folder.path().join("events");
        RotatingFile::open(FileOptions { path, max_bytes, max_files }).unwrap()
    }

    fn read(folder: &TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).unwrap()
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn lines_are_appended_to_what_is_there() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("events"), "0\n").unwrap();
        open(&folder, 100, 2).write(b"1\n").unwrap();
        assert_eq!(read(&folder, "events"), "0\n1\n");
    }

    #[test]
    fn a_line_that_was_cut_short_is_ended_before_the_next() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("events"), "torn").unwrap();
        open(&folder, 100, 2).write(b"1\n2\n").unwrap();
        assert_eq!(read(&folder, "events"), "torn\n1\n2\n");
    }

    #[test]
    fn a_full_file_is_rotated_between_lines_and_the_oldest_goes() {
        let folder = TempDir::new().unwrap();
        let mut file = open(&folder, 6, 3);
        file.write(b"1\n2\n3\n4\n5\n6\n7\n").unwrap();
        assert_eq!(read(&folder, "events"), "7\n");
        assert_eq!(read(&folder, "events.1"), "4\n5\n6\n");
        assert_eq!(read(&folder, "events.2"), "1\n2\n3\n");
        file.write(b"8888\n9\n").unwrap();
        assert_eq!(read(&folder, "events"), "9\n");
        assert_eq!(read(&folder, "events.1"), "8888\n");
        assert_eq!(read(&folder, "events.2"), "7\n");
        assert_eq!(names(&folder), ["events", "events.1", "events.2"]);
    }

    #[test]
    fn a_single_file_is_begun_anew() {
        let folder = TempDir::new().unwrap();
        let mut file = open(&folder, 4, 1);
        file.write(b"1\n2\n3\n").unwrap();
        assert_eq!(read(&folder, "events"), "3\n");
        assert_eq!(names(&folder), ["events"]);
    }

    #[test]
    fn a_line_longer_than_a_file_is_alone_in_its_file() {
        let folder = TempDir::new().unwrap();
        open(&folder, 4, 3).write(b"1\n22222222\n3\n").unwrap();
        assert_eq!(read(&folder, "events.2"), "1\n");
        assert_eq!(read(&folder, "events.1"), "22222222\n");
        assert_eq!(read(&folder, "events"), "3\n");
    }

    #[test]
    fn a_rotation_that_fails_loses_lines_and_no_files_and_mends_itself() {
        let folder = TempDir::new().unwrap();
        let mut file = open(&folder, 4, 3);
        file.write(b"1\n2\n3\n").unwrap();
        let obstacle = folder.path().join("events.2");
        fs::create_dir(&obstacle).unwrap();
        fs::write(obstacle.join("inside"), "").unwrap();
        for _ in 0..3 {
            let lost = file.write(b"4\n5\n6\n").map_err(|lost| lost.lines);
            assert!(matches!(lost, Err(2 | 3)), "{lost:?}");
        }
        assert_eq!(read(&folder, "events"), "3\n4\n");
        assert_eq!(read(&folder, "events.1"), "1\n2\n");
        fs::remove_dir_all(&obstacle).unwrap();
        file.write(b"7\n").unwrap();
        assert_eq!(read(&folder, "events"), "7\n");
        assert_eq!(read(&folder, "events.1"), "3\n4\n");
        assert_eq!(read(&folder, "events.2"), "1\n2\n");
    }

    #[test]
    fn what_cannot_be_a_file_of_events_fails_at_once() {
        let folder = TempDir::new().unwrap();
        let at = |path: PathBuf| RotatingFile::open(FileOptions::new(path)).unwrap_err().kind();
        assert_eq!(at(folder.path().to_owned()), ErrorKind::InvalidInput);
        assert_eq!(at(folder.path().join("absent").join("events")), ErrorKind::NotFound);
        let path = folder.path().join("events");
        for (max_bytes, max_files) in [(0, 1), (1, 0)] {
            let options = FileOptions { path: path.clone(), max_bytes, max_files };
            assert_eq!(RotatingFile::open(options).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_and_its_successors_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = TempDir::new().unwrap();
        open(&folder, 2, 2).write(b"1\n2\n").unwrap();
        for name in ["events", "events.1"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    /// As a tool that rotates logs does, or a person who makes room.
    #[test]
    #[cfg_attr(windows, ignore = "Windows does not let an open file be taken away")]
    fn a_file_that_somebody_took_away_is_made_anew_at_the_next_rotation() {
        for max_files in [1, 3] {
            let folder = TempDir::new().unwrap();
            let mut file = open(&folder, 10, max_files);
            file.write(b"one two 3\n").unwrap();
            fs::remove_file(folder.path().join("events")).unwrap();
            file.write(b"four\n").unwrap();
            file.write(b"five\n").unwrap();
            assert_eq!(read(&folder, "events"), "four\nfive\n");
        }
    }
}
