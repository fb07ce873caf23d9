import { run } from "../../../lib/cli/run.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { createTestIo } from "../../support/test_io.ts";

// Every row fails at its arguments, after the rights were chosen.
const ROWS: readonly [args: readonly string[], keepsKubectl: boolean][] = [
  [["registry", "--log-format=x"], false],
  [["agent", "--node-id=;"], false],
  [["agent", "--node-id=;", "--kubectl"], true],
  [["agent", "--node-id=;", "--manifests-dir=/nonexistent"], true],
  [["import", "/nonexistent.tgz"], false],
  [["import", "/nonexistent.tgz", "--kubectl", "--manifests-dir=/nonexistent"], true],
  [["push", "/nonexistent.tgz", "--to=:"], false],
  [["pack", "/nonexistent.json"], false],
  [["pull", "registry.test/app:1", "--offline"], false],
  [["verify", "/nonexistent.tgz"], false],
  [["gc", "--pending-ttl=x"], false],
  [["packages", "remove", "line4"], true],
  [["packages", "rollback", "line4"], true],
  [["packages", "status", "line4"], true],
  [["packages", "history", "line4"], false],
];
for (const [args, keepsKubectl] of ROWS) {
  Deno.test(`crpe ${args.join(" ")} ${keepsKubectl ? "may run kubectl" : "can start no program"}`, async () => {
    await using folder = await TestFolder.create();
    const io = createTestIo({ env: { HOME: folder.path } });
    const status = await run(args, io);
    assertEquals([status === 0, io.deniesPrograms], [false, !keepsKubectl], io.errText);
  });
}

Deno.test("Io.denyPrograms() takes the right to start kubectl from the process", async () => {
  const io = new URL("../../../lib/cli/console/io.ts", import.meta.url);
  const script = `
    const { createProcessIo } = await import(${JSON.stringify(io.href)});
    const state = async () => (await Deno.permissions.query({ name: "run", command: "kubectl" })).state;
    const before = await state();
    await createProcessIo().denyPrograms();
    console.log(before, await state());
    try { new Deno.Command("kubectl").spawn(); } catch (error) { console.log(error.name); }`;
  await using folder = await TestFolder.create();
  const path = await folder.write("script.ts", script);
  // The runtime grants nothing for a program that it does not find.
  await Deno.chmod(await folder.write("kubectl", "#!/bin/sh\n"), 0o755);
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "--allow-run=kubectl", "--allow-read", path],
    env: { PATH: folder.path },
  });
  assertEquals(new TextDecoder().decode((await command.output()).stdout), "granted prompt\nNotCapable\n");
});
