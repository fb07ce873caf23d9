import type { Digest } from "../../lib/oci/digest.ts";
import { type Descriptor, type Manifest, MEDIA_TYPE, parseManifest, successorsOf } from "../../lib/oci/manifest.ts";
import { formatHostSegment } from "../../lib/oci/reference.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { Containerd } from "../support/containerd.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { startDistribution } from "../support/distribution.ts";
import type { BuiltImage } from "../support/images.ts";
import {
  checkCopied,
  HOSTS,
  listSituations,
  MirrorFixture,
  type Situation,
  suffixOf,
} from "../support/mirror_fixture.ts";
import { type Peer, type PeerResult, peerTest } from "../support/peers.ts";
import { CRIO_REQUESTS, DOCKER_REQUESTS, replayPull } from "../support/replayed_pull.ts";

const ROUNDS = ["cold", "warm", "upstream gone"] as const;

/** Pulls the image of a situation. @throws {Error} when the pull fails or gives other content */
type Pull = (situation: Situation) => Promise<void>;

/** A client, the situations that it is tested in, and how it pulls. */
interface Client {
  readonly name: string;
  readonly peers: readonly Peer[];
  readonly situations: readonly Situation[];
  /** Sets the client up for one round, without any state of the round before. */
  readonly open: (fixture: MirrorFixture) => Promise<AsyncDisposable & { readonly pull: Pull }>;
}

/** The results: client → situation → one word for each round. */
const outcomes = new Map<string, Map<string, string[]>>();

function succeed({ code, stdout, stderr }: PeerResult): string {
  assert(code === 0, `exit status ${code}: ${stderr}`);
  return stdout;
}

/** Sets skopeo and podman up with the drop-in file that crpe prints. */
async function openContainerTools(fixture: MirrorFixture, ...flags: string[]): Promise<ContainerTools> {
  const tools = await ContainerTools.create();
  const folder = `${tools.home}/.config/containers/registries.conf.d`;
  await Deno.mkdir(folder);
  const hosts = HOSTS.map((host) => `--host=${host}`);
  await Deno.writeTextFile(`${folder}/50-crpe.conf`, await fixture.mirrorConfig("podman", ...hosts, ...flags));
  return tools;
}

async function pullBySkopeo(tools: ContainerTools, name: string, { image }: Situation): Promise<void> {
  const folder = await Deno.makeTempDir({ dir: tools.home });
  succeed(await tools.skopeo(["copy", "--all", `docker://${name}`, `dir:${folder}`]));
  await checkCopied(folder, image);
}

const nameOf = (situation: Situation) => `${situation.host}/${situation.path}${suffixOf(situation)}`;

const skopeoClients = [["mirror", []], ["location", ["--only"]]].map(([style, flags]): Client => ({
  name: `skopeo, ${style}`,
  peers: ["skopeo"],
  situations: listSituations(),
  async open(fixture) {
    const tools = await openContainerTools(fixture, ...flags!);
    return {
      pull: (situation) => pullBySkopeo(tools, nameOf(situation), situation),
      [Symbol.asyncDispose]: () => tools[Symbol.asyncDispose](),
    };
  },
}));

const podmanClients = [["mirror", []], ["location", ["--only"]]].map(([style, flags]): Client => ({
  name: `podman, ${style}`,
  peers: ["podman"],
  situations: listSituations(),
  async open(fixture) {
    const tools = await openContainerTools(fixture, ...flags!);
    return {
      async pull(situation) {
        succeed(await tools.podman(["pull", "-q", nameOf(situation)]));
        const shown = await tools.podman(["image", "inspect", "--format={{.RepoDigests}}", nameOf(situation)]);
        const digests = succeed(shown);
        assert(digests.includes(situation.image.root.digest), digests);
        succeed(await tools.podman(["rmi", "-af"]));
      },
      [Symbol.asyncDispose]: () => tools[Symbol.asyncDispose](),
    };
  },
}));

function parse(image: BuiltImage, digest: Digest): Manifest {
  return parseManifest(image.manifests.find(({ descriptor }) => descriptor.digest === digest)!.bytes);
}

function platformsOf(image: BuiltImage): Descriptor[] {
  return successorsOf(parse(image, image.root.digest)).filter(({ platform }) => platform?.os !== "unknown");
}

function blobsOf(image: BuiltImage, manifest: Digest): Digest[] {
  return successorsOf(parse(image, manifest)).map(({ digest }) => digest);
}

