import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import { formatKubePkg, formatPackageTar } from "../../../lib/bundle/bundle_layout.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { createAgentHandlerFixture, makeBundle } from "../../support/agent_handler_fixture.ts";
import { makeBytes, streamOf } from "../../support/content.ts";
import { buildImage } from "../../support/images.ts";
import type { Random } from "../../support/random.ts";
import { checkStore, hashOfFile, listFiles } from "../check_store.ts";
import { checkMessage, fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateBytes } from "../mutate_bytes.ts";
import { mutateDocument } from "../mutate_text.ts";

const IMAGE = buildImage({ files: { "a.bin": makeBytes(5000) }, layerCompression: "none" });
// What a client may be told. Other statuses, and those from 500 on, are faults of crpe; 503 asks for another try.
const STATUSES = [200, 201, 202, 400, 401, 403, 404, 405, 409, 413, 422, 423, 503, 507];
const RANGES = [
  "bytes 0-0/1",
  "bytes */5",
  "bytes 5-4/9",
  "bytes 0-9007199254740992/9007199254740993",
  "x",
  "",
  "bytes=0-1",
];
const DIGESTS = ["sha-256=:AAAA:", "sha256:x", "sha256:" + "0".repeat(64), "md5=:AAAA:", "", "sha-256=:=:"];
const HEX = "0".repeat(64);
const PATHS = [
  ...["/kubepkgs", "/kubepkgs/plan", `/kubepkgs/blobs/sha256:${HEX}`, "/kubepkgs/blobs/%2e%2e%2fx", "/kubepkgs/%ff"],
  ...[
    "/kubepkgs/line4",
    "/kubepkgs/line4/manifests",
    "/kubepkgs/..%2f..%2fetc",
    "/inventory",
    "/kubepkgs/blobs/sha256:x",
  ],
];

type Fixture = Awaited<ReturnType<typeof createAgentHandlerFixture>>;

interface PushContent {
  readonly document: Uint8Array<ArrayBuffer>;
  readonly bundle: Uint8Array<ArrayBuffer>;
  readonly last: Uint8Array<ArrayBuffer>;
  readonly blobs: ReadonlyMap<Digest, Uint8Array<ArrayBuffer>>;
}

