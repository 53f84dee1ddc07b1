use std::io::Write;

use crate::harness::{Room, Running, Service, kill, run, until_gone};

/// What is waited for: started before the test is told anything, since dash loses a signal that
/// comes while it starts a program. It outlives the signals.
const SLEEP: &str = "trap '' INT TERM; sleep 60 > /dev/null 2>&1 & trap - INT TERM;";

/// Waits for it, whatever traps are sprung meanwhile.
const WAIT: &str = "while kill -0 $! 2> /dev/null; do wait; done";

#[test]
fn output_comes_as_it_is_written() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let script = "echo one; until [ -e go ]; do sleep 0.05; done; echo two";
    let cwd = room.path("").display().to_string();
    let command = Running::start(room.pipeway(["exec", &listen, "--cwd", &cwd, "--", script]));
    assert_eq!(command.line(), "one");
    room.file("go", "");
    assert_eq!(command.line(), "two");
    command.end().exits_with(0);
}

#[test]
fn the_two_outputs_stay_apart_and_the_exit_code_is_the_commands() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let ended = room.run(["exec", &listen, "--", "echo out; echo err >&2; exit 3"]);
    let ended = ended.exits_with(3);
    assert_eq!((ended.stdout().as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn any_bytes_come_as_they_are() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let data: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let path = room.file("data", &data).display().to_string();
    let ended = room.run(["exec", &listen, "--", "cat", &path]).exits_with(0);
    assert!(ended.stdout == data, "what came differs");
}

#[test]
fn one_word_is_a_script_and_several_stay_words() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let said = |words: &[&str]| {
        let args = ["exec", &listen, "--"];
        room.run(args.iter().chain(words)).exits_with(0).stdout()
    };
    assert_eq!(said(&["echo a | tr a b"]), "b\n");
    assert_eq!(
        said(&["printf", "<%s>", "a b", "it's", "$HOME", "", "*"]),
        "<a b><it's><$HOME><><*>"
    );
}

#[test]
fn the_folder_and_the_environment_are_as_asked_for() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let args = ["exec", &listen, "--cwd", "/", "--env", "A=1", "--env", "B=x y=z", "--"];
    let script = "pwd; echo \"$A $B\"";
    let ended = room.run(args.iter().chain(&[script])).exits_with(0);
    assert_eq!(ended.stdout(), "/\n1 x y=z\n");
    room.run(["exec", &listen, "--cwd", "here", "--", "pwd"])
        .exits_with(255)
        .says("must be an absolute path");
}

#[test]
fn a_command_can_run_in_a_terminal() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let script = "stty size; test -t 2 && echo both";
    let ended = room.run(["exec", "--tty", &listen, "--", script]).exits_with(0);
    assert_eq!(ended.stdout(), "24 80\nboth\n");
}

#[test]
fn ctrl_c_interrupts_the_command() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let script = format!("{SLEEP} trap 'echo caught; exit 9' INT; echo ready; {WAIT}");
    let command = Running::start(room.pipeway(["exec", &listen, "--", &script]));
    assert_eq!(command.line(), "ready");
    command.signal("INT");
    assert_eq!(command.line(), "caught");
    command.end().exits_with(9);
}

#[test]
fn a_command_that_a_signal_ended_exits_with_128_and_its_number() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let script = format!("{SLEEP} echo ready; {WAIT}");
        let command = Running::start(room.pipeway(["exec", &listen, "--", &script]));
        assert_eq!(command.line(), "ready");
        command.signal(name);
        command.end().exits_with(code);
    }
}

#[test]
fn the_second_ctrl_c_asks_it_to_end_and_the_third_leaves() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let script = format!("{SLEEP} trap 'echo int' INT; trap 'echo term' TERM; echo $$; {WAIT}");
    let command = Running::start(room.pipeway(["exec", &listen, "--", &script]));
    let pid = command.line().parse().unwrap();
    command.signal("INT");
    assert_eq!(command.line(), "int");
    command.signal("INT");
    assert_eq!(command.line(), "term");
    command.signal("INT");
    command.end().exits_with(130);
    until_gone(pid);
}

