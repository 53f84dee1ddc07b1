// A session in a terminal of pipeway's agent, by Node: with the WebSocket written out by hand over
// `net`, or with the package `ws`. For Linux and for Windows.
//
//   node client.cjs hand|bytes|ws SOCKET FOLDER MODULES [TOKEN]
//   node client.cjs paste|slow SOCKET FOLDER MODULES [TOKEN]
//   node client.cjs many SOCKET FOLDER MODULES COUNT [TOKEN]
//
// `hand`, `bytes` (each byte in a write of its own) and `ws` are whole sessions, `paste` types a
// mebibyte, `slow` does not read for a while, and `many` opens COUNT terminals at once.
// SOCKET is a Unix socket or \\.\pipe\NAME. Into FOLDER go `sent` and `got`, everything that went
// over the connection, and `report`, which ends with `done` if all was as it should be: standard
// output that is a pipe does not work under Wine. MODULES is the folder that `ws` is in.

"use strict";

const assert = require("node:assert/strict");
const { createHash, randomBytes } = require("node:crypto");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");

const [, , mode, socketPath, folder, modules, ...more] = process.argv;
const count = mode === "many" ? Number(more.shift()) : 1;
const [token] = more;
const authorization = token === undefined ? {} : { Authorization: `Bearer ${token}` };

const LIMIT_MS = mode === "many" ? 150_000 : 60_000;
const CONTINUATION = 0;
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

const SHELL =
  "trap 'stty size' WINCH; trap 'echo \"[interrupted]\"' INT; stty size; " +
  "echo '[ready]'; while :; do read -r line && eval \"$line\"; done";

const begun = Date.now();

function tell(line) {
  const time = Date.now() - begun;
  fs.appendFileSync(path.join(folder, "report"), `${time} ms: ${line}\n`);
}

/** Keeps what goes over a connection. */
function record(socket) {
  const tape = { sent: [], got: [] };
  const write = socket.write;
  socket.write = function recorded(data, encoding, ...rest) {
    tape.sent.push(Buffer.from(data, typeof encoding === "string" ? encoding : undefined));
    return write.call(this, data, encoding, ...rest);
  };
  socket.on("data", (data) => tape.got.push(Buffer.from(data)));
  return tape;
}

/** What came, and who waits for it. */
class Inbox {
  constructor() {
    this.messages = [];
    this.waiting = undefined;
  }

  put(message) {
    this.messages.push(message);
    this.waiting?.();
  }

  async take() {
    while (this.messages.length === 0) {
      await new Promise((resolve) => {
        this.waiting = resolve;
      });
    }
    return this.messages.shift();
  }
}

/** A WebSocket written out by hand (RFC 6455). */
class ByHand {
  async open() {
    this.inbox = new Inbox();
    this.rest = Buffer.alloc(0);
    this.socket = net.connect(socketPath);
    this.tape = record(this.socket);
    this.written = Promise.resolve();
    const key = randomBytes(16).toString("base64");
    const extra = token === undefined ? "" : `Authorization: Bearer ${token}\r\n`;
    let opened;
    const open = new Promise((resolve) => {
      opened = resolve;
    });
    this.socket.on("data", (data) => {
      this.rest = Buffer.concat([this.rest, data]);
      if (opened) {
        const end = this.rest.indexOf("\r\n\r\n");
        if (end < 0) return;
        opened(this.rest.subarray(0, end).toString());
        opened = undefined;
        this.rest = this.rest.subarray(end + 4);
      }
      this.read();
    });
    this.socket.on("error", (error) => tell(`the connection broke: ${error.message}`));
    this.socket.on("close", () => this.inbox.put({ end: true }));
    this.write(
      "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n" +
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
        `Sec-WebSocket-Key: ${key}\r\n${extra}\r\n`,
    );
    const head = await open;
    assert.match(head, /^HTTP\/1\.1 101 /);
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    assert.equal(/^sec-websocket-accept: (.*)$/im.exec(head)[1].trim(), accept.digest("base64"));
  }

  read() {
    while (this.rest.length >= 2) {
      const [first, second] = this.rest;
      assert.equal(second & 0x80, 0, "a server masks nothing");
      let [length, at] = [second & 0x7f, 2];
      if (length === 126) {
        if (this.rest.length < 4) return;
        [length, at] = [this.rest.readUInt16BE(2), 4];
      } else if (length === 127) {
        if (this.rest.length < 10) return;
        [length, at] = [Number(this.rest.readBigUInt64BE(2)), 10];
      }
      if (this.rest.length < at + length) return;
      const payload = Buffer.from(this.rest.subarray(at, at + length));
      this.rest = this.rest.subarray(at + length);
      this.came(first, payload);
    }
  }

