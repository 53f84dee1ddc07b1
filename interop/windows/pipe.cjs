// A server at a named pipe: node.exe pipe.cjs PIPE WHAT READY-FILE
//
//   lines      answers each line; after `bye` it closes
//   echo:N     sends back the first N bytes that come, and closes
//   file:PATH  appends to a file what comes
'use strict';
const fs = require('fs');
const net = require('net');

const [pipe, what, ready] = process.argv.slice(2);
const [kind, ...rest] = what.split(':');
const value = rest.join(':');

const server = net.createServer((socket) => {
  socket.on('error', () => socket.destroy());
  if (kind === 'lines') {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (data) => {
      text += data;
      const lines = text.split('\n');
      text = lines.pop();
      for (const line of lines) {
        if (line === 'bye') {
          socket.end(`heard ${line}\n`);
          return;
        }
        socket.write(`heard ${line}\n`);
      }
    });
  } else if (kind === 'echo') {
    let left = Number(value);
    socket.on('data', (data) => {
      const part = data.subarray(0, left);
      left -= part.length;
      if (left === 0) {
        socket.end(part);
      } else if (!socket.write(part)) {
        socket.pause();
        socket.once('drain', () => socket.resume());
      }
    });
  } else {
    socket.on('data', (data) => fs.appendFileSync(value, data));
  }
});
server.listen(pipe, () => fs.writeFileSync(ready, ''));
