//! What only Unix sockets have.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::task::Poll;

use pipeway_transport::{Access, Endpoint, ErrorKind, ListenOptions, Listener, UnixPath, connect};
use support::{listen, pair, patient, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn endpoint(path: &Path) -> Endpoint {
    Endpoint::Unix(UnixPath::try_from(path).unwrap())
}

fn private_folder() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn refused(endpoint: &Endpoint) -> pipeway_transport::Error {
    Listener::bind(endpoint, &ListenOptions::default()).unwrap_err()
}

#[test]
fn the_socket_is_the_owners_alone() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        let _listener = listen(&endpoint(&path));
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.mode() & 0o7777, 0o600);
    });
}

#[test]
fn a_group_gets_the_socket_too() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        let gid = folder.path().metadata().unwrap().gid();
        let access = Access::Group(gid.to_string());
        let options = ListenOptions { access, ..ListenOptions::default() };
        let mut listener = Listener::bind(&endpoint(&path), &options).unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.gid()), (0o660, gid));
        pair(&mut listener).await;
    });
}

#[test]
fn an_unknown_group_and_a_rule_for_pipes_are_refused() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        for (access, kind) in [
            (Access::Group("no such group".into()), ErrorKind::NotFound),
            (Access::Administrators, ErrorKind::Unsupported),
            (Access::Sddl("D:P".into()), ErrorKind::Unsupported),
        ] {
            let options = ListenOptions { access, ..ListenOptions::default() };
            let error = Listener::bind(&endpoint(&path), &options).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!path.exists());
        }
    });
}

#[test]
fn a_missing_folder_is_made_private() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("one/two/a.sock");
        let _listener = listen(&endpoint(&path));
        for made in ["one", "one/two"] {
            let metadata = folder.path().join(made).metadata().unwrap();
            assert_eq!(metadata.mode() & 0o7777, 0o700, "{made}");
        }
    });
}

#[test]
fn a_folder_in_which_others_could_replace_the_socket_is_refused() {
    run(async {
        let folder = private_folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = refused(&endpoint(&folder.path().join("a.sock")));
        assert_eq!(error.kind(), ErrorKind::Insecure);
        assert!(error.advice().is_some_and(|hint| hint.contains("chmod")), "{error:?}");
        // As the system's temporary folder: others can't remove what is not theirs.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        listen(&endpoint(&folder.path().join("a.sock")));
    });
}

#[test]
fn a_stale_socket_is_replaced() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let stale = fs::symlink_metadata(&path).unwrap().ino();
        let mut listener = listen(&endpoint(&path));
        pair(&mut listener).await;
        drop(listener);
        assert!(!path.exists(), "the file of inode {stale} or its successor is left");
    });
}

#[test]
fn a_live_socket_is_never_replaced() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        let live = UnixListener::bind(&path).unwrap();
        let inode = fs::symlink_metadata(&path).unwrap().ino();
        let error = refused(&endpoint(&path));
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), inode);
        drop(live);
    });
}

#[test]
fn a_link_or_a_plain_file_in_the_sockets_place_is_left_alone() {
    run(async {
        let folder = private_folder();
        let real = folder.path().join("real.sock");
        drop(UnixListener::bind(&real).unwrap());
        let link = folder.path().join("link.sock");
        symlink(&real, &link).unwrap();
        let error = refused(&endpoint(&link));
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert!(link.is_symlink() && real.exists());

        let file = folder.path().join("file.sock");
        fs::write(&file, "precious").unwrap();
        assert_eq!(refused(&endpoint(&file)).kind(), ErrorKind::InUse);
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    });
}

#[test]
fn a_link_in_the_lock_files_place_is_not_followed() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        symlink(&precious, folder.path().join("a.sock.lock")).unwrap();
        refused(&endpoint(&path));
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    });
}

#[test]
fn a_path_over_the_systems_limit_is_refused_with_both_lengths() {
    run(async {
        let limit = if cfg!(target_os = "linux") { 107 } else { 103 };
        let folder = private_folder();
        let stem = folder.path().join("x").as_os_str().len();
        let fitting = folder.path().join("x".repeat(limit - stem + 1));
        let mut listener = listen(&endpoint(&fitting));
        pair(&mut listener).await;

        let long = folder.path().join("x".repeat(limit - stem + 2));
        let error = refused(&endpoint(&long));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(
            text.contains(&limit.to_string()) && text.contains(&(limit + 1).to_string()),
            "{text}"
        );
    });
}