const containerdClients = [["all hosts", []], ["named hosts", HOSTS.map((host) => `--host=${host}`)]].map(
  ([kind, flags]): Client => ({
    name: `containerd, ${kind}`,
    peers: ["containerd", "ctr"],
    situations: listSituations(),
    async open(fixture) {
      const hosts = await Deno.makeTempDir({ dir: fixture.folder.path });
      await fixture.mirrorConfig("containerd", ...flags!, "--write", `--path=${hosts}`);
      return {
        async pull(situation) {
          // A new containerd for each pull has to fetch everything.
          await using containerd = await Containerd.start();
          const { image } = situation;
          const children = image.root.mediaType === MEDIA_TYPE.ociIndex ? platformsOf(image) : [image.root];
          // containerd cannot unpack the attestation of an index.
          const platforms = ["linux/amd64", "linux/arm64"].slice(0, children.length).flatMap((
            name,
          ) => ["--platform", name]);
          const args = ["images", "pull", `--hosts-dir=${hosts}`, "--snapshotter=native", ...platforms];
          succeed(await containerd.ctr([...args, nameOf(situation)]));
          const listed = succeed(await containerd.ctr(["images", "ls", `name==${nameOf(situation)}`]));
          assert(listed.includes(image.root.digest), listed);
          const content = succeed(await containerd.ctr(["content", "ls", "--quiet"])).split("\n");
          const wanted = children.flatMap(({ digest }) => [digest, ...blobsOf(image, digest)]);
          assertEquals(wanted.filter((digest) => !content.includes(digest)), []);
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    },
  }),
);

const distribution: Client = {
  name: "distribution behind crpe",
  peers: ["docker-registry", "skopeo"],
  situations: listSituations(),
  async open(fixture) {
    const downstream = await startDistribution({ proxyRemote: fixture.crpe.url });
    const tools = await ContainerTools.create();
    return {
      pull: (situation) => {
        const name = `${formatHostSegment(situation.host)}/${situation.path}${suffixOf(situation)}`;
        return pullBySkopeo(tools, `${downstream.host}/${name}`, situation);
      },
      async [Symbol.asyncDispose]() {
        await downstream[Symbol.asyncDispose]();
        await tools[Symbol.asyncDispose]();
      },
    };
  },
};

const crpe: Client = {
  name: "crpe behind crpe",
  peers: ["skopeo"],
  situations: listSituations(),
  async open(fixture) {
    const data = await Deno.makeTempDir({ dir: fixture.folder.path });
    const upstreams = HOSTS.map((host) => `--upstream=${host}=${fixture.crpe.url}`);
    const behind = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${data}`, ...upstreams], {
      env: { HOME: fixture.folder.path },
    });
    const tools = await ContainerTools.create();
    return {
      pull: (situation) => {
        const name = `${formatHostSegment(situation.host)}/${situation.path}${suffixOf(situation)}`;
        return pullBySkopeo(tools, `${new URL(behind.url).host}/${name}`, situation);
      },
      async [Symbol.asyncDispose]() {
        await behind[Symbol.asyncDispose]();
        await tools[Symbol.asyncDispose]();
      },
    };
  },
};

const crio: Client = {
  name: "CRI-O, replayed",
  peers: [],
  situations: listSituations(),
  async open(fixture) {
    const config = await fixture.mirrorConfig("crio", ...HOSTS.map((host) => `--host=${host}`));
    const locations = new Map([...config.matchAll(/prefix = "(.*)"[^[]*\[\[registry\.mirror\]\]\nlocation = "(.*)"/g)]
      .map(([, prefix = "", location = ""]) => [prefix, location]));
    return {
      async pull(situation) {
        const [host = "", ...rest] = locations.get(situation.host)!.split("/");
        await replayPull(CRIO_REQUESTS, { host, path: [...rest, situation.path].join("/"), situation });
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

const docker: Client = {
  name: "docker (classic), replayed",
  peers: [],
  // docker adds `library/` itself, and supports mirrors of docker.io only.
  situations: listSituations("docker.io").filter(({ host }) => host === "docker.io"),
  async open(fixture) {
    const [mirror] = JSON.parse(await fixture.mirrorConfig("docker"))["registry-mirrors"];
    return {
      async pull(situation) {
        const path = situation.path.includes("/") ? situation.path : `library/${situation.path}`;
        await replayPull(DOCKER_REQUESTS, { host: new URL(mirror).host, path, situation });
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

const CLIENTS = [...skopeoClients, ...podmanClients, ...containerdClients, distribution, crpe, crio, docker];

for (const { name, peers, situations, open } of CLIENTS) {
  outcomes.set(name, new Map());
  peerTest(`${name} pulls in every situation: cold, warm and without the upstream`, peers, async () => {
    await using fixture = await MirrorFixture.start();
    const failures: string[] = [];
    for (const round of ROUNDS) {
      if (round === "upstream gone") await fixture.stopUpstream();
      await using client = await open(fixture);
      for (const situation of situations) {
        const cells = outcomes.get(name)!;
        const failure = await client.pull(situation).then(() => undefined, (error: Error) => error.message);
        cells.set(situation.name, [...cells.get(situation.name) ?? [], failure === undefined ? "ok" : "FAILED"]);
        if (failure !== undefined) failures.push(`${round}, ${situation.name}: ${failure}`);
      }
    }
    assertEquals(failures, [], fixture.crpe.log());
  });
}

Deno.test("every installed client pulled in every situation", () => {
  const names = listSituations().map(({ name }) => name);
  const rows = [
    ["", ...names],
    ...[...outcomes].map(([client, cells]) => [
      client,
      ...names.map((name) => cells.get(name)?.join(" ") ?? (cells.size === 0 ? "skipped" : "-")),
    ]),
  ];
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  console.log(`client × situation; in each cell ${ROUNDS.join(", ")}; "-": not applicable to the client`);
  for (const row of rows) console.log(row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd());
  for (const { name, situations } of CLIENTS) {
    const cells = outcomes.get(name)!;
    // The test of a client that is not installed was skipped.
    if (cells.size > 0) assertEquals([...cells.values()].flat(), situations.flatMap(() => ["ok", "ok", "ok"]), name);
  }
});
