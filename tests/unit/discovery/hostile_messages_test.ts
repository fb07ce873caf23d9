import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
// @ts-types="../../../lib/std/multicast_dns.d.ts"
import multicastDns from "multicast-dns";
import {
  type DnsMessage,
  formatAnnouncement,
  isQuestionFor,
  readAnnouncement,
} from "../../../lib/discovery/announcement.ts";
import { DatagramFilter } from "../../../lib/discovery/datagram_filter.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";

/** A socket without a network, which keeps what is sent. */
class MemorySocket extends EventEmitter {
  readonly sent: Uint8Array[] = [];
  bind = (_port: number, _hostname: string, onListening: () => void) => queueMicrotask(onListening);
  addMembership() {}
  dropMembership() {}
  send(bytes: Uint8Array, ...rest: [number, number, number, string, () => void]) {
    // `slice` of a Buffer would not copy.
    this.sent.push(new Uint8Array(bytes));
    rest[4]();
  }
  close = (callback: () => void) => callback();
}

function open() {
  const socket = new MemorySocket();
  const dns = multicastDns({ interface: "127.0.0.1", bind: "127.0.0.1", socket });
  const received: unknown[] = [];
  let malformed = 0;
  dns.on("packet", (message) => received.push(message));
  dns.on("warning", () => malformed++);
  const encode = async (message: DnsMessage) => {
    await new Promise<void>((resolve) => dns.send(message, () => resolve()));
    return socket.sent.pop()!;
  };
  const decode = (bytes: Uint8Array) => {
    received.length = 0;
    socket.emit("message", Buffer.from(bytes), { address: "10.0.0.1", port: 5353 });
    return received[0];
  };
  return { encode, decode, countMalformed: () => malformed };
}

const OWN = { id: "0123456789abcdef", address: "10.0.0.5", port: 6060 };

Deno.test("[108] an announcement is the same after it was sent", async () => {
  const { encode, decode } = open();
  const bytes = await encode(formatAnnouncement(OWN));
  assertEquals(readAnnouncement(decode(bytes)), { ...OWN, ttl: 120 });
  assert(bytes.length < 400, `${bytes.length} bytes`);
  assertEquals(new DatagramFilter(() => 0).admit(bytes, OWN.address), true);
});

Deno.test("[108] of 20,000 changed announcements, each is read as a valid one or not at all", async () => {
  const { encode, decode, countMalformed } = open();
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  const [whole, leaving] = [
    await encode(formatAnnouncement(OWN)),
    await encode(formatAnnouncement(OWN, { isLeaving: true })),
  ];
  let [read, unread] = [0, 0];
  for (let i = 0; i < 20_000; i++) {
    let bytes = random.pick([whole, leaving]).slice();
    for (let changes = 1 + random.below(4); changes > 0; changes--) {
      bytes[random.below(bytes.length)] = random.below(256);
    }
    if (random.chance(0.2)) bytes = bytes.slice(0, random.below(bytes.length));
    if (new DatagramFilter(() => 0).admit(bytes, OWN.address) !== true) continue;
    const message = decode(bytes);
    isQuestionFor(message, OWN.id);
    const announcement = readAnnouncement(message);
    if (announcement === undefined) unread++;
    else {
      read++;
      const { id, address, port, ttl } = announcement;
      const isValid = /^[0-9a-f]{16}$/.test(id) && /^(?:\d{1,3}\.){3}\d{1,3}$/.test(address) && port > 0 &&
        port < 65536 &&
        ttl >= 0 && ttl <= 120;
      assert(isValid, `seed ${seed}: ${JSON.stringify(announcement)}`);
    }
  }
  assert(read > 100 && unread > 100 && countMalformed() > 100, `${read}, ${unread}, ${countMalformed()}`);
});
