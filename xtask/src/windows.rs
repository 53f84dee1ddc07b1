//! `cargo xtask windows`: builds, lints and tests the Windows side on a Linux machine, with mingw
//! and Wine.
//!
//! Nothing is installed or downloaded here but the npm packages of `interop` and `interop/windows`;
//! Python's come from `cargo xtask test`. What the machine lacks is named and left out; with
//! `--strict` that is a failure.

mod border;
mod directline;
mod drive;
mod release;
mod start;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use release::Release;

const TARGET: &str = "x86_64-pc-windows-gnu";

/// The folders that hold Debian's own cargo, rustc and Wine, and nothing of rustup's.
const DEBIAN_PATH: &str = "/usr/bin:/bin";

/// Where Debian's compiler keeps the source of its standard library.
const DEBIAN_SOURCE: &str = "lib/rustlib/src/rust/library/std/Cargo.toml";

const DEBIAN_PACKAGES: &str = "apt-get install -y --no-install-recommends rustc-web cargo-web \
    rust-web-src rust-web-clippy gcc-mingw-w64-x86-64-posix wine";

/// The crates whose tests run under Wine.
const TESTED: [&str; 5] =
    ["pipeway-transport", "pipeway-directline", "pipeway-telemetry", "pipeway-bridge", "pipeway"];

/// Everything but the tools that run on the developer's own system.
const PRODUCT: [&str; 5] = ["--workspace", "--exclude", "xtask", "--exclude", "api-snapshot"];

/// The argument after which a program and its own arguments stand; used by cargo and nextest.
const START: &str = "start";

/// The version of the Wine prefix's content; raise it when [`Wine::prepare`] changes.
const PREFIX_VERSION: &str = "1";

const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
const TEST_LIMIT: Duration = Duration::from_secs(15 * 60);
const WINE_LIMIT: Duration = Duration::from_secs(3 * 60);

const USAGE: &str = "usage: cargo xtask windows [build|lint|test] [--strict]
  build   cross-build the workspace's Windows programs and tests
  lint    clippy for Windows, warnings are errors
  test    the tests under Wine, then pipeway.exe driven by Windows Node under Wine
  (none)  lint, then test
  --strict  a missing tool is a failure";

/// Runs `cargo xtask windows ARGS`.
///
/// # Errors
///
/// A sentence that says which step failed.
pub fn run(args: &[String]) -> Result<(), String> {
    if let [first, program @ ..] = args
        && first == START
    {
        return start::run(program);
    }
    let mut strict = false;
    let mut command = None;
    for arg in args {
        match arg.as_str() {
            "--strict" => strict = true,
            "build" | "lint" | "test" if command.is_none() => command = Some(arg.as_str()),
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            other => return Err(format!("windows: unknown argument `{other}`\n{USAGE}")),
        }
    }
    if cfg!(windows) {
        println!("this is Windows: run `cargo nextest run` and `cargo clippy` themselves");
        return Ok(());
    }
    let mut kit = match Kit::find(strict) {
        Ok(kit) => kit,
        Err(missing) => {
            eprintln!("left out: everything for Windows, for want of {missing}");
            eprintln!("  on Debian: {DEBIAN_PACKAGES}");
            return if strict { Err(format!("windows: no {missing}")) } else { Ok(()) };
        }
    };
    match command {
        Some("build") => kit.build()?,
        Some("lint") => kit.lint()?,
        Some("test") => kit.test()?,
        _ => {
            kit.lint()?;
            kit.test()?;
        }
    }
    if kit.left_out.is_empty() {
        return Ok(());
    }
    for what in &kit.left_out {
        eprintln!("left out: {what}");
    }
    if strict { Err(format!("windows: left out {}", kit.left_out.join("; "))) } else { Ok(()) }
}

/// The tools, and where things go.
struct Kit {
    root: PathBuf,
    out: PathBuf,
    /// `rustup`'s toolchain with the target installed, rather than Debian's compiler.
    rustup: bool,
    linker: PathBuf,
    /// What is missing is a failure.
    strict: bool,
    left_out: Vec<String>,
}

