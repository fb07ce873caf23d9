import { loadCommands } from "../../../../lib/cli/commands.ts";
import { formatCompletion, type Shell } from "../../../../lib/cli/manual/completion.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { peerTest, runPeer } from "../../../support/peers.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const COMMANDS = await loadCommands();

/** Command lines whose last word is completed, and some of the words that it may become. */
const LINES: readonly [line: string, includes: string[], excludes: string[]][] = [
  ["crpe ", ["registry", "pull", "packages", "completion"], ["--data"]],
  ["crpe pac", ["pack", "packages"], ["pull"]],
  ["crpe pull --p", ["--platform"], ["--split", "pull"]],
  ["crpe packages ", ["history", "rollback"], ["registry"]],
  ["crpe packages history --j", ["--json"], ["--wait"]],
  ["crpe packages --data x remove --for", ["--force", "--forget"], []],
  ["crpe mirror-config ", ["k3s", "docker"], []],
  ["crpe registry --log-format j", ["json"], ["text"]],
  ["crpe import a", ["a.tgz"], ["b"]],
  ["crpe registry --data b", ["b"], ["a.tgz"]],
];

const HOW: Readonly<Partial<Record<Shell, (script: string, line: string) => string[]>>> = {
  bash: (script, line) => {
    const words = line.split(" ").map((word) => `'${word}'`).join(" ");
    const count = line.split(" ").length - 1;
    return [
      "-c",
      `source ${script}; COMP_WORDS=(${words}) COMP_CWORD=${count}; _crpe; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ];
  },
  fish: (script, line) => ["-N", "-c", `source ${script}; complete -C '${line}'`],
};

for (const [shell, argsOf] of Object.entries(HOW)) {
  for (const [line, includes, excludes] of LINES) {
    peerTest(`the completion for ${shell} completes: ${line}`, [shell as "bash" | "fish"], async () => {
      await using folder = await TestFolder.create();
      await folder.write("a.tgz", "");
      await Deno.mkdir(`${folder.path}/b`);
      const script = await folder.write("completion", formatCompletion(shell as Shell, COMMANDS));
      const { stdout, stderr } = await runPeer(shell as "bash", argsOf(script, line), {
        cwd: folder.path,
        env: { HOME: folder.path },
      });
      const found = stdout.split("\n").map((row) => row.split("\t")[0]!.replace(/\/$/, ""));
      assertEquals(stderr, "");
      assertEquals(includes.filter((word) => !found.includes(word)), [], stdout);
      assertEquals(excludes.filter((word) => found.includes(word)), [], stdout);
    });
  }
}

peerTest("the completion for zsh loads, and knows the flags of each command", ["zsh"], async () => {
  await using folder = await TestFolder.create();
  const script = await folder.write("_crpe", formatCompletion("zsh", COMMANDS));
  // Prints what is given to _arguments, which only works while a line is edited.
  const probe = `autoload -U compinit; compinit -u -D; source ${script}; ` +
    `_arguments() { print -rl -- "$@" }; _crpe_packages_history; _crpe_pack`;
  const { code, stdout, stderr } = await runPeer("zsh", ["-f", "-c", probe], { env: { HOME: folder.path } });
  assertEquals([code, stderr], [0, ""]);
  assertStringIncludes(stdout, "--data=[");
  assertStringIncludes(stdout, "--split=[");
  assertStringIncludes(stdout, "-o+[");
});

Deno.test("the completions name every command", () => {
  for (const shell of ["bash", "zsh", "fish"] as const) {
    const text = formatCompletion(shell, COMMANDS);
    for (const { name } of COMMANDS) assert(text.includes(name), `${shell}: ${name}`);
  }
});
