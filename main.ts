import { createProcessIo } from "./lib/cli/console/io.ts";
import { run } from "./lib/cli/run.ts";

if (import.meta.main) Deno.exit(await run(Deno.args, createProcessIo()));