  came(first, payload) {
    assert.equal(first & 0x80, 0x80, "an agent sends whole messages");
    switch (first & 0x0f) {
      case TEXT:
        this.inbox.put({ text: payload.toString() });
        break;
      case PONG:
        this.inbox.put({ pong: payload.toString() });
        break;
      case PING:
        this.frame(0x80 | PONG, payload);
        break;
      case CLOSE:
        this.frame(0x80 | CLOSE, payload);
        this.inbox.put({ close: payload.readUInt16BE(0) });
        break;
      default:
        assert.fail(`an agent sends no such frame: ${first}`);
    }
  }

  frame(first, payload) {
    const mask = randomBytes(4);
    const masked = Buffer.alloc(payload.length);
    for (let at = 0; at < masked.length; at += 1) masked[at] = payload[at] ^ mask[at % 4];
    assert.ok(payload.length < 0x10000);
    const head =
      payload.length < 126
        ? Buffer.from([first, 0x80 | payload.length])
        : Buffer.from([first, 0x80 | 126, payload.length >> 8, payload.length & 255]);
    this.write(Buffer.concat([head, mask, masked]));
  }

  write(data) {
    if (mode !== "bytes") {
      this.socket.write(data);
      return;
    }
    for (const byte of Buffer.from(data)) {
      // The next one only when the system has taken this one.
      const written = () => new Promise((resolve) => this.socket.write(Buffer.from([byte]), resolve));
      this.written = this.written.then(written);
    }
  }

  /** In two frames. */
  send(message) {
    const bytes = Buffer.from(JSON.stringify(message));
    const half = bytes.length >> 1;
    this.frame(TEXT, bytes.subarray(0, half));
    this.frame(0x80 | CONTINUATION, bytes.subarray(half));
  }

  ping(text) {
    this.frame(0x80 | PING, Buffer.from(text));
  }
}

/** A WebSocket by the package `ws`. */
class ByPackage {
  async open() {
    const WebSocket = require(path.join(modules, "ws"));
    this.inbox = new Inbox();
    this.socket = new WebSocket("ws://localhost/v1/stream", {
      headers: authorization,
      perMessageDeflate: false,
      createConnection: () => {
        const socket = net.connect(socketPath);
        this.tape = record(socket);
        return socket;
      },
    });
    await new Promise((resolve, reject) => {
      this.socket.on("open", resolve);
      this.socket.on("error", reject);
    });
    this.socket.on("message", (data, isBinary) => {
      assert.ok(!isBinary);
      this.inbox.put({ text: data.toString() });
    });
    this.socket.on("pong", (data) => this.inbox.put({ pong: data.toString() }));
    this.socket.on("close", (code) => {
      this.inbox.put({ close: code });
      this.inbox.put({ end: true });
    });
  }

  send(message) {
    this.socket.send(JSON.stringify(message));
  }

  ping(text) {
    this.socket.ping(text);
  }
}

class Terminal {
  constructor(conversation) {
    this.conversation = conversation;
    this.screen = "";
  }

  start(cmd, cols, rows) {
    this.conversation.send({ type: "start", cmd, cols, rows });
  }

  type(text) {
    this.conversation.send({ type: "stdin", data_b64: Buffer.from(text).toString("base64") });
  }

  resize(cols, rows) {
    this.conversation.send({ type: "resize", cols, rows });
  }

  signal(sig) {
    this.conversation.send({ type: "signal", sig });
  }

  /** What comes next; output goes onto the screen. */
  async next() {
    const came = await this.conversation.inbox.take();
    const message = came.text === undefined ? came : JSON.parse(came.text);
    if (message.type === "stdout") this.screen += Buffer.from(message.data_b64, "base64").toString();
    return message;
  }

  async sees(text) {
    for (;;) {
      const at = this.screen.indexOf(text);
      if (at >= 0) {
        this.screen = this.screen.slice(at + text.length);
        return;
      }
      const message = await this.next();
      assert.equal(message.type, "stdout", `${JSON.stringify(message)} before ${text}`);
    }
  }

  async exit() {
    for (;;) {
      const message = await this.next();
      if (message.type === "stdout") continue;
      assert.equal(message.type, "exit");
      assert.deepEqual(await this.conversation.inbox.take(), { close: 1000 });
      assert.deepEqual(await this.conversation.inbox.take(), { end: true });
      return message.code;
    }
  }
}

