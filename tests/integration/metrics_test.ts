import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { TestFolder } from "../support/test_folder.ts";

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(name) && !line.startsWith("#"));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** Sends a request with exactly these headers. @returns the beginning of the response */
async function sendRaw(url: string, headers: Record<string, string>): Promise<string> {
  const { hostname, port } = new URL(url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const lines = ["GET /v2/ HTTP/1.1", "connection: close", ...Object.entries(headers).map((it) => it.join(": "))];
  await connection.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  return await new Response(connection.readable).text();
}

Deno.test("/metrics counts requests, bytes and downloads, and the log has a line for each request", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  const { digest, size } = upstream.addBlob("team/app", new Uint8Array(300_000).fill(7));
  await using crpe = await startCrpe([
    "registry",
    "--addr=127.0.0.1:0",
    `--data=${folder.path}/data`,
    `--upstream=registry.test=${upstream.url}`,
    "--log-format=json",
  ], { env: { HOME: folder.path } });
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`${crpe.url}/v2/registry.test/team/app/blobs/${digest}`);
    assertEquals((await response.arrayBuffer()).byteLength, size);
  }
  await (await fetch(`${crpe.url}/v2/registry.test/team/app/manifests/none`)).body?.cancel();
  assertEquals(await metric(crpe.url, 'crpe_requests_total{kind="blob",method="GET",status="200"}'), 3);
  assertEquals(await metric(crpe.url, 'crpe_requests_total{kind="manifest",method="GET",status="404"}'), 1);
  assertEquals(await metric(crpe.url, "crpe_served_bytes_total"), 3 * size);
  assertEquals(await metric(crpe.url, 'crpe_upstream_received_bytes_total{host="registry.test"}'), size);
  assertEquals(await metric(crpe.url, "crpe_downloads_total"), 1);
  assertEquals(await metric(crpe.url, 'crpe_cache_requests_total{kind="blob",outcome="miss"}'), 1);
  assertEquals(await metric(crpe.url, 'crpe_request_duration_seconds_count{kind="blob"}'), 3);
  assertEquals(await metric(crpe.url, "crpe_build_info"), 1);
  assert(await metric(crpe.url, "crpe_open_connections") >= 1);
  assert(await metric(crpe.url, "crpe_free_bytes") > 0);
  // What is refused before it reaches the registry is counted too.
  const ask = async (headers: Record<string, string>) => {
    return (await sendRaw(crpe.url, headers)).split(" ")[1];
  };
  assertEquals(await ask({ host: "evil.example" }), "403");
  assertEquals(await ask({}), "400");
  for (const status of ["400", "403"]) {
    assertEquals(
      await metric(crpe.url, `crpe_requests_total{kind="other",method="GET",status="${status}"}`),
      1,
      status,
    );
  }
  const open = await fetch(`${crpe.url}/metrics`, { headers: { accept: "application/openmetrics-text" } });
  assertEquals(open.headers.get("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
  assert((await open.text()).endsWith("# EOF\n"));
  assert(await metric(crpe.url, `crpe_upstream_requests_total{host="${upstream.host}",status="200"}`) >= 1);

  const status = await runCrpe(["status", crpe.url, "--json"]);
  assertEquals(status.code, 0, status.stderr);
  const { served, servedBytes, upstreams, version } = JSON.parse(status.stdout);
  assertEquals([served.miss, servedBytes, typeof version], [1, 3 * size, "string"]);
  assertEquals(upstreams.map(({ host }: { host: string }) => host), [upstream.host]);
  assertStringIncludes((await runCrpe(["status", crpe.url])).stdout, `server       ${crpe.url}, crpe `);
  const none = await runCrpe(["status", "http://127.0.0.1:1"]);
  assertEquals([none.code, none.stderr.split("\n")[0]], [
    1,
    "crpe: Cannot ask http://127.0.0.1:1: no server answers there; start crpe registry, or name its URL",
  ]);

  crpe.kill("SIGTERM");
  const { stderr } = await crpe.finished;
  const lines = stderr.trim().split("\n").map((line) => JSON.parse(line));
  const requests = lines.filter(({ message }) => message === "request");
  assertEquals(requests.filter(({ path }) => path.includes("/blobs/")).map(({ status, bytes }) => [status, bytes]), [
    [200, size],
    [200, size],
    [200, size],
  ]);
  const outcomes = requests.filter(({ path }) => path.includes("/blobs/")).map(({ cache }) => cache);
  assertEquals([outcomes[0], outcomes.every((it) => ["miss", "shared", "hit"].includes(it))], ["miss", true]);
  assertStringIncludes(lines[0].message, "crpe registry on http://127.0.0.1:");
});
