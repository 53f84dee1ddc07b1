//! A terminal over WebSocket: one command in a pseudo-terminal, typed at, resized and signalled.

use pipeway_transport::child::Program;

use crate::command::{self, NotStarted};
use crate::console::{self, Console, Event, NotResized};
use crate::protocol::{AgentMessage, ClientMessage, Start, decode};
use crate::server::Shared;
use crate::websocket::{Inbox, Incoming, Outbox};

/// Runs a terminal until its command has ended or its client is gone.
pub(crate) async fn run(shared: &Shared, outbox: Outbox, inbox: Inbox, start: Start) {
    match open(shared, (outbox, inbox), start) {
        Ok(console) => serve(shared, console).await,
        Err((error, (outbox, inbox))) => outbox.refuse_start(error, inbox).await,
    }
}

fn open(
    shared: &Shared,
    ends: (Outbox, Inbox),
    start: Start,
) -> Result<Console, (NotStarted, (Outbox, Inbox))> {
    let size = console::size(start.cols, start.rows).map_err(NotStarted::BadRequest);
    let program = command::program(Program::script(start.cmd), start.cwd.as_deref(), &start.env);
    match size.and_then(|size| Ok((size, program?))) {
        Ok((size, program)) => Console::open(shared, ends, &program, size, start.span_id),
        Err(error) => Err((error, ends)),
    }
}

async fn serve(shared: &Shared, mut console: Console) {
    loop {
        match console.next().await {
            Event::Came(Incoming::Gone) => return console.client_gone(shared).await,
            Event::Came(incoming) => {
                // What is wrong with a message is a reply, and the terminal goes on.
                if let Err(message) = take(&mut console, incoming) {
                    console.reply(AgentMessage::error(message));
                }
            }
            Event::Ordered(order) => console.obey(order),
            Event::Stopped => {
                console.reply(AgentMessage::error("the agent was stopped"));
                console.child.end(shared.grace).await;
            }
            Event::Drained => {}
            Event::Over => return console.close().await,
        }
    }
}

/// Does what a message says.
fn take(console: &mut Console, incoming: Incoming) -> Result<(), String> {
    match incoming {
        Incoming::Message(ClientMessage::Stdin { data_b64 }) => {
            console.type_in(
                &decode(&data_b64).map_err(|error| format!("data_b64 is no base64: {error}"))?,
            );
            Ok(())
        }
        Incoming::Message(ClientMessage::Resize { cols, rows }) => {
            console.resize(cols, rows).map_err(|error| match error {
                NotResized::BadRequest(what) | NotResized::Failed(what) => what,
            })
        }
        Incoming::Message(ClientMessage::Signal { sig }) => {
            // A signal that comes too late is no error.
            console.signal(console::signal(&sig)?);
            Ok(())
        }
        Incoming::Message(_) => Err("a terminal takes stdin, resize and signal".to_owned()),
        Incoming::Malformed(what) => Err(what),
        Incoming::Binary => Err("a binary message came; every message is JSON text".to_owned()),
        Incoming::Gone => Ok(()),
    }
}
