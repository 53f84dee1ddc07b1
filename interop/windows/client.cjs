// The client: Node's http and the ws package over a named pipe, in Windows Node.
//
//   node client.cjs PIPE REPORT
//
// What it is started with, and how it tells what came of it: see steps.cjs.

"use strict";

const assert = require("node:assert/strict");
const { createHash } = require("node:crypto");
const http = require("node:http");
const { once } = require("node:events");
const { open, pipe, request, run, tell } = require("./steps.cjs");

/** Bytes in which a lost, doubled or moved part shows. */
function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index += 1) bytes[index] = (index * 31 + (index >> 8)) & 255;
  return bytes;
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

const steps = {
  async "GET"() {
    const answer = await request("GET", "/hello");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["x-service"], "linux");
    assert.equal(answer.body.toString(), "hello from the service\n");
  },

  async "several requests on one connection"() {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    let connections = 0;
    for (let count = 0; count < 20; count += 1) {
      const sent = http.request({ socketPath: pipe, path: "/hello", agent });
      sent.on("socket", (socket) => {
        if (!socket.counted) connections += 1;
        socket.counted = true;
      });
      sent.end();
      const [response] = await once(sent, "response");
      assert.equal(response.statusCode, 200);
      response.resume();
      await once(response, "end");
    }
    agent.destroy();
    assert.equal(connections, 1);
  },

  async "POST 5 MB with a length"() {
    const body = pattern(5_000_000);
    const answer = await request("POST", "/digest", body, { "content-length": body.length });
    assert.deepEqual(JSON.parse(answer.body), { bytes: body.length, sha256: sha256(body) });
  },

  async "POST 5 MB in chunks, and back"() {
    const body = pattern(5_000_000);
    const answer = await request("POST", "/echo", body, { "transfer-encoding": "chunked" });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["transfer-encoding"], "chunked");
    assert.ok(answer.body.equals(body));
  },

  async "server-sent events one by one"() {
    const sent = http.request({ socketPath: pipe, path: "/events?id=1" });
    sent.end();
    const [response] = await once(sent, "response");
    response.setEncoding("utf8");
    const seen = [];
    for await (const part of response) {
      for (const [, number] of part.matchAll(/data: (\d+)\n\n/g)) {
        seen.push(Number(number));
        const answer = await request("POST", `/seen?id=1&number=${number}`, "");
        assert.equal(answer.status, 204);
      }
    }
    assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  },

  async "WebSocket: text, binary, 1 MB"() {
    const socket = await open("/echo");
    for (const message of ["hello", "grüße, 世界", pattern(1000), pattern(1_000_000)]) {
      socket.send(message);
      const [back, isBinary] = await once(socket, "message");
      assert.equal(isBinary, typeof message !== "string");
      assert.ok(back.equals(Buffer.from(message)));
    }
    socket.ping("are you there");
    const [pong] = await once(socket, "pong");
    assert.equal(pong.toString(), "are you there");
    socket.close(4000, "done");
    const [code, reason] = await once(socket, "close");
    assert.deepEqual([code, reason.toString()], [4000, "done"]);
  },

  async "WebSocket: the service's close code"() {
    const socket = await open("/echo");
    socket.send("close 4321");
    const [code, reason] = await once(socket, "close");
    assert.deepEqual([code, reason.toString()], [4321, "as you wish"]);
  },

  async "fifty clients at once"() {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => request("GET", "/hello", undefined, { connection: "close" })),
    );
    assert.ok(answers.every((answer) => answer.status === 200));
  },

  async "the service dies: the WebSocket closes"() {
    const socket = await open("/echo");
    socket.on("error", () => {});
    const closed = once(socket, "close");
    tell({ kill: "now" });
    const [code] = await closed;
    tell({ closed: Date.now(), code });
    assert.equal(code, 1006);
  },

  async "the service is gone: 502, and why"() {
    const answer = await request("GET", "/hello");
    assert.equal(answer.status, 502);
    const { error } = JSON.parse(answer.body);
    assert.equal(error.type, "upstream_refused");
    assert.ok(error.message && error.hint);
  },
};

run(steps);
