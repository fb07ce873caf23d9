/**
 * Writes docs/cli.md from the table of commands. With `--out=DIR` it writes the man pages (DIR/man/man1) and the
 * completions (DIR/completions) of a release there instead.
 *
 * @module
 */
import { loadCommands } from "../lib/cli/commands.ts";
import { RELEASE_DATE, VERSION } from "../lib/cli/console/version.ts";
import { formatCompletion, SHELLS } from "../lib/cli/manual/completion.ts";
import { formatManPages } from "../lib/cli/manual/man_page.ts";
import { formatReferencePage } from "../lib/cli/manual/reference_page.ts";

const commands = await loadCommands();
const [argument, ...others] = Deno.args;
const out = /^--out=(.+)$/.exec(argument ?? "")?.[1];
if (others.length > 0 || argument !== undefined && out === undefined) {
  console.error("usage: manual.ts [--out=DIR]");
  Deno.exit(2);
}
if (out === undefined) {
  await Deno.writeTextFile(new URL("../docs/cli.md", import.meta.url), formatReferencePage(commands));
} else {
  await Deno.mkdir(`${out}/man/man1`, { recursive: true });
  for (const { file, text } of formatManPages(commands, { version: VERSION, day: RELEASE_DATE })) {
    await Deno.writeTextFile(`${out}/man/man1/${file}`, text);
  }
  await Deno.mkdir(`${out}/completions`, { recursive: true });
  // The names under which each shell looks for them.
  const names = { bash: "crpe", zsh: "_crpe", fish: "crpe.fish" };
  for (const shell of SHELLS) {
    await Deno.writeTextFile(`${out}/completions/${names[shell]}`, formatCompletion(shell, commands));
  }
}
