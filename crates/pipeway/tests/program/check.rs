use crate::harness::{Room, run, toml_text};

/// A configuration with a mistake of every kind that needs no file.
const WRONG: &str = r#"[events]
to = "stderr"
max_sise = "1MiB"

[[bridge]]
lisen = "local:a"
to = "tcp:127.0.0.1"
methods = ["get"]

[bridge.timeouts]
head = "soon"

[bridges]
"#;

#[test]
fn every_problem_is_told_with_its_place_and_the_nearest_name() {
    let room = Room::new();
    room.file("wrong.toml", WRONG);
    let ended = room.run(["check", "--config", "wrong.toml"]).exits_with(3);
    let expected = r#"wrong.toml:3:1: unknown key `max_sise` in events
   |
 3 | max_sise = "1MiB"
   | ^^^^^^^^
  hint: did you mean `max_size`?
wrong.toml:6:1: unknown key `lisen` in bridge
   |
 6 | lisen = "local:a"
   | ^^^^^
  hint: did you mean `listen`?
wrong.toml:7:6: `tcp:127.0.0.1` is not an endpoint: the port is missing; write tcp:127.0.0.1:PORT
   |
 7 | to = "tcp:127.0.0.1"
   |      ^^^^^^^^^^^^^^^
wrong.toml:8:12: `get` is not a method: methods are case-sensitive, write GET
   |
 8 | methods = ["get"]
   |            ^^^^^
wrong.toml:11:8: `soon` is not a time; write a number and ms, s, m or h, such as 10s
    |
 11 | head = "soon"
    |        ^^^^^^
wrong.toml:13:2: unknown key `bridges`
    |
 13 | [bridges]
    |  ^^^^^^^
  hint: did you mean `bridge`?
6 problems; nothing was started
"#;
    assert_eq!(ended.stderr, expected);
    assert_eq!(ended.stdout(), "");
}

#[test]
fn the_resolved_configuration_is_printed_with_the_source_of_each_value() {
    let room = Room::new();
    let text = "[[bridge]]\nlisten = \"local:a\"\nto = \"tcp:127.0.0.1:80\"\n\
                timeouts.head = \"3s\"\ntimeouts.drain = \"4s\"\n";
    room.file("pipeway/pipeway.toml", text);
    let mut command = room.pipeway(["check", "--events-max-files", "2"]);
    command.env("PIPEWAY_DRAIN_TIMEOUT", "1m");
    let ended = run(command, b"").exits_with(0).says("ok: 1 bridge");
    let shown = ended.stdout();
    for (key, value, source) in [
        ("max_files", "2", "flag --events-max-files"),
        ("max_size", "\"10MiB\"", "default"),
        ("name", "\"a\"", "default, from listen"),
        ("listen", "\"local:a\"", "pipeway.toml:2"),
        ("to", "\"tcp:127.0.0.1:80\"", "pipeway.toml:3"),
        ("head", "\"3s\"", "pipeway.toml:4"),
        ("drain", "\"1m\"", "environment PIPEWAY_DRAIN_TIMEOUT"),
        ("first_byte", "\"5m\"", "default"),
    ] {
        let found = shown.lines().any(|line| {
            let mut words = line.split(" = ");
            words.next().map(str::trim) == Some(key)
                && words.next().and_then(|rest| rest.split_once("  # "))
                    == Some((&format!("{value:<w$}", w = width(line)), source))
        });
        assert!(found, "{key} = {value} # {source} is not in:\n{shown}");
    }
}

/// The width of the value's column in a line of `check`.
fn width(line: &str) -> usize {
    let start = line.find(" = ").unwrap_or(0) + 3;
    line.find("  # ").map_or(0, |end| end.saturating_sub(start))
}

