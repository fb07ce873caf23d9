import { mapInOrder } from "../content/map_in_order.ts";
import type { ListOptions, TagPage } from "../content/source.ts";
import { takePage } from "../content/take_page.ts";
import type { Digest } from "../oci/digest.ts";
import { isTag } from "../oci/reference.ts";
import type { TagLink } from "../store/blob_store.ts";
import { revisionsPath, tagIndexLinkPath, tagIndexPath, tagLinkPath, tagsPath } from "../store/layout.ts";
import { repositoryNames } from "../store/repository_names.ts";
import { listNames } from "./list_repositories.ts";
import type { ObjectLinks } from "./object_links.ts";
import type { S3Client } from "./s3_client.ts";

/** A tag as a list of objects has it. */
interface ListedTag {
  readonly tag: string;
  /** In milliseconds. */
  readonly modified: number;
}

const READS_AT_ONCE = 8;

/** The tags in a bucket. */
export class ObjectTags {
  readonly #client: S3Client;
  readonly #links: ObjectLinks;

  constructor(client: S3Client, links: ObjectLinks) {
    this.#client = client;
    this.#links = links;
  }

  /** Lists the tags of a repository; see `ContentSource.listTags`. */
  async list(repo: string, options: ListOptions = {}): Promise<TagPage | undefined> {
    for (const name of repositoryNames(repo)) {
      const tags = await this.listNames(name);
      if (tags.length > 0) {
        const { entries, isMore } = takePage(tags, options);
        return { tags: entries, isMore };
      }
      const { objects } = await this.#client.list({ prefix: `${revisionsPath(name)}/`, limit: 1 });
      if (objects.length > 0) return { tags: [], isMore: false };
    }
    return undefined;
  }

  /** Lists the tags filed under exactly this repository name, with what each refers to. */
  async listLinks(repo: string): Promise<TagLink[]> {
    const links: TagLink[] = [];
    for await (const link of mapInOrder(this.#walkTags(repo), READS_AT_ONCE, (it) => this.#readLink(repo, it))) {
      if (link !== undefined) links.push(link);
    }
    // In the order of keys, `a-b/` is before `a/`.
    return links.sort((a, b) => a.tag < b.tag ? -1 : 1);
  }

  async #readLink(repo: string, { tag, modified }: ListedTag): Promise<TagLink | undefined> {
    const digest = await this.#links.read(tagLinkPath(repo, tag));
    return digest && { tag, digest, date: new Date(modified) };
  }

  // One list has the names of all tags and when they were set.
  async *#walkTags(repo: string): AsyncGenerator<ListedTag> {
    const prefix = `${tagsPath(repo)}/`;
    for await (const { key, modified } of this.#client.walk({ prefix })) {
      const tag = key.slice(prefix.length).split("/", 1)[0]!;
      if (isTag(tag) && key === tagLinkPath(repo, tag)) yield { tag, modified };
    }
  }

  /** Sets a tag under exactly this repository name. */
  async set(repo: string, { tag, digest }: TagLink): Promise<void> {
    await this.#links.writeTag(tagLinkPath(repo, tag), digest);
    // Last: a history without a link is removed, as what is left of a removed tag.
    await this.#links.write(tagIndexLinkPath(repo, tag, digest), digest);
  }

  /**
   * Removes a tag under every name that its repository is filed under, if it refers to a digest, also when another machine
   * sets it meanwhile.
   *
   * @param options.dryRun only reports whether it would be removed
   * @returns whether there was one
   */
  async remove(
    repo: string,
    { tag, digest }: { readonly tag: string; readonly digest: Digest },
    { dryRun = false }: { readonly dryRun?: boolean } = {},
  ): Promise<boolean> {
    let isRemoved = false;
    for (const name of repositoryNames(repo)) {
      const link = tagLinkPath(name, tag);
      // The current link first: without it, the tag's history has no effect.
      if (!await this.#links.removeTag(link, digest, { dryRun })) continue;
      isRemoved = true;
      if (!dryRun) await this.#removeHistory(name, tag);
    }
    return isRemoved;
  }

  // What another machine has set since the list keeps its entry, as does what it has set before.
  async #removeHistory(repo: string, tag: string): Promise<void> {
    const entries = await Array.fromAsync(this.#client.walk({ prefix: `${tagIndexPath(repo, tag)}/` }));
    const digest = await this.#links.read(tagLinkPath(repo, tag));
    const current = digest && tagIndexLinkPath(repo, tag, digest);
    for (const { key } of entries) if (key !== current) await this.#client.remove(key);
  }

  /** Writes back a tag that was removed under exactly this repository name, unless it is set again. */
  async restore(repo: string, { tag, digest }: TagLink): Promise<void> {
    await this.#links.restoreTag(tagLinkPath(repo, tag), digest);
    await this.#links.write(tagIndexLinkPath(repo, tag, digest), digest);
  }

  /** Lists the names of the tags filed under exactly this repository name, sorted. */
  async listNames(repo: string): Promise<string[]> {
    return (await listNames(this.#client, `${tagsPath(repo)}/`)).filter(isTag).sort();
  }
}
