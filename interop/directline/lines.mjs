// How a test speaks to the scripts here: JSON lines both ways. The first line out is `ready ...`.
//
//   {"id": 7, "do": "send", ...}   ->   {"id": 7, ...} or {"id": 7, "error": "..."}
//
// Commands run side by side. Lines without an id are events, which have an `event`. A script ends
// with its standard input, and by itself after `--seconds` (300), with code 3.
import readline from 'node:readline';

export function tell(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
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

/** Does what the lines on standard input say, until there are no more; then `end`. */
export async function obey(actions, end = () => {}) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
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
