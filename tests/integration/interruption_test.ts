import { loadCommands } from "../../lib/cli/commands.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { crpeCommand, spawnCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeLargeLayer } from "../support/large_blob.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const COMMANDS = await loadCommands();

const lineOf = (command: string) =>
  `crpe: interrupted; ${COMMANDS.find(({ name }) => name === command)?.interrupted}\n`;

Deno.test("a pull, and a list of tags, that are interrupted with ctrl-C say in one line what stays", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  upstream.addImage("team/app", "1", [new Uint8Array(1000)]);
  const silence = Promise.withResolvers<void>();
  upstream.fail({ hold: silence.promise });
  for (const args of [["pull", "registry.test/team/app:1"], ["tags", "registry.test/team/app"]]) {
    upstream.requests.length = 0;
    const flags = [`--data=${folder.path}/data`, `--upstream=registry.test=${upstream.url}`];
    await using crpe = spawnCrpe([...args, ...flags], { env: { HOME: folder.path } });
    while (upstream.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    crpe.kill("SIGINT");
    const { code, stderr } = await crpe.finished;
    assertEquals([code, stderr], [130, lineOf(args[0]!)]);
  }
  silence.resolve();
});

peerTest(
  "a command that is interrupted with ctrl-C while it reads a file says in one line what stays",
  ["mkfifo"],
  async () => {
    await using folder = await TestFolder.create();
    const pipe = `${folder.path}/images.tar`;
    assertEquals((await new Deno.Command("mkfifo", { args: [pipe] }).output()).code, 0);
    for (const command of ["load", "import", "inspect", "verify", "manifests"]) {
      const data = command === "inspect" ? [] : [`--data=${folder.path}/data`];
      await using crpe = spawnCrpe([command, pipe, ...data], { env: { HOME: folder.path } });
      // Opens when crpe has opened its end.
      using _writer = await Deno.open(pipe, { write: true });
      crpe.kill("SIGINT");
      const { code, stderr } = await crpe.finished;
      assertEquals([code, stderr], [130, lineOf(command)], command);
    }
  },
);

peerTest("a save that is interrupted with ctrl-C leaves no file", ["strace"], async () => {
  await using fixture = await createPackFixture({
    "registry.test/large:1": buildImage({ largeLayer: makeLargeLayer(64 * 1024 * 1024) }),
  });
  const { folder, processOptions } = fixture;
  const [partial, trace] = [`${folder.path}/out/.a.tar.partial`, `${folder.path}/trace`];
  // The first write to the file stops crpe, so that the signal comes in the middle. The tracer is not its parent, so that
  // the process is crpe.
  const within = ["strace", "-D", "-f", "-o", trace, "-P", partial, "-e", "trace=write"]
    .concat("-e", "inject=write:signal=STOP:when=1");
  const args = ["save", "registry.test/large:1", "-o", "out/a.tar", "--data=source"];
  await using crpe = spawnCrpe(args, { ...processOptions, within });
  while (!(await Deno.readTextFile(trace).catch(() => "")).includes("stopped by SIGSTOP")) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertEquals(await folder.listFiles("out"), [".a.tar.partial"]);
  crpe.kill("SIGINT");
  // Each thread is stopped at its first write.
  const waking = setInterval(() => {
    try {
      crpe.kill("SIGCONT");
    } catch {
      // It has ended.
    }
  }, 20);
  const { code, stderr } = await crpe.finished.finally(() => clearInterval(waking));
  assertEquals([code, stderr], [130, lineOf("save")]);
  assertEquals(await folder.listFiles("out"), []);
});

for (const term of ["xterm", "dumb"]) {
  peerTest(`ctrl-C on a terminal (${term}) is answered on a line of its own`, ["script"], async () => {
    await using folder = await TestFolder.create();
    await using upstream = startFaultUpstream();
    upstream.addImage("team/app", "1", [new Uint8Array(1000)]);
    const silence = Promise.withResolvers<void>();
    upstream.fail({ hold: silence.promise });
    const commands: [command: string, last: RegExp][] = [
      [
        `pull registry.test/team/app:1 --upstream=registry.test=${upstream.url}`,
        /\ncrpe: interrupted; what was received is kept; run the same command again to resume\n$/,
      ],
      ["registry --offline --addr=127.0.0.1:0", /\n\S+ crpe registry is stopping; [^\n]*\n$/],
    ];
    for (const [command, last] of commands) {
      upstream.requests.length = 0;
      const words = [...crpeCommand(), ...command.split(" "), `--data=${folder.path}/data`];
      const script = new Deno.Command("script", {
        args: ["-q", "-e", "-c", words.map((it) => `'${it}'`).join(" "), "/dev/null"],
        env: { HOME: folder.path, TERM: term, NO_COLOR: "1" },
        stdin: "piped",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      const keyboard = script.stdin.getWriter();
      let screen = "";
      const reading = script.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
        new WritableStream({ write: (text) => void (screen += text) }),
      );
      while (upstream.requests.length === 0 && !screen.includes("http://127.0.0.1")) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await keyboard.write(new Uint8Array([3]));
      await script.status;
      await keyboard.close().catch(() => {});
      await reading;
      assert(last.test(screen.replaceAll("\r", "")), JSON.stringify(screen));
    }
    silence.resolve();
  });
}
