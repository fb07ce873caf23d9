import { RegistryError } from "../../../lib/oci/error.ts";
import { Htpasswd } from "../../../lib/server/htpasswd.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

// The passwords are "secret", with the smallest cost, in the three spellings that tools write.
const HASH = "$2b$04$FXRhuhoHeVujKQDYFqxGl.8yfSchVVqze/Bj.lbh3OGcbf.zBqdPG";
const fake = (cost: string) => `$2y$${cost}$${"a".repeat(53)}`;
const FAKE = fake("10");

interface Opened {
  readonly text: string;
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

async function open({ text, compare }: Opened) {
  const folder = await TestFolder.create();
  const path = await folder.write("htpasswd", text);
  const it = { time: 0, warnings: [] as string[], compared: [] as string[] };
  const users = await Htpasswd.open({
    path,
    warn: (message) => it.warnings.push(message),
    now: () => it.time,
    compare: compare ?? ((password, hash) => {
      it.compared.push(password);
      return Promise.resolve(hash === FAKE && password === "right");
    }),
  });
  return Object.assign(it, {
    path,
    check: (password: string, user = "ann", client?: string) => users.check({ user, password }, client),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  });
}

for (const version of ["2a", "2b", "2y"]) {
  Deno.test(`Htpasswd compares a password with a bcrypt hash $${version}$`, async () => {
    await using folder = await TestFolder.create();
    const path = await folder.write("htpasswd", `# users\n\nann:${HASH.replace("2b", version)}\r\n`);
    const users = await Htpasswd.open({ path, warn: () => {} });
    assertEquals(await users.check({ user: "ann", password: "secret" }), true);
    assertEquals(await users.check({ user: "ann", password: "Secret" }), false);
    assertEquals(await users.check({ user: "bob", password: "secret" }), false);
  });
}

Deno.test("Htpasswd remembers a right login while the user has that password, and a wrong one for five seconds", async () => {
  await using it = await open({ text: `ann:${FAKE}` });
  for (let i = 0; i < 3; i++) assertEquals([await it.check("right"), await it.check("wrong")], [true, false]);
  assertEquals(it.compared, ["right", "wrong"]);
  it.time = 5001;
  assertEquals([await it.check("right"), await it.check("wrong")], [true, false]);
  assertEquals(it.compared, ["right", "wrong", "wrong"]);
  it.time = 24 * 3_600_000;
  assertEquals(await it.check("right"), true);
  assertEquals(it.compared.length, 3);
});

Deno.test("Htpasswd compares once for concurrent requests with the same login", async () => {
  await using it = await open({ text: `ann:${FAKE}` });
  assertEquals(await Promise.all(Array.from({ length: 100 }, () => it.check("right"))), Array(100).fill(true));
  assertEquals(it.compared, ["right"]);
});

Deno.test("Htpasswd compares also for an unknown user, whose login is always wrong", async () => {
  await using it = await open({ text: `ann:${FAKE}`, compare: () => Promise.resolve(true) });
  assertEquals([await it.check("x", "ann"), await it.check("x", "bob"), await it.check("x", "")], [true, false, false]);
});

Deno.test("Htpasswd refuses logins when too many different ones wait", async () => {
  const gate = Promise.withResolvers<boolean>();
  await using it = await open({ text: `ann:${FAKE}`, compare: () => gate.promise });
  const waiting = Array.from({ length: 64 }, (_, i) => it.check(`p${i}`));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await assertRejects(() => it.check("one more"), RegistryError);
  gate.resolve(true);
  assertEquals((await Promise.all(waiting)).every(Boolean), true);
});

Deno.test("[88] Htpasswd lets users in who have logged in before, while the queue is full of others, and after the file changes", async () => {
  const gate = Promise.withResolvers<boolean>();
  await using it = await open({
    text: `ann:${FAKE}\nbob:${FAKE}\n`,
    compare: (password) => password === "right" ? Promise.resolve(true) : gate.promise,
  });
  assertEquals([await it.check("right", "ann"), await it.check("right", "bob")], [true, true]);
  it.time = 60_001;
  const waiting = Array.from({ length: 64 }, (_, i) => it.check("x", `user${i}`));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals([await it.check("right", "ann"), await it.check("right", "bob")], [true, true]);
  await Deno.writeTextFile(it.path, `# changed\nann:${FAKE}\nbob:${fake("11")}\n`);
  it.time += 1001;
  assertEquals(await it.check("right", "ann"), true);
  await assertRejects(() => it.check("right", "bob"), RegistryError);
  // A user who is removed, and added again, has to log in again.
  await Deno.writeTextFile(it.path, "carol:" + FAKE);
  it.time += 1001;
  await assertRejects(() => it.check("right", "ann"), RegistryError);
  // The pause after the wrong login depends on the time that its check took.
  it.time = 60_001;
  gate.resolve(true);
  await Promise.allSettled(waiting);
});

Deno.test("[88] Htpasswd keeps places in the queue for other clients than the one that fills it", async () => {
  const gate = Promise.withResolvers<boolean>();
  await using it = await open({ text: `ann:${FAKE}`, compare: () => gate.promise });
  const outcomes = Array.from({ length: 64 }, (_, i) => it.check("x", `user${i}`, "192.0.2.1"));
  const refused = Promise.allSettled(outcomes).then((all) => all.filter(({ status }) => status === "rejected").length);
  const first = it.check("right", "ann", "192.0.2.2");
  gate.resolve(true);
  assertEquals({ first: await first, refused: await refused }, { first: true, refused: 48 });
});

// Each cost is twice as much work as the one below it. Measured as work, because times depend on the machine.
const files: [string, string][] = [
  ["one cost", `ann:${fake("05")}\n`],
  ["a low and a high cost", `ann:${fake("04")}\nbob:${fake("12")}\n`],
  ["many costs", ["04", "06", "07", "11"].map((cost, i) => `user${i}:${fake(cost)}\n`).join("")],
];
for (const [what, text] of files) {
  Deno.test(`Htpasswd does the same work for a wrong login of every user, known or not, in a file with ${what}`, async () => {
    let work = 0;
    await using it = await open({
      text,
      compare: (_, hash) => {
        work += 2 ** Number(hash.slice(4, 6));
        return Promise.resolve(false);
      },
    });
    const works: number[] = [];
    for (const user of ["nobody", ...text.trim().split("\n").map((line) => line.split(":")[0]!)]) {
      work = 0;
      assertEquals(await it.check("wrong", user), false);
      works.push(work);
    }
    assertEquals(works, works.map(() => 2 ** Number(text.trim().slice(-56, -54))));
  });
}

Deno.test("Htpasswd pauses after a wrong login, so that guessing leaves time to others", async () => {
  const times: number[] = [];
  await using folder = await TestFolder.create();
  const users = await Htpasswd.open({
    path: await folder.write("htpasswd", `ann:${FAKE}`),
    warn: () => {},
    compare: async () => {
      times.push(performance.now());
      await new Promise((resolve) => setTimeout(resolve, 20));
      return false;
    },
  });
  await Promise.all(["a", "b"].map((password) => users.check({ user: "ann", password })));
  assertEquals(times[1]! - times[0]! >= 70, true, `${times[1]! - times[0]!} ms`);
});

Deno.test("Htpasswd reads a changed file again, and drops what it remembered", async () => {
  await using it = await open({ text: `ann:${FAKE}` });
  assertEquals(await it.check("right"), true);
  await Deno.writeTextFile(it.path, `bob:${FAKE}\n`);
  it.time = 1001;
  assertEquals([await it.check("right", "ann"), await it.check("right", "bob")], [false, true]);
});

Deno.test("Htpasswd keeps its users while the changed file cannot be used, and says so once", async () => {
  await using it = await open({ text: `ann:${FAKE}` });
  await Deno.writeTextFile(it.path, "ann:plain text password\n");
  for (let i = 1; i < 4; i++) {
    it.time = i * 1001;
    assertEquals(await it.check("right"), true);
  }
  assertEquals(it.warnings.length, 1);
  assertEquals(it.warnings[0]!.includes("plain text"), false);
});

const wrong: [string, string, string][] = [
  ["without users", "# nothing\n", "it has no users"],
  ["with a line without a hash", `ann:${FAKE}\nbob\n`, "line 2 is not a user with a bcrypt hash"],
  ["with an MD5 hash", "ann:$apr1$x$y\n", "line 1 is not a user with a bcrypt hash"],
  ["with a cost that is too high", `ann:$2y$15$${"a".repeat(53)}`, "line 1 has a bcrypt cost above 14"],
  ["with a cost that bcrypt does not have", `ann:${FAKE}\nbob:${fake("03")}\n`, "line 2 has a bcrypt cost below 4"],
];
for (const [what, text, reason] of wrong) {
  Deno.test(`Htpasswd.open() refuses a file ${what}`, async () => {
    await using folder = await TestFolder.create();
    const path = await folder.write("htpasswd", text);
    const error = await assertRejects(() => Htpasswd.open({ path, warn: () => {} }), Error, reason);
    assertEquals(error.message.startsWith(`Cannot use the logins in ${path}: `), true);
  });
}

Deno.test("Htpasswd.open() refuses a missing file", async () => {
  await assertRejects(() => Htpasswd.open({ path: "/none", warn: () => {} }), Error, "there is no such file");
});
