import { DiskStore } from "../../lib/store/disk_store.ts";
import { fuzzRequests } from "../fuzz/fuzz_requests.ts";
import { RawConnection } from "../fuzz/raw_client.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

// scripts/fuzz_requests.ts sends many more, with any seed.
Deno.test("[54] [56] [59] 3,000 hostile requests cause no 5xx, no read outside of the data folder, and no connection elsewhere", async () => {
  await using folder = await TestFolder.create();
  const path = await Deno.realPath(folder.path);
  const { findings, statuses, done } = await fuzzRequests({ seed: 1, count: 3000, folder: path, maxTime: 300_000 });
  assertEquals(findings, []);
  assert(done >= 3000);
  // Each status shows that one kind of request reached the code that it is meant for.
  for (const status of ["200", "206", "400", "404", "405", "416"]) assert((statuses[status] ?? 0) > 0, status);
});

Deno.test("[65] the target of a symbolic link in the store is not served", async () => {
  await using folder = await TestFolder.create();
  const [data, repo] = [`${folder.path}/data`, "registry.test/team/app"];
  const image = buildImage();
  await writeImage(new DiskStore(data), `${repo}:1`, image);
  const secret = await folder.write("secret", "a secret file");
  const store = `${data}/docker/registry/v2`;
  const links = [...image.blobs.keys()].map((digest) => {
    return `${store}/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}/data`;
  });
  for (const link of [...links, `${store}/repositories/${repo}/_manifests/tags/1/current/link`]) {
    await Deno.remove(link);
    await Deno.symlink(secret, link);
  }
  await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${data}`, "--offline"], {
    env: { HOME: folder.path },
  });
  const paths = [...image.blobs.keys()].map((digest) => `/v2/${repo}/blobs/${digest}`);
  for (const path of [...paths, `/v2/${repo}/manifests/1`, `/v2/${repo}/tags/list`]) {
    const response = await fetch(`${crpe.url}${path}`);
    const text = await response.text();
    assert(!text.includes("a secret file"), path);
    if (!path.includes("tags")) assert(!response.ok, `${path} gave ${response.status}`);
  }
  assertEquals(await (await fetch(`${crpe.url}/v2/`)).text(), "{}");
  assert(!crpe.log().includes("a secret file"), crpe.log());
});

Deno.test("a request with an absolute target is routed by its path, and an invalid Host is refused", async () => {
  await using folder = await TestFolder.create();
  await writeImage(new DiskStore(`${folder.path}/data`), "registry.test/app:1", buildImage());
  await using crpe = await startCrpe(
    ["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/data`, "--offline", "--host-name=elsewhere.test"],
    { env: { HOME: folder.path } },
  );
  const port = Number(new URL(crpe.url).port);
  const ask = async (target: string, host: string) => {
    using connection = await RawConnection.open(port);
    await connection.send(new TextEncoder().encode(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
    return (await connection.receive("GET"))?.status;
  };
  assertEquals(await ask("http://elsewhere.test:99/v2/registry.test/app/manifests/1", "crpe"), 200);
  assertEquals(await ask("http://127.0.0.1:9/v2/registry.test/app/manifests/none", "crpe"), 404);
  // DNS rebinding: a web page makes its own name mean this address.
  assertEquals(await ask("/v2/", "page.example"), 403);
  // Such a Host could otherwise bypass the path rules of a proxy in front of crpe.
  for (const host of ["a/v2/_catalog?", "a/metrics?", "a b", "u@a"]) {
    for (const target of ["/v2/", "/metrics", "/healthz", "/v2/registry.test/app/manifests/1"]) {
      assertEquals(await ask(target, host), 400, `${host} ${target}`);
    }
  }
});
