// The npm package `nerdbank-streams` as a peer. It does what the lines on its standard input say, and
// answers each with a line: JSON both ways.
//
//   {"id": 7, "do": "offer", "mux": "m", "as": "c", "name": "x"}   ->   {"id": 7, "channel": 1}
//
// Commands run at once and side by side; what fails is answered with {"id", "error"}. `as` is the
// name under which later commands know a channel. The process ends with its standard input.
// Usage: node peer.mjs
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import net from 'node:net';
import readline from 'node:readline';

const require = createRequire(import.meta.url);
const { MultiplexingStream } = require('nerdbank-streams');
const { MultiplexingStreamFormatter } = require('nerdbank-streams/js/MultiplexingStreamFormatters.js');
const CancellationToken = require('cancellationtoken').default;

// An offer that is rejected with a reason is an error of a channel that nobody has got: nobody can
// listen for it, and Node ends. Every other one is a flaw, of the package or of this script.
process.on('unhandledRejection', (error) => {
  if (String(error?.message).startsWith('Received error from remote side: ')) return;
  throw error;
});

const muxes = new Map();
const channels = new Map();
const cancels = new Map();

function pattern(length, from = 0) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (from + at) % 251;
  return bytes;
}

// A channel, and what came of it. The package takes whatever comes, so nothing is held back here.
class Kept {
  constructor(channel, then) {
    this.channel = channel;
    this.stream = channel.stream;
    this.pieces = [];
    this.length = 0;
    this.hash = createHash('sha256');
    this.ended = false;
    this.waiting = [];
    // Content after the end of a channel is an error on its stream, and ends a process that does
    // not listen.
    this.stream.on('error', (error) => {
      this.streamError = String(error.message);
      this.look();
    });
    this.stream.on('end', () => {
      this.ended = true;
      this.look();
    });
    this.stream.on('data', (piece) => {
      this.length += piece.length;
      this.hash.update(piece);
      if (then === 'keep') this.pieces.push(piece);
      if (then === 'echo') {
        // What was written before the peer's termination may not get out any more.
        if (!this.stream.write(piece)) this.stream.pause();
      }
      this.look();
    });
    if (then === 'echo') {
      this.stream.on('drain', () => this.stream.resume());
      this.stream.on('end', () => this.stream.end());
    }
    this.completion = channel.completion.then(
      () => ({}),
      (error) => ({ error: String(error?.message ?? error) }),
    );
  }

  look() {
    this.waiting = this.waiting.filter(({ until, resolve }) => {
      if (!until()) return true;
      resolve();
      return false;
    });
  }

  async until(condition) {
    await new Promise((resolve) => {
      this.waiting.push({ until: condition, resolve });
      this.look();
    });
  }

  told() {
    return {
      length: this.length,
      sha256: this.hash.copy().digest('hex'),
      ended: this.ended,
      streamError: this.streamError,
    };
  }
}

function keep(command, channel) {
  channels.set(command.as, new Kept(channel, command.then ?? 'keep'));
  return { channel: channel.id };
}

function options(command) {
  return command.window === undefined ? undefined : { channelReceivingWindowSize: command.window };
}

function token(command) {
  if (command.cancel === undefined) return undefined;
  const { token: made, cancel } = CancellationToken.create();
  cancels.set(command.cancel, cancel);
  return made;
}

const of = (command) => channels.get(command.as);
const mux = (command) => muxes.get(command.mux).mux;