#[test]
fn nothing_is_left_when_the_listener_ends() {
    run(async {
        let folder = private_folder();
        drop(listen(&endpoint(&folder.path().join("a.sock"))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}

#[test]
fn a_file_that_took_the_sockets_place_is_not_removed() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        let listener = listen(&endpoint(&path));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "not ours").unwrap();
        drop(listener);
        assert_eq!(fs::read(&path).unwrap(), b"not ours");
    });
}

#[test]
fn a_stale_socket_is_told_apart_from_a_missing_one_when_connecting() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let error = connect(&endpoint(&path), &patient()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("nobody listens"), "{error}");
    });
}

#[test]
fn a_socket_handed_over_by_the_service_manager_is_served_and_left() {
    run(async {
        let folder = private_folder();
        let path = folder.path().join("a.sock");
        let made_by_manager = UnixListener::bind(&path).unwrap();
        // The shell puts the socket where the protocol wants it, and its id becomes the child's.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child_of_a_service_manager", "--ignored", "--nocapture"])
            .env("PIPEWAY_TEST_ENDPOINT", endpoint(&path).to_string())
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(made_by_manager)))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The queue is there already, so there is nothing to wait for.
        let mut client = connect(&endpoint(&path), &patient()).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'a');
        client.write_all(b"z").await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert!(child.wait().unwrap().success());
        assert!(path.exists(), "the service manager's socket was removed");
    });
}

#[test]
#[ignore = "run as a child process by the test of socket activation"]
fn child_of_a_service_manager() {
    let Ok(endpoint) = std::env::var("PIPEWAY_TEST_ENDPOINT") else { return };
    run(async {
        let mut listener = listen(&endpoint.parse().unwrap());
        assert!(listener.is_activated());
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"a").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'z');
    });
}

#[test]
fn a_path_is_taken_as_it_is() {
    run(async {
        let folder = private_folder();
        for name in [&b"\\\\.\\pipe\\x.incoming"[..], b"\xff \n*?", b"a..b."] {
            let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
            let endpoint = Endpoint::Unix(UnixPath::verbatim(&path).unwrap());
            let mut listener = listen(&endpoint);
            assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
            pair(&mut listener).await;
        }
    });
    for path in ["", "/tmp/a\0b"] {
        assert!(UnixPath::verbatim(std::path::Path::new(path)).is_err(), "{path:?}");
    }
}

#[test]
fn a_folder_that_must_be_private_is_refused_where_others_may_look_in() {
    run(async {
        let folder = private_folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let endpoint = endpoint(&folder.path().join("a.sock"));
        let options = ListenOptions { private_folder: true, ..ListenOptions::default() };
        let error = Listener::bind(&endpoint, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Insecure);
        Listener::bind(&endpoint, &ListenOptions::default()).unwrap();
    });
}

#[test]
fn the_end_of_both_halves_is_waited_for_without_losing_a_writers_place() {
    run(async {
        let folder = private_folder();
        let mut listener = listen(&endpoint(&folder.path().join("a.sock")));
        let (mut client, mut server, _) = pair(&mut listener).await;
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        assert!(!server.is_hung_up());
        // As much as must wait for room, while the watch looks at each change.
        let sent = vec![1; 4 * 1024 * 1024];
        let mut received = vec![0; sent.len()];
        let mut rest = &sent[..];
        let writing = std::future::poll_fn(|cx| {
            assert!(server.poll_hung_up(cx).is_pending(), "one half is open");
            loop {
                let stream = std::pin::Pin::new(&mut server);
                match tokio::io::AsyncWrite::poll_write(stream, cx, rest) {
                    Poll::Ready(written) => rest = &rest[written.unwrap()..],
                    Poll::Pending => return Poll::Pending,
                }
                if rest.is_empty() {
                    return Poll::Ready(());
                }
            }
        });
        let (read, ()) = tokio::join!(client.read_exact(&mut received), writing);
        read.unwrap();
        assert!(received == sent);
        let hung_up = std::future::poll_fn(|cx| server.poll_hung_up(cx));
        let (hung_up, ()) = tokio::join!(hung_up, async { drop(client) });
        hung_up.unwrap();
        assert!(server.is_hung_up());
    });
}
