#!/usr/bin/env node
// A child of an rpopd pool, see rpopd.conf(5): one job after the other until the end of file.
const fs = require('fs');
console.log = console.error; // goes to the log
async function work(payload) { // yours: a Buffer in, a Buffer or text out
  return payload.toString().toUpperCase();
}
function write(bytes) { for (let at = 0; at < bytes.length;) at += fs.writeSync(1, bytes, at); }
function read(len) { // null at the end of file
  const bytes = Buffer.alloc(len);
  for (let at = 0, n; at < len; at += n)
    if (!(n = fs.readSync(0, bytes, at, len - at))) return null;
  return bytes;
}
function readLine() {
  let line = '';
  for (let c; (c = read(1)) && c[0] !== 10;) line += String.fromCharCode(c[0]);
  return line;
}
async function main() {
  for (let line; (line = readLine());) {
    const { id, len } = JSON.parse(line), payload = read(len);
    const [answer, result] = await work(payload).then(
      (r) => [{ status: 'done' }, Buffer.from(r)], (e) => [{ status: 'retry', error: `${e}` }, '']);
    write(Buffer.from(`${JSON.stringify({ id, ...answer, len: result.length })}\n`));
    write(Buffer.from(result));
  }
}
main();