/** The requests of a push to an agent, in any order and damaged. */
export const PUSH: FuzzTarget = {
  name: "push",
  outcomes: ["200", "201", "202", "400", "401", "404", "409", "422"],
  cases: 80,
  prepare: async (root) => {
    const bundle = await makeBundle(IMAGE);
    const { kubepkg } = await readBundle(streamOf(bundle));
    const tar = new Uint8Array(
      await new Response(new Blob([formatPackageTar({ bytes: formatKubePkg(kubepkg) })]).stream()).arrayBuffer(),
    );
    const blobs = new Map([
      ...[...IMAGE.blobs].map(([digest, bytes]) => [digest, new Uint8Array(bytes)] as const),
      ...IMAGE.manifests.map(({ descriptor, bytes }) => [descriptor.digest, new Uint8Array(bytes)] as const),
    ]);
    const document = new TextEncoder().encode(JSON.stringify(kubepkg));
    const content: PushContent = { document, bundle, last: tar, blobs };
    return {
      run: async (random, describe) => {
        await using site = await createAgentHandlerFixture({}, root);
        const steps: string[] = [];
        let outcome = "";
        // Without a plan no blob is accepted.
        if (random.chance(0.6)) {
          outcome = await checkResponse(
            site,
            await site.ask("/kubepkgs/plan", { method: "POST", body: content.document }),
          );
          steps.push("a good plan");
        }
        for (let count = 1 + random.below(8); count > 0; count--) {
          const { response, what } = await send(site, content, random);
          steps.push(what);
          describe(steps.join("; "));
          outcome = await checkResponse(site, response);
        }
        await checkPush(site, content);
        return outcome;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

// Without the token, nothing may change.
async function send(site: Fixture, content: PushContent, random: Random) {
  const [digest, bytes] = random.pick([...content.blobs]);
  const mutate = (given: Uint8Array<ArrayBuffer>, how: typeof mutateDocument) =>
    random.chance(0.6) ? given : how(given, random);
  const putBlob = () => {
    const start = random.chance(0.8) ? 0 : random.below(bytes.length);
    const end = random.chance(0.8) ? bytes.length : start + random.below(bytes.length - start);
    const size = random.chance(0.8) ? bytes.length : random.pick([bytes.length + 1, 0]);
    const body = mutate(bytes.slice(start, end), (given) => mutateBytes(given, random).bytes);
    const range = random.chance(0.8) ? `bytes ${start}-${end - 1}/${size}` : random.pick(RANGES);
    return { method: "PUT", path: `/kubepkgs/blobs/${digest}`, body, headers: { "content-range": range } };
  };
  const requests: readonly (() => {
    method: string;
    path: string;
    body?: Uint8Array<ArrayBuffer>;
    headers?: Record<string, string>;
  })[] = [
    () => ({ method: "POST", path: "/kubepkgs/plan", body: mutate(content.document, mutateDocument) }),
    putBlob,
    () => ({
      method: "PUT",
      path: "/kubepkgs",
      body: mutate(content.last, (given) => mutateBytes(given, random).bytes),
    }),
    () => ({
      method: "PUT",
      path: "/kubepkgs",
      body: mutate(content.bundle, (given) => mutateBytes(given, random).bytes),
    }),
    () => ({ method: random.pick(["GET", "HEAD"]), path: random.pick([...PATHS, `/kubepkgs/blobs/${digest}`]) }),
    () => ({
      method: random.pick(["PUT", "POST", "DELETE", "PATCH"]),
      path: random.pick(PATHS),
      body: random.bytes(random.below(50)),
    }),
  ];
  const request = (random.chance(0.3) ? putBlob : random.pick(requests))();
  const headers: Record<string, string> = { ...request.headers };
  if (random.chance(0.1)) headers["content-digest"] = random.pick(DIGESTS);
  if (random.chance(0.2)) headers.accept = "application/x-ndjson";
  if (random.chance(0.05)) headers.origin = "http://evil.test";
  const query = random.pick([
    "",
    "",
    "",
    "?force=true",
    "?dry-run=1",
    "?force=maybe",
    "?prune-data",
    "?namespace=../x",
  ]);
  const isOpen = random.chance(0.85);
  const { method, path, body } = request;
  const before = isOpen ? undefined : snapshot(site);
  const response = await site.ask(`${path}${query}`, {
    method,
    headers,
    ...(body && { body }),
    ...(isOpen ? {} : { token: undefined }),
  });
  if (before !== undefined && method !== "GET" && method !== "HEAD") {
    // The path is read first.
    if (![400, 401, 403, 404, 405].includes(response.status)) {
      fault(`${method} ${path} without a token is answered with ${response.status}`);
    }
    if (snapshot(site) !== before) fault(`${method} ${path} without a token has changed files`);
  }
  const shown = `${method} ${path}${query} ${JSON.stringify(headers)} ${body?.length ?? 0} bytes`;
  return { response, what: shown };
}

function snapshot({ folder }: Fixture): string {
  return listFiles(folder.path).filter((name) => !name.endsWith(".lock"))
    .map((name) => `${name} ${hashOfFile(`${folder.path}/${name}`)}`).join("\n");
}

async function checkResponse(site: Fixture, response: Response): Promise<string> {
  const text = await response.text();
  const { status } = response;
  if (!STATUSES.includes(status)) fault(`status ${status}: ${text.slice(0, 500)}; ${site.errors.map(String)}`);
  if (site.errors.length > 0) fault(`an unexpected error: ${(site.errors[0] as Error).stack}`);
  if (site.leases() !== 0) fault(`${site.leases()} leases are held after the response`);
  for (const line of text.split("\n").filter((line) => line !== "" && line.startsWith("{"))) {
    const { errors = [] } = JSON.parse(line) as { errors?: { message: string }[] };
    for (const { message } of errors) checkMessage(message);
  }
  checkStore(`${site.folder.path}/data`, fault);
  return `${status}`;
}

// Whatever was sent before, a good push installs the package.
async function checkPush(site: Fixture, { document, blobs, last }: PushContent): Promise<void> {
  const plan = await site.ask("/kubepkgs/plan?force=true", { method: "POST", body: document });
  const { missing = [] } = await plan.json() as { missing?: { digest: Digest; offset: number }[] };
  if (plan.status !== 200) fault(`afterwards a plan is answered with ${plan.status}`);
  for (const { digest } of missing) {
    let status = 0;
    // Bytes that were left by an earlier upload are found to be wrong at the end, and removed.
    for (let tries = 0; tries < 3 && status !== 201 && status !== 200; tries++) {
      const state = await (await site.ask(`/kubepkgs/blobs/${digest}`)).json() as { offset: number; held: boolean };
      const bytes = blobs.get(digest)!;
      const rest = state.offset < bytes.length ? bytes.slice(state.offset) : new Uint8Array();
      const range = rest.length === 0
        ? `bytes */${bytes.length}`
        : `bytes ${state.offset}-${bytes.length - 1}/${bytes.length}`;
      const response = await site.ask(`/kubepkgs/blobs/${digest}`, {
        method: "PUT",
        body: rest,
        headers: { "content-range": range },
      });
      await response.body?.cancel();
      status = response.status;
    }
    if (status !== 201 && status !== 200) fault(`afterwards ${digest} is answered with ${status}`);
  }
  const done = await site.ask("/kubepkgs?force=true", { method: "PUT", body: last });
  const text = await done.text();
  if (done.status !== 200) fault(`afterwards the push ends with ${done.status}: ${text.slice(0, 300)}`);
  checkStore(`${site.folder.path}/data`, fault);
}
