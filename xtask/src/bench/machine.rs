//! Where it was measured, and with what.

use std::path::PathBuf;
use std::process::Command;

/// A program of this name: where the shell would find it, or where Debian puts daemons and
/// systemd's programs.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = [
        PathBuf::from("/usr/sbin"),
        PathBuf::from("/usr/local/sbin"),
        PathBuf::from("/usr/lib/systemd"),
    ];
    std::env::split_paths(&path)
        .chain(daemons)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Processor, kernel and memory, in a line.
pub fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.split_once(':'))
            .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let processors = read("/proc/cpuinfo");
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let model = value(&processors, "model name");
    let mebibytes = value(&read("/proc/meminfo"), "MemTotal")
        .split_whitespace()
        .next()
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024;
    let release = read("/proc/sys/kernel/osrelease");
    let kernel = release.split('-').next().unwrap_or_default();
    let virtual_machine = if value(&processors, "flags").contains(" hypervisor") {
        ", a virtual machine"
    } else {
        ""
    };
    format!("{count} x {model}{virtual_machine}, {mebibytes} MiB, Linux {}", kernel.trim())
}

/// Whether this process, and so what it starts, goes before others (`chrt`).
pub fn has_precedence() -> bool {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in parentheses, may have spaces in it.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let policy = after.split_whitespace().nth(38);
    matches!(policy, Some("1" | "2"))
}

/// How many processes wanted a processor in the last minute.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// Node's version, or nothing where there is none.
pub fn node_version() -> String {
    let told = Command::new("node").arg("--version").output();
    told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default()
}

/// Today in UTC.
pub fn date() -> Result<String, String> {
    let output = Command::new("date")
        .args(["-u", "+%F"])
        .output()
        .map_err(|error| format!("date can't be started: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
