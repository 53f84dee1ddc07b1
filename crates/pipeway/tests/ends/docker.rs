//! Docker's client before the way, Podman's service behind it.

use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Ended, Room, Running, WATCHDOG, is_left_out, run};
use crate::way::{Route, Way};

/// Docker's client, speaking to `url`.
pub fn docker(room: &Room, url: &str, args: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["--host", url]).args(args).current_dir(room.path(""));
    // Neither the configuration nor the engine of whoever runs this.
    command.env("DOCKER_CONFIG", room.path("docker"));
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION", "DOCKER_TLS_VERIFY"] {
        command.env_remove(name);
    }
    command
}

/// Podman's service, with nothing of the machine's in it.
struct Podman {
    endpoint: String,
    running: Running,
}

impl Drop for Podman {
    fn drop(&mut self) {
        // By an order and not by force: without root it is a second process that serves.
        self.running.signal("TERM");
        self.running.is_closed_within(WATCHDOG);
    }
}

fn podman(room: &Room) -> Podman {
    let folder = |name: &str| room.path(name).display().to_string();
    let socket = room.path("podman.sock");
    let mut podman = Command::new("podman");
    podman.args(["--root", &folder("root"), "--runroot", &folder("runroot")]);
    podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    podman.args(["--events-backend", "none", "system", "service", "--time", "0"]);
    podman.arg(format!("unix://{}", socket.display()));
    podman.env("TMPDIR", folder("")).env("XDG_RUNTIME_DIR", folder("run"));
    let running = Running::start(podman);
    let begin = Instant::now();
    while UnixStream::connect(&socket).is_err() {
        // It says nothing on its standard output, and closes it by ending.
        if running.is_closed_within(Duration::from_millis(10)) {
            panic!("Podman does not serve here: {}", running.end().stderr);
        }
        assert!(begin.elapsed() < WATCHDOG, "Podman does not listen");
    }
    Podman { endpoint: format!("unix:{}", socket.display()), running }
}

/// Bytes that differ from place to place.
fn pattern(count: usize) -> Vec<u8> {
    let mut seed = 1_u64;
    (0..count)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .collect()
}

/// Everything that a client asks without starting a container.
fn the_client_is_served(route: Route, bridge: &[&str], pipe: &[&str]) {
    const SIZE: usize = 8 << 20;
    if is_left_out(&["podman", "docker", "tar"]) {
        return;
    }
    let room = Room::new();
    let podman = podman(&room);
    let way = Way::open(route, &room, &podman.endpoint, bridge, pipe);
    let docker = |args: &[&str], stdin: &[u8]| -> Ended {
        run(docker(&room, &way.url(), args), stdin).exits_with(0)
    };

    let version = docker(&["version"], b"").stdout();
    assert!(version.contains("Podman Engine"), "{version}");
    let info = docker(&["info"], b"").stdout();
    assert!(info.contains("Storage Driver: vfs"), "{info}");
    assert!(info.contains(&room.path("root").display().to_string()), "{info}");
    let images = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    assert_eq!(docker(&images, b"").stdout(), "");

    // A body in chunks goes up, and a long one comes down.
    let content = pattern(SIZE);
    room.file("content/file", &content);
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(room.path("content")).args(["-cf", "-", "file"]);
    let layer = run(tar, b"").exits_with(0).stdout;
    docker(&["import", "-", "pipeway/layer:one"], &layer);
    let named = docker(&images, b"").stdout();
    assert!(named.ends_with("pipeway/layer:one\n"), "{named}");
    let saved = docker(&["save", "pipeway/layer:one"], b"").stdout;
    std::fs::create_dir(room.path("image")).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(room.path("image")).args(["-xf", "-"]);
    run(tar, &saved).exits_with(0);
    // The layer is a tar in the image's, in a file or a folder that is named by its hash.
    let mut file = Command::new("sh");
    let find =
        "for tar in image/*.tar image/*/*.tar; do tar -xOf $tar file 2>/dev/null && break; done";
    file.args(["-c", find]).current_dir(room.path(""));
    let came = run(file, b"").stdout;
    assert!(came == content, "what came down is not what went up: {} bytes", came.len());

    // What it can't do is told by its own words.
    let refused = run(crate::docker::docker(&room, &way.url(), &["inspect", "nobody"]), b"");
    refused.exits_with(1).says("No such object: nobody");

    let mode = if route == Route::Border { "named_pipe" } else { "unix" };
    let ways = way.upstreams(&room);
    assert_eq!(ways.len(), 1, "{ways:?}");
    assert_eq!((ways[0][0].as_str(), ways[0][2].as_str()), (mode, "stdio"), "{ways:?}");
}

#[test]
fn podman_serves_dockers_client_through_a_raw_link() {
    the_client_is_served(Route::Link, &["--raw"], &[]);
}

#[test]
fn podman_serves_dockers_client_through_an_http_link() {
    the_client_is_served(Route::Link, &[], &[]);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn podman_serves_dockers_client_across_the_border_raw() {
    the_client_is_served(Route::Border, &["--raw"], &["--half-close", "message"]);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn podman_serves_dockers_client_across_the_border_over_http() {
    the_client_is_served(Route::Border, &[], &[]);
}
