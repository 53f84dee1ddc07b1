// Drives pipeway.exe under Wine, between Windows Node and a Jupyter server that listens on a Unix
// socket, as it would inside WSL:
//
//   Windows Node (http, ws) -> \\.\pipe\NAME -> pipeway.exe bridge -> loopback port with a token
//     -> pipeway bridge -> Unix socket -> jupyter server -> kernel
//
//   node jupyter.mjs PIPEWAY.EXE NODE.EXE FOLDER PIPEWAY PYTHON
//
// `cargo xtask windows test` calls it, with a Wine server running. FOLDER is for files of the run.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { atTheEnd, conclude, endsWith, firstLine, follow, start, windows } from "./processes.mjs";

const [, , program, nodeExe, folder, linuxProgram, python] = process.argv;
const here = path.dirname(fileURLToPath(import.meta.url));
const pipe = `pipeway-jupyter-${process.pid}`;
const file = (name) => path.join(folder, name);
const tokens = { PORT_TOKEN: randomBytes(24).toString("hex"), JUPYTER_TOKEN: randomBytes(24).toString("hex") };

/** Starts Jupyter in `place`, with nothing of the user's own files and settings. */
async function startJupyter(place, socket) {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(JUPYTER|IPYTHON|XDG_)/.test(name)),
  );
  Object.assign(env, {
    HOME: place,
    JUPYTER_TOKEN: tokens.JUPYTER_TOKEN,
    JUPYTER_CONFIG_DIR: path.join(place, "config"),
    JUPYTER_DATA_DIR: path.join(place, "data"),
    JUPYTER_RUNTIME_DIR: path.join(place, "run"),
    IPYTHONDIR: path.join(place, "ipython"),
  });
  const options = [
    "--no-browser",
    "--allow-root",
    // The kernels' channels are Unix sockets too, in place of loopback ports.
    "--KernelManager.transport=ipc",
    // By default it drops what a kernel prints beyond a megabyte a second.
    "--ZMQChannelsWebsocketConnection.iopub_data_rate_limit=1e9",
  ];
  const args = ["-m", "jupyter_server", ...options, "--sock", socket];
  const jupyter = start(python, args, ["ignore", "ignore", "pipe"], { cwd: place, env });
  // Its kernels write to its log as well: it is over when the last of them has ended.
  const over = once(jupyter, "close");
  atTheEnd(async () => {
    jupyter.kill("SIGTERM");
    const kill = setTimeout(() => jupyter.kill("SIGKILL"), 30_000);
    const late = new Promise((_, reject) => {
      setTimeout(() => reject(new Error("Jupyter, or a kernel of it, does not end")), 45_000).unref();
    });
    await Promise.race([over, late]);
    clearTimeout(kill);
  });
  const log = fs.createWriteStream(file("jupyter.log"));
  const lines = readline.createInterface({ input: jupyter.stderr });
  await new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      log.write(`${line}\n`);
      if (line.includes(" is running at:")) resolve();
    });
    over.then(([code]) => reject(new Error(`Jupyter ended with ${code}`)));
  });
}

/** The events of a kind that a bridge wrote until it ended. */
function told(name, kind) {
  const lines = fs.readFileSync(file(name), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line)).filter((line) => line.event === kind);
}

async function main() {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  const log = (name) => fs.openSync(file(name), "w");
  // In a folder with a short path, for its owner alone: sockets want both.
  const place = fs.mkdtempSync("/tmp/pw-");
  atTheEnd(async () => fs.rmSync(place, { recursive: true, force: true }));

  const socket = path.join(place, "jupyter.sock");
  await startJupyter(place, socket);

  fs.writeFileSync(file("token"), tokens.PORT_TOKEN, { mode: 0o600 });
  const inner = start(
    linuxProgram,
    ["bridge", "--listen", "tcp:127.0.0.1:0", "--token-file", file("token"), "--to", `unix:${socket}`, "--events", file("inner.jsonl")],
    ["ignore", "pipe", log("inner.log")],
  );
  const [, port] = /^ready (tcp:127\.0\.0\.1:\d+)$/.exec(await firstLine(inner));

  const outer = start(
    "wine",
    [program, "bridge", "--listen", `npipe:${pipe}`, "--to", port, "--events", windows(file("outer.jsonl"))],
    ["ignore", "pipe", log("outer.log")],
  );
  assert.equal(await firstLine(outer), `ready \\\\.\\pipe\\${pipe}`);

  fs.writeFileSync(file("report.jsonl"), "");
  const output = log("client.log");
  const client = start(
    "wine",
    [nodeExe, windows(path.join(here, "kernels.cjs")), `\\\\.\\pipe\\${pipe}`, windows(file("report.jsonl"))],
    ["ignore", output, output],
    { env: { ...process.env, ...tokens } },
  );
  const seen = {};
  await follow(client, file("report.jsonl"), (line) => Object.assign(seen, line));

  for (const bridge of [outer, inner]) {
    bridge.kill("SIGINT");
    await endsWith(bridge, 0, "the exit code after Ctrl-C");
  }
  for (const [name, transport, upstream] of [
    ["outer.jsonl", "named_pipe", "tcp"],
    ["inner.jsonl", "tcp", "unix"],
  ]) {
    const upgrades = told(name, "upgrade");
    assert.equal(upgrades.length, 1);
    const [event] = upgrades;
    assert.deepEqual([event["transport.mode"], event["upstream.mode"]], [transport, upstream]);
    assert.equal(event["network.protocol.name"], "websocket");
    assert.equal(event["http.response.status_code"], 101);
    assert.equal(event["url.path"], seen.channels);
    for (const [bytes, payload] of [["bytes.received", "sent"], ["bytes.sent", "received"]]) {
      assert.ok(event[bytes] > seen[payload] && event[bytes] < seen[payload] * 1.1, `${name}: ${bytes}`);
    }
    // After a WebSocket's close either may be the first to close the connection.
    assert.match(event.end, /^(client|upstream)_closed$/);
    assert.equal(event["error.type"], undefined);
  }
  for (const text of ["outer.jsonl", "inner.jsonl"].map((name) => fs.readFileSync(file(name), "utf8"))) {
    assert.ok(!Object.values(tokens).some((token) => text.includes(token)), "a token in the events");
  }
  console.log("ok    Jupyter: the events of both bridges tell named_pipe, tcp, unix, and no token");
}

conclude(main, ["outer.log", "inner.log", "client.log", "jupyter.log"].map(file));
