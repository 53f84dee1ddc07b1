// Starts the programs of a run under Wine, reads what they tell, and ends them all with the run.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";

const LIMIT_MS = 300_000;
const children = [];
const endings = [];

/** A Linux path as Windows programs see it under Wine. */
export const windows = (file) => `Z:${path.resolve(file).replaceAll("/", "\\")}`;

export function start(command, args, stdio, options = {}) {
  const child = spawn(command, args, { stdio, ...options });
  children.push(child);
  return child;
}

export async function end(child) {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode ?? child.signalCode;
}

/** Waits for a program's end, and throws unless it ended with `code`.
 *
 *  A Windows program's code can be lost: Wine's server kills a process that is still there half a second
 *  after its last thread has ended, as can be on a busy machine. */
export async function endsWith(child, code, what) {
  const ended = await end(child);
  const lost = child.spawnfile === "wine" && ended === "SIGKILL";
  if (lost) console.log(`${what}: Wine lost the code, which should be ${code}`);
  else if (ended !== code) throw new Error(`${what}: ${ended} instead of ${code}`);
}

export async function firstLine(child) {
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

/** Says the steps of a client as it takes them, calls `other` with the lines that are no steps, and
 *  throws unless the client took them all. */
export async function follow(client, report, other) {
  let complete = false;
  for await (const text of linesOf(report, client)) {
    const line = JSON.parse(text);
    if (line.end) complete = true;
    else if (line.step === undefined) other(line);
    else console.log(`${line.ok ? "ok  " : "FAIL"}  ${line.step}${line.error ? `\n${line.error}` : ""}`);
  }
  await endsWith(client, 0, `the client, whose report is ${report}`);
  if (!complete) throw new Error(`the client did not finish; see ${report}`);
}

/** Has `ending` awaited when the run is over, however it went; the last one that came is the first. */
export function atTheEnd(ending) {
  endings.unshift(ending);
}

/** Runs `main` within a limit, ends what it started, and ends this process; `logs` are shown if it
 *  failed. */
export function conclude(main, logs) {
  let over = false;
  async function finish(error) {
    if (over) return;
    over = true;
    if (error !== undefined) {
      console.error(error);
      for (const log of logs) {
        if (!fs.existsSync(log)) continue;
        console.error(`--- ${path.basename(log)}\n${fs.readFileSync(log, "utf8").slice(-4000)}`);
      }
    }
    let code = error === undefined ? 0 : 1;
    for (const ending of endings) {
      await ending().catch((failure) => {
        console.error(failure);
        code = 1;
      });
    }
    for (const child of children) if (child.exitCode === null) child.kill("SIGKILL");
    process.exit(code);
  }
  setTimeout(() => finish(new Error(`no end after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, () => finish(new Error(`ended by ${signal}`)));
  }
  main().then(
    () => finish(),
    (error) => finish(error ?? new Error("failed")),
  );
}
