//! What ends a session with an error.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, End, exec, start};
use crate::rig::{Rig, run};

/// How a conversation ends whose first message is this.
async fn begun_with(rig: &Rig, change: impl FnOnce(&mut Value)) -> End {
    let mut client = Client::connect(rig).await;
    let mut first = start();
    change(&mut first);
    client.send(first).await;
    client.end().await
}

/// How a session ends with this message.
async fn ended_by(rig: &Rig, message: Value) -> End {
    let mut client = Client::open(rig).await;
    client.send(message).await;
    client.end().await
}

#[test]
fn a_start_that_can_not_be_is_refused() {
    run(async {
        let rig = Rig::start();
        let end = begun_with(&rig, |start| start["protocol_version"] = json!(2)).await;
        assert!(end.error("unsupported_protocol_version", None).contains("must be 1"));
        let end = begun_with(&rig, |start| start["cols"] = json!(0)).await;
        assert!(end.error("bad_request", None).contains("at least 1"));
        let end = begun_with(&rig, |start| start["cwd"] = json!("relative")).await;
        assert!(end.error("bad_request", None).contains("absolute"));
        let end = begun_with(&rig, |start| start["cwd"] = json!("/no/such")).await;
        assert!(end.error("bad_request", None).contains("does not exist"));
        let end = begun_with(&rig, |start| start["policy"] = json!(1)).await;
        assert!(end.error("bad_request", None).contains("policy"));
        let end = begun_with(&rig, |start| start["env"] = json!({ "A=B": "" })).await;
        assert!(end.error("bad_request", None).contains("A=B"));
    });
}

#[test]
fn a_program_that_can_not_be_is_refused_with_its_number() {
    run(async {
        let rig = Rig::start();
        let mut message = exec(1, "", "eof");
        message["program_b64"] = json!("not base64");
        assert!(ended_by(&rig, message).await.error("bad_request", Some(1)).contains("base64"));
        let end = ended_by(&rig, exec(1, [b'a', 0xff], "eof")).await;
        assert!(end.error("program_invalid_utf8", Some(1)).contains("byte 1"));
        let end = ended_by(&rig, exec(1, "a\0b", "eof")).await;
        assert!(end.error("program_contains_nul", Some(1)).contains("byte 1"));
        for seq in [0, 2] {
            let end = ended_by(&rig, exec(seq, "", "eof")).await;
            assert!(end.error("protocol_violation", Some(seq)).contains("must be 1"));
        }
        let mut message = exec(1, "", "eof");
        message["token_hex"] = json!("secret-of-mine");
        let end = ended_by(&rig, message).await;
        let told = end.error("bad_request", Some(1));
        assert!(told.contains("32 hexadecimal") && !told.contains("secret"), "{told}");
        let mut message = exec(1, "", "eof");
        message["cmd_id"] = json!("1");
        assert!(ended_by(&rig, message).await.error("bad_request", Some(1)).contains("UUID"));
    });
}

#[test]
fn a_number_is_used_once() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client.output(":").await;
        client.send(exec(1, ":", "eof")).await;
        assert!(client.end().await.error("protocol_violation", Some(1)).contains("must be 2"));
    });
}

#[test]
fn a_message_that_does_not_belong_ends_the_session() {
    run(async {
        let rig = Rig::start();
        ended_by(&rig, start()).await.error("protocol_violation", None);
        let start = json!({ "type": "start", "cmd": "", "cols": 1, "rows": 1 });
        ended_by(&rig, start).await.error("protocol_violation", None);
        ended_by(&rig, json!({ "type": "what" })).await.error("bad_request", None);
        let resize = json!({ "type": "resize", "cols": 0, "rows": 1 });
        ended_by(&rig, resize).await.error("bad_request", None);
        let stdin = json!({ "type": "stdin", "data_b64": "!" });
        ended_by(&rig, stdin).await.error("bad_request", None);
        let close = json!({ "type": "close", "now": true });
        assert!(ended_by(&rig, close).await.error("bad_request", None).contains("now"));
        let mut client = Client::open(&rig).await;
        client.send_raw(Message::binary(vec![1])).await;
        client.end().await.error("protocol_violation", None);
    });
}

#[test]
fn a_program_while_another_one_runs_ends_both() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client.exec("echo pid $$.; sleep 1000", "eof").await;
        client.until("pid ").await;
        let pid = client.until(".").await.trim_end_matches('.').parse().unwrap();
        client.exec(":", "eof").await;
        client.end().await.error("exec_while_busy", Some(2));
        crate::rig::gone(pid).await;
    });
}
