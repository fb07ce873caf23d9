import { BusyError, Htpasswd } from "../../../lib/server/htpasswd.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

// The passwords are "secret", with the smallest cost, in the three spellings that tools write.
const HASH = "$2b$04$FXRhuhoHeVujKQDYFqxGl.8yfSchVVqze/Bj.lbh3OGcbf.zBqdPG";
const FAKE = `$2y$10$${"a".repeat(53)}`;

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
    check: (password: string, user = "ann") => users.check({ user, password }),
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

Deno.test("Htpasswd remembers a right login for a minute, and a wrong one for five seconds", async () => {
  await using it = await open({ text: `ann:${FAKE}` });
  for (let i = 0; i < 3; i++) assertEquals([await it.check("right"), await it.check("wrong")], [true, false]);
  assertEquals(it.compared, ["right", "wrong"]);
  it.time = 5001;
  assertEquals([await it.check("right"), await it.check("wrong")], [true, false]);
  assertEquals(it.compared, ["right", "wrong", "wrong"]);
  it.time = 60_001;
  assertEquals(await it.check("right"), true);
  assertEquals(it.compared.length, 4);
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
  await assertRejects(() => it.check("one more"), BusyError);
  gate.resolve(true);
  assertEquals((await Promise.all(waiting)).every(Boolean), true);
});

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
