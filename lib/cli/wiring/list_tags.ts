import type { TagPage } from "../../content/source.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { type Reference, repositoryOf } from "../../oci/reference.ts";
import type { Settings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { warnOfData } from "./check_data.ts";
import { openUpstream } from "./open_upstream.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

/** The tags of a repository. */
interface TagList extends Pick<TagPage, "isPartial"> {
  /** The repository name that the store uses. */
  readonly repository: string;
  readonly from: "upstream" | "store";
  /** Sorted by code unit. */
  readonly tags: readonly string[];
}

/**
 * Lists the tags of a repository: from its upstream, or from the store where no upstream may be used (`--offline`). Warns
 * of a partial list: its upstream does not end it, or has more pages than are read.
 *
 * @throws {Error} when the repository is missing, or its upstream may not be used
 * @throws {RegistryError} when the upstream fails: the list of the store would be shorter
 */
export async function listTags(reference: Reference, settings: Settings, io: Io): Promise<TagList> {
  const repository = repositoryOf(reference);
  const fail = (reason: string, advice?: string) =>
    new CrpeError(cannot(`list the tags of ${repository}`, reason, advice));
  if (settings.offline) {
    await warnOfData(settings.data, io);
    const held = await new DiskStore(settings.data, { isReadOnly: true }).listTags(repository);
    if (held === undefined) throw fail(`the store in ${settings.data} does not have the repository`);
    return { repository, from: "store", tags: held.tags };
  }
  const { host } = reference;
  const warn = createWarning(io);
  const { source } = await openUpstream(settings, io, { warn });
  if (!source.allows(repository)) {
    throw fail(`${host} is not configured as an upstream`, `name it with --upstream ${host}, or use --offline`);
  }
  const page = await source.listTags(repository);
  if (page === undefined) throw fail(`${host} has no such repository, or shows it only with a login`);
  if (page.isPartial) warn(`${host} did not give the whole list of the tags of ${repository}: some may be missing`);
  return { repository, from: "upstream", tags: page.tags, isPartial: page.isPartial };
}
