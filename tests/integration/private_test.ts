import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { TestFolder } from "../support/test_folder.ts";

// The password of `ann` is "secret"; its hash has the smallest cost.
const USERS = "ann:$2b$04$urib.v55byitSaYNKyI74OBWk1poutpd6YtgIYu1hdfqDOabIfPhy\n";
const AUTHORIZATION = `Basic ${btoa("ann:secret")}`;

/** Starts a server with logins, and an upstream that is known as `private.test` and as `open.test`. */
async function start(command: "registry" | "agent", ...flags: string[]) {
  const folder = await TestFolder.create();
  const upstream = startFaultUpstream();
  upstream.addImage("team/app", "1", [makeBytes(100_000, 1)]);
  const users = await folder.write("users", USERS);
  const crpe = await startCrpe([
    command,
    "--addr=127.0.0.1:0",
    `--data=${folder.path}/data`,
    ...["private.test", "open.test"].map((host) => `--upstream=${host}=${upstream.url}`),
    `--require-login=${users}`,
    ...flags,
  ], { env: { HOME: folder.path } });
  const get = async (path: string, authorization?: string) => {
    const response = await fetch(crpe.url + path, { headers: authorization === undefined ? {} : { authorization } });
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { status: response.status, challenge: response.headers.get("www-authenticate"), bytes };
  };
  return {
    get,
    url: crpe.url,
    folder,
    async [Symbol.asyncDispose]() {
      await crpe[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

for (const command of ["registry", "agent"] as const) {
  Deno.test(`crpe ${command} --require-login serves the registry only with a login`, async () => {
    await using it = await start(command);
    const path = "/v2/private.test/team/app/manifests/1";
    for (const place of ["/v2/", "/v2/_catalog", path, "/v2/open.test/team/app/tags/list"]) {
      const { status, challenge } = await it.get(place);
      assertEquals([status, challenge], [401, 'Basic realm="crpe", charset="UTF-8"'], place);
      assertEquals((await it.get(place, `Basic ${btoa("ann:wrong")}`)).status, 401, place);
      assertEquals((await it.get(place, AUTHORIZATION)).status, 200, place);
    }
    const manifest = JSON.parse(new TextDecoder().decode((await it.get(path, AUTHORIZATION)).bytes));
    const blob = `/v2/private.test/team/app/blobs/${manifest.layers[0].digest}`;
    assertEquals((await it.get(blob, AUTHORIZATION)).bytes.length, 100_000);
    assertEquals((await it.get(blob)).status, 401);
    for (const open of ["/healthz", "/metrics"]) assertEquals((await it.get(open)).status, 200);
    const metrics = new TextDecoder().decode((await it.get("/metrics")).bytes);
    assertStringIncludes(metrics, 'status="401"');
    if (command === "agent") assertEquals((await it.get("/kubepkgs")).status, 200);
  });
}

Deno.test("crpe registry --private asks for a login for the images of that host only", async () => {
  await using it = await start("registry", "--private=private.test");
  assertEquals((await it.get("/v2/open.test/team/app/manifests/1")).status, 200);
  assertEquals((await it.get("/v2/")).challenge !== null, true);
  for (
    const path of ["/v2/private.test/team/app/manifests/1", "/v2/team/app/manifests/1?ns=private.test", "/v2/_catalog"]
  ) {
    assertEquals([(await it.get(path)).status, (await it.get(path, AUTHORIZATION)).status], [401, 200], path);
  }
  // The content of the private host is not reachable under the name of the open one.
  const manifest = await (await fetch(`${it.url}/v2/private.test/team/app/manifests/1`, {
    headers: { authorization: AUTHORIZATION },
  })).json();
  assertEquals((await it.get(`/v2/other.test/team/app/blobs/${manifest.layers[0].digest}`)).status, 404);
});

const wrong: [string, string[], number, string][] = [
  ["--private without --require-login", ["--private=a.b"], 2, "--require-login FILE is missing"],
  ["a missing file", ["--require-login=/none"], 1, "Cannot use the logins in /none: there is no such file"],
  ["--private that is no host", ["--require-login=/none", "--private=a.b/c"], 2, "it is not a host"],
  ["--private for any host", ["--require-login=/none", "--private=*"], 2, "it is not a host"],
  ["--scrub below a second", ["--scrub=1ms"], 2, "at least 1s"],
];
for (const [what, flags, code, message] of wrong) {
  Deno.test(`crpe registry refuses ${what}`, async () => {
    await using folder = await TestFolder.create();
    const result = await runCrpe(["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/data`, ...flags], {
      env: { HOME: folder.path },
    });
    assertEquals(result.code, code, result.stderr);
    assertStringIncludes(result.stderr, message);
  });
}
