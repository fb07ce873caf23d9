import { assert, assertEquals } from "../support/assert.ts";

const SCRIPT = new URL("../../scripts/soak.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

async function soak(...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", `--config=${CONFIG}`, SCRIPT, "--seed=1", ...args],
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

// scripts/soak.ts runs for 10 minutes, or any other time. The growth that a short run can find is large.
Deno.test("a short soak of clients, eviction, collection, imports, pushes and a dying upstream leaves nothing behind", async () => {
  const { code, text } = await soak("--duration=12s");
  assertEquals(code, 0, text);
  for (const what of ["pulls pulled", "imports", "pushes", "collections"]) {
    assert(new RegExp(`[1-9][0-9]* ${what}`).test(text), text);
  }
});

Deno.test("a soak fails when files stay open", async () => {
  const { code, text } = await soak("--duration=5s", "--leak=files");
  assertEquals(code, 1, text);
  assert(text.includes("FOUND: the number of open files grew by"), text);
});

Deno.test("a soak fails when partial files stay, and when the memory exceeds the limit", async () => {
  const { code, text } = await soak("--duration=5s", "--leak=partials", "--limit=30MiB");
  assertEquals(code, 1, text);
  assert(text.includes("FOUND: the number of partial files grew by"), text);
  assert(text.includes("bytes of memory were in use"), text);
});
