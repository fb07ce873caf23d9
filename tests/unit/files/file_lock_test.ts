import { closeLocked, lockFile, lockFileSync, waitForLock } from "../../../lib/files/file_lock.ts";
import { assertEquals, assertRejects, assertThrows } from "../../support/assert.ts";

// The error messages of Deno on Linux. Only some of these errors have a `code`.
const ROWS: readonly [message: string, isUnsupported: boolean][] = [
  ["Function not implemented (os error 38)", true],
  ["Operation not supported (os error 95)", true],
  ["No locks available (os error 37)", false],
  ["Too many open files (os error 24)", false],
  ["Input/output error (os error 5)", false],
  ["Bad resource ID", false],
];

for (const [message, isUnsupported] of ROWS) {
  Deno.test({
    name: `[93] a lock that fails with "${message}" ${isUnsupported ? "is not supported" : "is an error"}`,
    ignore: Deno.build.os !== "linux",
    fn: async () => {
      const fail = () => Promise.reject(new Error(message));
      const tryLockSync = () => {
        throw new Error(message);
      };
      const file = { tryLock: fail, lock: fail, tryLockSync } as unknown as Deno.FsFile;
      for (const lock of [() => lockFile(file, "/data/x.lock"), () => waitForLock(file, "/data/x.lock")]) {
        if (isUnsupported) assertEquals(await lock(), "unsupported");
        else await assertRejects(lock, Error, "Cannot lock /data/x.lock: ");
      }
      const lockSync = () => lockFileSync(file, "/data/x.lock");
      if (isUnsupported) assertEquals(lockSync(), "unsupported");
      else assertThrows(lockSync, Error, "Cannot lock /data/x.lock: ");
    },
  });
}

Deno.test("lockFile() reports a lock that another holder has; waitForLock() waits for it", async () => {
  const path = await Deno.makeTempFile();
  try {
    const open = () => Deno.open(path, { write: true });
    const first = await open();
    using second = await open();
    assertEquals([await lockFile(first, path), await lockFile(second, path)], ["locked", "taken"]);
    assertEquals(lockFileSync(second, path), "taken");
    const waiting = waitForLock(second, path);
    first.close();
    assertEquals(await waiting, "locked");
  } finally {
    await Deno.remove(path);
  }
});

Deno.test({
  name: "closeLocked() leaves no lock to a process that another thread is starting",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const path = await Deno.makeTempFile();
    const start = "while (true) await new Deno.Command('sh', { args: ['-c', ':'] }).output();";
    const thread = new Worker(`data:application/javascript,${encodeURIComponent(start)}`, { type: "module" });
    try {
      const outcomes = new Set<string>();
      for (let i = 0; i < 3000; i++) {
        const file = await Deno.open(path, { write: true });
        outcomes.add(lockFileSync(file, path));
        closeLocked(file);
      }
      assertEquals([...outcomes], ["locked"]);
    } finally {
      thread.terminate();
      await Deno.remove(path);
    }
  },
});