#[test]
fn the_file_is_the_flags_then_the_environments_then_the_default_one() {
    let room = Room::new();
    let bridge = "[[bridge]]\nlisten = \"local:a\"\nto = \"tcp:127.0.0.1:80\"\n";
    for name in ["flag.toml", "variable.toml", "pipeway/pipeway.toml"] {
        room.file(name, bridge);
    }
    let first_line = |args: &[&str], variable: &str| {
        let mut command = room.pipeway(args);
        command.env("PIPEWAY_CONFIG", variable);
        run(command, b"").exits_with(0).stdout().lines().next().unwrap().to_owned()
    };
    let flag = first_line(&["check", "--config", "flag.toml"], "variable.toml");
    assert_eq!(flag, "# flag.toml  # flag --config");
    let variable = first_line(&["check"], "variable.toml");
    assert_eq!(variable, "# variable.toml  # environment PIPEWAY_CONFIG");
    let default = room.path("pipeway").join("pipeway.toml");
    assert_eq!(first_line(&["check"], ""), format!("# {}  # default", default.display()));
}

#[test]
fn what_check_prints_is_a_configuration_of_the_same_meaning() {
    let room = Room::new();
    let text = "[events]\nto = \"events.jsonl\"\n[defaults]\nhost = \"preserve\"\n\
                [[bridge]]\nlisten = \"local:a\"\nto = \"tcp:127.0.0.1:80\"\npaths = [\"/a\\\\*/**\"]\n\
                [[bridge]]\nlisten = \"local:b\"\nto = \"tcp:[::1]:80\"\nverify_server = true\n\
                [bridge.limits]\nmax_body_size = \"5MB\"\nmax_head_size = 1000\n";
    room.file("first.toml", text);
    let values = |name: &str| {
        let shown = room.run(["check", "--config", name]).exits_with(0).stdout();
        let values: Vec<String> = shown
            .lines()
            .filter(|line| !line.starts_with("# "))
            .map(|line| line.split("  #").next().unwrap_or_default().trim_end().to_owned())
            .collect();
        (shown, values)
    };
    let (shown, first) = values("first.toml");
    room.file("second.toml", shown);
    assert_eq!(values("second.toml").1, first);
}

#[test]
fn a_missing_file_is_told_by_its_name() {
    let room = Room::new();
    room.run(["check", "--config", "absent.toml"])
        .exits_with(3)
        .says("can't read the configuration absent.toml");
    let default = room.path("pipeway").join("pipeway.toml");
    room.run(["serve"]).exits_with(3).says(&default.display().to_string());
}

#[test]
fn two_bridges_of_one_name_or_endpoint_are_refused() {
    let room = Room::new();
    let bridge = |name: &str, listen: &str| {
        format!("[[bridge]]\nname = \"{name}\"\nlisten = \"{listen}\"\nto = \"tcp:127.0.0.1:80\"\n")
    };
    room.file("name.toml", bridge("x", "local:a") + &bridge("x", "local:b"));
    room.run(["check", "--config", "name.toml"])
        .exits_with(3)
        .says("name.toml:6:8: two bridges are named `x`");
    room.file("listen.toml", bridge("x", "local:a") + &bridge("y", "local:a"));
    room.run(["check", "--config", "listen.toml"])
        .exits_with(3)
        .says("listen.toml:7:10: two bridges listen on local:a");
}

#[test]
fn a_bridge_without_an_end_is_told_what_to_add() {
    let room = Room::new();
    room.file("f.toml", "\n[[bridge]]\nto = \"tcp:127.0.0.1:80\"\n");
    room.run(["check", "--config", "f.toml"])
        .exits_with(3)
        .says("f.toml:2:1: this bridge has no `listen`")
        .says("hint: add listen = \"local:NAME\"");
}

#[test]
fn a_port_without_a_token_is_refused() {
    let room = Room::new();
    let text = "[[bridge]]\nlisten = \"tcp:127.0.0.1:0\"\nto = \"tcp:127.0.0.1:80\"\n";
    room.file("f.toml", text);
    room.run(["check", "--config", "f.toml"]).exits_with(3).says("f.toml:2:10:").says("token_file");
    room.file("g.toml", format!("{text}token_file = \"absent\"\n"));
    room.run(["check", "--config", "g.toml"])
        .exits_with(3)
        .says("g.toml:4:14:")
        .says("absent can't be read");
}

