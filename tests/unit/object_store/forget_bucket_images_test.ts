import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import { ObjectStore } from "../../../lib/object_store/object_store.ts";
import { S3Error } from "../../../lib/object_store/s3_error.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import type { UnwantedImage } from "../../../lib/store/forget_images.ts";
import { blobPath, revisionLinkPath, tagIndexLinkPath } from "../../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { buildArtifact, buildImage, buildIndex } from "../../support/images.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "quay.io/team/app";
const TAGS = `pre/docker/registry/v2/repositories/${REPO}/_manifests/tags`;
const CHILD = buildImage({ files: { a: "a" } });
const IMAGE = buildIndex([CHILD]);
const [ROOT, OF_CHILD] = [IMAGE.root.digest, CHILD.root.digest].map((it) => it.replace(":", "-"));
const OTHER = buildImage({ files: { b: "b" } });
const OF_OTHER = `${OTHER.root.digest.replace(":", "-")}.sig`;
const ATTACHED = [`${ROOT}.sig`, `${ROOT}.att`, `${OF_CHILD}.sig`];

interface Site {
  readonly store: ObjectStore;
  readonly s3: MemoryS3;
  readonly tags: () => Promise<readonly string[]>;
}

async function withSite(check: (site: Site) => Promise<void>): Promise<void> {
  await using folder = await TestFolder.create();
  const s3 = new MemoryS3();
  const store = new ObjectStore({ client: s3.client(), spool: folder.path, files: new SharedFiles() });
  for (const tag of ["1", "2"]) await writeImage(store, `${REPO}:${tag}`, IMAGE);
  await writeImage(store, `${REPO}:other`, OTHER);
  for (const tag of [...ATTACHED, OF_OTHER]) await writeImage(store, `${REPO}:${tag}`, buildArtifact(IMAGE.root, tag));
  await check({ store, s3, tags: async () => (await store.listTags(REPO))?.tags ?? [] });
}

const unwanted = (tag: string, digest: Digest = IMAGE.root.digest) => ({ repository: REPO, tag, digest });

const ROWS: readonly (readonly [
  name: string,
  tags: readonly string[],
  options: Parameters<ObjectStore["forgetImages"]>[1],
  left: readonly string[],
])[] = [
  ["one of two tags of an image", ["1"], {}, ["2", "other", ...ATTACHED, OF_OTHER]],
  ["all tags of an image", ["1", "2"], {}, ["other", OF_OTHER]],
  ["all tags, without doing it", ["1", "2"], { dryRun: true }, ["1", "2", "other", ...ATTACHED, OF_OTHER]],
  [
    "all tags of an image that a package needs",
    ["1", "2"],
    { keep: new Set([IMAGE.root.digest, CHILD.root.digest]) },
    ["other", ...ATTACHED, OF_OTHER],
  ],
];
for (const [name, tags, options, left] of ROWS) {
  Deno.test(`forgetImages() of a bucket removes ${name}, and the signatures of what nothing else has`, () =>
    withSite(async ({ store, tags: list }) => {
      assertEquals(
        await store.forgetImages(tags.map((tag) => unwanted(tag)), options),
        tags.map((it) => `${REPO}:${it}`),
      );
      assertEquals(await list(), left.toSorted());
    }));
}

Deno.test("forgetImages() of a bucket leaves signatures where another tag is of an index that cannot be read", () =>
  withSite(async ({ store, s3, tags }) => {
    await store.tag(REPO, "3", OTHER.root.digest);
    const path = `pre/docker/registry/v2/blobs/sha256/${OTHER.root.digest.slice(7, 9)}/${
      OTHER.root.digest.slice(7)
    }/data`;
    s3.objects.set(path, { ...s3.objects.get(path)!, bytes: new TextEncoder().encode("{") });
    await store.forgetImages([unwanted("1"), unwanted("2")], {});
    assertEquals(await tags(), ["3", "other", ...ATTACHED, OF_OTHER].toSorted());
  }));

