import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startDistribution, TEST_PASSWORD } from "../support/distribution.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { peerTest } from "../support/peers.ts";
import { pushImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const LOGIN = { user: "engineer", password: TEST_PASSWORD };
const index = buildIndex(
  [buildImage({ platform: "linux/amd64" }), buildImage({ platform: "linux/arm64" })],
  { attestation: true },
);
const single = buildImage({ files: { "etc/app.conf": "speed = 3\n" }, format: "docker" });

async function writeLogin(folder: TestFolder, host: string): Promise<Record<string, string>> {
  const auth = btoa(`${LOGIN.user}:${LOGIN.password}`);
  await folder.write("docker/config.json", JSON.stringify({ auths: { [host]: { auth } } }));
  return { HOME: folder.path, DOCKER_CONFIG: `${folder.path}/docker` };
}

async function inspectDigest(tools: ContainerTools, image: string): Promise<string> {
  const { code, stdout, stderr } = await tools.skopeo(["inspect", "--raw", `docker://${image}`]);
  assertEquals(code, 0, stderr);
  return computeDigest(stdout);
}

function hostOf({ url }: CrpeProcess): string {
  return new URL(url).host;
}

peerTest(
  "skopeo and podman pull through crpe from a registry with a password, also after that registry is gone",
  ["docker-registry", "skopeo", "podman"],
  async () => {
    await using folder = await TestFolder.create();
    await using tools = await ContainerTools.create();
    const distribution = await startDistribution({ htpasswd: LOGIN });
    let isUp = true;
    try {
      await pushImage(distribution.url, "team/app:1.0", { image: index, auth: LOGIN });
      await pushImage(distribution.url, "team/single:2", { image: single, auth: LOGIN });
      const env = await writeLogin(folder, distribution.host);
      await using crpe = await startCrpe([
        "registry",
        "--addr=127.0.0.1:0",
        `--data=${folder.path}/data`,
        `--upstream=registry.test=${distribution.url}`,
        "--tag-ttl=0",
      ], { env });
      const at = hostOf(crpe);
      for (const round of ["cold", "warm", "upstream gone"]) {
        if (round === "upstream gone") {
          await distribution[Symbol.asyncDispose]();
          isUp = false;
        }
        const target = `${folder.path}/${round.replace(" ", "-")}`;
        const copied = await tools.skopeo([
          "copy",
          "--all",
          `docker://${at}/registry.test/team/app:1.0`,
          `dir:${target}`,
        ]);
        assertEquals(copied.code, 0, `${round}: ${copied.stderr}`);
        assertEquals(computeDigest(await Deno.readFile(`${target}/manifest.json`)), index.root.digest, round);
        for (const digest of index.blobs.keys()) {
          assertEquals(computeDigest(await Deno.readFile(`${target}/${digest.slice(7)}`)), digest);
        }
        assertEquals(await inspectDigest(tools, `${at}/registry.test/team/single:2`), single.root.digest);
        const pulled = await tools.podman(["pull", "-q", `${at}/registry.test/team/single:2`]);
        assertEquals(pulled.code, 0, `${round}: ${pulled.stderr}`);
        const shown = await tools.podman([
          "image",
          "inspect",
          "--format={{.Digest}}",
          `${at}/registry.test/team/single:2`,
        ]);
        assertEquals(shown.stdout.trim(), single.root.digest);
        await tools.podman(["rmi", "-af"]);
      }
      const unknown = await tools.skopeo(["inspect", `docker://${at}/registry.test/team/app:9.9`]);
      assertEquals(unknown.code === 0, false);
    } finally {
      if (isUp) await distribution[Symbol.asyncDispose]();
    }
  },
);

peerTest(
  "pull reports a wrong password in one line, and leaves no file behind",
  ["docker-registry"],
  async () => {
    await using folder = await TestFolder.create();
    await using distribution = await startDistribution({ htpasswd: LOGIN });
    await pushImage(distribution.url, "team/app:1.0", { image: index, auth: LOGIN });
    const config = await folder.write(
      "config.yaml",
      `hosts: {registry.test: {url: "${distribution.url}", username: engineer, password: wrong-and-secret}}`,
    );
    const finished = runCrpe([
      "pull",
      "registry.test/team/app:1.0",
      `--data=${folder.path}/data`,
      `--config=${config}`,
    ], {
      env: { HOME: folder.path },
    });
    const { code, stdout, stderr } = await finished;
    assertEquals({ code, stdout }, { code: 1, stdout: "" });
    assertStringIncludes(stderr, "registry.test/team/app");
    assert(/login|password|credential/i.test(stderr), stderr);
    assertEquals(stderr.includes("wrong-and-secret"), false);
    assertEquals(stderr.trim().split("\n").length, 1, stderr);
    assertEquals((await folder.listFiles("data")).filter((name) => !name.endsWith(".lock")), []);
  },
);

peerTest("pull uses the login of the configuration file", ["docker-registry"], async () => {
  await using folder = await TestFolder.create();
  await using distribution = await startDistribution({ htpasswd: LOGIN });
  await pushImage(distribution.url, "team/app:1.0", { image: index, auth: LOGIN });
  await folder.write("password", `${LOGIN.password}\n`);
  const config = await folder.write(
    "config.yaml",
    `hosts: {registry.test: {url: "${distribution.url}", username: engineer, password-file: "${folder.path}/password"}}`,
  );
  const finished = runCrpe([
    "pull",
    "registry.test/team/app:1.0",
    "--platform=linux/arm64",
    "--json",
    `--data=${folder.path}/data`,
    `--config=${config}`,
  ], { env: { HOME: folder.path } });
  const { code, stdout, stderr } = await finished;
  assertEquals(code, 0, stderr);
  const { digest, platforms } = JSON.parse(stdout)[0];
  assertEquals({ digest, platforms }, { digest: index.root.digest, platforms: ["linux/arm64"] });
});

peerTest("REMOTE_DOCKER_ENDPOINT is the upstream of every image name", ["docker-registry"], async () => {
  await using folder = await TestFolder.create();
  await using distribution = await startDistribution({ htpasswd: LOGIN });
  await pushImage(distribution.url, "team/app:1.0", { image: single, auth: LOGIN });
  const finished = runCrpe(["pull", "quay.io/team/app:1.0", `--data=${folder.path}/data`, "--json"], {
    env: {
      HOME: folder.path,
      REMOTE_DOCKER_ENDPOINT: distribution.url,
      REMOTE_DOCKER_USERNAME: LOGIN.user,
      REMOTE_DOCKER_PASSWORD: LOGIN.password,
    },
  });
  const { code, stdout, stderr } = await finished;
  assertEquals(code, 0, stderr);
  assertEquals(JSON.parse(stdout)[0].digest, single.root.digest);
});