async function session() {
  const conversation = mode === "ws" ? new ByPackage() : new ByHand();
  await conversation.open();
  tell("Sec-WebSocket-Accept is right");
  const terminal = new Terminal(conversation);
  terminal.start(SHELL, 80, 24);
  await terminal.sees("24 80\r\n");
  await terminal.sees("[ready]\r\n");
  terminal.type("echo answer-$((6*7))\n");
  await terminal.sees("echo answer-$((6*7))\r\n");
  await terminal.sees("answer-42\r\n");
  tell("the shell echoes and answers");
  conversation.ping("still there?");
  assert.deepEqual(await conversation.inbox.take(), { pong: "still there?" });
  terminal.resize(120, 40);
  await terminal.sees("40 120\r\n");
  tell("the shell is 40 by 120");
  terminal.signal("INT");
  await terminal.sees("[interrupted]\r\n");
  tell("the shell was interrupted");
  terminal.type("\x03");
  await terminal.sees("[interrupted]\r\n");
  tell("Ctrl-C interrupted it too");
  terminal.type("sh -c 'echo \"[asleep-$((1+1))]\"; exec sleep 60'; exit $?\n");
  await terminal.sees("[asleep-2]\r\n");
  terminal.signal("INT");
  assert.equal(await terminal.exit(), 130);
  tell("sleep ended with 130");
  fs.writeFileSync(path.join(folder, "sent"), Buffer.concat(conversation.tape.sent));
  fs.writeFileSync(path.join(folder, "got"), Buffer.concat(conversation.tape.got));
}

/** Bytes in which a lost, doubled or moved part shows; no control characters. */
function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) bytes[at] = 32 + ((at * 31 + Math.floor(at / 95)) % 95);
  return bytes.toString("latin1");
}

/** A mebibyte typed at once, which comes back. */
async function paste() {
  for (const conversation of [new ByHand(), new ByPackage()]) {
    await conversation.open();
    const terminal = new Terminal(conversation);
    const text = pattern(1 << 20);
    terminal.start(`stty raw -echo; echo '[ready]'; exec head -c ${text.length}`, 80, 24);
    await terminal.sees("[ready]\n");
    for (let at = 0; at < text.length; at += 20_000) terminal.type(text.slice(at, at + 20_000));
    assert.equal(await terminal.exit(), 0);
    assert.ok(terminal.screen === text, `${terminal.screen.length} bytes came back, not the same`);
    tell("a mebibyte came back whole");
  }
}

/** Output that is not read until others have been served for a while. */
async function slow() {
  const conversation = new ByHand();
  await conversation.open();
  const terminal = new Terminal(conversation);
  terminal.start("stty -onlcr; echo '[ready]'; seq 1 300000", 80, 24);
  await terminal.sees("[ready]\n");
  conversation.socket.pause();
  for (let round = 0; round < 50; round += 1) {
    const other = new ByHand();
    await other.open();
    const quick = new Terminal(other);
    quick.start(`exit ${round}`, 80, 24);
    assert.equal(await quick.exit(), round);
  }
  tell("others were served meanwhile");
  conversation.socket.resume();
  assert.equal(await terminal.exit(), 0);
  let expected = "";
  for (let number = 1; number <= 300_000; number += 1) expected += `${number}\n`;
  assert.ok(terminal.screen === expected, `${terminal.screen.length} bytes, not in order`);
  tell("all of it came in order");
}

/** How many open at the same moment: a busy machine could not open all of them within the time that
 * the agent gives a client for its first message. */
const DOORS = 10;

/** Many at once, each with something of its own. */
async function many() {
  const doors = Array.from({ length: DOORS }, () => Promise.resolve());
  let open = 0;
  let allOpen;
  const all = new Promise((resolve) => {
    allOpen = resolve;
  });
  const one = async (number) => {
    const conversation = number % 2 === 0 ? new ByHand() : new ByPackage();
    const terminal = new Terminal(conversation);
    const opened = doors[number % DOORS].then(async () => {
      await conversation.open();
      terminal.start(SHELL, 80, 24);
      await terminal.sees("[ready]");
    });
    doors[number % DOORS] = opened;
    await opened;
    open += 1;
    if (open === count) {
      tell(`${count} terminals are open`);
      allOpen();
    }
    await all;
    terminal.type(`echo mine-$((${number}*7))\n`);
    await terminal.sees(`mine-${number * 7}\r\n`);
    terminal.resize(1000 + number, 30);
    await terminal.sees(`30 ${1000 + number}\r\n`);
    terminal.type(`exit ${number % 256}\n`);
    assert.equal(await terminal.exit(), number % 256);
  };
  await Promise.all(Array.from({ length: count }, (_, number) => one(number + 1)));
  tell(`${count} terminals at once`);
}

const timer = setTimeout(() => {
  tell(`no end after ${LIMIT_MS} ms`);
  process.exit(1);
}, LIMIT_MS);

fs.writeFileSync(path.join(folder, "report"), "");
const work = { many, paste, slow }[mode] ?? session;
work().then(
  () => {
    clearTimeout(timer);
    tell("done");
    process.exit(0);
  },
  (error) => {
    tell(String(error.stack ?? error));
    process.exit(1);
  },
);
