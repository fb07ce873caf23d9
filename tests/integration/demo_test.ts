import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { denoFolder } from "../support/crpe_process.ts";
import { TestFolder } from "../support/test_folder.ts";

const PROJECT = new URL("../..", import.meta.url).pathname;

function startDemo(temporary: string, ...args: string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-A", "scripts/demo.ts", ...args],
    cwd: PROJECT,
    env: { DENO_DIR: denoFolder(), NO_COLOR: "1", TMPDIR: temporary },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const serving = Promise.withResolvers<void>();
  let text = "";
  const reading = (async () => {
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      text += part;
      if (text.includes("until ctrl-C")) serving.resolve();
    }
    serving.resolve();
  })();
  const errors = new Response(child.stderr).text();
  return {
    child,
    serving: serving.promise,
    text: () => text,
    finished: Promise.all([child.status, errors, reading]).then(([{ code }, stderr]) => ({ code, stderr })),
  };
}

Deno.test("deno task demo --serve ends by serving both pages, with one-time codes that sign in, until ctrl-C", async () => {
  await using temporary = await TestFolder.create();
  const demo = startDemo(temporary.path, "--serve");
  await demo.serving;
  const links = [...demo.text().matchAll(/^(http:\/\/127\.0\.0\.1:\d+)\/#t=(\S+)$/gm)];
  if (links.length === 0) throw new Error(`${demo.text()}${(await demo.finished).stderr}`);
  const found = [];
  for (const [, origin, code] of links) {
    const post = () => fetch(`${origin}/api/session`, { method: "POST", body: JSON.stringify({ code }) });
    const { token } = await (await post()).json();
    const headers = { authorization: `Bearer ${token}` };
    const read = async (path: string) => (await fetch(`${origin}${path}`, { headers })).json();
    const { installs, packs } = await read("/api/access");
    const { packages } = await read("/api/packages");
    const { bundles } = await read("/api/outbox");
    const { nodes } = await read("/api/nodes");
    const page = await fetch(`${origin}/`, { headers: { accept: "text/html" } });
    assertStringIncludes(await page.text(), "<title>");
    const again = await post();
    await again.body?.cancel();
    found.push({
      installs,
      packs,
      packages: packages.map(({ version }: { version: string }) => version),
      bundles: bundles.map(({ packages: [one] }: { packages: { version: string }[] }) => one!.version),
      nodes: nodes.map(({ node, state }: Record<string, string>) => `${node} ${state}`),
      again: again.status,
    });
  }
  assertEquals(found, [
    { installs: false, packs: true, packages: [], bundles: ["1.1.0"], nodes: ["line-4 ready"], again: 401 },
    { installs: true, packs: false, packages: ["1.0.0"], bundles: [], nodes: [], again: 401 },
  ]);
  // A row of a QR code for a terminal.
  assert(/^[█▀▄ ]{20,}$/m.test(demo.text()), "a QR code");
  demo.child.kill("SIGINT");
  assertEquals(await demo.finished, { code: 0, stderr: "" });
  assertStringIncludes(demo.text(), "until ctrl-C.\n\nStopped; the folder of the demonstration is removed.\n");
  assertEquals([...Deno.readDirSync(temporary.path)].map(({ name }) => name), []);
});

Deno.test("the demonstration refuses a flag that it does not know", async () => {
  await using temporary = await TestFolder.create();
  const demo = startDemo(temporary.path, "--server");
  const { code, stderr } = await demo.finished;
  assertEquals([code, stderr.trim().split("\n").length], [2, 1]);
  assertStringIncludes(stderr, "--serve=ADDRESS");
});
