// Runs crpe as on a release of Deno that cannot serve a single connection.
delete (Deno as { internal?: symbol }).internal;
const { createProcessIo } = await import("../../lib/cli/console/io.ts");
const { run } = await import("../../lib/cli/run.ts");
Deno.exit(await run(Deno.args, createProcessIo()));
