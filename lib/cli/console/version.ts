import project from "../../../deno.json" with { type: "json" };

/** The version of the program, a semantic version. */
export const VERSION: string = project.version;

/** The UTC day of this release, written by `scripts/release`. A clock that shows an earlier day is wrong. */
export const RELEASE_DATE = "2026-09-01";

/** The oldest Deno that runs crpe from its sources; CI checks and runs it with this one. Older ones do not have `FsFile.tryLock`. */
export const OLDEST_DENO = "2.7.1";