for (const dryRun of [true, false]) {
  Deno.test(`forgetImages() of a bucket judges damaged tags ${dryRun ? "in a dry run" : "when it removes them"} by their links`, () =>
    withSite(async ({ store, s3, tags }) => {
      const [missing, damaged] = [`sha256:${"0".repeat(64)}` as const, "no digest"];
      for (const [tag, text] of [["missing", missing], ["damaged", damaged]] as const) {
        const link = s3.objects.get(`${TAGS}/1/current/link`)!;
        s3.objects.set(`${TAGS}/${tag}/current/link`, { ...link, bytes: new TextEncoder().encode(text) });
      }
      const images = [unwanted("missing", missing), unwanted("damaged"), unwanted("1", OTHER.root.digest)];
      assertEquals(await store.forgetImages(images, { dryRun }), [`${REPO}:missing`]);
      assertEquals((await tags()).includes("missing"), dryRun);
      assertEquals([(await tags()).includes("damaged"), (await tags()).includes("1")], [true, true]);
    }));
}

Deno.test("[103] forgetImages() of a bucket does not remove a tag that another machine sets meanwhile", () =>
  withSite(async ({ store, s3, tags }) => {
    const link = `${TAGS}/1/current/link`;
    s3.intercept = ({ method, url }) => {
      if (method === "DELETE" && url.endsWith("/1/current/link")) {
        const bytes = new TextEncoder().encode(OTHER.root.digest);
        s3.objects.set(link, { ...s3.objects.get(link)!, bytes, etag: '"other"' });
      }
      return undefined;
    };
    assertEquals(await store.forgetImages([unwanted("1")], {}), []);
    assertEquals([(await store.resolve(REPO, "1"))?.digest, (await tags()).includes("1")], [OTHER.root.digest, true]);
  }));

const RACES: readonly (readonly [what: string, isTime: (request: Request) => boolean, digest: Digest])[] = [
  ["to another image before it lists the history", isListOfHistory, OTHER.root.digest],
  ["to the same image before it lists the history", isListOfHistory, IMAGE.root.digest],
  ["to another image after it has listed the history", isRemovalOfHistory, OTHER.root.digest],
];
for (const [what, isTime, digest] of RACES) {
  Deno.test(`[103] forgetImages() of a bucket leaves a tag, with its history, that another machine sets ${what}`, () =>
    withSite(async ({ store, s3, tags }) => {
      await store.tag(REPO, "1", CHILD.root.digest);
      await store.tag(REPO, "1", IMAGE.root.digest);
      let isSet = false;
      s3.intercept = async (request) => {
        if (isSet || !isTime(request)) return undefined;
        isSet = true;
        await store.tag(REPO, "1", digest);
        return undefined;
      };
      assertEquals(await store.forgetImages([unwanted("1")], {}), [`${REPO}:1`]);
      assertEquals([isSet, (await store.resolve(REPO, "1"))?.digest], [true, digest]);
      assertEquals((await tags()).includes("1"), true);
      assertEquals(historyOf(s3, "1"), [`pre/${tagIndexLinkPath(REPO, "1", digest)}`]);
    }));
}

