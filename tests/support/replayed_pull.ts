import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { MEDIA_TYPE, parseManifest, successorsOf } from "../../lib/oci/manifest.ts";
import { assertEquals } from "./assert.ts";
import { HttpReplay, type ReplayedAnswer } from "./http_replay.ts";
import type { Situation } from "./mirror_fixture.ts";

/** What a replayed client sends. */
export interface ReplayedRequests {
  readonly manifest: readonly string[];
  readonly blob: readonly string[];
  /** Whether it asks with HEAD what a tag is, and only then for the manifest. */
  readonly asksByHead: boolean;
}

/** What CRI-O sends (containers/image): it never asks by HEAD or for a namespace, and repeats Accept. */
export const CRIO_REQUESTS: ReplayedRequests = {
  manifest: [
    "User-Agent: cri-o/1.30.0 go/go1.22.2 os/linux arch/amd64",
    ...[MEDIA_TYPE.ociManifest, MEDIA_TYPE.dockerManifest, "application/vnd.docker.distribution.manifest.v1+prettyjws"]
      .map((type) => `Accept: ${type}`),
    ...["application/vnd.docker.distribution.manifest.v1+json", MEDIA_TYPE.dockerList, MEDIA_TYPE.ociIndex]
      .map((type) => `Accept: ${type}`),
    "Docker-Distribution-Api-Version: registry/2.0",
    "Accept-Encoding: gzip",
  ],
  blob: [
    "User-Agent: cri-o/1.30.0 go/go1.22.2 os/linux arch/amd64",
    "Docker-Distribution-Api-Version: registry/2.0",
    "Accept-Encoding: identity",
  ],
  asksByHead: false,
};

/** What docker sends with its classic image store. */
export const DOCKER_REQUESTS: ReplayedRequests = {
  manifest: [
    "User-Agent: docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/24.0.7)",
    ...["application/json", MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerList, MEDIA_TYPE.ociIndex]
      .map((type) => `Accept: ${type}`),
    ...["application/vnd.docker.distribution.manifest.v1+prettyjws", MEDIA_TYPE.ociManifest]
      .map((type) => `Accept: ${type}`),
    "Accept-Encoding: gzip",
    "Connection: keep-alive",
  ],
  blob: ["User-Agent: docker/24.0.7 go/go1.20.10", "Accept-Encoding: identity", "Connection: keep-alive"],
  asksByHead: true,
};

/** What is pulled, and from where. */
export interface ReplayedPull {
  /** Where the mirror listens. */
  readonly host: string;
  /** The repository's, as the client asks for it. */
  readonly path: string;
  readonly situation: Situation;
}

/**
 * Pulls as a client does that takes an answer only with its type, its length and its digest.
 *
 * @param sent what it sends
 */
export async function replayPull(sent: ReplayedRequests, { host, path, situation }: ReplayedPull): Promise<void> {
  const { image, reference } = situation;
  using connection = await HttpReplay.connect(host);
  const ok = (answer: ReplayedAnswer): ReplayedAnswer => {
    assertEquals(answer.status, 200, new TextDecoder().decode(answer.body));
    return answer;
  };
  const ping = ok(await connection.send("GET", "/v2/", sent.blob.slice(0, 1)));
  assertEquals(ping.headers.get("docker-distribution-api-version"), "registry/2.0");
  const readManifest = async (reference: string, expected: Digest): Promise<void> => {
    const target = `/v2/${path}/manifests/${reference}`;
    const head = sent.asksByHead ? ok(await connection.send("HEAD", target, sent.manifest)) : undefined;
    const answer = ok(await connection.send("GET", target, sent.manifest));
    for (const { headers } of [answer, ...head === undefined ? [] : [head]]) {
      const got = ["content-length", "docker-content-digest", "content-encoding"].map((name) => headers.get(name));
      assertEquals(got, [String(answer.body.length), expected, undefined]);
    }
    assertEquals(computeDigest(answer.body), expected);
    const type = answer.headers.get("content-type") ?? "";
    const manifest = parseManifest(answer.body, type);
    assertEquals(type, manifest.mediaType);
    for (const { digest, platform } of successorsOf(manifest)) {
      if (manifest.kind === "index") {
        if (platform?.architecture === "amd64") await readManifest(digest, digest);
        continue;
      }
      const blob = ok(await connection.send("GET", `/v2/${path}/blobs/${digest}`, sent.blob));
      assertEquals([computeDigest(blob.body), blob.headers.get("content-encoding")], [digest, undefined]);
    }
  };
  await readManifest(reference, image.root.digest);
}
