import { formatSummary } from "../../../../lib/cli/commands/import_summary.ts";
import type { InstallResult } from "../../../../lib/install/install_result.ts";
import { byForce, cannot, CorruptError, CrpeError, RefusedError } from "../../../../lib/oci/error.ts";
import { assertEquals } from "../../../support/assert.ts";
import { readKubePkg } from "../../../support/read_kubepkg.ts";
import { createTestIo } from "../../../support/test_io.ts";

const KUBEPKG = readKubePkg(
  new TextEncoder().encode(
    JSON.stringify({
      apiVersion: "octohelm.tech/v1alpha1",
      kind: "KubePkg",
      metadata: { name: "line4", namespace: "shop" },
      spec: { version: "1.0.0", manifests: {} },
    }),
  ),
);

function refused(refusal: CrpeError): InstallResult {
  return {
    plan: {
      name: "line4",
      namespace: "shop",
      version: "1.0.0",
      verdict: "install",
      isRepair: false,
      images: [],
      refusal,
      blobs: { toWrite: 0, bytesToWrite: 0, held: 0, inOtherParts: 0, missing: [] },
      manifests: { added: [], changed: [], removed: [], kept: [] },
      trust: { state: "unsigned", keys: [] },
    },
    isImported: false,
    images: [],
    blobs: { written: 0, skipped: 0, bytesWritten: 0 },
    kubepkg: KUBEPKG,
  };
}

const rows: [what: string, refusal: CrpeError, line: string][] = [
  [
    "the reason alone where the action names the release",
    new RefusedError(cannot("import shop/line4@1.0.0", "1.1.0 is installed"), byForce("--force allows it")),
    "1.1.0 is installed; --force allows it",
  ],
  [
    "the advice behind the reason",
    new RefusedError(cannot("hand over line4@1.0.0, nothing was changed", "a conflict: .data.a", "take it over")),
    "a conflict: .data.a; take it over",
  ],
  [
    "a reason with a colon whole",
    new CorruptError(cannot("accept line4@1.0.0", "Cannot is its first word: it stays")),
    "Cannot is its first word: it stays",
  ],
  [
    "any other action as a clause",
    new CrpeError(cannot("write manifests into /srv/a: b", "permission denied", "nothing was changed")),
    "cannot write manifests into /srv/a: b: permission denied; nothing was changed",
  ],
  ["a reason without an action", new CrpeError("kubectl is missing"), "kubectl is missing"],
];
for (const [what, refusal, expected] of rows) {
  Deno.test(`the summary of a dry run that would be refused has ${what}`, () => {
    const [line] = formatSummary(refused(refusal), true, createTestIo()).split("\n");
    assertEquals(line, `would refuse shop/line4@1.0.0: ${expected}`);
  });
}
