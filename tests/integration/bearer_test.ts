import { createRegistryHandler } from "../../lib/registry/handler.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { withBearerAuth } from "../support/bearer_auth.ts";
import { makeCertificate } from "../support/certificate.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { MemoryStore } from "../support/memory_store.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const LOGIN = { username: "engineer", password: "a-secret" };
const AUTH = btoa(`${LOGIN.username}:${LOGIN.password}`);
const image = buildIndex([buildImage({ platform: "linux/amd64" }), buildImage({ platform: "linux/arm64" })]);

async function startUpstream() {
  const { cert, key } = await makeCertificate();
  const store = new MemoryStore();
  await writeImage(store, "registry.test/team/app:1.0", image);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} },
    withBearerAuth(createRegistryHandler(store), LOGIN),
  );
  const host = `127.0.0.1:${server.addr.port}`;
  return { cert, host, url: `https://${host}`, [Symbol.asyncDispose]: () => server.shutdown() };
}

const logins: [string, (folder: TestFolder, host: string) => Promise<Record<string, string>>][] = [
  ["$DOCKER_CONFIG/config.json, by the endpoint's host", async (folder, host) => {
    await folder.write("docker/config.json", JSON.stringify({ auths: { [host]: { auth: AUTH } } }));
    return { DOCKER_CONFIG: `${folder.path}/docker` };
  }],
  ["$DOCKER_CONFIG/config.json, by the image's host", async (folder) => {
    await folder.write("docker/config.json", JSON.stringify({ auths: { "registry.test": { auth: AUTH } } }));
    return { DOCKER_CONFIG: `${folder.path}/docker` };
  }],
  ["$REGISTRY_AUTH_FILE", async (folder, host) => {
    await folder.write("auth.json", JSON.stringify({ auths: { [host]: { auth: AUTH } } }));
    return { REGISTRY_AUTH_FILE: `${folder.path}/auth.json` };
  }],
];
for (const [what, login] of logins) {
  peerTest(`pull gets a token over https with the login of ${what}`, ["openssl"], async () => {
    await using folder = await TestFolder.create();
    await using upstream = await startUpstream();
    await folder.write("ca.pem", upstream.cert);
    const config = await folder.write(
      "crpe.yaml",
      `hosts: {registry.test: {url: "${upstream.url}", ca-file: "${folder.path}/ca.pem"}}`,
    );
    const env = { HOME: folder.path, ...await login(folder, upstream.host) };
    const { code, stdout, stderr } = await runCrpe([
      "pull",
      "registry.test/team/app:1.0",
      "--json",
      `--data=${folder.path}/data`,
      `--config=${config}`,
    ], { env });
    assertEquals(code, 0, stderr);
    const [{ digest, platforms }] = JSON.parse(stdout);
    assertEquals({ digest, platforms }, { digest: image.root.digest, platforms: ["linux/amd64", "linux/arm64"] });
    assertEquals(stderr.includes(LOGIN.password) || stderr.includes(AUTH), false);
  });
}

peerTest("[20] pull refuses an untrusted certificate with the reason", ["openssl"], async () => {
  await using folder = await TestFolder.create();
  await using upstream = await startUpstream();
  const { code, stderr } = await runCrpe(
    ["pull", "registry.test/team/app:1.0", "--data=data", `--upstream=registry.test=${upstream.url}`],
    { env: { HOME: folder.path }, cwd: folder.path },
  );
  assertEquals(code, 1);
  assertStringIncludes(stderr, upstream.host);
  assertStringIncludes(stderr, "certificate");
  assertEquals(stderr.trim().split("\n").length, 1);
});

peerTest("pull trusts the authorities of --ca-file for the named host, and for no other", [
  "openssl",
], async () => {
  await using folder = await TestFolder.create();
  await using upstream = await startUpstream();
  await folder.write("ca.pem", upstream.cert);
  await folder.write("docker/config.json", JSON.stringify({ auths: { [upstream.host]: { auth: AUTH } } }));
  const pull = (...flags: string[]) => {
    const args = ["pull", "registry.test/team/app:1.0", "--data=data", `--upstream=registry.test=${upstream.url}`];
    const env = { HOME: folder.path, DOCKER_CONFIG: `${folder.path}/docker` };
    return runCrpe([...args, ...flags], { env, cwd: folder.path });
  };
  for (
    const [flag, status, words] of [
      ["--ca-file=other.test=ca.pem", 1, "certificate"],
      ["--ca-file=registry.test=none.pem", 1, "none.pem"],
      ["--ca-file=ca.pem", 2, "write HOST=FILE"],
      ["--ca-file=registry.test=ca.pem", 0, ""],
    ] as const
  ) {
    const { code, stderr } = await pull(flag);
    assertEquals(code, status, `${flag}: ${stderr}`);
    assertStringIncludes(stderr, words);
  }
});
