import type { ReferrerList } from "../../../lib/content/source.ts";
import { isDigest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { isTag } from "../../../lib/oci/reference.ts";
import type { Random } from "../../support/random.ts";
import { createTestSource, PATH, REPO } from "../../support/upstream_source.ts";
import { checkError, fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateBytes } from "../mutate_bytes.ts";
import { mutateJson } from "../mutate_json.ts";

const DIGEST = `sha256:${"ab".repeat(32)}` as const;
const TAGS = { name: PATH, tags: ["1.0", "1.1", "2.0", "latest"] };
const REFERRERS = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociIndex,
  manifests: [1, 2].map((i) => ({
    ...{ mediaType: MEDIA_TYPE.ociManifest, digest: `sha256:${`c${i}`.repeat(32)}`, size: 500 + i },
    ...{ artifactType: "application/vnd.example.sbom", annotations: { "org.example": "x" } },
  })),
};
const LINKS = [
  ...[`</v2/${PATH}/tags/list?n=2&last=2.0>; rel="next"`, `<?last=${"x".repeat(3000)}>; rel=next`, "<", "<>; rel=next"],
  ...[`<https://other.test/v2/x/tags/list>; rel="next"`, `</v2/other/tags/list?last=a>; rel="next"`],
  ...[`<http://169.254.169.254/>; rel="next"`, `</v2/${PATH}/tags/list?n=0>; rel="next"`, `<//x/y>; rel=next`],
];
const STATUSES = [200, 200, 200, 200, 200, 200, 404, 401, 400, 405, 501, 301, 204];
// A list of 200 pages, the retries of each, and what is asked beside it.
const MAX_REQUESTS = 1500;

/** The answers of an upstream to requests for tags and referrers. */
export const UPSTREAM_LISTS: FuzzTarget = {
  name: "tag and referrer lists",
  outcomes: ["tags", "referrers", "partial", "RegistryError", "absent"],
  cases: 1000,
  prepare: () => {
    let random: Random | undefined;
    let requests = 0;
    let foreign: string | undefined;
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
      await request.body?.cancel();
      const { pathname } = new URL(request.url);
      requests++;
      if (!pathname.startsWith(`/v2/${PATH}/`) && pathname !== "/v2/") foreign = pathname;
      return answer(pathname, random!);
    });
    return Promise.resolve({
      run: async (given, describe) => {
        [random, requests, foreign] = [given, 0, undefined];
        const { source } = createTestSource(`http://127.0.0.1:${server.addr.port}`);
        const isTags = given.chance(0.5);
        const limit = given.pick([undefined, 0, 1, 3, 1000]);
        const after = given.pick([undefined, "", "1.0", "zzz"]);
        describe(isTags ? `tags after ${after}, at most ${limit}` : "referrers");
        const outcome = isTags
          ? await checkTags(() => source.listTags(REPO, { limit, after }), limit)
          : await checkReferrers(() => source.listReferrers(REPO, DIGEST));
        if (foreign !== undefined) fault(`a request for ${foreign} was made`);
        if (requests > MAX_REQUESTS) fault(`${requests} requests were made`);
        return outcome;
      },
      [Symbol.asyncDispose]: () => server.shutdown(),
    });
  },
};

function answer(pathname: string, random: Random): Response {
  const isTags = pathname.endsWith("/tags/list");
  let text = JSON.stringify(isTags ? TAGS : REFERRERS);
  if (random.chance(0.8)) text = mutateJson(text, random).text;
  let bytes = new TextEncoder().encode(text);
  if (random.chance(0.2)) bytes = mutateBytes(bytes, random).bytes;
  const status = random.pick(STATUSES);
  const type = random.pick([isTags ? "application/json" : MEDIA_TYPE.ociIndex, "text/html", MEDIA_TYPE.ociManifest]);
  const headers = new Headers({ "content-type": type });
  if (random.chance(0.4)) headers.set("link", random.pick(LINKS));
  if (status === 301) {
    headers.set("location", random.pick([`/v2/${PATH}/elsewhere`, `/v2/${PATH}/x`, "ftp://x/", "http://["]));
  }
  if (status === 401) {
    headers.set("www-authenticate", random.pick(["Basic", 'Bearer realm="/v2/"', 'Bearer realm="ftp://x/"']));
  }
  return new Response(status === 204 ? null : bytes, { status, headers });
}

async function checkTags(
  list: () => Promise<{ tags: readonly string[]; isPartial?: boolean } | undefined>,
  limit: number | undefined,
): Promise<string> {
  try {
    const page = await list();
    if (page === undefined) return "absent";
    const { tags, isPartial } = page;
    if (!tags.every(isTag)) fault(`a tag is not valid: ${JSON.stringify(tags)}`);
    if (new Set(tags).size !== tags.length) fault(`a tag is listed twice: ${JSON.stringify(tags)}`);
    if (JSON.stringify(tags) !== JSON.stringify([...tags].sort())) fault(`not in order: ${JSON.stringify(tags)}`);
    if (limit !== undefined && tags.length > limit) fault(`${tags.length} tags instead of ${limit}`);
    return isPartial ? "partial" : "tags";
  } catch (error) {
    return checkError(error, [RegistryError]);
  }
}

async function checkReferrers(list: () => Promise<ReferrerList>): Promise<string> {
  try {
    const { referrers, isPartial } = await list();
    for (const { digest, size, mediaType } of referrers) {
      if (!isDigest(digest) || !Number.isSafeInteger(size) || size < 0 || typeof mediaType !== "string") {
        fault(`not a descriptor: ${JSON.stringify({ digest, size, mediaType })}`);
      }
    }
    return isPartial ? "partial" : "referrers";
  } catch (error) {
    return checkError(error, [RegistryError]);
  }
}
