import type { ContentStore } from "../content/source.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { identityOf } from "../kubepkg/version.ts";
import { RefusedError } from "../oci/error.ts";
import { handOverPackage } from "./hand_over_package.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover/handover.ts";
import { readInstalledImages, writeImages } from "./package_images.ts";
import type { PackageRecords } from "./package_records.ts";

/** What a package is rolled back with. */
export interface RollbackOptions {
  readonly store: ContentStore;
  readonly records: PackageRecords;
  /** The version to go back to; without it, what was installed before. */
  readonly to?: string | undefined;
  /** How the manifests get into the cluster, by where they were handed over to; `undefined`: not at all. */
  readonly openHandover: (recorded: HandoverPlace | undefined) => Handover | undefined;
}

/** What a rollback did. */
export interface RollbackResult {
  readonly name: string;
  /** What was installed, and is kept. */
  readonly from: string;
  /** What is installed now. */
  readonly to: string;
  /** False: that is what was installed. */
  readonly isChanged: boolean;
  readonly handedOver?: HandoverResult;
}

/**
 * Installs a version of a package again that was installed before, from what the store has of it: manifests, tags,
 * hand-over, record, in this order, as an installation does. What was installed goes into the history.
 *
 * @throws {RefusedError} when there is no such version
 * @throws {IncompleteError} when content of it is lacking: before anything is changed
 */
export async function rollBackPackage(name: string, options: RollbackOptions): Promise<RollbackResult> {
  const { store, records, to } = options;
  using _lock = await records.lock();
  const installed = await records.read(name);
  if (installed === undefined) throw new Error(`Cannot roll ${name} back: it is not installed`);
  const from = installed.spec.version;
  const target = chooseVersion(installed, await records.listHistory(name), to);
  if (target === installed) return { name, from, to: from, isChanged: false };
  const version = target.spec.version;
  const graphs = await readInstalledImages(store, target, `roll ${name} back to ${version}`);
  const handover = options.openHandover((await records.handovers.read(name))?.place);
  await handover?.prepare();
  await writeImages(store, graphs);
  const handedOver = handover === undefined ? undefined : await handOverPackage(handover, records, target);
  await records.write(target);
  return { name, from, to: version, isChanged: true, ...(handedOver === undefined ? {} : { handedOver }) };
}

/** The versions of a package that are kept, the newest first, each content once. */
export function listVersions(installed: KubePkg, history: readonly KubePkg[]): KubePkg[] {
  const found = new Map<string, KubePkg>();
  for (const kubepkg of [installed, ...history.toReversed()]) {
    const id = identityOf(kubepkg);
    if (!found.has(id)) found.set(id, kubepkg);
  }
  return [...found.values()];
}

// The newest that is not what is installed: so a second rollback takes the first one back.
function chooseVersion(installed: KubePkg, history: readonly KubePkg[], to: string | undefined): KubePkg {
  const [, ...others] = listVersions(installed, history);
  const target = others.find(({ spec: { version } }) => to === undefined || version === to);
  if (target !== undefined) return target;
  if (to === installed.spec.version) return installed;
  const { name } = installed.metadata;
  if (to === undefined) {
    throw new RefusedError(`Cannot roll ${name} back: ${installed.spec.version} is the only version that is kept`);
  }
  const kept = [...new Set([installed, ...others].map(({ spec: { version } }) => version))].join(", ");
  throw new RefusedError(`Cannot roll ${name} back to ${to}: it is not kept; there are ${kept}`);
}