Deno.test("[103] forgetImages() of a bucket leaves the history of a tag that another machine is just setting", () =>
  withSite(async ({ store, s3 }) => {
    const [second, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let setting: Promise<void> | undefined;
    let writes = 0;
    s3.intercept = async (request) => {
      const { method, url } = request;
      if (method === "PUT" && url.includes("/tags/1/") && ++writes === 2) {
        second.resolve();
        await end.promise;
      } else if (isListOfHistory(request) && setting === undefined) {
        setting = store.tag(REPO, "1", OTHER.root.digest);
        await second.promise;
      }
      return undefined;
    };
    await store.forgetImages([unwanted("1")], {});
    end.resolve();
    await setting;
    assertEquals((await store.resolve(REPO, "1"))?.digest, OTHER.root.digest);
    assertEquals(historyOf(s3, "1"), [`pre/${tagIndexLinkPath(REPO, "1", OTHER.root.digest)}`]);
  }));

function isListOfHistory({ method, url }: Request): boolean {
  const prefix = new URL(url).searchParams.get("prefix");
  return method === "GET" && prefix !== null && `${prefix}/`.startsWith(`${TAGS}/1/`);
}

function isRemovalOfHistory({ method, url }: Request): boolean {
  return method === "DELETE" && new URL(url).pathname.startsWith(`/bucket/${TAGS}/1/index/`);
}

function historyOf(s3: MemoryS3, tag: string): string[] {
  return [...s3.objects.keys()].filter((key) => key.startsWith(`${TAGS}/${tag}/index/`));
}

Deno.test("[103] forgetImages() of a bucket removes the whole history of a tag, which else is listed", () =>
  withSite(async ({ store, s3, tags }) => {
    await store.tag(REPO, "1", OTHER.root.digest);
    await store.tag(REPO, "1", IMAGE.root.digest);
    assertEquals(historyOf(s3, "1").length, 2);
    await store.forgetImages([unwanted("1")], {});
    assertEquals([historyOf(s3, "1"), (await tags()).includes("1")], [[], false]);
  }));

Deno.test("[103] forgetImages() of a bucket removes tags from storage without conditions of removals", () =>
  withSite(async ({ store, s3, tags }) => {
    s3.intercept = ({ method, headers }) =>
      method === "DELETE" && headers.has("if-match") ? new Response(null, { status: 501 }) : undefined;
    assertEquals(await store.forgetImages([unwanted("1")], {}), [`${REPO}:1`]);
    assertEquals((await tags()).includes("1"), false);
  }));

Deno.test("[103] forgetImages() of a bucket leaves the signatures of what an index without a tag lists", () =>
  withSite(async ({ store, tags }) => {
    // Used by its digest alone: its tag leads to another image meanwhile.
    await writeImage(store, `${REPO}:moved`, buildIndex([CHILD, OTHER]));
    await store.tag(REPO, "moved", OTHER.root.digest);
    assertEquals(await store.forgetImages([unwanted("1"), unwanted("2")], {}), [`${REPO}:1`, `${REPO}:2`]);
    assertEquals(await tags(), ["moved", "other", `${OF_CHILD}.sig`, OF_OTHER].toSorted());
  }));

Deno.test("[103] forgetImages() of a bucket that is interrupted anywhere is completed by the same call, as long as the tag is there", () =>
  withSite(async ({ store, s3 }) => {
    // Those that lead to an image: of a tag that was just being removed, the history may be left to a collection.
    const tags = async () => (await store.listTagLinks(REPO)).map(({ tag }) => tag);
    await store.forgetImages([unwanted("2")], {});
    const objects = new Map(s3.objects);
    const complete = ["other", OF_OTHER].toSorted();
    for (let allowed = 0;; allowed++) {
      s3.objects.clear();
      for (const [key, object] of objects) s3.objects.set(key, object);
      let removals = 0;
      s3.intercept = ({ method }) =>
        method === "DELETE" && ++removals > allowed ? new Response(null, { status: 403 }) : undefined;
      const isDone = await store.forgetImages([unwanted("1")], {}).then(() => true, () => false);
      s3.intercept = () => undefined;
      if (isDone) break;
      if ((await tags()).includes("1")) await store.forgetImages([unwanted("1")], {});
      assertEquals(await tags(), complete, `after ${allowed} removals`);
    }
    assertEquals(await tags(), complete);
  }));

Deno.test("[103] forgetImages() of a bucket repeats a removal that the storage has aborted because of another one", () =>
  withSite(async ({ store, s3, tags }) => {
    const answers = ["OperationAborted", "ConditionalRequestConflict"];
    s3.intercept = ({ method, headers }) => {
      const code = method === "DELETE" && headers.has("if-match") ? answers.shift() : undefined;
      return code === undefined ? undefined : new Response(`<Error><Code>${code}</Code></Error>`, { status: 409 });
    };
    assertEquals(await store.forgetImages([unwanted("1")], {}), [`${REPO}:1`]);
    assertEquals([(await tags()).includes("1"), answers], [false, []]);
  }));

const CHANGED: readonly (readonly [what: string, change: (site: Site) => Promise<void>, left: readonly string[]])[] = [
  ["to the same image", async () => {}, ["1", "other", ...ATTACHED, OF_OTHER]],
  ["to another image", ({ store }) => store.tag(REPO, "1", OTHER.root.digest), ["1", "other", OF_OTHER]],
  [
    "to another index of its child",
    ({ store }) => writeImage(store, `${REPO}:1`, buildIndex([CHILD, OTHER])),
    ["1", "other", `${OF_CHILD}.sig`, OF_OTHER],
  ],
  [
    "to an index that cannot be read",
    async ({ store, s3 }) => {
      const { digest } = buildIndex([OTHER]).root;
      await writeImage(store, `${REPO}:1`, buildIndex([OTHER]));
      const key = `pre/${blobPath(digest)}`;
      s3.objects.set(key, { ...s3.objects.get(key)!, bytes: new TextEncoder().encode("{") });
    },
    ["1", "other", ...ATTACHED, OF_OTHER],
  ],
];
for (const [what, change, left] of CHANGED) {
  Deno.test(`[103] forgetImages() of a bucket leaves the signatures of what a tag reaches that another machine sets ${what} meanwhile`, () =>
    withSite(async (site) => {
      const { store, s3, tags } = site;
      const before = new Map(s3.objects);
      const link = `${TAGS}/1/current/link`;
      let isChanged = false;
      s3.intercept = async ({ method, url }) => {
        if (method !== "DELETE" || !url.endsWith("/1/current/link") || isChanged) return undefined;
        isChanged = true;
        await change(site);
        s3.objects.set(link, { ...s3.objects.get(link)!, etag: '"other"' });
        return undefined;
      };
      s3.now += 1000;
      assertEquals(await store.forgetImages([unwanted("1"), unwanted("2")], {}), [`${REPO}:2`]);
      assertEquals(await tags(), left.toSorted());
      for (const tag of ATTACHED.filter((it) => left.includes(it))) {
        const { root } = buildArtifact(IMAGE.root, tag);
        assertEquals((await store.resolve(REPO, tag))?.digest, root.digest);
        // As after a push: the tag has its history, and the manifest counts as recent for a garbage collection.
        const history = `pre/${tagIndexLinkPath(REPO, tag, root.digest)}`;
        assertEquals([before.has(history), s3.objects.has(history)], [true, true]);
        assertEquals(s3.objects.get(`pre/${revisionLinkPath(REPO, root.digest)}`)?.modified, s3.now);
      }
    }));
}

Deno.test("[103] forgetImages() of a bucket does not overwrite a signature that another machine writes meanwhile", () =>
  withSite(async ({ store, s3 }) => {
    const [tag, signature] = [`${ROOT}.sig`, buildArtifact(IMAGE.root, "new")];
    let isChanged = false;
    s3.intercept = async ({ method, url }) => {
      if (method !== "DELETE" || !url.endsWith("/1/current/link") || isChanged) return undefined;
      isChanged = true;
      s3.objects.set(`${TAGS}/1/current/link`, { ...s3.objects.get(`${TAGS}/1/current/link`)!, etag: '"other"' });
      await writeImage(store, `${REPO}:${tag}`, signature);
      return undefined;
    };
    await store.forgetImages([unwanted("1"), unwanted("2")], {});
    assertEquals((await store.resolve(REPO, tag))?.digest, signature.root.digest);
  }));

const SET_MEANWHILE: readonly (readonly [when: string, key: string])[] = [
  ["before the first signature is removed", `/${ATTACHED.toSorted()[0]}/current/link`],
  ["before the tag is removed", "/1/current/link"],
  ["after the tag was removed", "/1/index/"],
];
for (const [when, key] of SET_MEANWHILE) {
  Deno.test(`[103] forgetImages() of a bucket leaves the signatures of an image of which another machine sets another tag ${when}`, () =>
    withSite(async ({ store, s3, tags }) => {
      let isSet = false;
      s3.intercept = async ({ method, url }) => {
        if (method !== "DELETE" || !url.includes(key) || isSet) return undefined;
        isSet = true;
        await store.tag(REPO, "3", IMAGE.root.digest);
        return undefined;
      };
      assertEquals(await store.forgetImages([unwanted("1"), unwanted("2")], {}), [`${REPO}:1`, `${REPO}:2`]);
      assertEquals([isSet, await tags()], [true, ["3", "other", ...ATTACHED, OF_OTHER].toSorted()]);
    }));
}

const FAILING: readonly (readonly [at: string, key: string, left: readonly string[]])[] = [
  ["the last signature", `/${ATTACHED.toSorted().at(-1)}/current/link`, ["1", "2", "other", ...ATTACHED, OF_OTHER]],
  ["the first tag", "/1/current/link", ["1", "2", "other", ...ATTACHED, OF_OTHER]],
  ["the last tag", "/2/current/link", ["2", "other", ...ATTACHED, OF_OTHER]],
];
for (const isDown of [false, true]) {
  for (const [at, key, left] of FAILING) {
    const what = isDown
      ? "reports the first failure of storage that stays down from"
      : "leaves signed what has a tag when it fails at";
    Deno.test(`[103] forgetImages() of a bucket ${what} ${at}`, () =>
      withSite(async ({ store, s3, tags }) => {
        let hasFailed = false;
        s3.intercept = ({ method, url }) => {
          const isFailing = method === "DELETE" && url.endsWith(key) || isDown && hasFailed;
          hasFailed ||= isFailing;
          return isFailing ? new Response(null, { status: 503 }) : undefined;
        };
        const { message } = await assertRejects(() => store.forgetImages([unwanted("1"), unwanted("2")], {}), S3Error);
        assertEquals([message.startsWith("Cannot remove "), message.includes(`${key}: `)], [true, true]);
        s3.intercept = () => undefined;
        if (!isDown) assertEquals(await tags(), left.toSorted());
        await store.forgetImages([unwanted("1"), unwanted("2")], {});
        assertEquals(await tags(), ["other", OF_OTHER].toSorted());
      }));
  }
}

const SEVERAL = Array.from({ length: 16 }, (_, i) => buildImage({ files: { [`${i}`]: `${i}` } }));
const READS: readonly (readonly [what: string, calls: readonly (readonly UnwantedImage[])[], most: number])[] = [
  // The first of the eight that are read at once is the other tag, and the second one is `other`.
  ["only until the signatures are known to be needed", [[unwanted("1")]], 6],
  ["once", [[unwanted("1"), unwanted("2")]], 16],
  ["once for several images", [[unwanted("1"), unwanted("2")], [unwanted("other", OTHER.root.digest)]], 16],
];
for (const [what, calls, most] of READS) {
  Deno.test(`[103] forgetImages() of a bucket reads the other manifests of a repository eight at once, ${what}`, () =>
    withSite(async ({ store, s3, tags }) => {
      for (const image of SEVERAL) await writeImage(store, `${REPO}:moved`, image);
      await store.tag(REPO, "moved", OTHER.root.digest);
      const keys = new Set(SEVERAL.map(({ root }) => `/bucket/pre/${blobPath(root.digest)}`));
      let [reads, mostAtOnce] = [0, 0];
      const waiting = new Set<() => void>();
      s3.intercept = async ({ method, url }) => {
        const { pathname } = new URL(url);
        if (method !== "GET" || !pathname.startsWith("/bucket/pre/docker/registry/v2/blobs/")) return undefined;
        if (keys.has(pathname)) reads++;
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.add(resolve);
        mostAtOnce = Math.max(mostAtOnce, waiting.size);
        // Until there are eight, or no more follow.
        const timer = setTimeout(resolve, 200);
        if (waiting.size === 8) { for (const release of waiting) release(); }
        await promise;
        clearTimeout(timer);
        waiting.delete(resolve);
        return undefined;
      };
      for (const images of calls) await store.forgetImages(images, {});
      if (most === SEVERAL.length) assertEquals({ reads, mostAtOnce }, { reads: most, mostAtOnce: 8 });
      else assert(reads <= most && mostAtOnce <= 8, `${reads} reads, ${mostAtOnce} at once`);
      s3.intercept = () => undefined;
      const hasSignatures = (await tags()).some((tag) => tag === ATTACHED[0]);
      assertEquals(hasSignatures, calls[0]!.length === 1);
    }));
}
