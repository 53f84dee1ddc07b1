// What both ends answer to requests, so that whoever is tested can ask for everything by a path.
//
//   /echo                  all streams as they came
//   /status/N              that status, nothing else
//   /describe              verb, path and what came, as JSON with lengths and checksums
//   /bytes/N               a body of N bytes
//   /streams/COUNT/N       COUNT streams of N bytes
//   /call/N[/BYTES]        first N requests of one's own to the other side, at once, each answered;
//                          then their statuses and lengths as JSON
//   /hold                  no answer until a request to /release comes
//   /release               lets all that is held go; how many as JSON
//   /never                 no answer
//   /drop                  closes both pipes without an answer, as the package closes
//   /abort                 destroys both sockets without an answer
//   /exit                  ends the process
//   /v3/conversations/...  as a channel: POST and PUT {"id": "r1"}, DELETE 200 without body
//   /api/messages          200 without body
//
// Anything else is 404. A request's streams come as [{type, declared, bytes}], an answer's are
// [{type, bytes}].
import { made, pattern, told } from './content.mjs';

const json = (value, status = 200) => ({ status, streams: [made({ json: value })] });

export class Routes {
  constructor({ call, drop, abort, heard = () => {} }) {
    Object.assign(this, { call, drop, abort, heard });
    this.held = [];
    this.resources = 0;
  }

  /** An answer, or nothing where none is to be sent. */
  async answer(request) {
    const { verb, path, streams } = request;
    this.heard({ event: 'request', verb, path, streams: streams.map(told) });
    const [, route, ...rest] = path.split('?')[0].split('/');
    const [first, second] = rest.map(Number);
    switch (route) {
      case 'echo':
        return { status: 200, streams };
      case 'status':
        return { status: first, streams: [] };
      case 'describe':
        return json({ verb, path, streams: streams.map(told) });
      case 'bytes':
        return { status: 200, streams: [made({ length: first })] };
      case 'streams':
        return {
          status: 200,
          streams: Array.from({ length: first }, () => made({ length: second })),
        };
      case 'call':
        return json(await this.calls(first, rest.length > 1 ? second : undefined));
      case 'hold':
        await new Promise((resolve) => { this.held.push(resolve); });
        return { status: 200, streams: [] };
      case 'release':
        return json({ released: this.held.splice(0).map((resolve) => resolve()).length });
      case 'never':
        return null;
      case 'drop':
        this.drop();
        return null;
      case 'abort':
        this.abort();
        return null;
      case 'exit':
        process.exit(9);
        break;
      case 'v3':
        if (verb === 'DELETE') return { status: 200, streams: [] };
        this.resources += 1;
        return json({ id: `r${this.resources}` });
      case 'api':
        if (rest.join('/').toLowerCase() !== 'messages') break;
        return { status: 200, streams: [] };
      default:
    }
    return { status: 404, streams: [] };
  }

  async calls(count, bytes) {
    const content = bytes === undefined ? made({ json: { type: 'message', text: 'call' } })
      : { type: 'application/octet-stream', bytes: pattern(bytes) };
    const answers = await Promise.all(Array.from({ length: count }, (_, at) => (
      this.call({
        verb: 'POST',
        path: bytes === undefined ? `/v3/conversations/c/activities/a${at}` : '/echo',
        streams: [content],
      })
    )));
    return {
      statuses: answers.map(({ status }) => status),
      lengths: answers.map(({ streams }) => streams.reduce((sum, each) => sum + each.bytes.length, 0)),
    };
  }
}
