//! The file: opened, looked after, appended to.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::is_stdout;
use super::line::Line;

/// Of a new file: it says who asked for what, so it is nobody else's to read.
const MODE: u32 = 0o640;

/// Appends to one file at a time.
#[derive(Default)]
pub(super) struct Writer {
    to: Option<To>,
    /// Whether the last write failed: said once, not for each batch.
    failing: bool,
}

enum To {
    Stdout,
    File(Named),
}

struct Named {
    path: PathBuf,
    file: File,
    /// Which file it is, whatever its name is by now.
    id: (u64, u64),
    /// The last line has no end: a write broke off, in this life or an earlier one.
    torn: bool,
}

impl Writer {
    /// Makes sure that what is written next goes to the file that has this name now.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<()> {
        let as_before = match &self.to {
            Some(To::Stdout) => is_stdout(path),
            Some(To::File(named)) => named.path == path && named.is_still_there(),
            None => path.as_os_str().is_empty(),
        };
        if !as_before {
            self.to = None;
            self.to = Some(if is_stdout(path) { To::Stdout } else { To::File(Named::open(path)?) });
        }
        Ok(())
    }

    /// Writes the lines; how many were lost.
    pub(super) fn write(&mut self, lines: &[Box<Line>]) -> u64 {
        let mut lost = 0;
        // A change of the configuration may send what follows elsewhere.
        for run in lines.chunk_by(|a, b| a.path() == b.path()) {
            match self.write_run(run) {
                Ok(()) if self.failing => {
                    self.failing = false;
                    tracing::info!("the access log is written again");
                }
                Ok(()) => {}
                Err(e) => {
                    lost += run.len() as u64;
                    if !self.failing {
                        self.failing = true;
                        let path = run[0].path().display();
                        tracing::error!(%path, error = %e, "the access log cannot be written, its lines are lost meanwhile");
                    }
                }
            }
        }
        lost
    }

    fn write_run(&mut self, run: &[Box<Line>]) -> io::Result<()> {
        self.open(run[0].path())?;
        let mut bytes = Vec::new();
        run.iter().try_for_each(|line| line.write(&mut bytes))?;
        match &mut self.to {
            Some(To::File(named)) => named.append(&bytes),
            Some(To::Stdout) => io::stdout().write_all(&bytes).and_then(|()| io::stdout().flush()),
            None => Ok(()),
        }
    }
}

impl Named {
    fn open(path: &Path) -> io::Result<Named> {
        // Opening a pipe waits for its reader, and the end of the process would wait for that.
        if std::fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo()) {
            return Err(io::Error::other("it is a named pipe; use a file, or - for standard output"));
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path)?;
        let there = file.metadata()?;
        let torn = there.is_file() && there.len() > 0 && {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            last != [b'\n']
        };
        Ok(Named { path: path.to_owned(), file, id: id(&there), torn })
    }

    fn is_still_there(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|there| id(&there) == self.id)
    }

    /// All of it in one write, so that several processes may share a file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
        }
        self.torn = true;
        self.file.write_all(bytes)?;
        self.torn = false;
        Ok(())
    }
}

fn id(there: &Metadata) -> (u64, u64) {
    (there.dev(), there.ino())
}
