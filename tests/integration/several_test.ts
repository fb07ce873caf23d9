import { listCommands } from "../../lib/cli/manual/list_commands.ts";
import { loadCommands } from "../../lib/cli/commands.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const COMMANDS = await loadCommands();

const IMAGES = {
  "registry.test/a:1": buildImage({ files: { "a.txt": "a" } }),
  "registry.test/b:1": buildImage({ files: { "b.txt": "b" } }),
};
const [A, B] = Object.keys(IMAGES) as [string, string];
const MISSING = "registry.test/missing:1";
const DATA = "--data=source";

/** Each command that takes several items: with a good one, a bad one and a good one, in the order in which they can run. */
const ROWS: readonly (readonly [command: string, items: readonly string[], flags: readonly string[]])[] = [
  ["sign", ["a.tgz", "none.tgz", "b.tgz"], ["--key=desk"]],
  ["pull", [A, MISSING, B], [DATA, "--offline"]],
  ["load", ["a.tar", "none.tar", "b.tar"], ["--data=loaded"]],
  ["import", ["a.tgz", "none.tgz", "b.tgz"], ["--data=site"]],
  ["push", ["a.tgz", "none.tgz", "b.tgz"], ["AGENT"]],
  ["images pin", [A, B], [DATA]],
  ["images unpin", [A, MISSING, B], [DATA]],
  ["images rm", [A, MISSING, B], [DATA]],
  ["outbox rm", ["a@1.0.0", "none@1.0.0", "b@1.0.0"], [DATA]],
];
// `save` writes one archive, or none; `nodes` names what does not answer; `copy` needs another registry.
const OTHERS = ["save", "nodes", "copy"];

Deno.test("every command that takes several items goes on after a bad one, names it, and prints one array", async () => {
  const several = listCommands(COMMANDS).filter(({ command }) => command.operands.includes("…")).map(({ name }) =>
    name
  );
  const known = [...ROWS.map(([command]) => command), ...OTHERS];
  assertEquals(several.filter((name) => !known.includes(name)), []);
  await using fixture = await createPackFixture(IMAGES);
  for (const [name, image] of [["a", A], ["b", B]] as const) {
    assertEquals((await fixture.pack(makeKubePkg({ [image]: "" }, { name }), name)).code, 0);
    assertEquals((await fixture.crpe("save", image, "-o", `${name}.tar`, DATA)).code, 0);
    assertEquals((await fixture.crpe("pack", `${name}.json`, "--outbox", DATA, "--offline")).code, 0);
  }
  assertEquals((await fixture.crpe("keygen", "desk")).code, 0);
  await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=agent"], fixture.processOptions);
  const toAgent = [`--to=${agent.url}`, "--token-file=agent/kubepkg/.token"];
  for (const [command, items, flags] of ROWS) {
    const args = flags.flatMap((flag) => flag === "AGENT" ? toAgent : [flag]);
    const { code, stdout, stderr } = await fixture.crpe(...command.split(" "), ...items, ...args, "--json", "--quiet");
    const isBad = (item: string) => item === MISSING || item.startsWith("none");
    const bad = items.filter(isBad);
    const results = JSON.parse(stdout) as { item?: string; error?: string }[];
    assertEquals([command, code, results.map(({ item, error }) => error === undefined ? undefined : item)], [
      command,
      bad.length === 0 ? 0 : 1,
      items.map((item) => isBad(item) ? item : undefined),
    ], stderr);
    if (bad.length > 0) assertStringIncludes(stderr, `crpe: 1 of 3 failed: ${bad[0]}\n`);
  }
});

Deno.test("crpe save names every image that is missing, and writes nothing then", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const { code, stdout, stderr } = await fixture.crpe("save", A, MISSING, B, "other", "-o", "all.tar", DATA, "--json");
  assertEquals([code, stdout, (await fixture.folder.listFiles("")).includes("all.tar")], [1, "", false]);
  assertStringIncludes(stderr, `Cannot save ${MISSING}: it is not in the store`);
  assertStringIncludes(
    stderr,
    `crpe: 2 of 4 failed: ${MISSING}, other\ncrpe: all.tar was not written, because it would lack them\n`,
  );
});
