import type { ListOptions, TagPage } from "../content/source.ts";
import { takePage } from "../content/take_page.ts";
import type { Digest } from "../oci/digest.ts";
import { isTag } from "../oci/reference.ts";
import { revisionsPath, tagLinkPath, tagsPath } from "../store/layout.ts";
import { repositoryNames } from "../store/repository_names.ts";
import { listNames } from "./list_repositories.ts";
import type { ObjectLinks } from "./object_links.ts";
import type { S3Client } from "./s3_client.ts";

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
      const tags = await this.#listNames(name);
      if (tags.length > 0) {
        const { entries, isMore } = takePage(tags, options);
        return { tags: entries, isMore };
      }
      const { objects } = await this.#client.list({ prefix: `${revisionsPath(name)}/`, limit: 1 });
      if (objects.length > 0) return { tags: [], isMore: false };
    }
    return undefined;
  }

  /** Lists the tags filed under exactly this repository name, with the digest that each refers to. */
  async listLinks(repo: string): Promise<{ tag: string; digest: Digest }[]> {
    const links: { tag: string; digest: Digest }[] = [];
    for (const tag of await this.#listNames(repo)) {
      const digest = await this.#links.read(tagLinkPath(repo, tag));
      if (digest !== undefined) links.push({ tag, digest });
    }
    return links;
  }

  /** Returns when a tag was set to its digest. */
  async dateOf(repo: string, tag: string): Promise<Date | undefined> {
    const { objects } = await this.#client.list({ prefix: tagLinkPath(repo, tag), limit: 1 });
    return objects[0] && new Date(objects[0].modified);
  }

  /**
   * Removes a tag under every name that its repository is filed under, if it refers to a digest.
   *
   * @returns whether there was one
   */
  async remove(repo: string, tag: string, digest: Digest): Promise<boolean> {
    let isRemoved = false;
    for (const name of repositoryNames(repo)) {
      const link = tagLinkPath(name, tag);
      if (await this.#links.read(link) !== digest) continue;
      // The current link first: without it, the tag's history has no effect.
      await this.#links.removeTag(link);
      for await (const { key } of this.#client.walk({ prefix: `${tagsPath(name)}/${tag}/` })) {
        await this.#client.remove(key);
      }
      isRemoved = true;
    }
    return isRemoved;
  }

  async #listNames(repo: string): Promise<string[]> {
    return (await listNames(this.#client, `${tagsPath(repo)}/`)).filter(isTag).sort();
  }
}
