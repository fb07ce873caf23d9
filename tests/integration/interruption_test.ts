import { assertEquals } from "../support/assert.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { spawnCrpe } from "../support/crpe_process.ts";
import { TestFolder } from "../support/test_folder.ts";

Deno.test("a pull that is interrupted with ctrl-C says in one line what stays and how to resume", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  upstream.addImage("team/app", "1", [new Uint8Array(1000)]);
  const silence = Promise.withResolvers<void>();
  upstream.fail({ hold: silence.promise });
  await using crpe = spawnCrpe([
    ...["pull", "registry.test/team/app:1", `--data=${folder.path}/data`],
    `--upstream=registry.test=${upstream.url}`,
  ], { env: { HOME: folder.path } });
  while (upstream.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  crpe.kill("SIGINT");
  const { code, stderr } = await crpe.finished;
  silence.resolve();
  assertEquals([code, stderr], [
    130,
    "crpe: interrupted; what was received is kept; run the same command again to resume\n",
  ]);
});

Deno.test("a load that is interrupted with ctrl-C says in one line what stays and how to resume", async () => {
  await using folder = await TestFolder.create();
  const pipe = `${folder.path}/images.tar`;
  assertEquals((await new Deno.Command("mkfifo", { args: [pipe] }).output()).code, 0);
  await using crpe = spawnCrpe(["load", pipe, `--data=${folder.path}/data`], { env: { HOME: folder.path } });
  // Opens when crpe has opened its end.
  using _writer = await Deno.open(pipe, { write: true });
  crpe.kill("SIGINT");
  const { code, stderr } = await crpe.finished;
  assertEquals([code, stderr], [
    130,
    "crpe: interrupted; content that was stored is kept; run the same command again to load the rest\n",
  ]);
});
