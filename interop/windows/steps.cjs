// What the clients in Windows Node have in common: requests and WebSockets over a named pipe, and a
// list of steps whose outcomes are told in a file.
//
//   node CLIENT.cjs PIPE REPORT
//
// PIPE is \\.\pipe\NAME. One JSON object a line is appended to REPORT: standard output that is a
// pipe does not work under Wine.

"use strict";

const fs = require("node:fs");
const http = require("node:http");
const { once } = require("node:events");
const WebSocket = require("ws");

const [, , pipe, report] = process.argv;

function tell(line) {
  fs.appendFileSync(report, `${JSON.stringify(line)}\n`);
}

async function request(method, path, body, headers = {}) {
  const sent = http.request({ socketPath: pipe, method, path, headers });
  if (body !== undefined) sent.write(body);
  sent.end();
  const [response] = await once(sent, "response");
  const parts = [];
  for await (const part of response) parts.push(part);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) };
}

async function open(path, options = {}) {
  const socket = new WebSocket(`ws+unix:${pipe}:${path}`, { maxPayload: 16 << 20, ...options });
  await once(socket, "open");
  return socket;
}

/** Runs the steps in their order, to the first that fails, and ends this process. */
async function run(steps) {
  for (const [step, take] of Object.entries(steps)) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("no end after 60 s")), 60_000);
    });
    try {
      await Promise.race([take(), late]);
      tell({ step, ok: true });
    } catch (error) {
      tell({ step, ok: false, error: String(error.stack ?? error) });
      process.exit(1);
    } finally {
      clearTimeout(timer);
    }
  }
  tell({ end: true });
  process.exit(0);
}

module.exports = { open, pipe, request, run, tell };
