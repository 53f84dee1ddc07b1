//! The stand-in for `wsl.exe` does what tests of links rely on; built for this system, and built
//! for Windows.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::harness::{WATCHDOG, run};
use crate::wine::{StandIn, own_stand_in, windows_program};

/// Which build of the stand-in is started; its other side is always this system's.
#[derive(Clone, Copy)]
enum Build {
    Own,
    Windows,
}

struct Sides {
    build: Build,
    linux: StandIn,
}

impl Sides {
    fn new(build: Build) -> Self {
        Sides { build, linux: StandIn::start() }
    }

    fn wsl(&self, args: &[&str]) -> Command {
        let mut command = match self.build {
            Build::Own => own_stand_in(),
            Build::Windows => windows_program("PIPEWAY_WINDOWS_WSL"),
        };
        command.args(args).env_remove("WSL_UTF8");
        self.linux.is_found_by(&mut command);
        command
    }

    /// What it wrote as text of its own, in either encoding.
    #[track_caller]
    fn own_text(&self, args: &[&str], code: i32) -> String {
        let mut utf8 = self.wsl(args);
        utf8.env("WSL_UTF8", "1");
        // A negative code is a byte to this system.
        let utf8 = run(utf8, b"").exits_with(code & 0xff).stdout;
        let utf16 = run(self.wsl(args), b"").exits_with(code & 0xff).stdout;
        let units: Vec<u16> =
            utf16.chunks(2).map(|pair| u16::from_le_bytes(pair.try_into().unwrap())).collect();
        let text = String::from_utf8(utf8).unwrap();
        assert_eq!(String::from_utf16(&units).unwrap(), text);
        text
    }
}

fn distributions_are_listed(build: Build) {
    let sides = Sides::new(build);
    for args in [["-l", "-q"], ["--list", "--quiet"]] {
        assert_eq!(sides.own_text(&args, 0), "Ubuntu-22.04\r\nDebian\r\n");
    }
}

fn an_unknown_distribution_is_told(build: Build) {
    let sides = Sides::new(build);
    let text = sides.own_text(&["-d", "Arch", "--exec", "true"], -1);
    assert!(text.starts_with("There is no distribution with the supplied name.\r\n"), "{text}");
    assert!(text.contains("WSL_E_DISTRO_NOT_FOUND"), "{text}");
}

fn a_programs_streams_and_its_code_are_its_own(build: Build) {
    let sides = Sides::new(build);
    let script = "cat; echo \"$0 $1 $WSL_STAND_IN_USER\" >&2; exit 7";
    let args = ["-d", "debian", "-u", "me", "--exec", "sh", "-c", script, "a b", "\"c\""];
    let data: Vec<u8> = (0..4_u32 << 20).map(|n| (n % 251) as u8).collect();
    let ended = run(sides.wsl(&args), &data).exits_with(7);
    assert!(ended.stdout == data, "{} bytes", ended.stdout.len());
    assert_eq!(ended.stderr, "a b \"c\" me\n");
    let ended = run(sides.wsl(&["--exec", "/nowhere"]), b"").exits_with(1);
    ended.says("execvpe(/nowhere) failed");
}

fn a_program_ends_when_the_stand_in_is_killed(build: Build) {
    let sides = Sides::new(build);
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // It holds the FIFO open for as long as it lives.
    let script = "exec 9>\"$0\"; echo up; cat";
    let path = fifo.display().to_string();
    let mut wsl = Killed(start(sides.wsl(&["--exec", "sh", "-c", script, &path])));
    let mut presence = std::fs::File::open(&fifo).unwrap();
    let mut up = [0; 3];
    wsl.0.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    drop(wsl);
    let (gone_tx, gone_rx) = std::sync::mpsc::channel();
    thread::spawn(move || gone_tx.send(presence.read(&mut [0]).unwrap()));
    assert_eq!(gone_rx.recv_timeout(WATCHDOG), Ok(0), "it is still there");
}

fn faults_are_those_that_were_asked_for(build: Build) {
    let sides = Sides::new(build);
    let mut noisy = sides.wsl(&["--exec", "echo", "data"]);
    noisy.env("WSL_STAND_IN_FAULT", "noise:Welcome!");
    assert_eq!(run(noisy, b"").exits_with(0).stdout(), "Welcome!\ndata\n");

    let mut mortal = sides.wsl(&["--exec", "sh", "-c", "echo 0123456789; cat"]);
    mortal.env("WSL_STAND_IN_FAULT", "die:4");
    let mut mortal = Killed(start(mortal));
    let mut all = String::new();
    mortal.0.stdout.as_mut().unwrap().read_to_string(&mut all).unwrap();
    assert_eq!(all, "0123");
    assert_eq!(mortal.0.wait().unwrap().code(), Some(1));

    for (fault, args) in [("hang", &["--exec", "echo", "x"][..]), ("hang-list", &["-l", "-q"])] {
        let mut hung = sides.wsl(args);
        hung.env("WSL_STAND_IN_FAULT", fault);
        let mut hung = Killed(start(hung));
        let mut stdout = hung.0.stdout.take().unwrap();
        let (said_tx, said_rx) = std::sync::mpsc::channel();
        thread::spawn(move || said_tx.send(stdout.read(&mut [0]).unwrap()));
        // As long as it says nothing and does not end, nothing comes here.
        assert!(said_rx.recv_timeout(Duration::from_millis(300)).is_err(), "{fault}");
    }
}

fn a_stranger_has_nothing_run(build: Build) {
    let sides = Sides::new(build);
    let mut stranger = sides.wsl(&["--exec", "echo", "x"]);
    let (port, _) = sides.linux.place.split_once(':').unwrap();
    stranger.env("WSL_STAND_IN", format!("{port}:0123")).env("WSL_UTF8", "1");
    let ended = run(stranger, b"").exits_with(255);
    assert!(ended.stdout().starts_with("the stand-in: "), "{ended:?}");
}

/// A child whose input stays open and which is killed in the end.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The same tests of either build.
macro_rules! of_both {
    ($($name:ident)*) => {
        mod own {
            $(#[test]
            fn $name() {
                super::$name(super::Build::Own);
            })*
        }

        mod windows {
            $(#[test]
            #[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
            fn $name() {
                super::$name(super::Build::Windows);
            })*
        }
    };
}

of_both! {
    distributions_are_listed
    an_unknown_distribution_is_told
    a_programs_streams_and_its_code_are_its_own
    a_program_ends_when_the_stand_in_is_killed
    faults_are_those_that_were_asked_for
    a_stranger_has_nothing_run
}

/// Input reaches the program while its output still comes.
#[test]
fn input_and_output_do_not_wait_for_each_other() {
    let sides = Sides::new(Build::Own);
    let mut cat = Killed(start(sides.wsl(&["--exec", "cat"])));
    let (stdin, stdout) = (cat.0.stdin.as_mut().unwrap(), cat.0.stdout.as_mut().unwrap());
    for _ in 0..10 {
        stdin.write_all(b"x").unwrap();
        stdout.read_exact(&mut [0]).unwrap();
    }
}
