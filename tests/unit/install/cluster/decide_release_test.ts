import {
  type Candidate,
  decideClaim,
  decideSync,
  type OwnRelease,
  type SyncAction,
} from "../../../../lib/install/cluster/decide_release.ts";
import type { ClusterRelease } from "../../../../lib/install/cluster/release_secret.ts";
import type { SharedMark } from "../../../../lib/install/handover/handover_records.ts";
import { computeDigest, type Digest } from "../../../../lib/oci/digest.ts";
import { assertEquals } from "../../../support/assert.ts";

const identityOf = (version: string): Digest => computeDigest(version);

function own(version: string, shared?: SharedMark, isRemoving = false): OwnRelease {
  return { version, identity: identityOf(version), isRemoving, shared };
}

function release(version: string, generation: number, more: Partial<ClusterRelease> = {}): ClusterRelease {
  return {
    package: { namespace: "default", name: "web" },
    state: "installed",
    version: version.split("/")[0]!,
    identity: identityOf(version),
    generation,
    time: "2026-01-01T00:00:00.000Z",
    node: "a",
    content: { digest: computeDigest(`content of ${version}`), size: 1, parts: 1 },
    ...more,
  };
}
const removed = (version: string, generation: number) =>
  release(version, generation, { state: "removed", content: undefined });
const large = (version: string, generation: number) => release(version, generation, { content: undefined });

// What this server has, what the cluster has, and what is done.
const SYNC: readonly [criterion: string, OwnRelease | undefined, ClusterRelease | undefined, SyncAction][] = [
  ["neither has the package", undefined, undefined, "nothing"],
  ["a package that only others installed is written here too", undefined, release("1.0.0", 1), "write file"],
  ["a package that others removed does not come back", undefined, removed("1.0.0", 2), "nothing"],
  ["a large package that only others installed cannot be written", undefined, large("1.0.0", 1), "nothing"],
  ["the first server reports its release", own("1.0.0"), undefined, "publish"],
  ["a cluster that lost its record gets it again", own("1.0.0", { generation: 4 }), undefined, "publish"],
  ["equal and compared before", own("1.0.0", { generation: 1 }), release("1.0.0", 1), "nothing"],
  ["equal, never compared: the file becomes equal byte for byte", own("1.0.0"), release("1.0.0", 1), "write file"],
  ["equal, too large to copy", own("1.0.0"), large("1.0.0", 1), "adopt"],
  ["equal, and kept objects changed elsewhere", own("1.0.0", { generation: 1 }), release("1.0.0", 2), "write file"],
  ["an upgrade elsewhere", own("1.0.0", { generation: 1 }), release("1.2.0", 2), "write file"],
  ["a forced downgrade elsewhere", own("1.2.0", { generation: 2 }), release("1.0.0", 3), "write file"],
  ["an upgrade elsewhere that is too large", own("1.0.0", { generation: 1 }), large("1.2.0", 2), "set aside"],
  ["… and was set aside before", own("1.0.0", { generation: 2, isSetAside: true }), large("1.2.0", 2), "nothing"],
  ["… and has a small successor", own("1.0.0", { generation: 2, isSetAside: true }), release("1.3.0", 3), "write file"],
  ["a removal elsewhere", own("1.0.0", { generation: 1 }), removed("1.0.0", 2), "remove file"],
  ["a removal elsewhere, never compared", own("1.0.0"), removed("1.0.0", 2), "remove file"],
  ["a higher version that was never compared, after a removal", own("2.0.0"), removed("1.0.0", 2), "publish"],
  ["never compared: the higher version counts", own("1.2.0"), release("1.0.0", 1), "publish"],
  ["never compared: the lower version follows", own("1.0.0"), release("1.2.0", 1), "write file"],
  ["never compared, the same version with other content", own("1.0.0"), release("1.0.0/b", 1), "write file"],
  [
    "changed here while the cluster was away, also to a lower version",
    own("1.0.0", { generation: 3, isUnpublished: true }),
    release("1.2.0", 3),
    "publish",
  ],
  [
    "changed on both sides, higher here",
    own("1.3.0", { generation: 3, isUnpublished: true }),
    release("1.2.0", 4),
    "publish",
  ],
  [
    "changed on both sides, higher elsewhere",
    own("1.1.0", { generation: 3, isUnpublished: true }),
    release("1.2.0", 4),
    "write file",
  ],
  ["another cluster, with a higher version", own("1.0.0", { generation: 7 }), release("1.2.0", 1), "write file"],
  ["another cluster, with a lower version", own("1.2.0", { generation: 7 }), release("1.0.0", 1), "publish"],
  ["its own removal is known", own("1.0.0", { generation: 1 }, true), removed("1.0.0", 2), "nothing"],
  ["its own removal is not known", own("1.0.0", { generation: 1 }, true), release("1.0.0", 1), "publish removal"],
  [
    "installed elsewhere after its own removal",
    own("1.0.0", { generation: 1 }, true),
    release("1.1.0", 3),
    "write file",
  ],
];
for (const [criterion, mine, theirs, action] of SYNC) {
  Deno.test(`decideSync() of ${criterion}: ${action}`, () => assertEquals(decideSync(mine, theirs), action));
}

const candidate = (version: string): Candidate => ({
  version: version.split("/")[0]!,
  identity: identityOf(version),
  digest: computeDigest(`content of ${version}`),
});

const CLAIMS: readonly [
  criterion: string,
  version: string,
  ClusterRelease | undefined,
  SharedMark | undefined,
  expected: ReturnType<typeof decideClaim>,
  forced: ReturnType<typeof decideClaim>,
][] = [
  ["the first release", "1.0.0", undefined, undefined, "write", "write"],
  ["a release after a removal", "1.0.0", removed("2.0.0", 2), undefined, "write", "write"],
  ["the cluster's own release", "1.0.0", release("1.0.0", 1), undefined, "adopt", "adopt"],
  [
    "an upgrade of a release that this server missed",
    "1.3.0",
    release("1.2.0", 2),
    { generation: 1 },
    "write",
    "write",
  ],
  [
    "a lower version than one that this server missed",
    "1.1.0",
    release("1.2.0", 2),
    { generation: 1 },
    "refuse",
    "write",
  ],
  ["a lower version, never compared", "1.1.0", release("1.2.0", 2), undefined, "refuse", "write"],
  ["the same version with other content", "1.2.0/b", release("1.2.0", 2), undefined, "refuse", "write"],
  ["a rollback of what this server installed", "1.1.0", release("1.2.0", 2), { generation: 2 }, "write", "write"],
  [
    "a lower version than one that was taken over from another server",
    "1.1.0",
    release("1.2.0", 2),
    { generation: 2, isSynced: true },
    "refuse",
    "write",
  ],
];
for (const [criterion, version, theirs, shared, expected, forced] of CLAIMS) {
  Deno.test(`decideClaim() of ${criterion}: ${expected}, by force: ${forced}`, () => {
    const decide = (force: boolean) => decideClaim(candidate(version), theirs, { shared, force });
    assertEquals([decide(false), decide(true)], [expected, forced]);
  });
}

Deno.test("decideClaim() writes the same release again when what its file keeps has changed", () => {
  const changed = { ...candidate("1.0.0"), digest: computeDigest("other kept objects") };
  assertEquals(decideClaim(changed, release("1.0.0", 1), { shared: undefined, force: false }), "write");
});
