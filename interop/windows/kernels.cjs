// The client of a Jupyter server: Node's http and the ws package over a named pipe, in Windows Node.
//
//   PORT_TOKEN=... JUPYTER_TOKEN=... node kernels.cjs PIPE REPORT
//
// What it is started with, and how it tells what came of it: see steps.cjs. PORT_TOKEN is what the
// loopback port behind the pipe wants, JUPYTER_TOKEN what Jupyter wants.

"use strict";

const assert = require("node:assert/strict");
const { randomUUID } = require("node:crypto");
const { once } = require("node:events");
const { open, request, run, tell } = require("./steps.cjs");

const LARGE = 4_000_000;
const headers = { authorization: `Bearer ${process.env.PORT_TOKEN}` };
const withToken = (path) => `${path}?token=${process.env.JUPYTER_TOKEN}`;

// Each piece is awaited by the client before it lets the cell go on: what holds pieces back, hangs.
const PIECES = `
for number in range(5):
    print(f"piece {number}\\n", end="", flush=True)
    assert input() == f"seen {number}"
6 * 7
`;

function ask(method, path) {
  return request(method, withToken(path), undefined, { ...headers, "content-length": 0 });
}

/** A kernel's channels over one WebSocket, one JSON text for each message. */
class Channels {
  constructor(socket) {
    this.socket = socket;
    this.session = randomUUID();
    this.sent = 0;
    this.received = 0;
    this.messages = [];
    this.arrived = () => {};
    this.closed = once(socket, "close");
    socket.on("message", (data) => {
      this.received += data.length;
      this.messages.push(JSON.parse(data));
      this.arrived();
    });
  }

  send(channel, kind, content, parent = {}) {
    const header = {
      msg_id: randomUUID(),
      session: this.session,
      username: "node",
      date: new Date().toISOString(),
      msg_type: kind,
      version: "5.3",
    };
    const message = { header, parent_header: parent, metadata: {}, content, channel, buffers: [] };
    const text = JSON.stringify(message);
    this.sent += text.length;
    this.socket.send(text);
    return header.msg_id;
  }

  async receive() {
    while (this.messages.length === 0) {
      const arrived = new Promise((resolve) => (this.arrived = resolve));
      const closed = this.closed.then(([code]) => {
        throw new Error(`the WebSocket closed: ${code}`);
      });
      await Promise.race([arrived, closed]);
    }
    return this.messages.shift();
  }

  /** Runs a cell until the kernel is idle again and has replied. `answer` says what its nth input()
   *  gets, once n + 1 lines have come; `onOutput` hears all that it has printed so far. */
  async run(code, { answer, onOutput } = {}) {
    const cell = this.send("shell", "execute_request", {
      code,
      silent: false,
      store_history: true,
      user_expressions: {},
      allow_stdin: answer !== undefined,
      stop_on_error: true,
    });
    const done = { output: "", pieces: 0 };
    let question;
    let answered = 0;
    while (!done.idle || !done.reply) {
      const { header, parent_header: parent, content } = await this.receive();
      if (parent.msg_id !== cell) continue;
      if (header.msg_type === "stream") {
        done.output += content.text;
        done.pieces += 1;
        await onOutput?.(done.output);
      }
      if (header.msg_type === "execute_result") done.result = content.data["text/plain"];
      if (header.msg_type === "error") done.error = content.ename;
      if (header.msg_type === "execute_reply") done.reply = content.status;
      if (header.msg_type === "status" && content.execution_state === "idle") done.idle = true;
      if (header.msg_type === "input_request") question = header;
      // The question comes on a channel of its own, so perhaps before the piece.
      if (question !== undefined && done.output.split("\n").length - 1 > answered) {
        this.send("stdin", "input_reply", { value: answer(answered) }, question);
        question = undefined;
        answered += 1;
      }
    }
    return done;
  }
}

let kernel;
let channels;

const steps = {
  async "Jupyter: without the port's token 401, without its own 403"() {
    assert.equal((await request("GET", withToken("/api/kernels"))).status, 401);
    assert.equal((await request("GET", "/api/kernels", undefined, headers)).status, 403);
  },

  async "Jupyter: a kernel is started"() {
    const answer = await ask("POST", "/api/kernels");
    assert.equal(answer.status, 201, answer.body.toString());
    kernel = `/api/kernels/${JSON.parse(answer.body).id}`;
    tell({ channels: `${kernel}/channels` });
  },

  async "Jupyter: each piece of output comes while the cell runs, then its result"() {
    channels = new Channels(await open(withToken(`${kernel}/channels`), { headers }));
    const done = await channels.run(PIECES, { answer: (number) => `seen ${number}` });
    assert.equal(done.output, "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n");
    assert.ok(done.pieces >= 5);
    assert.deepEqual([done.result, done.reply], ["42", "ok"]);
  },

  async "Jupyter: 4 MB of output, 4 MB of code"() {
    const text = "0123456789abcdef".repeat(LARGE / 16);
    const printed = await channels.run(`print('0123456789abcdef' * ${LARGE / 16}, end='')`);
    assert.ok(printed.output === text);
    const compared = await channels.run(`'${text}' == '0123456789abcdef' * ${LARGE / 16}`);
    assert.equal(compared.result, "True");
  },

  async "Jupyter: a running cell is interrupted, the kernel lives on"() {
    let interrupted = false;
    const done = await channels.run("import time\nprint('it runs', flush=True)\ntime.sleep(600)", {
      async onOutput(output) {
        if (output !== "it runs\n" || interrupted) return;
        interrupted = true;
        assert.equal((await ask("POST", `${kernel}/interrupt`)).status, 204);
      },
    });
    assert.deepEqual([interrupted, done.error, done.reply], [true, "KeyboardInterrupt", "error"]);
    assert.equal((await channels.run("'alive'")).result, "'alive'");
  },

  async "Jupyter: the WebSocket is closed, the kernel deleted"() {
    channels.socket.close(1000);
    const [code] = await channels.closed;
    assert.equal(code, 1000);
    tell({ sent: channels.sent, received: channels.received });
    assert.equal((await ask("DELETE", kernel)).status, 204);
    assert.equal((await ask("GET", kernel)).status, 404);
  },
};

run(steps);
