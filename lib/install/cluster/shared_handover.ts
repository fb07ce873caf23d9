import { packageIdOf } from "../../kubepkg/package_id.ts";
import { digestOfIdentity } from "../../kubepkg/version.ts";
import { byForce, cannot, CorruptError, CrpeError, RefusedError } from "../../oci/error.ts";
import type { FolderHandover } from "../handover/folder_handover.ts";
import type { Handover, HandoverPlan, HandoverRequest, HandoverResult } from "../handover/handover.ts";
import type { HandoverPlace, SharedMark } from "../handover/handover_records.ts";
import { baseNameOf } from "../handover/manifest_folder.ts";
import { ClusterUnreachableError } from "./cluster_api.ts";
import type { ClusterReleases } from "./cluster_releases.ts";
import { decideClaim } from "./decide_release.ts";
import { digestOfContent } from "./release_content.ts";
import type { ClusterRelease, SharedContent } from "./release_secret.ts";

/** Dependencies of a `SharedHandover`. */
export interface SharedHandoverOptions {
  readonly releases: Pick<ClusterReleases, "read" | "readContent" | "write">;
  /** Called when the cluster cannot be asked, so that the hand-over is this server's alone. */
  readonly onUnreachable?: (error: ClusterUnreachableError) => void;
}

interface ClusterState {
  readonly release: ClusterRelease | undefined;
  readonly content: SharedContent | undefined;
}

// Two servers that take turns end long before: each time one of them has written.
const MAX_CLAIMS = 8;

/**
 * A hand-over into the manifest folder of one of several servers. k3s applies the files of each server whenever it starts
 * there, so a server that missed an upgrade would bring the old release back. Before a file is written, the release becomes
 * the newest one in the cluster; the other servers then write the same file.
 *
 * If the cluster cannot be asked, packages are handed over as on a single server.
 */
export class SharedHandover implements Handover {
  readonly #folder: FolderHandover;
  readonly #options: SharedHandoverOptions;

