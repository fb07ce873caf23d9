import project from "../../../deno.json" with { type: "json" };

/** The version of the program, a semantic version. */
export const VERSION: string = project.version;

/** A day, by UTC, on which this release was not made yet: a clock that says an earlier one is wrong. */
export const RELEASE_DATE = "2026-09-01";
