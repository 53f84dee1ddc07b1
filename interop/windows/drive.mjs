// Drives pipeway.exe under Wine, between clients and a service that nobody here wrote:
//
//   Windows Node (http, ws) -> \\.\pipe\NAME -> pipeway.exe bridge -> loopback -> Linux Node
//
//   node drive.mjs PIPEWAY.EXE NODE.EXE FOLDER
//
// `cargo xtask windows test` calls it, with a Wine server running. FOLDER is for files of the run.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { conclude, endsWith, firstLine, follow, start, windows } from "./processes.mjs";

const [, , program, nodeExe, folder] = process.argv;
const here = path.dirname(fileURLToPath(import.meta.url));
const pipe = `pipeway-interop-${process.pid}`;
const file = (name) => path.join(folder, name);

async function main() {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
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
  await endsWith(second, 4, "the exit code for a name that is taken");
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
  await follow(client, file("report.jsonl"), (line) => {
    if (line.kill) {
      killed = Date.now();
      upstream.kill("SIGKILL");
    } else {
      assert.ok(line.closed - killed < 2000, `closed ${line.closed - killed} ms after the death`);
    }
  });

  // Wine passes SIGINT on as Ctrl-C.
  bridge.kill("SIGINT");
  await endsWith(bridge, 0, "the exit code after Ctrl-C");
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

conclude(main, ["bridge.log", "second.log", "client.log", "upstream.log"].map(file));
