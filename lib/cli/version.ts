import project from "../../deno.json" with { type: "json" };

/** The version of the program, a semantic version. */
export const VERSION: string = project.version;
