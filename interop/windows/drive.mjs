// Drives pipeway.exe under Wine, between clients and a service that nobody here wrote:
//
//   Windows Node (http, ws) -> \\.\pipe\NAME -> pipeway.exe bridge -> loopback -> Linux Node
//
//   node drive.mjs PIPEWAY.EXE NODE.EXE FOLDER
//
// `cargo xtask windows test` calls it, with a Wine server running. FOLDER is for files of the run.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";

const LIMIT_MS = 300_000;
const [, , program, nodeExe, folder] = process.argv;
const here = path.dirname(fileURLToPath(import.meta.url));
const pipe = `pipeway-interop-${process.pid}`;
const children = [];

/** A Linux path as Windows programs see it under Wine. */
const windows = (file) => `Z:${path.resolve(file).replaceAll("/", "\\")}`;

function start(command, args, stdio) {
  const child = spawn(command, args, { stdio });
  children.push(child);
  return child;
}

async function end(child) {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode ?? child.signalCode;
}

async function firstLine(child) {
  const lines = readline.createInterface({ input: child.stdout });
  const [line] = await Promise.race([
    once(lines, "line"),
    end(child).then((code) => {
      throw new Error(`${child.spawnargs.slice(0, 3).join(" ")} ended with ${code}`);
    }),
  ]);
  return line;
}

/** The lines of a file that is still being written, as they come. */
async function* linesOf(file, writer) {
  let rest = "";
  let offset = 0;
  for (;;) {
    const over = writer.exitCode !== null || writer.signalCode !== null;
    const size = fs.statSync(file).size;
    if (size > offset) {
      const part = Buffer.alloc(size - offset);
      const descriptor = fs.openSync(file, "r");
      fs.readSync(descriptor, part, 0, part.length, offset);
      fs.closeSync(descriptor);
      offset = size;
      const lines = (rest + part.toString()).split("\n");
      rest = lines.pop();
      yield* lines;
    } else if (over) {
      return;
    } else {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

async function main() {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  const file = (name) => path.join(folder, name);
  const log = (name) => fs.openSync(file(name), "w");

  const upstream = start(process.execPath, [path.join(here, "upstream.mjs")], [
    "ignore",
    "pipe",
    log("upstream.log"),
  ]);
  const port = await firstLine(upstream);

  const bridgeArguments = ["bridge", "--listen", `npipe:${pipe}`, "--to", `tcp:127.0.0.1:${port}`];
  const events = ["--events", windows(file("events.jsonl"))];
  const bridge = start("wine", [program, ...bridgeArguments, ...events], [
    "ignore",
    "pipe",
    log("bridge.log"),
  ]);
  assert.equal(await firstLine(bridge), `ready \\\\.\\pipe\\${pipe}`);

  // A second bridge of the name is refused within a second, with the exit code for that.
  const begin = Date.now();
  const second = start("wine", [program, ...bridgeArguments], ["ignore", "ignore", log("second.log")]);
  assert.equal(await end(second), 4, "the exit code for a name that is taken");
  assert.ok(Date.now() - begin < 3000, "Wine takes part of a second to start a program");
  assert.match(fs.readFileSync(file("second.log"), "utf8"), /is taken by process \d+/);
  console.log("ok    a second bridge of the name is refused");

  fs.writeFileSync(file("report.jsonl"), "");
  const output = log("client.log");
  const client = start(
    "wine",
    [nodeExe, windows(path.join(here, "client.cjs")), `\\\\.\\pipe\\${pipe}`, windows(file("report.jsonl"))],
    ["ignore", output, output],
  );
  let killed;
  let complete = false;
  for await (const text of linesOf(file("report.jsonl"), client)) {
    const line = JSON.parse(text);
    if (line.kill) {
      killed = Date.now();
      upstream.kill("SIGKILL");
    } else if (line.closed) {
      assert.ok(line.closed - killed < 2000, `closed ${line.closed - killed} ms after the death`);
    } else if (line.end) {
      complete = true;
    } else {
      console.log(`${line.ok ? "ok  " : "FAIL"}  ${line.step}${line.error ? `\n${line.error}` : ""}`);
    }
  }
  const clientCode = await end(client);
  assert.ok(complete && clientCode === 0, `the client ended with ${clientCode}; see ${file("client.log")}`);

  // Wine passes SIGINT on as Ctrl-C.
  bridge.kill("SIGINT");
  assert.equal(await end(bridge), 0, "the exit code after Ctrl-C");
  console.log("ok    Ctrl-C ends the bridge with code 0");

  const lines = fs.readFileSync(file("events.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  const requests = lines.filter((line) => line.event === "request");
  const upgrades = lines.filter((line) => line.event === "upgrade");
  assert.ok(requests.length >= 80 && upgrades.length === 3, `${requests.length}, ${upgrades.length}`);
  for (const line of [...requests, ...upgrades]) {
    assert.equal(line["transport.mode"], "named_pipe");
    assert.equal(line["transport.endpoint"], `\\\\.\\pipe\\${pipe}`);
    if (line["upstream.mode"] !== undefined) assert.equal(line["upstream.mode"], "tcp");
    assert.match(line["peer.sid"], /^fnv1a:/);
    assert.ok(line["peer.pid"] > 0);
  }
  assert.ok(lines.some((line) => line.event === "stop"));
  console.log("ok    the events tell named_pipe, the client's process and its user");
}

const timer = setTimeout(() => {
  console.error(`no end after ${LIMIT_MS / 1000} s`);
  finish(1);
}, LIMIT_MS);

function finish(code) {
  clearTimeout(timer);
  for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
  process.exit(code);
}

main().then(
  () => finish(0),
  (error) => {
    console.error(error);
    for (const name of ["bridge.log", "second.log", "client.log", "upstream.log"]) {
      const log = path.join(folder, name);
      if (fs.existsSync(log)) console.error(`--- ${name}\n${fs.readFileSync(log, "utf8").slice(-4000)}`);
    }
    finish(1);
  },
);
