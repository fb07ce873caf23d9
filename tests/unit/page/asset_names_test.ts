import { assertEquals } from "../../support/assert.ts";

const ASSETS = new URL("../../../lib/page/assets", import.meta.url).pathname;
// What a browser has beside the globals of the language that Deno's linter knows.
const OF_BROWSERS = ["document", "history", "scrollTo", "XMLHttpRequest"];

// A name that is used without its import breaks a screen only when a browser shows it.
Deno.test("the page's modules use no name that they neither import nor declare", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["lint", "--no-config", "--json", "--rules-tags=", "--rules-include=no-undef", ASSETS],
  }).output();
  const { diagnostics, errors } = JSON.parse(new TextDecoder().decode(stdout));
  const names = diagnostics.map(({ message, filename }: { message: string; filename: string }) =>
    `${message.replace(/ is not defined$/, "")} in ${filename.split("/").at(-1)}`
  );
  assertEquals(errors, []);
  assertEquals(names.filter((text: string) => !OF_BROWSERS.includes(text.split(" ", 1)[0]!)), []);
});