  constructor(folder: FolderHandover, options: SharedHandoverOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  place(): Promise<HandoverPlace> {
    return this.#folder.place();
  }

  async prepare(): Promise<void> {
    await this.#folder.prepare();
  }

  async plan(request: HandoverRequest): Promise<HandoverPlan> {
    return (await this.#plan(request)).plan;
  }

  async isHandedOver(plan: HandoverPlan): Promise<boolean> {
    return await this.#folder.isHandedOver(plan);
  }

  async apply(plan: HandoverPlan): Promise<HandoverResult> {
    const result = await this.#folder.apply(plan);
    if (!plan.request.isRemoval) await removeOtherFiles(this.#folder, plan);
    return result;
  }

  async #plan(given: HandoverRequest): Promise<{ plan: HandoverPlan; state: ClusterState | undefined }> {
    const state = await this.#readState(given);
    const request = state === undefined ? given : await this.#withClusterState(given, state);
    const planned = await this.#folder.plan(request);
    const refusal = planned.refusal ?? (given.force ? undefined : refuse(planned, state));
    const plan = { ...planned, claim: () => this.#claim(given), refusal };
    return { plan, state };
  }

  // Each attempt plans again, because what the file must keep depends on the release that another server has handed over.
  async #claim(given: HandoverRequest): Promise<HandoverPlan> {
    const { isRemoval, force, before } = given;
    for (let claims = 0; claims < MAX_CLAIMS; claims++) {
      const { plan, state } = await this.#plan(given);
      if (plan.refusal !== undefined) throw plan.refusal;
      const done = (shared?: SharedMark): HandoverPlan => ({ ...plan, shared });
      if (state === undefined) return done();
      const { release } = state;
      if (isRemoval && release?.state === "removed") return done({ generation: release.generation });
      const content = contentOf(plan);
      const verdict = isRemoval ? "write" : decideClaim(describe(content), release, { shared: before?.shared, force });
      // The plan has refused already what is refused here.
      if (verdict === "adopt" && release !== undefined) return done({ generation: release.generation });
      const next = isRemoval ? removalOf(content, release) : content;
      try {
        const written = await this.#options.releases.write(next, release, before?.shared?.generation);
        if (written !== undefined) return done({ generation: written.generation });
      } catch (error) {
        if (!this.#isUnreachable(error)) throw error;
        return done();
      }
    }
    const { metadata: { name }, spec: { version } } = given.package;
    throw new CrpeError(
      cannot(`hand over ${name}@${version}`, "other servers keep changing it in the cluster", "run it again later"),
    );
  }

  async #readState({ package: kubepkg }: HandoverRequest): Promise<ClusterState | undefined> {
    const { releases } = this.#options;
    try {
      const release = await releases.read(packageIdOf(kubepkg));
      const isInstalled = release?.state === "installed";
      return { release, content: isInstalled ? await releases.readContent(release) : undefined };
    } catch (error) {
      if (this.#isUnreachable(error)) return undefined;
      // The bundle is not at fault.
      if (error instanceof CorruptError) throw new RefusedError(error, { cause: error });
      throw error;
    }
  }

  // What is in the cluster is what the last server handed over, not what this one did. Objects that are only in the newer
  // release, and hold data, would else be deleted by the next file.
  async #withClusterState(request: HandoverRequest, { release, content }: ClusterState): Promise<HandoverRequest> {
    const { before } = request;
    if (content === undefined || release?.generation === before?.shared?.generation) return request;
    const place = before?.place ?? await this.#folder.place().catch(() => undefined);
    if (place === undefined) return request;
    const { kubepkg, kept, revision, fileName } = content;
    return { ...request, before: { files: [], ...before, place, kubepkg, kept, revision }, fileName };
  }

  #isUnreachable(error: unknown): boolean {
    if (!(error instanceof ClusterUnreachableError)) return false;
    this.#options.onUnreachable?.(error);
    return true;
  }
}

/**
 * Creates a hand-over that writes the file of another server: the same bytes under the same name, and what was kept there.
 */
export function createFollowingHandover(
  folder: FolderHandover,
  release: ClusterRelease,
  { fileName, kept, revision }: SharedContent,
): Handover {
  return {
    place: () => folder.place(),
    prepare: () => folder.prepare(),
    plan: async (request) => {
      const plan = await folder.plan({ ...request, fileName, copy: { kept, revision } });
      const { before } = request;
      const isOwn = before?.kubepkg !== undefined && digestOfIdentity(before.kubepkg) === release.identity;
      const isSynced = isOwn ? before.shared?.isSynced : true;
      return { ...plan, shared: { generation: release.generation, ...(isSynced ? { isSynced } : {}) } };
    },
    isHandedOver: (plan) => folder.isHandedOver(plan),
    apply: async (plan) => {
      const result = await folder.apply(plan);
      await removeOtherFiles(folder, plan);
      return result;
    },
  };
}

function contentOf({ request, changes, revision, file }: HandoverPlan): SharedContent {
  return {
    kubepkg: request.package,
    kept: changes.kept.map(({ object }) => object.object),
    revision,
    fileName: baseNameOf(file!.path),
  };
}

function describe(content: SharedContent) {
  const { kubepkg } = content;
  return { version: kubepkg.spec.version, identity: digestOfIdentity(kubepkg), digest: digestOfContent(content) };
}

function removalOf({ kubepkg }: SharedContent, release: ClusterRelease | undefined) {
  const { version, identity } = release ?? { version: kubepkg.spec.version, identity: digestOfIdentity(kubepkg) };
  return { package: packageIdOf(kubepkg), version, identity };
}

function refuse(plan: HandoverPlan, state: ClusterState | undefined): RefusedError | undefined {
  const { request: { package: kubepkg, before, isRemoval } } = plan;
  const { metadata: { name }, spec: { version } } = kubepkg;
  if (isRemoval) {
    if (state !== undefined || before?.shared === undefined) return undefined;
    return new RefusedError(
      cannot(
        `remove ${name}`,
        "other servers of the cluster have it too, and the cluster cannot be asked from here",
        "run this where crpe reaches the cluster",
      ),
      byForce("--force removes it from this server alone"),
    );
  }
  const release = state?.release;
  const verdict = decideClaim(describe(contentOf(plan)), release, { shared: before?.shared, force: false });
  if (verdict !== "refuse") return undefined;
  const isOther = release!.version === version;
  return new RefusedError(
    cannot(
      `hand over ${name}@${version}`,
      `the cluster has ${release!.version}${isOther ? " with other content" : ""}, ` +
        `installed on server ${release!.node}, and this server missed it`,
      `import ${isOther ? "that" : `${release!.version} or a higher version`}`,
    ),
    byForce("--force replaces it"),
  );
}

// k3s would take a file of another name for an Addon of its own, with the same objects.
async function removeOtherFiles(folder: FolderHandover, { request: { before }, file }: HandoverPlan): Promise<void> {
  await folder.removeOwnFiles((before?.files ?? []).filter(({ path }) => path !== file!.path));
}
