import type { HandoverRequest } from "../../../../lib/install/handover/handover.ts";
import type { KubePkg } from "../../../../lib/kubepkg/kubepkg.ts";

/** Makes the request to hand a package over, by default the first one, beside no other packages. */
export function makeRequest(kubepkg: KubePkg, given: Partial<HandoverRequest> = {}): HandoverRequest {
  return {
    package: kubepkg,
    isRemoval: false,
    before: undefined,
    others: [],
    areOthersKnown: true,
    takenFiles: new Set(),
    force: false,
    pruneData: false,
    ...given,
  };
}
