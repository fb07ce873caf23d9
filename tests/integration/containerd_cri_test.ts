import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeCertificate } from "../support/certificate.ts";
import { Containerd } from "../support/containerd.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";
import { openServedStore } from "../support/served_store.ts";

// No machine has this name: an image of it is pulled from a mirror, or not at all.
const IMAGE = "registry.test/team/app";

// containerd unpacks images of its own platform only.
const PLATFORM = { platform: Deno.build.arch === "aarch64" ? "linux/arm64" : "linux/amd64" };

// What the kernel of a container does not permit, and a snapshotter that works everywhere.
const CRI_2 = `[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
`;
const CRI_3 = `[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'native'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]
  platform = '${PLATFORM.platform}'
  snapshotter = 'native'
`;
const LIST = "config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'";

interface Row {
  readonly what: string;
  readonly peer: "containerd" | "containerd2";
  /** The files in `/etc/containerd` before `crpe mirror-config`. */
  readonly files: Readonly<Record<string, string>>;
  readonly isTls?: boolean;
}

const rows: readonly Row[] = [
  { what: "no file", peer: "containerd", files: {} },
  { what: "no file", peer: "containerd2", files: {} },
  { what: "version 2", peer: "containerd", files: { "config.toml": `version = 2\n${CRI_2}` } },
  {
    what: "version 1",
    peer: "containerd",
    files: { "config.toml": CRI_2.replaceAll('"io.containerd.grpc.v1.cri"', "cri") },
  },
  {
    what: "version 2, an unset config_path",
    peer: "containerd",
    files: {
      "config.toml": `version = 2\n${CRI_2}[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = ""\n`,
    },
  },
  { what: "version 2, https", peer: "containerd", files: { "config.toml": `version = 2\n${CRI_2}` }, isTls: true },
  { what: "version 3", peer: "containerd2", files: { "config.toml": `version = 3\n${CRI_3}` } },
  { what: "version 2", peer: "containerd2", files: { "config.toml": `version = 2\n${CRI_2}` } },
  { what: "version 1", peer: "containerd2", files: { "config.toml": CRI_3 } },
  {
    what: "version 3, a list of folders",
    peer: "containerd2",
    files: { "config.toml": `version = 3\n${CRI_3}[plugins.'io.containerd.cri.v1.images'.registry]\n  ${LIST}\n` },
  },
  {
    what: "version 3, the table of version 2",
    peer: "containerd2",
    files: {
      "config.toml":
        `version = 3\n${CRI_3}[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n`,
    },
  },
  {
    what: "version 3, imports",
    peer: "containerd2",
    files: {
      "config.toml": "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n",
      "conf.d/10-site.toml": `version = 3\n${CRI_3}`,
    },
  },
  { what: "version 3, https", peer: "containerd2", files: { "config.toml": `version = 3\n${CRI_3}` }, isTls: true },
];

for (const { what, peer, files, isTls = false } of rows) {
  const name = peer === "containerd" ? "containerd 1" : "containerd 2";
  peerTest(
    `${name} pulls through CRI with the configuration that crpe writes: ${what}`,
    [peer, "crictl", ...isTls ? ["openssl" as const] : []],
    async () => {
      await using folder = await TestFolder.create();
      await writeImage(openServedStore(`${folder.path}/data`), `${IMAGE}:1.0`, buildImage(PLATFORM));
      await Deno.mkdir(`${folder.path}/root/etc/containerd`, { recursive: true });
      for (const [name, text] of Object.entries(files)) await folder.write(`root/etc/containerd/${name}`, text);
      const certificate = isTls ? await makeCertificate() : undefined;
      const tls = certificate === undefined ? [] : [
        `--tls-cert=${await folder.write("tls/cert.pem", certificate.cert)}`,
        `--tls-key=${await folder.write("tls/key.pem", certificate.key)}`,
      ];
      const env = { HOME: folder.path };
      await using crpe = await startCrpe(
        ["registry", "--addr=127.0.0.1:0", "--offline", `--data=${folder.path}/data`, ...tls],
        { env },
      );
      const etc = `${folder.path}/root/etc/containerd`;
      const hosts = ["mirror-config", "containerd", `--to=${crpe.url}`, `--root=${folder.path}/root`];
      const flags = [...hosts, ...isTls ? [`--ca-file=${folder.path}/tls/cert.pem`] : []];

      // The folder alone is not enough: without the table, the mirror is not used.
      const written = await runCrpe([...flags, "--write"], { env });
      assertEquals(written.code, 0, written.stderr);
      assertStringIncludes(written.stderr, "restart: systemctl restart containerd");
      const folders = `${folder.path}/folders`;
      for (const [name, text] of Object.entries(files)) await folder.write(`folders/${name}`, text);
      await Deno.mkdir(`${folders}/certs.d/_default`, { recursive: true });
      for (const name of await folder.listFiles("root/etc/containerd/certs.d/_default")) {
        await Deno.copyFile(`${etc}/certs.d/_default/${name}`, `${folders}/certs.d/_default/${name}`);
      }
      const before = await pull(peer, folders);
      assertEquals([before.code, await countManifests(crpe.url, certificate?.cert)], [1, 0], before.stderr);

      const after = await pull(peer, etc);
      assertEquals(after.code, 0, `${after.stderr}\n${crpe.log()}`);
      assert(await countManifests(crpe.url, certificate?.cert) > 0, "crpe was asked for the manifest");
      const doctor = await runCrpe(
        ["doctor", "--offline", "--json", `--data=${folder.path}/none`, `--root=${folder.path}/root`],
        { env },
      );
      const { findings } = JSON.parse(doctor.stdout);
      const mirrors = findings.filter(({ step }: { step: string }) => step === "mirror of containerd");
      assertEquals(mirrors.map(({ status }: { status: string }) => status), ["ok"], doctor.stdout);

      assertEquals((await runCrpe([...hosts, "--remove"], { env })).code, 0);
      assertEquals(await folder.listFiles("root/etc/containerd"), Object.keys(files).sort());
      for (const [name, text] of Object.entries(files)) assertEquals(await Deno.readTextFile(`${etc}/${name}`), text);
    },
  );
}

/** Counts the requests for manifests that crpe has answered. */
async function countManifests(url: string, ca: string | undefined): Promise<number> {
  using client = Deno.createHttpClient({ caCerts: ca === undefined ? [] : [ca] });
  const metrics = await (await fetch(`${url}/metrics`, { client })).text();
  const counts = [...metrics.matchAll(/^crpe_requests_total\{[^}]*kind="manifest"[^}]*\} (\d+)/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Pulls the image with a new containerd. */
async function pull(peer: Row["peer"], etc: string) {
  await using containerd = await Containerd.startCri(peer, etc);
  const pulled = await containerd.crictl(["pull", `${IMAGE}:1.0`]);
  if (pulled.code === 0) {
    const { stdout } = await containerd.crictl(["images", "--output=json"]);
    assert(stdout.includes(`${IMAGE}:1.0`), stdout);
  }
  return pulled;
}
