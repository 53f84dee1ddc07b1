//! Docker's client and Podman's service of Docker's API, with a bridge and a link between them.

use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Ended, Room, WATCHDOG, is_left_out, run};
use crate::rig::{PIPEWAY, command};

/// Podman's service, with images of its own and nothing in them.
struct Podman {
    endpoint: String,
    service: Child,
}

impl Podman {
    fn start(room: &Room) -> Self {
        let (socket, said) = (room.path("podman.sock"), room.path("podman.said"));
        let mut podman = Command::new("podman");
        for (flag, name) in [("--root", "images"), ("--runroot", "state"), ("--tmpdir", "podman")] {
            podman.arg(flag).arg(room.path(name));
        }
        // What works without systemd and without mounting anything.
        podman.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        podman.args(["--events-backend", "none", "system", "service", "--time=0"]);
        let endpoint = format!("unix:{}", socket.display());
        podman.arg(format!("unix://{}", socket.display()));
        podman.stdin(Stdio::null()).stdout(Stdio::null());
        podman.stderr(std::fs::File::create(&said).unwrap());
        let mut podman = Podman { endpoint, service: podman.spawn().unwrap() };
        let begin = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            let ended = podman.service.try_wait().unwrap();
            assert!(
                ended.is_none() && begin.elapsed() < WATCHDOG,
                "Podman does not serve here ({ended:?}); where it may not make namespaces it needs \
                 a container with more rights. It said: {}",
                std::fs::read_to_string(&said).unwrap()
            );
            std::thread::yield_now();
        }
        podman
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // By an order and not by force: without root it is a second process that serves.
        crate::harness::kill("TERM", self.service.id());
        let _ = self.service.wait();
    }
}

/// Docker's client at the bridge's socket, with no configuration but this room's.
fn docker(room: &Room, listen: &str, args: &[&str], stdin: &[u8]) -> Ended {
    let mut docker = Command::new("docker");
    docker.arg("-H").arg(format!("unix://{}", room.socket(listen).display())).args(args);
    docker.env("DOCKER_CONFIG", room.path("docker")).env_remove("DOCKER_CONTEXT");
    docker.env_remove("DOCKER_API_VERSION").current_dir(room.path(""));
    run(docker, stdin)
}

/// A tar archive of one file, which is all that an image needs.
fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut head = vec![0; BLOCK];
    let mut field =
        |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{:011o}\0", content.len()));
    field(136, "00000000000\0");
    // The checksum is counted with spaces in its place.
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\u{0}00");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = [&head, content].concat();
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

#[test]
fn dockers_client_works_with_podman_through_a_link() {
    if is_left_out(&["docker", "podman"]) {
        return;
    }
    let room = Room::new();
    let podman = Podman::start(&room);
    let through = command(&[PIPEWAY, "guest", "--allow", &podman.endpoint]);
    let content: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    for (kind, tag) in [(&[][..], "http"), (&["--raw"][..], "raw")] {
        let (listen, bridge) =
            room.bridge(&podman.endpoint, &[kind, &["--through", &through]].concat());
        let asks = |args: &[&str]| docker(&room, &listen, args, b"").exits_with(0).stdout();

        let version: Value =
            serde_json::from_str(&asks(&["version", "--format", "{{json .}}"])).unwrap();
        assert_eq!(version["Server"]["Components"][0]["Name"], "Podman Engine", "{version:#}");
        let info = asks(&["info", "--format", "{{.Driver}} {{.DockerRootDir}}"]);
        assert_eq!(info, format!("vfs {}\n", room.path("images").display()));

        let image = format!("localhost/pipeway-proof:{tag}");
        let list = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
        assert!(!asks(&list).contains(&image));
        let upload = archive("content", &content);
        docker(&room, &listen, &["import", "-", &image], &upload).exits_with(0);
        assert!(asks(&list).lines().any(|line| line == image), "{}", asks(&list));
        let saved = docker(&room, &listen, &["save", &image], b"").exits_with(0).stdout;
        let is_whole = saved.windows(content.len()).step_by(512).any(|part| part == content);
        assert!(is_whole, "{} bytes, and the file is not in them", saved.len());

        bridge.signal("TERM");
        bridge.end().exits_with(0).says("link pipeway: up, to pipeway ");
    }
}
