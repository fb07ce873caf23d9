import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { copyPackages } from "../support/other_user.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const LAYER = makeBytes(300_000, 7);

/** Creates a data folder of the user 65534 in which some folders belong to root, and starts a registry of that user. */
async function startAsOther(rootOwned: readonly string[]) {
  const folder = await TestFolder.create();
  const upstream = startFaultUpstream();
  upstream.addImage("team/app", "1", [LAYER]);
  const data = `${folder.path}/data`;
  await Deno.mkdir(`${data}/ingest`, { recursive: true });
  for (const name of rootOwned) await Deno.mkdir(`${data}/${name}`, { recursive: true });
  for (const command of [["chmod", "755", folder.path], ["chown", "-R", "65534", folder.path]]) {
    await new Deno.Command(command[0]!, { args: command.slice(1) }).output();
  }
  for (const name of rootOwned) await Deno.chown(`${data}/${name}`, 0, 0);
  const denoDir = `${folder.path}/deno`;
  await copyPackages(denoDir);
  await new Deno.Command("chown", { args: ["-R", "65534", denoDir] }).output();
  const crpe = await startCrpe([
    "registry",
    "--addr=127.0.0.1:0",
    `--data=${data}`,
    `--upstream=r.test=${upstream.url}`,
  ], {
    env: { HOME: folder.path, DENO_DIR: denoDir },
    within: ["setpriv", "--reuid=65534", "--clear-groups"],
    cwd: folder.path,
  });
  return {
    data,
    crpe,
    get: async (path: string) => {
      const response = await fetch(crpe.url + path);
      return { status: response.status, bytes: new Uint8Array(await response.arrayBuffer()) };
    },
    async [Symbol.asyncDispose]() {
      await crpe[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const places: [string, string[]][] = [
  ["the blobs", ["docker/registry/v2/blobs/sha256"]],
  ["the repositories", ["docker/registry/v2/repositories/r.test"]],
  ["all images", ["docker"]],
];
for (const [what, rootOwned] of places) {
  // A process of root may write everywhere, so that the server must run as another user.
  peerTest(
    `[96] a registry serves new images although ${what} belong to root, and says so`,
    ["root", "setpriv"],
    async () => {
      await using it = await startAsOther(rootOwned);
      assertEquals(JSON.parse(new TextDecoder().decode((await it.get("/healthz")).bytes)), { status: "ok" });
      for (let i = 0; i < 3; i++) {
        const manifest = await it.get("/v2/r.test/team/app/manifests/1");
        assertEquals(manifest.status, 200);
        const { config, layers } = JSON.parse(new TextDecoder().decode(manifest.bytes));
        assertEquals((await it.get(`/v2/r.test/team/app/blobs/${layers[0].digest}`)).bytes, LAYER);
        assertEquals((await it.get(`/v2/r.test/team/app/blobs/${config.digest}`)).bytes.length, config.size);
      }
      const health = JSON.parse(new TextDecoder().decode((await it.get("/healthz")).bytes));
      assertEquals(health.status, "degraded");
      assertStringIncludes(health.reason, `${it.data}/${rootOwned[0]} belongs to root (mode 755)`);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const lines = it.crpe.log().split("\n").filter((line) => line.includes("Cannot keep new content"));
      assertEquals(lines.length, 1, it.crpe.log());
      assertStringIncludes(lines[0]!, `${it.data}/${rootOwned[0]} belongs to root (mode 755)`);
    },
  );
}
