// How a test speaks to the scripts here: JSON lines both ways. The first line out is `ready ...`.
//
//   {"id": 7, "do": "send", ...}   ->   {"id": 7, ...} or {"id": 7, "error": "..."}
//
// Commands run side by side. Lines without an id are events, which have an `event`. A script ends
// with its standard input, and by itself after `--seconds N` (300), with code 3.
//
// With `--control PORT` the lines go over a connection to 127.0.0.1:PORT instead of the standard streams,
// and the script ends with it: Windows Node under Wine cannot use a Linux program's pipes as these.
import { once } from 'node:events';
import net from 'node:net';
import readline from 'node:readline';

let input;
let output;

/** Opens what lines go over, as the options say. Nothing can be told before. */
export async function open(options) {
  if (options.control === undefined) {
    input = process.stdin;
    output = process.stdout;
    return;
  }
  const socket = net.connect(Number(options.control), '127.0.0.1');
  await once(socket, 'connect');
  // Whoever has the other end is gone.
  socket.on('error', () => process.exit(0));
  input = socket;
  output = socket;
}

export function say(line) {
  output.write(`${line}\n`);
}

export function tell(value) {
  say(JSON.stringify(value));
}

/** Waits until what was said is out. */
export function flush() {
  return new Promise((resolve) => { output.write('', resolve); });
}

/** What stands on the command line: words in their order, and `--name value` pairs. */
export function read(argv) {
  const words = [];
  const options = {};
  for (let at = 0; at < argv.length; at += 1) {
    if (argv[at].startsWith('--')) {
      options[argv[at].slice(2)] = argv[at + 1];
      at += 1;
    } else {
      words.push(argv[at]);
    }
  }
  return { words, options };
}

/** Ends this process when its time is over, whatever it waits for. */
export function watch(options) {
  const over = () => {
    process.stderr.write('the time is over\n');
    process.exit(3);
  };
  setTimeout(over, Number(options.seconds ?? 300) * 1000).unref();
}

/** Does what the lines that come say, until there are no more; then `end`. */
export async function obey(actions, end = () => {}) {
  for await (const line of readline.createInterface({ input })) {
    if (line.trim() === '') continue;
    const command = JSON.parse(line);
    Promise.resolve()
      .then(() => {
        if (!Object.hasOwn(actions, command.do)) throw new Error(`no such command: ${command.do}`);
        return actions[command.do](command);
      })
      .catch((error) => ({ error: String(error?.message ?? error) }))
      .then((answer) => tell({ id: command.id, ...answer }));
  }
  await end();
  process.exit(0);
}
