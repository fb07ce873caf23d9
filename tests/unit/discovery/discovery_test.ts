import { type DnsMessage, formatAnnouncement, QUERY } from "../../../lib/discovery/announcement.ts";
import { Discovery } from "../../../lib/discovery/discovery.ts";
import type { MulticastEvents } from "../../../lib/discovery/multicast_socket.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

const own = { name: "eth0", address: "10.1.2.3", netmask: "255.255.255.0" };

/** A network without a socket, with a clock that is moved. */
async function start() {
  let time = 0;
  const timers = new Set<{ at: number; action: () => void }>();
  const sent: DnsMessage[] = [];
  const log: string[] = [];
  const network: { events?: MulticastEvents; failure?: Error; isClosed: boolean } = { isClosed: false };
  const discovery = await Discovery.start({
    own,
    open: (address, events) => {
      assertEquals(address, own.address);
      network.events = events;
      return Promise.resolve({
        send: (message) => {
          if (network.failure !== undefined) return Promise.reject(network.failure);
          sent.push(message);
          return Promise.resolve();
        },
        close: () => Promise.resolve(void (network.isClosed = true)),
      });
    },
    onChange: (change, host) => log.push(`${change} ${host}`),
    onIgnored: (reason) => log.push(`ignored: ${reason}`),
    onProblem: ({ message }) => log.push(`problem: ${message}`),
    after: (milliseconds, action) => {
      const timer = { at: time + milliseconds, action };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    now: () => time,
    random: () => 0.5,
  });
  const wait = async (milliseconds: number) => {
    const end = time + milliseconds;
    for (;;) {
      const next = [...timers].sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      timers.delete(next);
      time = next.at;
      next.action();
      await Promise.resolve();
    }
    time = end;
    await new Promise((resolve) => setTimeout(resolve, 0));
  };
  const receive = (message: DnsMessage, sender: string) => {
    const encode = (data: unknown) => Array.isArray(data) ? data.map((text) => new TextEncoder().encode(text)) : data;
    const answers = message.answers?.map((record) => ({ ...record, data: encode(record.data) }));
    network.events!.onMessage({ ...message, answers }, sender);
  };
  const count = (type: DnsMessage["type"]) => sent.filter((message) => message.type === type).length;
  return { discovery, network, timers, sent, log, wait, receive, count };
}

const other = (address: string, id = "0123456789abcdef") => formatAnnouncement({ id, address, port: 6060 });

Deno.test("[108] the network is asked at the start, again after a second, and each minute", async () => {
  const { wait, count, sent, discovery } = await start();
  assertEquals([count("query"), sent[0]], [1, QUERY]);
  await wait(1000);
  assertEquals(count("query"), 2);
  await wait(600_000);
  assertEquals([count("query"), count("response")], [12, 0], "nothing is announced before the server listens");
  await discovery.stop();
});

Deno.test("[108] a server announces itself twice, answers at most once a second, and says that it leaves", async () => {
  const { discovery, network, receive, sent, count, wait, timers } = await start();
  receive(QUERY, "10.1.2.4");
  await wait(10_000);
  assertEquals(count("response"), 0);
  discovery.announce(6060);
  await wait(5000);
  assertEquals(count("response"), 2);
  for (let i = 0; i < 100; i++) receive(QUERY, "10.1.2.4");
  await wait(69);
  assertEquals(count("response"), 2, "an answer is delayed");
  await wait(1);
  assertEquals(count("response"), 3);
  for (let i = 0; i < 100; i++) receive(QUERY, `10.1.2.${i}`);
  await wait(999);
  assertEquals(count("response"), 3);
  await wait(1);
  assertEquals(count("response"), 4);
  await Promise.all([discovery.stop(), discovery.stop()]);
  const last = sent.at(-1)!;
  assertEquals([count("response"), new Set(last.answers?.map(({ ttl }) => ttl))], [5, new Set([0])]);
  assertEquals([network.isClosed, timers.size], [true, 0]);
});

Deno.test("[108] other crpes are found; this one, foreign addresses and other messages are not", async () => {
  const { discovery, receive, log, sent, network } = await start();
  discovery.announce(6060);
  receive(other("10.1.2.4"), "10.1.2.4");
  assertEquals(discovery.list(), ["10.1.2.4:6060"]);
  receive(sent.at(-1)!, own.address);
  for (const address of ["8.8.8.8", "10.9.9.9", "169.254.169.254", "127.0.0.1"]) receive(other(address), address);
  receive(other("10.1.2.5"), "10.1.2.4");
  receive({ type: "response", answers: [] }, "10.1.2.4");
  network.events!.onMessage({ type: "nothing" }, "10.1.2.4");
  network.events!.onMalformed();
  assertEquals(discovery.list(), ["10.1.2.4:6060"]);
  assertEquals(log, [
    "found 10.1.2.4:6060",
    ...new Array(5).fill("ignored: address"),
    "ignored: malformed",
    "ignored: malformed",
  ]);
  discovery.ban("10.1.2.4:6060");
  receive(other("10.1.2.4"), "10.1.2.4");
  assertEquals([discovery.list(), log.at(-1)], [[], "ignored: banned"]);
  await discovery.stop();
});

Deno.test("[108] a peer that is no longer there is forgotten without a word of it", async () => {
  const { discovery, receive, log, wait } = await start();
  receive(other("10.1.2.4"), "10.1.2.4");
  await wait(125_000);
  assertEquals([log, discovery.list()], [["found 10.1.2.4:6060", "left 10.1.2.4:6060"], []]);
  await discovery.stop();
});

Deno.test("[108] datagrams beyond the limit are counted, and not decoded", async () => {
  const { discovery, network, log } = await start();
  const datagram = new Uint8Array(1000);
  datagram.set(new TextEncoder().encode("_crpe"), 500);
  const admitted = Array.from({ length: 20 }, () => network.events!.admits(datagram, "10.1.2.4"));
  assertEquals([admitted.filter((it) => it).length, log], [16, new Array(4).fill("ignored: limit")]);
  await discovery.stop();
});

Deno.test("[108] a network that cannot be used is reported once, and again after it could be used", async () => {
  const { discovery, network, log, wait } = await start();
  network.failure = new Error("network is unreachable");
  await wait(300_000);
  assertEquals(log, ["problem: network is unreachable"]);
  network.failure = undefined;
  await wait(60_000);
  network.failure = new Error("network is unreachable");
  await wait(120_000);
  assertEquals(log.length, 2);
  await discovery.stop();
});

Deno.test("[108] a port that cannot be used is an error", async () => {
  const open = () => Promise.reject(new Error("the port is in use"));
  const options = { own, open, after: () => () => {}, now: () => 0, random: () => 0 };
  await assertRejects(() => Discovery.start(options), Error, "the port is in use");
});
