// Plays an RTSP URL with yellowstone and writes its RTP packets to standard output.
//
// Usage: yellowstone_player.js URL tcp PICTURES   (NODE_PATH: where yellowstone is installed)
// Each packet is preceded by its length in two bytes (RFC 4571). The calls are those of yellowstone's
// own example. Its parser tells no payload type and no source: these are written as 96 and 0. What
// comes in one read with the answer to PLAY it drops: on a busy machine the first pictures.

"use strict";

const { RtspClient } = require("yellowstone");

// yellowstone 2.1 takes every packet for one with a header extension and hands out the payload
// without its first four bytes, which are still there, before the part of the buffer it shows.
const CUT = 4;

const [address, , count] = process.argv.slice(2);
const login = new URL(address);
const [name, password] = [login.username, login.password].map(decodeURIComponent);
let left = Number(count);

const client = new RtspClient(name, password);

client.on("data", (channel, payload, packet) => {
  if (left === 0) {
    return;
  }
  const whole = Buffer.from(payload.buffer, payload.byteOffset - CUT, payload.length + CUT);
  const header = Buffer.alloc(2 + 12);
  header.writeUInt16BE(12 + whole.length, 0);
  header.writeUInt8(0x80, 2);
  header.writeUInt8((packet.marker << 7) | 96, 3);
  header.writeUInt16BE(packet.id, 4);
  header.writeUInt32BE(packet.timestamp, 6);
  process.stdout.write(Buffer.concat([header, whole]));
  left -= packet.marker;
  if (left === 0) {
    // TEARDOWN. The answer is lost on it when it comes behind a packet, so it is not waited for:
    // the server closes what has been closed here.
    client.close();
    client._client.end();
  }
});

function fail(error) {
  process.stderr.write(`${error.stack || error}\n`);
  process.exit(1);
}

process.on("unhandledRejection", fail);
// Closed before it plays, it waits for nothing any more, and node ends.
process.on("exit", () => {
  process.exitCode ||= left > 0 ? 1 : 0;
});
login.username = login.password = "";
client.connect(login.href).then((details) => {
  if (details.format !== "H264") {
    throw new Error(`it is ${details.format}`);
  }
  client._client.once("close", () => process.exit());
  return client.play();
}).catch(fail);