#[test]
#[cfg_attr(windows, ignore = "a file's access list is not looked at there")]
fn a_token_that_others_can_read_is_refused() {
    let room = Room::new();
    let token = room.file("token", "0123456789abcdef0123456789abcdef\n");
    assert!(std::process::Command::new("chmod").arg("644").arg(&token).status().unwrap().success());
    let text = format!(
        "[[bridge]]\nlisten = \"tcp:127.0.0.1:0\"\nto = \"tcp:127.0.0.1:80\"\ntoken_file = \"{}\"\n",
        toml_text(&token)
    );
    room.file("f.toml", text);
    room.run(["check", "--config", "f.toml"])
        .exits_with(3)
        .says("can be used by other users (mode 0644)")
        .says("chmod 600");
    assert!(std::process::Command::new("chmod").arg("600").arg(&token).status().unwrap().success());
    room.run(["check", "--config", "f.toml"]).exits_with(0);
}

#[test]
fn an_endpoint_that_this_system_lacks_is_told() {
    let room = Room::new();
    let lacking = if cfg!(windows) { "unix:/tmp/x.sock" } else { "npipe:x" };
    let text = format!("[[bridge]]\nlisten = \"{lacking}\"\nto = \"tcp:127.0.0.1:80\"\n");
    room.file("f.toml", text);
    room.run(["check", "--config", "f.toml"])
        .exits_with(3)
        .says("f.toml:2:10:")
        .says("local:NAME, which works on every system");
    room.run(["bridge", "--listen", lacking, "--to", "tcp:127.0.0.1:80"])
        .exits_with(6)
        .says("error: --listen: ");
}

#[test]
fn an_unknown_option_is_refused_with_the_nearest_name() {
    let room = Room::new();
    room.run(["check", "--confg", "x"]).exits_with(2).says("--config");
    room.run(["bridge", "--lisen", "local:a"]).exits_with(2).says("--listen");
}

#[test]
fn a_wrong_value_in_the_environment_is_told_by_the_variable() {
    let room = Room::new();
    room.file("f.toml", "[[bridge]]\nlisten = \"local:a\"\nto = \"tcp:127.0.0.1:80\"\n");
    let mut command = room.pipeway(["check", "--config", "f.toml"]);
    command.env("PIPEWAY_HEAD_TIMEOUT", "soon").env("PIPEWAY_HEAD_TIMOUT", "1s");
    run(command, b"")
        .exits_with(2)
        .says("error: PIPEWAY_HEAD_TIMEOUT: `soon` is not a time")
        .says("PIPEWAY_HEAD_TIMOUT is not known; did you mean PIPEWAY_HEAD_TIMEOUT?");
}

#[test]
fn the_version_is_printed() {
    let room = Room::new();
    let ended = room.run(["--version"]).exits_with(0);
    assert_eq!(ended.stdout().trim(), concat!("pipeway ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_help_of_every_command_ends_with_examples() {
    let room = Room::new();
    for command in [
        "bridge",
        "serve",
        "check",
        "agent",
        "exec",
        "shell",
        "curl",
        "ws",
        "nc",
        "preset",
        "directline",
        "directline send",
        "directline gateway",
    ] {
        let help = room.run(command.split_whitespace().chain(["--help"])).exits_with(0).stdout();
        assert!(help.contains("Examples:\n"), "{help}");
    }
}

/// Set it to write docs/reference/cli.md anew rather than hold it against the program.
const WRITE_PAGE: &str = "WRITE_CLI_PAGE";

#[test]
fn the_page_of_the_command_line_shows_the_help_of_every_command() {
    let room = Room::new();
    let mut page = String::from(
        "# Command line\n\n\
         The help of each command, word for word. `pipeway COMMAND -h` prints it too. The exit codes are in\n\
         [exit-codes.md](exit-codes.md), the environment variables and the keys of a file in\n\
         [config.md](config.md).\n",
    );
    for command in [
        "",
        "bridge",
        "serve",
        "check",
        "agent",
        "exec",
        "shell",
        "curl",
        "ws",
        "nc",
        "preset",
        "directline",
        "directline send",
        "guest",
        "demo",
    ] {
        let args = command.split_whitespace().chain(["--help"]);
        let help = room.run(args).exits_with(0).stdout();
        let title = format!("pipeway {command}");
        let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        page.push_str(&format!("\n## {}\n\n```text\n{}\n```\n", title.trim(), lines.join("\n")));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    if std::env::var_os(WRITE_PAGE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(written == page, "docs/reference/cli.md is out of date: run this with {WRITE_PAGE}=1");
}
