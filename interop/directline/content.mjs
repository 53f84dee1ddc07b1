// Bodies and attachments: how commands name them, how they are made, and what is told of those that
// came. A body is `{"length": N}` (byte k is k % 251), `{"text": "..."}` or `{"json": ...}`; each may
// have a `"type"`.
import { createHash } from 'node:crypto';

export function pattern(length) {
  const bytes = Buffer.alloc(length);
  const period = Math.min(length, 251);
  for (let at = 0; at < period; at += 1) bytes[at] = at;
  for (let filled = period; filled < length; filled *= 2) bytes.copy(bytes, filled, 0, filled);
  return bytes;
}

/** The media type and the bytes of a body as a command says them. */
export function made(body) {
  if (body.json !== undefined) {
    return { type: body.type ?? 'application/json', bytes: Buffer.from(JSON.stringify(body.json)) };
  }
  if (body.text !== undefined) {
    return { type: body.type ?? 'text/plain', bytes: Buffer.from(body.text) };
  }
  return { type: body.type ?? 'application/octet-stream', bytes: pattern(body.length) };
}

/** What a line tells of content that came; short JSON is shown too. */
export function told({ type, declared, bytes }) {
  const line = {
    type,
    declared,
    length: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
  if (bytes.length <= 16384 && String(type).includes('json')) {
    try {
      line.json = JSON.parse(bytes.toString());
    } catch {
      line.text = bytes.toString();
    }
  }
  return line;
}