const actions = {
  async connect(command) {
    const socket = net.createConnection(command.socket);
    await once(socket, 'connect');
    socket.on('error', () => {});
    const settings = {
      protocolMajorVersion: command.version,
      defaultChannelReceivingWindowSize: command.window,
      seededChannels: command.seeded?.map((window) => ({ channelReceivingWindowSize: window })),
    };
    if (command.random !== undefined) {
      MultiplexingStreamFormatter.getIsOddRandomData = () => Buffer.alloc(16, command.random);
    }
    const made = command.version === 3
      ? MultiplexingStream.Create(socket, settings)
      : await MultiplexingStream.CreateAsync(socket, settings);
    const known = { mux: made, socket, offers: [], waiting: [] };
    made.on('channelOffered', (offer) => {
      known.offers.push(offer);
      known.waiting.splice(0).forEach((resolve) => resolve());
    });
    made.completion.catch(() => {});
    muxes.set(command.mux, known);
    return { odd: made.isOdd ?? null };
  },
  async offer(command) {
    return keep(command, await mux(command).offerChannelAsync(command.name, options(command), token(command)));
  },
  async create(command) {
    return keep(command, mux(command).createChannel(options(command)));
  },
  async accepted(command) {
    await of(command).channel.acceptance;
    return {};
  },
  async accept(command) {
    return keep(command, await mux(command).acceptChannelAsync(command.name, options(command), token(command)));
  },
  async acceptId(command) {
    return keep(command, mux(command).acceptChannel(command.channel, options(command)));
  },
  async reject(command) {
    mux(command).rejectChannel(command.channel);
    return {};
  },
  async cancel(command) {
    cancels.get(command.cancel)('cancelled by the test');
    return {};
  },
  // The next offer that came, in the order of their coming.
  async nextOffer(command) {
    const known = muxes.get(command.mux);
    while (known.offers.length === 0) {
      await new Promise((resolve) => { known.waiting.push(resolve); });
    }
    const { id, name, isAccepted } = known.offers.shift();
    return { channel: id, name, isAccepted };
  },
  // Answers when the package has sent it all.
  async write(command) {
    const kept = of(command);
    const bytes = command.text === undefined
      ? pattern(command.length, command.from)
      : Buffer.from(command.text);
    const step = command.step ?? bytes.length;
    for (let at = 0; at < bytes.length; at += step) {
      await new Promise((resolve, reject) => {
        const piece = bytes.subarray(at, at + step);
        kept.stream.write(piece, (error) => (error ? reject(error) : resolve()));
      });
    }
    return {};
  },
  // Much of it, as fast as it is taken, and the end.
  async writeMuch(command) {
    const { stream } = of(command);
    const whole = pattern(251 * 1024);
    for (let left = command.length; left > 0; left -= whole.length) {
      const piece = left < whole.length ? whole.subarray(0, left) : whole;
      if (!stream.write(piece)) await once(stream, 'drain');
    }
    await new Promise((resolve) => { stream.end(resolve); });
    return {};
  },
  // The checksum of the same bytes, made without a channel.
  async digest(command) {
    const hash = createHash('sha256');
    const whole = pattern(251 * 1024);
    for (let left = command.length; left > 0; left -= whole.length) {
      hash.update(left < whole.length ? whole.subarray(0, left) : whole);
    }
    return { sha256: hash.digest('hex') };
  },
  // Queues it, and does not wait.
  async push(command) {
    of(command).stream.write(pattern(command.length, command.from));
    return {};
  },
  async end(command) {
    of(command).stream.end();
    return {};
  },
  async readAll(command) {
    const kept = of(command);
    await kept.until(() => kept.ended);
    return kept.told();
  },
  async readLength(command) {
    const kept = of(command);
    await kept.until(() => kept.length >= command.length || kept.ended);
    return kept.told();
  },
  async text(command) {
    const kept = of(command);
    await kept.until(() => kept.length >= command.length || kept.ended);
    return { text: Buffer.concat(kept.pieces).toString() };
  },
  // Many channels, one after the other or at once: what is offered under `name` is echoed.
  async serveEchoes(command) {
    const served = [];
    for (let at = 0; at < command.count; at += 1) {
      const made = await mux(command).acceptChannelAsync(command.name);
      const kept = new Kept(made, 'echo');
      served.push(kept.completion);
    }
    const ends = await Promise.all(served);
    return { count: ends.filter(({ error }) => error === undefined).length };
  },
  // Opens channels one after the other; what is sent over each must come back.
  async openEchoes(command) {
    const sent = pattern(command.length);
    let count = 0;
    for (let at = 0; at < command.count; at += 1) {
      const kept = new Kept(await mux(command).offerChannelAsync(command.name), 'keep');
      kept.stream.end(sent);
      await kept.until(() => kept.ended);
      const { error } = await kept.completion;
      if (error === undefined && Buffer.concat(kept.pieces).equals(sent)) count += 1;
    }
    return { count };
  },
  async terminate(command) {
    of(command).channel.dispose(command.error === undefined ? undefined : new Error(command.error));
    return {};
  },
  async completion(command) {
    return of(command).completion;
  },
  async muxCompletion(command) {
    await mux(command).completion;
    return {};
  },
  async dispose(command) {
    mux(command).dispose();
    return {};
  },
  async destroy(command) {
    muxes.get(command.mux).socket.destroy();
    return {};
  },
  // How many channels the package still knows.
  async open(command) {
    const count = (table) => Object.keys(table).length;
    const made = mux(command);
    return {
      offeredHere: count(made.locallyOfferedOpenChannels),
      offeredThere: count(made.remotelyOfferedOpenChannels),
    };
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  actions[command.do](command)
    .catch((error) => ({ error: String(error?.reason ?? error?.message ?? error) }))
    .then((answer) => console.log(JSON.stringify({ id: command.id, ...answer })));
}
process.exit(0);
