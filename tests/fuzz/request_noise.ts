import type { Random } from "../support/random.ts";

/**
 * Makes bytes that are not HTTP, or not quite, for a connection of its own.
 *
 * @param path the path of a valid request
 */
export function makeNoise(random: Random, path: string): Uint8Array<ArrayBuffer> {
  const good = `GET ${path} HTTP/1.1\r\nHost: crpe\r\n`;
  const text = random.pick([
    () => String.fromCharCode(...random.bytes(random.below(300))),
    () => good.slice(0, random.below(good.length)),
    () => `${good}Host: other\r\n\r\n`,
    () => `${good}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
    () => `${good}Content-Length: -1\r\n\r\n`,
    () => `${good}Content-Length: 99999999999999999999\r\n\r\nx`,
    () =>
      `${good}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\n\r\n`,
    () => `${good}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    () => `${good}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx`,
    () => `${good} folded: yes\r\n\r\n`,
    () => `${good}No colon\r\n\r\n`,
    () => `${good}Bad\0name: x\r\n\r\n`,
    () => `${good}X: a\rb\r\n\r\n`,
    () => good.replaceAll("\r\n", "\n") + "\n",
    () =>
      good.replace("HTTP/1.1", random.pick(["HTTP/9.9", "HTTP/0.9", "HTTP/1.0", "", "http/1.1", "HTTP/2.0"])) + "\r\n",
    () => good.replace(" ", random.pick(["  ", "\t", "", "\0"])) + "\r\n",
    () => `${good}Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
    () =>
      `${good}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + String.fromCharCode(...random.bytes(100)),
    () => "\x16\x03\x01\x02\x00\x01\x00" + String.fromCharCode(...random.bytes(100)),
    () => "\r\n".repeat(random.below(50)) + good + "\r\n",
    () => `${good}\r\n`.repeat(1 + random.below(40)),
    () => "GET /v2/ HTTP/1.1\r\n\r\n",
  ])();
  return latin1(text);
}

/** Encodes text as latin1, one byte for each character. */
export function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