#[test]
fn a_command_may_be_given_a_time() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    room.run(["exec", "--max-runtime", "100ms", &listen, "--", "sleep 60"])
        .exits_with(143)
        .says("agent: the command ran for more than max_runtime_ms, 100");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let exec = room.pipeway::<&str>([]);
    let mut shell = std::process::Command::new("sh");
    let script = "{ \"$0\" exec \"$1\" -- 'echo $$; exec yes'; echo code=$? >&2; } | head -n 1";
    shell.args(["-c", script]).arg(exec.get_program()).arg(&listen);
    shell.env("XDG_RUNTIME_DIR", room.path("run"));
    let ended = run(shell, b"").exits_with(0);
    assert_eq!(ended.stderr, "code=141\n");
    until_gone(ended.stdout().trim().parse().unwrap());
}

#[test]
fn an_agent_that_dies_is_told_at_once() {
    let room = Room::new();
    let (listen, agent) = room.agent();
    let command = Running::start(room.pipeway(["exec", &listen, "--", "echo $$; exec sleep 60"]));
    let pid = command.line().parse().unwrap();
    agent.signal("KILL");
    command.end().exits_with(255).says("was lost before the command's end");
    // Nobody else is left to end it.
    kill("KILL", pid);
}

#[test]
fn a_command_runs_through_a_bridge() {
    let room = Room::new();
    let (inside, _agent) = room.agent();
    let (listen, _bridge) = room.bridge(&inside, &[]);
    let script = format!("{SLEEP} trap 'echo caught; exit 9' INT; echo ready; {WAIT}");
    let command = Running::start(room.pipeway(["exec", &listen, "--", &script]));
    assert_eq!(command.line(), "ready");
    command.signal("INT");
    assert_eq!(command.line(), "caught");
    command.end().exits_with(9);
}

#[test]
fn a_bridges_refusal_is_told() {
    let room = Room::new();
    let (inside, _agent) = room.agent();
    let (listen, _bridge) = room.bridge(&inside, &["--allow-path", "/healthz"]);
    room.run(["exec", &listen, "--", "true"]).exits_with(255).says("refused with 403");
}

#[test]
fn an_agent_below_a_path_is_reached_by_its_prefix() {
    let room = Room::new();
    let service = Service::start(|mut request| {
        let is_right = request.head.starts_with("POST /tools/agent/v1/execute/stream HTTP/1.1\r\n");
        request.body();
        let body = "{\"type\":\"exit\",\"exit\":4,\"span_id\":\"a\"}\n";
        let status = if is_right { "200 OK" } else { "404 Not Found" };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        request.reply(format!("{head}{body}").as_bytes());
    });
    let args = ["exec", "--prefix", "/tools/agent/", &service.endpoint(), "--", "x"];
    room.run(args).exits_with(4);
}

#[test]
fn a_code_that_the_system_has_no_room_for_is_told() {
    let room = Room::new();
    let service = Service::fixed(
        b"HTTP/1.1 200 OK\r\n\r\n{\"type\":\"exit\",\"exit\":-1073741819,\"span_id\":\"a\"}\n",
    );
    room.run(["exec", &service.endpoint(), "--", "x"])
        .exits_with(254)
        .says("the command ended with -1073741819, which is 254 here");
}

#[test]
fn a_service_that_is_no_agent_is_told() {
    let room = Room::new();
    let service = Service::fixed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n\x1b[1mx");
    let ended = room.run(["exec", &service.endpoint(), "--", "x"]).exits_with(255);
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
    ended.says("no agent is at").says("404 Not Found").says("--prefix");
    let service = Service::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n");
    room.run(["exec", &service.endpoint(), "--", "x"]).exits_with(255).says("is no agent's answer");
}

#[test]
fn an_answer_cut_short_is_a_lost_connection() {
    let room = Room::new();
    let service = Service::start(|mut request| {
        request.body();
        let line = "{\"type\":\"start\",\"span_id\":\"a\"}\n";
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        request.reply(format!("{head}{:x}\r\n{line}\r\n", line.len()).as_bytes());
        request.stream.get_mut().flush().unwrap();
    });
    room.run(["exec", &service.endpoint(), "--", "x"]).exits_with(255).says("was lost before");
}

#[test]
fn what_pipeway_itself_fails_at_is_255() {
    let room = Room::new();
    room.run(["exec", "local:pw-nobody-here", "--", "true"]).exits_with(255).says("hint: ");
    room.run(["exec", "local:a", "ls"]).exits_with(255).says("unexpected argument");
    room.run(["shell", "local:pw-nobody-here"]).exits_with(255);
    room.run(["exec", "--help"]).exits_with(0);
}
