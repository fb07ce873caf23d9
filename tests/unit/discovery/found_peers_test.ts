import { FoundPeers } from "../../../lib/discovery/found_peers.ts";
import { assertEquals } from "../../support/assert.ts";

function start() {
  let time = 0;
  const changes: string[] = [];
  const peers = new FoundPeers({ now: () => time, onChange: (change, host) => changes.push(`${change} ${host}`) });
  const note = (address: string, { port = 6060, ttl = 120, id = "a" } = {}) => peers.note({ id, address, port, ttl });
  return { peers, changes, note, wait: (seconds: number) => time += seconds * 1000 };
}

Deno.test("[108] a peer is kept as long as it is announced", () => {
  const { peers, changes, note, wait } = start();
  assertEquals([note("10.0.0.1"), note("10.0.0.2")], ["found", "found"]);
  wait(60);
  assertEquals(note("10.0.0.1"), "known");
  wait(60);
  assertEquals(peers.list(), ["10.0.0.1:6060"]);
  wait(60);
  assertEquals(peers.list(), []);
  assertEquals(changes, ["found 10.0.0.1:6060", "found 10.0.0.2:6060", "left 10.0.0.2:6060", "left 10.0.0.1:6060"]);
});

Deno.test("[108] a peer that leaves is forgotten, but only if it was the one that said so", () => {
  const { peers, note } = start();
  note("10.0.0.1", { id: "new" });
  assertEquals([note("10.0.0.1", { id: "old", ttl: 0 }), peers.list().length], ["left", 1]);
  assertEquals([note("10.0.0.1", { id: "new", ttl: 0 }), peers.list().length], ["left", 0]);
  assertEquals(note("10.0.0.1", { id: "new", ttl: 0 }), "left");
});

Deno.test("[108] the number of peers is bounded, in all and for each machine", () => {
  const { peers, note, wait } = start();
  for (let port = 1; port <= 8; port++) assertEquals(note("10.0.0.1", { port }), "found");
  assertEquals(note("10.0.0.1", { port: 9 }), "full");
  for (let i = 2; i <= 25; i++) assertEquals(note(`10.0.0.${i}`), "found");
  assertEquals([note("10.0.0.26"), note("10.0.0.25"), peers.list().length], ["full", "known", 32]);
  wait(121);
  assertEquals([note("10.0.0.26"), peers.list().length], ["found", 1]);
});

Deno.test("[108] a machine that sent wrong content is not used for an hour", () => {
  const { peers, note, wait } = start();
  for (const port of [1, 2]) note("10.0.0.1", { port });
  note("10.0.0.2");
  peers.ban("10.0.0.3:6060");
  peers.ban("10.0.0.1:1");
  assertEquals(peers.list(), ["10.0.0.2:6060"]);
  assertEquals([note("10.0.0.1", { port: 3 }), note("10.0.0.2")], ["banned", "known"]);
  wait(3601);
  assertEquals(note("10.0.0.1"), "found");
  // What is remembered is bounded.
  for (let i = 0; i < 1000; i++) {
    const address = `10.1.${i >> 8}.${i & 255}`;
    note(address);
    peers.ban(`${address}:6060`);
  }
  assertEquals([note("10.1.3.231"), note("10.1.0.1")], ["banned", "found"]);
});
