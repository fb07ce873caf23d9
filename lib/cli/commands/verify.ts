import { verifyBundle } from "../../bundle/verify_bundle.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS, UPSTREAM_FLAGS } from "../command_line/flags.ts";
import type { Io } from "../console/io.ts";
import { baseName, createProgress, type Progress } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { nameOfBundle, openBundle } from "../wiring/open_bundle.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** `crpe verify` */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing is left half repaired; run the same command again to begin anew",
  details: [
    "The exit status is 4 if something is broken. --repair moves corrupt blobs to the folder quarantine/, fetches them",
    "from their upstream or from the bundles given with --from, and rebuilds links and records. Without it nothing is",
    "changed.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    { name: "repair", summary: "move corrupt content and records aside; fetch, or rebuild them" },
    {
      name: "from",
      value: "PKG.tgz",
      isRepeatable: true,
      summary: "a bundle to take missing content from (with --repair)",
    },
    ...UPSTREAM_FLAGS,
    FLAG.json,
  ],
  examples: [
    ["crpe verify line4@1.0.0.tgz", "hash a bundle again"],
    ["crpe verify --repair --from line4@1.0.0.tgz", "heal the store from a bundle"],
  ],
  run: runVerify,
};

const CORRUPT = 4;

async function runVerify(invocation: Invocation, io: Io): Promise<number> {
  const [bundle] = invocation.arguments;
  const progress = createProgress(io, "verify", {
    quiet: invocation.isSet("quiet"),
    item: bundle === undefined ? undefined : baseName(bundle),
  });
  if (bundle === undefined) return await (await import("./verify_store.ts")).verifyData(invocation, io, progress);
  if (invocation.isSet("repair")) {
    throw new UsageError(
      cannot(`repair ${bundle}`, "only a store can be repaired", `crpe verify --repair --from ${bundle}`),
    );
  }
  return await verifyFile(invocation, io, { bundle, progress });
}

async function verifyFile(
  invocation: Invocation,
  io: Io,
  { bundle, progress }: { bundle: string; progress: Progress },
): Promise<number> {
  const report = await verifyBundle(await openBundle(bundle, io), {
    what: nameOfBundle(bundle),
    onProgress: ({ bytes, total }) => progress.update(bytes, total),
  }).finally(() => progress.finish());
  const { packages, blobs, problems } = report;
  if (invocation.isSet("json")) {
    const [only, ...others] = packages;
    io.out(formatJson({ ...(others.length === 0 ? only : { packages }), blobs, problems }));
  } else {
    for (const { message, images = [] } of problems) {
      io.out(`${message}${images.length === 0 ? "" : `; needed by ${images.join(", ")}`}\n`);
    }
    const names = packages.map(({ name, version }) => `${name}@${version}`).join(", ");
    io.out(
      `${names}: ${formatCount(blobs.count, "blob")}, ${formatSize(blobs.size)}: ${countBroken(problems.length)}\n`,
    );
  }
  return problems.length === 0 ? 0 : CORRUPT;
}

function countBroken(count: number): string {
  return count === 0 ? "no errors found" : `${count} broken`;
}
