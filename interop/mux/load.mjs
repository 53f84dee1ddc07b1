// The load of `cargo xtask bench mux` on the npm package `nerdbank-streams`: what
// crates/pipeway-mux/examples/mux_load does, with the same arguments and the same answers.
// Usage: node load.mjs serve SOCKET VERSION
//        node load.mjs one|many SOCKET VERSION BYTES CHANNELS
//        node load.mjs opens|calls|echo SOCKET VERSION SECONDS IN_FLIGHT
import { once } from 'node:events';
import { createRequire } from 'node:module';
import net from 'node:net';

const require = createRequire(import.meta.url);
const { MultiplexingStream } = require('nerdbank-streams');

const PIECE = Buffer.alloc(64 * 1024, 'x');
const [what, path, version, ...numbers] = process.argv.slice(2);
const options = { protocolMajorVersion: Number(version) };

function multiplex(socket) {
  return options.protocolMajorVersion === 3
    ? Promise.resolve(MultiplexingStream.Create(socket, { ...options }))
    : MultiplexingStream.CreateAsync(socket, { ...options });
}

// The first byte of a channel says what is to be done with it: `e` is echoed with all that follows,
// `s` is taken to its end and then answered with a byte.
function serveChannel({ stream }) {
  stream.on('error', () => {});
  stream.once('data', (first) => {
    if (first[0] === 's'.charCodeAt(0)) {
      stream.on('data', () => {});
      stream.on('end', () => stream.end('.'));
      return;
    }
    stream.write(first);
    stream.on('data', (piece) => stream.write(piece));
    stream.on('end', () => stream.end());
  });
}

async function serve() {
  const server = net.createServer(async (socket) => {
    socket.on('error', () => {});
    const mux = await multiplex(socket);
    // Offers that come with the handshake are not announced; those that wait are taken here.
    const accept = async () => {
      for (;;) serveChannel(await mux.acceptChannelAsync('load'));
    };
    accept().catch(() => {});
  });
  server.listen(path);
}

async function open(mux) {
  const channel = await mux.offerChannelAsync('load');
  channel.stream.on('error', () => {});
  return channel;
}

async function send(mux, bytes) {
  const channel = await open(mux);
  const { stream } = channel;
  const answer = once(stream, 'data');
  stream.write('s');
  for (let left = bytes; left > 0; left -= PIECE.length) {
    if (!stream.write(left < PIECE.length ? PIECE.subarray(0, left) : PIECE)) {
      await once(stream, 'drain');
    }
  }
  stream.end();
  await answer;
  channel.dispose();
}

// A queue of the bytes that come back, so that no listener is added for each.
function answers(stream) {
  let waiting = null;
  stream.on('data', () => {
    const resolve = waiting;
    waiting = null;
    resolve?.();
  });
  return () => new Promise((resolve) => { waiting = resolve; });
}

async function exchanges(mux, seconds, inFlight) {
  const until = process.hrtime.bigint() + BigInt(seconds) * 1_000_000_000n;
  const times = [];
  const one = async () => {
    const kept = what === 'echo' ? await open(mux) : null;
    const answer = kept && answers(kept.stream);
    for (;;) {
      const before = process.hrtime.bigint();
      if (before >= until) break;
      if (kept) {
        const answered = answer();
        kept.stream.write('e');
        await answered;
      } else {
        const channel = await open(mux);
        if (what === 'calls') {
          const answered = answers(channel.stream)();
          channel.stream.write('e');
          await answered;
        }
        channel.dispose();
      }
      times.push(Number(process.hrtime.bigint() - before));
    }
    kept?.dispose();
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  times.sort((a, b) => a - b);
  const at = (part) => times[Math.min(times.length - 1, Math.floor(times.length * part))] / 1000;
  console.log(`exchanges ${times.length}\np50_us ${at(0.5)}\np99_us ${at(0.99)}`);
}

async function load() {
  const socket = net.createConnection(path);
  await once(socket, 'connect');
  const mux = await multiplex(socket);
  mux.completion.catch(() => {});
  const [amount, count] = numbers.map(Number);
  const before = process.hrtime.bigint();
  if (what === 'one' || what === 'many') {
    await Promise.all(Array.from({ length: count }, () => send(mux, Math.floor(amount / count))));
  } else {
    await exchanges(mux, amount, count);
  }
  console.log(`seconds ${Number(process.hrtime.bigint() - before) / 1e9}`);
  mux.dispose();
  process.exit(0);
}

await (what === 'serve' ? serve() : load());