impl Kit {
    fn find(strict: bool) -> Result<Kit, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask lies in the workspace's folder")
            .to_owned();
        let linker = find("x86_64-w64-mingw32-gcc-posix")
            .or_else(|| find("x86_64-w64-mingw32-gcc"))
            .ok_or("a C compiler for Windows (gcc-mingw-w64-x86-64-posix)")?;
        let rustup = output(Command::new("rustup").args(["target", "list", "--installed"]))
            .is_some_and(|installed| installed.lines().any(|line| line.trim() == TARGET));
        if !rustup && !debian_compiler() {
            return Err(format!(
                "a Rust library for Windows (Debian's rustc-web, cargo-web and rust-web-src, or `rustup target add {TARGET}`)"
            ));
        }
        let out = root.join("target-windows");
        Ok(Kit { root, out, rustup, linker, strict, left_out: Vec::new() })
    }

    fn build(&mut self) -> Result<(), String> {
        step("building for Windows");
        let mut build = self.cargo("build");
        build.args(PRODUCT).args(["--all-targets", "--all-features"]);
        finish(build, BUILD_LIMIT)
    }

    fn lint(&mut self) -> Result<(), String> {
        let clippy = if self.rustup {
            find("cargo-clippy")
        } else {
            Some(PathBuf::from("/usr/bin/cargo-clippy")).filter(|path| path.is_file())
        };
        let Some(clippy) = clippy else {
            self.left_out.push("lints for Windows, for want of clippy (rust-web-clippy)".into());
            return Ok(());
        };
        step("linting for Windows");
        // By its path: `cargo clippy` would find another toolchain's.
        let mut lint = self.with_environment(Command::new(clippy));
        lint.arg("clippy").args(self.target_arguments());
        lint.args(PRODUCT).args(["--all-targets", "--all-features"]);
        lint.args(["--", "-D", "warnings"]);
        // For this target the macro's expansion of a `const` value looks like one that is not.
        lint.args(["-A", "clippy::missing_const_for_thread_local"]);
        finish(lint, BUILD_LIMIT)
    }

    fn test(&mut self) -> Result<(), String> {
        let (Some(wine), Some(server)) = (find("wine"), find("wineserver")) else {
            self.left_out.push("the tests under Wine, for want of wine".into());
            return self.build();
        };
        let Some(nextest) = find("cargo-nextest") else {
            self.left_out.push(
                "the tests under Wine, for want of cargo-nextest (cargo install cargo-nextest --locked)"
                    .into(),
            );
            return self.build();
        };
        step("building pipeway.exe and the tests");
        let mut program = self.cargo("build");
        program.args(["--package", "pipeway"]);
        finish(program, BUILD_LIMIT)?;
        let packages = TESTED.iter().flat_map(|package| ["--package", package]);
        // By cargo itself: nextest would start each test program to list its tests.
        let mut build = self.cargo("test");
        build.args(packages.clone()).args(["--all-features", "--no-run"]);
        finish(build, BUILD_LIMIT)?;
        let wine = Wine::start(self, wine, server)?;
        step("running the tests under Wine");
        let mut tests = self.with_environment(Command::new(nextest));
        tests.args(["nextest", "run"]).args(self.target_arguments()).args(packages);
        tests.arg("--all-features");
        tests.arg("--config-file").arg(self.root.join("xtask/windows/nextest.toml"));
        wine.environment(&mut tests);
        finish(tests, TEST_LIMIT)?;
        step("running the documentation's examples under Wine");
        let mut examples = self.cargo("test");
        examples.args(["--doc", "--package", "pipeway-transport", "--all-features"]);
        wine.environment(&mut examples);
        finish(examples, BUILD_LIMIT)?;
        self.drive(&wine)?;
        self.prove_border(&wine)
    }

    fn cargo(&self, command: &str) -> Command {
        let cargo = if self.rustup { "cargo" } else { "/usr/bin/cargo" };
        let mut cargo = self.with_environment(Command::new(cargo));
        cargo.arg(command).args(self.target_arguments());
        cargo
    }

    fn target_arguments(&self) -> Vec<&'static str> {
        let mut arguments = vec!["--target", TARGET];
        if !self.rustup {
            arguments.push("-Zbuild-std=std,panic_unwind");
        }
        arguments
    }

    fn with_environment(&self, mut command: Command) -> Command {
        command
            .current_dir(&self.root)
            // A folder of its own: the two toolchains would rebuild each other's.
            .env("CARGO_TARGET_DIR", &self.out)
            .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", &self.linker)
            .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", runner())
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        // What `cargo xtask` itself was started with is about the wrong toolchain.
        for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            command.env_remove(name);
        }
        if !self.rustup {
            command
                .env("PATH", DEBIAN_PATH)
                .env("CARGO", "/usr/bin/cargo")
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTDOC", "/usr/bin/rustdoc")
                // build-std is not stable; the compiler is a stable one.
                .env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }
}

