import { type ConnectionLimits, ConnectionTable, type ShedReason } from "../../../lib/server/connection_table.ts";
import { assertEquals } from "../../support/assert.ts";

const LIMITS: ConnectionLimits = {
  max: 8,
  headTimeout: 30_000,
  idleTimeout: 120_000,
  patience: 30_000,
  crowdPatience: 1000,
  roomTimeout: 5000,
};

/** A table with a clock, and connections with names. */
function makeTable(limits: Partial<ConnectionLimits> = {}) {
  let time = 0;
  const shed: ShedReason[] = [];
  const closed: string[] = [];
  const table = new ConnectionTable({ ...LIMITS, ...limits }, {
    now: () => time,
    onShed: (reason) => shed.push(reason),
  });
  const never = new Promise<void>(() => {});
  return {
    table,
    shed,
    closed,
    setTime: (milliseconds: number) => time = milliseconds,
    /** Adds a connection that is idle, or has a request that waits for the client or the server. */
    add(name: string, state: "idle" | "client" | "server" = "idle", address = name) {
      const connection = table.add(address, () => closed.push(name));
      if (state !== "idle") table.begin(connection, never)(state === "client");
      return connection;
    },
  };
}

Deno.test("[57, 88] ConnectionTable closes idle connections before those whose clients do not read", () => {
  const { add, setTime, closed, shed } = makeTable({ max: 3 });
  add("reader", "client");
  setTime(10);
  add("idle");
  add("idle later");
  setTime(40_000);
  add("a");
  add("b");
  add("c");
  assertEquals(closed, ["idle", "idle later", "reader"]);
  assertEquals(shed, ["idle", "idle", "slow-reader"]);
});

Deno.test("[88] ConnectionTable has less patience with the clients of an address that has many connections", () => {
  const { add, setTime, closed } = makeTable();
  for (let i = 0; i < 2; i++) add(`other ${i}`, "client", `10.0.0.${i}`);
  for (let i = 0; i < 6; i++) add(`crowd ${i}`, "client", "10.0.0.9");
  setTime(1000);
  for (let i = 0; i < 6; i++) assertEquals(add(`new ${i}`, "server").isExtra, false);
  assertEquals(closed, [0, 1, 2, 3, 4, 5].map((i) => `crowd ${i}`));
  assertEquals(add("one more", "server").isExtra, true);
});

Deno.test("[88] ConnectionTable refuses the request that has waited longest when nothing can be closed", () => {
  const { add, setTime, closed, shed, table } = makeTable({ max: 2 });
  const refused: string[] = [];
  for (const name of ["first", "second"]) add(name, "server").refuse = () => refused.push(name);
  setTime(30_000);
  const extra = add("extra");
  assertEquals([extra.isExtra, refused, closed, shed], [true, ["first"], [], ["waiting"]]);
  assertEquals([table.extra, table.admit(extra)], [1, false]);
});

Deno.test("[88] ConnectionTable admits a connection beyond the limit when another one ends", () => {
  const { add, table } = makeTable({ max: 1 });
  const first = add("first", "server");
  const extra = add("extra");
  assertEquals(table.admit(extra), false);
  table.delete(first);
  assertEquals([table.admit(extra), table.extra, table.size], [true, 0, 1]);
});

Deno.test("[88] ConnectionTable finds connections with more concurrent requests than HTTP/1.1 has", () => {
  const { add, table } = makeTable();
  const connection = add("streams");
  for (let i = 0; i < 4; i++) table.begin(connection, new Promise(() => {}));
  assertEquals(table.isCrowded(connection), false);
  table.begin(connection, new Promise(() => {}));
  assertEquals(table.isCrowded(connection), true);
});

Deno.test("[88] ConnectionTable allows no concurrent requests of a connection when there are as many as connections", () => {
  const { add, table } = makeTable({ max: 3 });
  const connections = [add("a"), add("b"), add("c")];
  for (const connection of connections) table.begin(connection, new Promise(() => {}));
  table.begin(connections[1]!, new Promise(() => {}));
  assertEquals(connections.map((connection) => table.isCrowded(connection)), [false, true, false]);
});

Deno.test("[58] ConnectionTable lowers its limit after too many files were open, and raises it again", () => {
  const { add, table, closed, setTime } = makeTable({ max: 40 });
  for (let i = 0; i < 40; i++) add(`${i}`);
  setTime(500);
  table.lower();
  assertEquals([closed.length, table.isFull], [20, true]);
  table.sweep();
  assertEquals(table.isFull, false);
  table.limit(16);
  assertEquals([closed.length, table.isFull], [24, true]);
});

for (const [connections, allowed] of [[16, 16], [32, 32], [64, 32]] as const) {
  Deno.test(`[58] ConnectionTable never raises its limit when too many files are open: ${connections} within ${allowed}`, () => {
    const { add, table } = makeTable({ max: connections });
    for (let i = 0; i < connections; i++) add(`${i}`, "server");
    table.limit(allowed);
    // Connections beyond the limit have files open as well.
    for (let i = 0; i < 48; i++) add(`extra ${i}`, "server");
    table.lower();
    for (const connection of table) if (!connection.isExtra) table.delete(connection);
    let room = 0;
    while (!table.isFull) {
      add(`new ${room}`, "server");
      room++;
    }
    assertEquals(room, Math.min(allowed, (connections + 48) / 2));
  });
}
