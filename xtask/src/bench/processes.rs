//! Child processes on a processor of their own, and what they use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::way::Server;

/// Which processor does what.
#[derive(Clone, Copy, Debug)]
pub struct Processors {
    /// Load and upstream.
    pub load: u32,
    pub proxy: u32,
}

impl Processors {
    /// The first two that this process may use.
    pub fn choose() -> Result<Self, String> {
        let status = read(Path::new("/proc/self/status"))?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let mut allowed = list.map(parse_list).unwrap_or_default().into_iter();
        match (allowed.next(), allowed.next()) {
            (Some(load), Some(proxy)) => Ok(Processors { load, proxy }),
            _ => Err("the benchmark needs two processors: one for the load, one for the proxy"
                .to_owned()),
        }
    }
}

/// Reads `0-3,8`.
fn parse_list(list: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            all.extend(first..=last);
        }
    }
    all
}

/// How many files each of our children may have open, where the system lets them.
const OPEN_FILES: u64 = 16384;

/// How many files a child may have open.
pub fn open_files() -> Result<u64, String> {
    let limits = read(Path::new("/proc/self/limits"))?;
    let hard = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = hard.and_then(|values| values.split_whitespace().nth(1));
    // What is no number is `unlimited`.
    Ok(hard.and_then(|value| value.parse().ok()).unwrap_or(OPEN_FILES).min(OPEN_FILES))
}

/// A command on one processor, with room for many connections. It keeps its process id: each of
/// the programs in front replaces itself with the next.
pub fn pinned(processor: u32, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string(), "sh", "-c"]);
    let script = format!("ulimit -n {OPEN_FILES} 2>/dev/null || ulimit -n \"$(ulimit -H -n)\"");
    command.arg(format!("{script}; exec \"$@\"")).arg("sh").arg(program);
    command
}

/// What a proxy and the processes it started have used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time of all threads, by the scheduler's own clock.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub memory: u64,
}

impl Usage {
    pub fn of(server: &Server) -> Result<Self, String> {
        let mut usage = Usage::default();
        usage.add(server.id())?;
        Ok(usage)
    }

    fn add(&mut self, process: u32) -> Result<(), String> {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let status = read(&folder.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|value| value.split_whitespace().next()?.parse().ok());
        self.memory += 1024 * kibibytes.unwrap_or(0_u64);
        let tasks = fs::read_dir(folder.join("task"))
            .map_err(|error| format!("process {process}: {error}"))?;
        for task in tasks.flatten() {
            let schedstat = read(&task.path().join("schedstat"))?;
            let nanos = schedstat.split_whitespace().next().and_then(|text| text.parse().ok());
            self.cpu += Duration::from_nanos(nanos.unwrap_or(0));
            // Not every kernel has it; without it there are only processes without children.
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().flat_map(str::parse) {
                self.add(child)?;
            }
        }
        Ok(())
    }
}

/// Waits until a server that starts a process for each connection has none left.
pub fn settle(server: &Server) -> Result<(), String> {
    let id = server.id();
    let deadline = Instant::now() + Duration::from_secs(60);
    // Not every kernel has it; without it nothing is waited for.
    while fs::read_to_string(format!("/proc/{id}/task/{id}/children"))
        .is_ok_and(|children| !children.trim().is_empty())
    {
        if Instant::now() > deadline {
            return Err(format!("what process {id} started for connections does not end"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Asks a process to end, and kills it if it does not.
pub fn end(child: &mut Child) {
    // Errors mean that it has ended already.
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// A folder of our own for sockets and settings; it goes when the run ends.
pub struct Folder(PathBuf);

impl Folder {
    /// `mktemp` makes it for the owner alone, as the bridge asks of a socket's folder.
    pub fn make() -> Result<Self, String> {
        let output = Command::new("mktemp")
            .args(["-d", "-t", "pipeway-bench-XXXXXX"])
            .output()
            .map_err(|error| format!("mktemp can't be started: {error}"))?;
        if !output.status.success() {
            return Err(format!("mktemp: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Folder(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is under the system's temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_read() {
        assert_eq!(parse_list("\t0-2,8\n"), [0, 1, 2, 8]);
        assert_eq!(parse_list("5"), [5]);
        assert_eq!(parse_list(""), [0; 0]);
    }
}