/// What starts a Windows program: this program, by [`start`]; Wine itself where cargo would split
/// this program's path at a space.
fn runner() -> String {
    let own = std::env::current_exe().ok().and_then(|own| own.to_str().map(str::to_owned));
    match own {
        Some(own) if !own.contains(char::is_whitespace) => format!("{own} windows {START}"),
        _ => "wine".to_owned(),
    }
}

/// A running Wine server with a prefix of this repository's own; ended when dropped.
struct Wine {
    wine: PathBuf,
    server: PathBuf,
    prefix: PathBuf,
    process: Child,
}

impl Wine {
    fn start(kit: &Kit, wine: PathBuf, server: PathBuf) -> Result<Wine, String> {
        let prefix = kit.out.join("wine");
        fs::create_dir_all(&prefix)
            .map_err(|error| format!("could not make {}: {error}", prefix.display()))?;
        // A session of its own, and nothing of ours open: whatever Wine starts in the background
        // would otherwise hold the tests' output, and its reader would wait for ever. It ends by
        // itself five minutes after the last program, should this process be killed.
        let mut start = Command::new("setsid");
        start.arg(&server).args(["-f", "-p300"]);
        environment(&mut start, &prefix);
        let process = start
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("could not start wineserver: {error}"))?;
        let wine = Wine { wine, server, prefix, process };
        wine.prepare(kit)?;
        // Starts Wine's services, away from the tests' output.
        wine.quiet(["cmd", "/c", "exit"])?;
        Ok(wine)
    }

    /// Makes the prefix what the tests need, once.
    fn prepare(&self, kit: &Kit) -> Result<(), String> {
        let stamp = self.prefix.join("pipeway-prefix-version");
        if fs::read_to_string(&stamp).is_ok_and(|version| version == PREFIX_VERSION) {
            return Ok(());
        }
        step("preparing a Wine prefix");
        self.quiet(["wineboot", "-i"])?;
        self.quiet(["winecfg", "-v", "win10"])?;
        let shim = self.prefix.join("drive_c/windows/system32/bcryptprimitives.dll");
        let mut compile = Command::new(&kit.linker);
        compile.args(["-shared", "-O2", "-s", "-o"]).arg(&shim);
        compile.arg(kit.root.join("xtask/windows/bcryptprimitives.c")).arg("-ladvapi32");
        finish(compile, WINE_LIMIT)?;
        fs::write(&stamp, PREFIX_VERSION)
            .map_err(|error| format!("could not write {}: {error}", stamp.display()))
    }

    /// Runs a Windows program on /dev/null.
    fn quiet<const N: usize>(&self, arguments: [&str; N]) -> Result<(), String> {
        let mut command = Command::new(&self.wine);
        command.args(arguments);
        self.environment(&mut command);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        finish(command, WINE_LIMIT)
    }

    fn environment(&self, command: &mut Command) {
        environment(command, &self.prefix);
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let mut end = Command::new(&self.server);
        end.arg("-k");
        self.environment(&mut end);
        let _ = end.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if wait(&mut self.process, Duration::from_secs(10)).is_none() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn environment(command: &mut Command, prefix: &Path) {
    command
        .env("WINEPREFIX", prefix)
        .env("WINEDEBUG", "-all")
        // Neither .NET nor a browser: Wine would offer to download them. Nor a desktop: a console
        // starts one for its first key, and waits twenty seconds for it.
        .env("WINEDLLOVERRIDES", "mscoree,mshtml=;explorer.exe=d")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY");
}

/// Whether Debian's own compiler, with the source of its library, is there.
fn debian_compiler() -> bool {
    let (cargo, rustc) = (Path::new("/usr/bin/cargo"), Path::new("/usr/bin/rustc"));
    let sysroot = output(Command::new(rustc).env("PATH", DEBIAN_PATH).args(["--print", "sysroot"]));
    cargo.is_file()
        && sysroot.is_some_and(|sysroot| Path::new(sysroot.trim()).join(DEBIAN_SOURCE).is_file())
}

/// A program on PATH.
fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn step(what: &str) {
    eprintln!("windows: {what}");
}

/// Runs a command that must succeed, within `limit`.
fn finish(mut command: Command, limit: Duration) -> Result<(), String> {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or(OsStr::new("command"))
        .to_string_lossy()
        .into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("windows: could not start {name}: {error}"))?;
    match wait(&mut child, limit) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("windows: {name} failed ({status})")),
        None => {
            // Asked first: a test runner ends its tests before itself.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            if wait(&mut child, Duration::from_secs(15)).is_none() {
                let _ = child.kill();
                let _ = child.wait();
            }
            Err(format!("windows: {name} did not end within {} s", limit.as_secs()))
        }
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) | Err(_) => return None,
        }
    }
}
