import { CostLimit } from "../../../lib/discovery/cost_limit.ts";
import { DatagramFilter } from "../../../lib/discovery/datagram_filter.ts";
import { assertEquals } from "../../support/assert.ts";

/** A datagram of some bytes that contains a label. */
function datagram(bytes: number, label = "_crpe"): Uint8Array {
  const made = new Uint8Array(bytes).fill(0x5f);
  made.fill(0, 0, 12);
  made.set(new TextEncoder().encode(label), bytes - label.length);
  return made;
}

Deno.test("[108] only datagrams about crpes are decoded, and none that is too large", () => {
  const filter = new DatagramFilter(() => 0);
  assertEquals(filter.admit(datagram(300), "10.0.0.1"), true);
  assertEquals(filter.admit(datagram(300, "_http"), "10.0.0.1"), undefined);
  assertEquals(filter.admit(datagram(300, "_crp"), "10.0.0.1"), undefined);
  assertEquals(filter.admit(new Uint8Array(), "10.0.0.1"), undefined);
  assertEquals(filter.admit(datagram(1500), "10.0.0.1"), true);
  assertEquals(filter.admit(datagram(1501), "10.0.0.1"), "size");
});

Deno.test("[108] a datagram that announces more records than it can have is not decoded", () => {
  const filter = new DatagramFilter(() => 0);
  const announcing = (...counts: number[]) => {
    const made = datagram(112);
    counts.forEach((count, i) => new DataView(made.buffer).setUint16(4 + 2 * i, count));
    return made;
  };
  assertEquals(filter.admit(announcing(0, 20, 0, 0), "10.0.0.1"), true);
  assertEquals(filter.admit(announcing(0, 20, 0, 1), "10.0.0.1"), "malformed");
  assertEquals(filter.admit(announcing(65535, 65535, 65535, 65535), "10.0.0.1"), "malformed");
  assertEquals(filter.admit(new TextEncoder().encode("_crpe"), "10.0.0.1"), "malformed");
});

Deno.test("[108] short datagrams are limited in number", () => {
  const filter = new DatagramFilter(() => 0);
  const admitted = Array.from({ length: 1000 }, () => filter.admit(datagram(20), "10.0.0.1"));
  assertEquals(admitted.filter((result) => result === true).length, 64);
});

Deno.test("[108] a machine that sends without end takes nothing from the others, and all together are limited", () => {
  let time = 0;
  const filter = new DatagramFilter(() => time);
  const send = (sender: string, count: number) => {
    const results = Array.from({ length: count }, () => filter.admit(datagram(1000), sender));
    return results.filter((result) => result === true).length;
  };
  assertEquals(send("10.0.0.1", 1000), 16);
  assertEquals(send("10.0.0.2", 3), 3);
  time = 10_000;
  assertEquals(send("10.0.0.1", 1000), 16);
  // From many addresses: those of the datagrams may be invented.
  const admitted = Array.from({ length: 5000 }, (_, i) => send(`10.1.${i >> 8}.${i & 255}`, 1));
  assertEquals(admitted.reduce((sum, count) => sum + count) <= 131, true);
  time = 20_000;
  assertEquals(send("10.0.0.3", 1), 1);
});

Deno.test("[108] a limit allows a burst, and then a rate", () => {
  let time = 0;
  const limit = new CostLimit({ burst: 10, rate: 2, now: () => time });
  assertEquals([limit.spend(11), limit.spend(10), limit.spend(1)], [false, true, false]);
  time = 500;
  assertEquals([limit.spend(1), limit.spend(1)], [true, false]);
  time = 1_000_000;
  assertEquals([limit.spend(10), limit.spend(1)], [true, false]);
});
