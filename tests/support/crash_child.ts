// The process that crash_test.ts kills: crash_child.ts WORK ROOT BUNDLES KILL-AT before|half
// Prints its file operations as JSON if it is not killed.
import { type CrashWork, doWork } from "./crash_work.ts";
import { WatchedFiles } from "./watched_files.ts";

const [work, root = "", bundles = "", killAt, mode] = Deno.args;
const watched = new WatchedFiles({ folder: root, killAt: Number(killAt), isHalfWritten: mode === "half" });
await doWork(work as CrashWork, { root, bundles }, (what) => watched.report(what));
console.log(JSON.stringify(watched.operations));
