import { PackageRecords } from "../../lib/install/package_records.ts";
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "../support/assert.ts";
import type { CrpeProcess } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { mountSmall } from "../support/mount.ts";
import { peerTest, rootTest, runPeer } from "../support/peers.ts";
import { createPlant, PLANT_REPO } from "../support/plant.ts";

const MIB = 1024 * 1024;
// engine.md, P7.
const MAX_RESIDENT_KIB = 160 * 1024;

async function readToken(path: string): Promise<string> {
  return (await Deno.readTextFile(path)).trim();
}

/** Runs curl. @returns the status, and what came before it */
async function curl(...args: string[]): Promise<{ status: number; body: string }> {
  const { stdout, stderr, code } = await runPeer("curl", ["-sS", "-w", "\n%{http_code}", ...args]);
  assertEquals(code, 0, stderr);
  const at = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) };
}

async function peakOf({ pid }: CrpeProcess): Promise<number> {
  return Number(/VmHWM:\s+(\d+) kB/.exec(await Deno.readTextFile(`/proc/${pid}/status`))?.[1]);
}

peerTest(
  "[63] curl -T installs with the token alone, said or in chunks, and the token is nowhere in the log",
  ["curl"],
  async () => {
    await using plant = await createPlant();
    const [old, newer] = [await plant.pack("1.0.0", 3 * MIB), await plant.pack("2.0.0", 3 * MIB)];
    await using agent = await plant.startAgent("--node-id=line-4", "--platform=linux/aarch64,linux/amd64");
    const url = `${agent.url}/kubepkgs`;
    assertEquals((await Deno.stat(plant.tokenFile)).mode! & 0o777, 0o600);
    const token = await readToken(plant.tokenFile);
    assertMatch(token, /^[A-Za-z0-9_-]{43}$/);
    assertStringIncludes(
      agent.log(),
      `importing needs the token in site/kubepkg/.token; copy that file to the sender: crpe push PKG.tgz --to ${agent.url} --token-file FILE`,
    );
    const head = await fetch(url, { method: "HEAD" });
    assertEquals(head.headers.get("x-node-agent"), "line-4; platforms=linux/arm64,linux/amd64");

    for (const flags of [[], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"]]) {
      assertEquals((await curl("-T", old.file, ...flags, url)).status, 401);
      assertEquals((await curl("-T", old.file, ...flags, "-H", `Authorization: Bearer ${token}x`, url)).status, 401);
    }
    const auth = ["-H", `Authorization: Bearer ${token}`];
    assertEquals((await curl("-T", old.file, ...auth, "-H", "Origin: http://evil.test", url)).status, 403);
    assertEquals(await (await fetch(url)).json(), []);

    const dry = await curl("-T", old.file, ...auth, `${url}?dry-run=true`);
    assertEquals([dry.status, JSON.parse(dry.body).verdict], [200, "install"]);
    const installed = await curl("-T", old.file, ...auth, url);
    assertEquals([installed.status, JSON.parse(installed.body).imported], [200, true]);
    const upgraded = await curl(
      "-T",
      newer.file,
      ...auth,
      "-H",
      "Transfer-Encoding: chunked",
      "-H",
      "Accept: application/x-ndjson",
      url,
    );
    const lines = upgraded.body.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals([upgraded.status, lines.at(-1).verdict], [200, "upgrade"]);
    assert(lines.length > 1 && lines.slice(0, -1).every(({ bytes, total }) => bytes <= total));
    const refused = await curl("-T", old.file, ...auth, "-H", "Accept: application/x-ndjson", url);
    assertEquals([refused.status, JSON.parse(refused.body).errors[0].code], [409, "CONFLICT"]);
    const damaged = await Deno.readFile(newer.file);
    damaged[damaged.length - MIB]! ^= 1;
    const broken = await curl("-T", await plant.folder.write("x.tgz", damaged), ...auth, `${url}?force=true`);
    // What is held already is not looked at again; the check sum over the whole is.
    assertEquals([broken.status, JSON.parse(broken.body).errors[0].code], [422, "CORRUPT"]);

    const root = await fetch(`${agent.url}/v2/${PLANT_REPO}/manifests/2.0.0`);
    assertEquals([root.status, root.headers.get("docker-content-digest")], [200, newer.image.root.digest]);
    await root.body?.cancel();
    const inventory = await (await fetch(`${agent.url}/inventory`)).json();
    assert(inventory.digests.includes(newer.layer.digest));
    const metrics = await (await fetch(`${agent.url}/metrics`)).text();
    assertMatch(metrics, /crpe_imports_total\{outcome="imported"\} 2\n/);
    assertMatch(metrics, /crpe_imports_total\{outcome="refused"\} 1\n/);

    agent.kill("SIGTERM");
    const { stderr } = await agent.finished;
    assertMatch(
      stderr,
      /import of line4@2\.0\.0 \(upgrade from 1\.0\.0\): imported, 3\.\d MiB received, .* written, \d+\.\d s\n/,
    );
    assertMatch(
      stderr,
      /warning: import of line4@1\.0\.0.*: refused, .*: Cannot import line4@1\.0\.0: 2\.0\.0 is installed/,
    );
    assert(!stderr.includes(token) && !stderr.includes("served from the store"), stderr);
  },
);

Deno.test("the agent keeps its token, and takes another's", async () => {
  await using plant = await createPlant();
  const { file } = await plant.pack("1.0.0", 1000);
  const push = async (url: string, tokenFile: string) =>
    (await plant.crpe("push", file, `--to=${url}`, `--token-file=${tokenFile}`)).code;
  let own = "";
  for (let start = 0; start < 2; start++) {
    await using agent = await plant.startAgent();
    own ||= await readToken(plant.tokenFile);
    assertEquals([await readToken(plant.tokenFile), await push(agent.url, plant.tokenFile)], [own, 0]);
  }
  const tokenFile = await plant.folder.write("token", "  another-token\n");
  await Deno.chmod(tokenFile, 0o644);
  {
    await using agent = await plant.startAgent(`--token-file=${tokenFile}`);
    assertEquals([await push(agent.url, plant.tokenFile), await push(agent.url, tokenFile)], [1, 0]);
    assertStringIncludes(agent.log(), `warning: ${tokenFile} can be read by others`);
    assert(!agent.log().includes("another-token") && !agent.log().includes("--token-file FILE"));
  }
  for (const text of ["", "\n", "two words\n"]) {
    await plant.folder.write("token", text);
    const { code, stderr } = await plant.crpe(
      "agent",
      "--addr=127.0.0.1:0",
      "--data=site",
      `--token-file=${tokenFile}`,
    );
    assertEquals(code, 1);
    assertStringIncludes(stderr, `Cannot use the token file ${tokenFile}`);
  }
});

Deno.test("the agent contacts no upstream that was not named", async () => {
  await using plant = await createPlant();
  await using upstream = startFaultUpstream();
  upstream.addBlob("team/app", new Uint8Array(100));
  const { digest } = upstream.addBlob("team/app", new Uint8Array(1000).fill(3));
  const path = `/v2/registry.test/team/app/blobs/${digest}`;
  {
    await using agent = await plant.startAgent("--debug");
    for (const name of ["docker.io/library/nginx", "ghcr.io/a/b", "registry.test/team/app"]) {
      const response = await fetch(`${agent.url}/v2/${name}/manifests/1`);
      assertEquals(response.status, 404);
      await response.body?.cancel();
    }
    agent.kill("SIGTERM");
    await agent.finished;
    assertMatch(agent.log(), / 404 /);
    assert(!/no response from|answered \d/.test(agent.log()), agent.log());
  }
  await using agent = await plant.startAgent(`--upstream=registry.test=${upstream.url}`);
  assertEquals((await (await fetch(agent.url + path)).bytes()).length, 1000);
});

Deno.test({
  name: "an agent that takes 200 MiB, and who pushes it, stay within the memory that is allowed",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using plant = await createPlant();
    const { file } = await plant.pack("1.0.0", 200 * MIB);
    await using agent = await plant.startAgent();
    const push = plant.push(file, agent.url);
    let peak = 0;
    const watch = setInterval(() => {
      try {
        const status = Deno.readTextFileSync(`/proc/${push.pid}/status`);
        peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
      } catch {
        // It has ended.
      }
    }, 20);
    const { code, stderr } = await push.finished;
    clearInterval(watch);
    assertEquals(code, 0, stderr);
    assert(peak > 0);
    assertLess(peak, MAX_RESIDENT_KIB);
    const token = await readToken(plant.tokenFile);
    // Not by `fetch`: what it sends from a stream is chunked, which the server of Deno 2.9 is slow to read.
    const curl = await new Deno.Command("curl", {
      args: ["-sf", "-T", file, "-H", `Authorization: Bearer ${token}`, `${agent.url}/kubepkgs?force=true`],
    }).output();
    assertEquals(curl.code, 0, new TextDecoder().decode(curl.stderr));
    // What is installed already is taken to its end too: curl calls an early answer a failure.
    const { code: same, stdout } = await new Deno.Command("curl", {
      args: ["-sf", "-T", file, "-H", `Authorization: Bearer ${token}`, `${agent.url}/kubepkgs`],
    }).output();
    assertEquals([same, JSON.parse(new TextDecoder().decode(stdout)).verdict], [0, "same"]);
    assertLess(await peakOf(agent), MAX_RESIDENT_KIB);
  },
});

rootTest("[32] an agent whose disk is full answers 507 with what is missing, and shows nothing", async () => {
  await using plant = await createPlant();
  const { file } = await plant.pack("1.0.0", 12 * MIB);
  await using mount = await mountSmall(8 * MIB);
  await Deno.symlink(mount.path, `${plant.folder.path}/site`);
  await using agent = await plant.startAgent();
  const { code, stderr } = await plant.push(file, agent.url).finished;
  assertEquals(code, 1);
  assertStringIncludes(stderr, "are missing");
  // Where nothing says before how large it will be.
  const other = await plant.pack("2.0.0", 6 * MIB);
  const response = await fetch(`${agent.url}/kubepkgs`, {
    method: "PUT",
    headers: { authorization: `Bearer ${await readToken(plant.tokenFile)}` },
    body: await Deno.readFile(file),
  });
  assertEquals(response.status, 507);
  assertMatch(await response.text(), /"NO_SPACE".* are missing/);
  assertEquals(await new PackageRecords(mount.path).list(), []);
  // What fits is taken.
  assertEquals((await plant.push(other.file, agent.url).finished).code, 0);
});
