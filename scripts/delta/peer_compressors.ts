import { command, type Compressor } from "./real_compressors.ts";

/** The arguments of the programs that `scripts/peers/delta` builds, by the start of their names. */
const ARGUMENTS: readonly [program: string, ...string[]][] = [
  ["go-", "go", "-1", "32768"],
  ["go-", "go", "1", "32768"],
  ["go-", "go", "1", "1000"],
  ["klauspost-", "pgzip", "-1", "32768"],
  ["klauspost-", "pgzip", "-1", "1000"],
  ["klauspost-", "klauspost", "-1", "32768"],
  ["klauspost-", "klauspost", "-1", "70000"],
  ["klauspost-", "klauspost", "6", "32768"],
];

/** Finds the compressors in a folder of `scripts/peers/delta`. */
export async function findPeers(folder: string): Promise<Compressor[]> {
  const programs: string[] = [];
  for await (const { name } of Deno.readDir(folder)) programs.push(name);
  programs.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return programs.flatMap((program) =>
    ARGUMENTS.filter(([start]) => program.startsWith(start)).map(([_, ...args]) =>
      command(`${folder}/${program}`, args, `${program}: ${args.join(" ")}`)
    )
  );
}
