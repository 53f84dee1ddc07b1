//! An agent and its clients where the shell is `cmd.exe`.

use crate::harness::{Room, Running};

#[test]
fn a_commands_outputs_and_its_exit_code_come_back() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let ended = room.run(["exec", &listen, "--", "(echo out)&(>&2 echo err)& exit 3"]);
    let ended = ended.exits_with(3);
    assert_eq!((ended.stdout().as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn several_words_stay_words() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let ended = room.run(["exec", &listen, "--", "echo", "a&b", "c"]).exits_with(0);
    assert_eq!(ended.stdout().trim_end(), "\"a&b\" c");
    room.run(["exec", &listen, "--", "echo", "%PATH%"]).exits_with(255).says("one word");
}

#[test]
fn a_command_goes_through_a_bridge() {
    let room = Room::new();
    let (inside, _agent) = room.agent();
    let (listen, _bridge) = room.bridge(&inside, &[]);
    let ended = room.run(["exec", &listen, "--env", "A=b c", "--", "echo %A%"]).exits_with(0);
    assert_eq!(ended.stdout().trim_end(), "b c");
}

#[test]
fn a_program_gets_its_code_whole() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    room.run(["exec", &listen, "--", "exit -1073741819"]).exits_with(-1073741819);
}

#[test]
fn an_agent_that_dies_is_told() {
    let room = Room::new();
    let (listen, agent) = room.agent();
    let args = ["exec", &listen, "--", "(echo ready)& ping -n 60 127.0.0.1 >nul"];
    let command = Running::start(room.pipeway(args));
    assert_eq!(command.line().trim_end(), "ready");
    drop(agent);
    command.end().exits_with(255).says("was lost before the command's end");
}

#[test]
fn a_second_agent_finds_the_name_taken() {
    let room = Room::new();
    let (listen, agent) = room.agent();
    room.run(["agent", "--listen", &listen])
        .exits_with(4)
        .says(&format!("is taken by process {}", agent.id()));
}

#[test]
fn what_pipeway_itself_fails_at_is_255() {
    let room = Room::new();
    room.run(["exec", "local:pw-nobody-here", "--", "x"]).exits_with(255).says("hint: ");
    room.run(["shell", "local:pw-nobody-here"]).exits_with(255);
    room.run(["agent", "--listen", "tcp:127.0.0.1:0"]).exits_with(2).says("--token-file");
}
