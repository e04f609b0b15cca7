//! What the kernel says a process has used.

use std::fs;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::LabError;

/// One step of the times in `/proc/PID/stat`: USER_HZ is 100 on every Linux we run on.
const STEP: Duration = Duration::from_millis(10);

/// CPU time, in steps of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl Cpu {
    /// Both.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

impl Add for Cpu {
    type Output = Cpu;
    fn add(self, other: Cpu) -> Cpu {
        Cpu { user: self.user + other.user, system: self.system + other.system }
    }
}

/// What was used since `earlier`. The kernel corrects how it splits a total now and then, so each part stops at 0.
impl Sub for Cpu {
    type Output = Cpu;
    fn sub(self, earlier: Cpu) -> Cpu {
        Cpu {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

impl Sum for Cpu {
    fn sum<I: Iterator<Item = Cpu>>(all: I) -> Cpu {
        all.fold(Cpu::default(), Add::add)
    }
}

/// CPU time of all threads of a process since it started, those that ended included.
///
/// # Errors
/// When there is no such process.
pub fn used(pid: u32) -> Result<Cpu, LabError> {
    let text = read(&pid.to_string(), "stat")?;
    parse_stat(&text).ok_or(LabError::Unreadable { what: "/proc/PID/stat", found: text })
}

/// CPU time of a process, its children that have ended, and those that run: a database with a process for each
/// connection. A child that ends between two looks is counted once in both ways.
///
/// # Errors
/// When there is no such process.
pub fn used_by_family(pid: u32) -> Result<Cpu, LabError> {
    let text = read(&pid.to_string(), "stat")?;
    let own = parse_family(&text).ok_or(LabError::Unreadable { what: "/proc/PID/stat", found: text })?;
    let others = fs::read_dir("/proc").map_err(LabError::io("list processes"))?.flatten();
    let living = others.filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let text = fs::read_to_string(entry.path().join("stat")).ok()?;
        (parse_parent(&text)? == pid).then(|| parse_family(&text))?
    });
    Ok(own + living.sum())
}

/// CPU time of the calling thread since it started.
///
/// # Errors
/// When the kernel does not say.
pub fn used_by_this_thread() -> Result<Cpu, LabError> {
    let text = read("thread-self", "stat")?;
    parse_stat(&text).ok_or(LabError::Unreadable { what: "/proc/thread-self/stat", found: text })
}

/// The calling thread's number for the kernel; none where `/proc` does not say.
#[must_use]
pub fn this_thread() -> Option<u32> {
    let me = fs::read_link("/proc/thread-self").ok()?;
    // The link leads to PID/task/TID.
    me.file_name()?.to_str()?.parse().ok()
}

/// CPU time of one thread of this process since it started.
///
/// # Errors
/// When there is no such thread.
pub fn used_by_thread(thread: u32) -> Result<Cpu, LabError> {
    let text = read("self/task", &format!("{thread}/stat"))?;
    parse_stat(&text).ok_or(LabError::Unreadable { what: "/proc/self/task/TID/stat", found: text })
}

/// Memory of a process that is in RAM now, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident(pid: u32) -> Result<u64, LabError> {
    let text = read(&pid.to_string(), "status")?;
    parse_resident(&text).ok_or(LabError::Unreadable { what: "/proc/PID/status", found: text })
}

fn read(whose: &str, file: &str) -> Result<String, LabError> {
    let path = format!("/proc/{whose}/{file}");
    fs::read_to_string(&path).map_err(LabError::io(format!("read {path}")))
}

fn parse_stat(text: &str) -> Option<Cpu> {
    // The program's name stands in parentheses and may hold blanks and parentheses itself.
    let (_, rest) = text.rsplit_once(')')?;
    // utime and stime are fields 14 and 15; the first one here is field 3.
    let mut fields = rest.split_whitespace().skip(11);
    let mut time = || Some(STEP * fields.next()?.parse::<u32>().ok()?);
    Some(Cpu { user: time()?, system: time()? })
}

/// The same with what children used that have ended.
fn parse_family(text: &str) -> Option<Cpu> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(13);
    let mut time = || Some(STEP * fields.next()?.parse::<u32>().ok()?);
    Some(parse_stat(text)? + Cpu { user: time()?, system: time()? })
}

fn parse_parent(text: &str) -> Option<u32> {
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn parse_resident(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "19453 (nginx) S 19446 19446 23505 0 -1 4194560 619 0 1 0 8 38 0 0 20 0 1 0 242888 10952704";

    #[test]
    fn times_are_read_whatever_the_program_is_called() {
        let cpu = Cpu { user: Duration::from_millis(80), system: Duration::from_millis(380) };
        for name in ["nginx", "a b", "x) S 1 2 3 (y"] {
            assert_eq!(parse_stat(&STAT.replace("nginx", name)), Some(cpu), "{name}");
        }
        assert_eq!(cpu.total(), Duration::from_millis(460));
        for cut in ["", "19453 (nginx", "19453 (nginx) S 1 2"] {
            assert_eq!(parse_stat(cut), None, "{cut}");
        }
    }

    #[test]
    fn a_family_is_told_by_its_parent_and_holds_those_who_ended() {
        let text = STAT.replace("8 38 0 0", "8 38 2 3");
        let cpu = Cpu { user: Duration::from_millis(100), system: Duration::from_millis(410) };
        assert_eq!((parse_family(&text), parse_parent(&text)), (Some(cpu), Some(19446)));
        used_by_family(std::process::id()).unwrap();
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(parse_resident("VmHWM:\t  9000 kB\nVmRSS:\t    7040 kB\n"), Some(7040 * 1024));
        assert_eq!(parse_resident("Name:\tkthread\n"), None);
    }

    #[test]
    fn our_own_figures_are_there() {
        let me = std::process::id();
        used(me).unwrap();
        used_by_this_thread().unwrap();
        used_by_thread(this_thread().unwrap()).unwrap();
        assert!(resident(me).unwrap() > 100_000);
        assert!(used(u32::MAX).is_err());
    }

    #[test]
    fn a_part_that_was_corrected_downwards_counts_as_nothing() {
        let of =
            |user, system| Cpu { user: Duration::from_millis(user), system: Duration::from_millis(system) };
        assert_eq!(of(100, 90) - of(60, 100), of(40, 0));
    }
}
