import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { TestFolder } from "../support/test_folder.ts";

const MIB = 1024 * 1024;
const random = (size: number) => {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
};

/** A window of two hours, some hours from now. */
function windowIn(hours: number): string {
  const hour = (new Date().getHours() + hours) % 24;
  return `--window=${hour}:00-${(hour + 2) % 24}:00`;
}

Deno.test("[101] a budget is kept across processes and a kill; what the store has is served; the rest resumes", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  const [first, second] = [random(2 * MIB), random(3 * MIB)];
  const held = upstream.addImage("team/app", "1", [first]);
  const large = upstream.addBlob("team/app", second);
  const common = [`--data=${folder.path}/data`, `--upstream=registry.test=${upstream.url}`];
  const env = { HOME: folder.path };
  const pulled = await runCrpe(["pull", "registry.test/team/app:1", ...common, "--budget=4MiB/day"], { env });
  assertEquals(pulled.code, 0, pulled.stderr);
  const args = ["registry", "--addr=127.0.0.1:0", "--tag-ttl=0", ...common, "--budget=4MiB/day"];
  const received = () => upstream.requests.filter(({ path }) => path.includes(large.digest)).length;
  {
    await using crpe = await startCrpe(args, { env });
    const url = `${crpe.url}/v2/registry.test/team/app`;
    // The transfer stops within the budget.
    const cut = await fetch(`${url}/blobs/${large.digest}`);
    const bytes = await cut.arrayBuffer().then((it) => it.byteLength, () => -1);
    assertEquals([cut.status, bytes], [200, -1]);
    // A tag that is due for revalidation is served from the store, and so are its blobs.
    const tag = await fetch(`${url}/manifests/1`);
    assertEquals([tag.status, tag.headers.get("docker-content-digest")], [200, held.manifest.digest]);
    await tag.body?.cancel();
    const asked = received();
    const refused = await fetch(`${url}/blobs/${large.digest}`);
    assertEquals(refused.status, 503);
    assert(Number(refused.headers.get("retry-after")) > 0);
    assertStringIncludes(await refused.text(), "the budget of 4 MiB a day is used, until ");
    assertEquals(received(), asked, "nothing is sent");
    const { stdout } = await runCrpe(["status", crpe.url]);
    assertStringIncludes(stdout, "link         closed\nbudget       4 MiB of 4 MiB a day are used\n");
    const { link } = JSON.parse((await runCrpe(["status", crpe.url, "--json"])).stdout);
    assertEquals(link.budgets, [{ host: "*", period: "day", bytes: 4 * MIB, used: 4 * MIB }]);
    const page = await (await fetch(`${crpe.url}/api/status`)).json();
    assertEquals([page.link.closedUntil > Date.now(), page.link.budgets[0].used], [true, 4 * MIB]);
    crpe.kill("SIGKILL");
  }
  // A larger budget: the download resumes at its byte.
  await using crpe = await startCrpe([...args.slice(0, -1), "--budget=16MiB/day"], { env });
  const whole = await fetch(`${crpe.url}/v2/registry.test/team/app/blobs/${large.digest}`);
  assertEquals((await whole.arrayBuffer()).byteLength, 3 * MIB);
  const last = upstream.requests.findLast(({ path }) => path.includes(large.digest))!;
  assert(/^bytes=[1-9]\d{5,}-/.test(last.headers.get("range") ?? ""), JSON.stringify(last));
});

Deno.test("[101] outside of its window a registry and a pull use no upstream, and say when they do", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  upstream.addImage("team/app", "1", [random(1000)]);
  const args = [`--data=${folder.path}/data`, `--upstream=registry.test=${upstream.url}`, windowIn(3)];
  const env = { HOME: folder.path };
  const pulled = await runCrpe(["pull", "registry.test/team/app:1", ...args], { env });
  assertEquals(pulled.code, 1);
  assertStringIncludes(pulled.stderr, "upstreams are used only from ");
  {
    await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", ...args], { env });
    const refused = await fetch(`${crpe.url}/v2/registry.test/team/app/manifests/1`);
    assertEquals(refused.status, 503);
    assert(Number(refused.headers.get("retry-after")) > 3600);
    await refused.body?.cancel();
    assertStringIncludes((await runCrpe(["status", crpe.url])).stdout, "link         closed\n");
  }
  assertEquals(upstream.requests.length, 0);
  const open = await runCrpe(["pull", "registry.test/team/app:1", ...args.slice(0, -1), windowIn(0)], { env });
  assertEquals(open.code, 0, open.stderr);
});
