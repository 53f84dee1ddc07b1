// Does away with two flaws of `botframework-streaming` as a receiver, where large bodies are wanted.
//
// Its transport hands over what a read of the socket left, even when more was asked for. So it loses
// its place when a header straddles two reads, and drops the session; and when the last frame of a
// stream does, its process dies of an unhandled "write after end". Both come by chance as soon as more
// waits than one read takes (64 KiB): with bodies of megabytes, or hundreds of requests at once.
// Mended, it hands over exactly as many bytes as it was asked for.
//
// Without this, frames of 4096 bytes with their header (4048 without) spare it the first flaw.
'use strict';
const { NamedPipeTransport } = require('botframework-streaming/lib/namedPipe/namedPipeTransport.js');

exports.mend = function mend() {
  NamedPipeTransport.prototype.trySignalData = function whole() {
    const wanted = this._activeReceiveCount;
    if (!this._activeReceiveResolve) return;
    this.kept ??= [];
    this.keptLength ??= 0;
    while (this._queue.length > 0) {
      const piece = this._queue.shift();
      this.kept.push(piece);
      this.keptLength += piece.length;
    }
    if (this.keptLength < wanted) return;
    const pieces = [];
    for (let left = wanted; left > 0;) {
      const piece = this.kept[0];
      if (piece.length <= left) {
        pieces.push(this.kept.shift());
        left -= piece.length;
      } else {
        pieces.push(piece.subarray(0, left));
        this.kept[0] = piece.subarray(left);
        left = 0;
      }
    }
    this.keptLength -= wanted;
    const resolve = this._activeReceiveResolve;
    this._activeReceiveCount = 0;
    this._activeReceiveReject = null;
    this._activeReceiveResolve = null;
    resolve(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
  };
};
