import { assertEquals } from "@std/assert";
import { ensureToken } from "../../../lib/agent/api_token.ts";
import { holdLock } from "../../../lib/files/locked_file.ts";
import { TestFolder } from "../../support/test_folder.ts";

Deno.test("ensureToken() gives the token of another server that is making it", async () => {
  await using folder = await TestFolder.create();
  const lock = await holdLock(`${folder.path}/ingest/node-key.lock`);
  const started = ensureToken(folder.path);
  // It has seen by then that there is no token.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const path = await folder.write("kubepkg/.token", "token-of-the-other\n");
  await Deno.chmod(path, 0o600);
  lock[Symbol.dispose]();
  assertEquals((await started).token, "token-of-the-other");
});

Deno.test("ensureToken() gives servers that start at once the same token", async () => {
  await using folder = await TestFolder.create();
  const tokens = await Promise.all(Array.from({ length: 4 }, () => ensureToken(folder.path)));
  const { token } = await ensureToken(folder.path);
  assertEquals(tokens.map((made) => made.token), Array(4).fill(token));
});
