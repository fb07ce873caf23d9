import { AnswerRecord, formatRateLimit } from "../../../lib/doctor/answer_record.ts";
import { parseRateLimit } from "../../../lib/http/rate_limit.ts";
import { checkClock } from "../../../lib/doctor/check_clock.ts";
import { checkDataFolder, type DataFolderOptions } from "../../../lib/doctor/check_data_folder.ts";
import { checkMirrors } from "../../../lib/doctor/check_mirrors.ts";
import { type Finding, reasonOf } from "../../../lib/doctor/finding.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { buildImage } from "../../support/images.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { cannot, CrpeError } from "../../../lib/oci/error.ts";

const GIB = 2 ** 30;
const options = (free: number | undefined = 9 * GIB): DataFolderOptions => ({
  freeBytes: () => Promise.resolve(free),
  formatSize: (bytes) => `${bytes} B`,
});

/** Formats each finding as `step: status`. */
const summarize = (findings: readonly Finding[]) => findings.map(({ step, status }) => `${step}: ${status}`);

Deno.test("checkDataFolder() reports a usable folder as ok, and leaves no file behind", async () => {
  await using folder = await TestFolder.create();
  const findings = await checkDataFolder(folder.path, options());
  assertEquals(summarize(findings), ["data folder: ok", "rights: ok", "locks: ok", "open files: ok", "space: ok"]);
  assertEquals(await folder.listFiles(), []);
});

Deno.test("checkDataFolder() warns of a missing folder, and reports a file as broken", async () => {
  await using folder = await TestFolder.create();
  const file = await folder.write("file", "");
  for (const [path, status] of [["none", "warning"], ["file", "broken"], ["file/none", "broken"]]) {
    const [finding, ...more] = await checkDataFolder(`${folder.path}/${path}`, options());
    assertEquals({ status: finding?.status as string, more }, { status: status!, more: [] }, path);
    assertStringIncludes(finding!.message, file.slice(0, -"/file".length));
    assert(finding!.advice !== undefined);
  }
});

for (
  const [free, status] of [[2 * GIB, "ok"], [GIB / 2, "warning"], [1000, "broken"], [undefined, "skipped"]] as const
) {
  Deno.test(`checkDataFolder() reports ${free} free bytes as ${status}`, async () => {
    await using folder = await TestFolder.create();
    const findings = await checkDataFolder(folder.path, { ...options(), freeBytes: () => Promise.resolve(free) });
    assertEquals(findings.find(({ step }) => step === "space")?.status, status);
  });
}

const RELEASED = Date.UTC(2026, 8, 1);
const DAY = 24 * 60 * 60 * 1000;
Deno.test("checkClock() compares the clock with the release, the store and the registries", async () => {
  await using folder = await TestFolder.create();
  await writeImage(new DiskStore(folder.path), "quay.io/app:1", buildImage());
  const now = Date.now();
  const cases: [what: string, at: number, offsets: number[], status: string, part: string][] = [
    ["a plausible time", now, [], "ok", "it shows 20"],
    ["before the release", RELEASED - DAY, [], "broken", "this release dates from 2026-09-01"],
    ["before the newest file", now - DAY, [], "broken", "the newest file of the store dates from"],
    ["slightly before the newest file", now - 30_000, [], "ok", ""],
    ["the time of the registries", now, [900, -200, 400], "ok", "as the registries do"],
    ["one registry with a wrong clock", now, [900, 30 * DAY, 400], "ok", "as the registries do"],
    ["behind the registries", now, [30 * DAY, 31 * DAY, 30 * DAY], "broken", "the registries report"],
  ];
  for (const [what, at, offsets, status, part] of cases) {
    const released = Math.min(RELEASED, now - 2 * DAY);
    const finding = await checkClock(folder.path, {
      now: at,
      released: what === "before the release" ? RELEASED : released,
      offsets,
    });
    assertEquals(finding.status, status, `${what}: ${finding.message}`);
    assertStringIncludes(finding.message, part);
  }
  const empty = await checkClock(`${folder.path}/none`, { now, released: 0, offsets: [] });
  assertEquals(empty.status, "ok");
});

const rateLimits: [Record<string, string>, ReturnType<typeof parseRateLimit>, string][] = [
  [
    { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "98;w=21600" },
    { remaining: 98, limit: 100, window: 21600 },
    "98 of 100 pulls left, per 6 h",
  ],
  [{ "ratelimit-remaining": "0" }, { remaining: 0 }, "0 pulls left"],
  [{ "ratelimit-remaining": "many" }, undefined, ""],
  [{ "ratelimit-limit": "100" }, undefined, ""],
];
for (const [headers, expected, words] of rateLimits) {
  Deno.test(`parseRateLimit() reads ${JSON.stringify(headers)}`, () => {
    const rateLimit = parseRateLimit(new Headers(headers));
    assertEquals(rateLimit, expected);
    if (rateLimit !== undefined) assertEquals(formatRateLimit(rateLimit), words);
  });
}

Deno.test("AnswerRecord records rate limits and clock offsets, and returns the response", async () => {
  const headers = { date: "Thu, 01 Jan 1970 00:00:10 GMT", "ratelimit-remaining": "7" };
  const record = new AnswerRecord(() => Promise.resolve(new Response("x", { headers })), () => 4000);
  const response = await record.fetch(new Request("https://a.example/v2/"));
  assertEquals([await response.text(), record.offsets, record.rateLimits.get("a.example")], ["x", [6000], {
    remaining: 7,
  }]);
});

Deno.test("reasonOf() returns the reason of an error as one line", () => {
  const error = new CrpeError(cannot("read a.tgz", "the connection was refused"));
  assertEquals(reasonOf(error), "the connection was refused");
  assertEquals(reasonOf(new Error("no reason\n at all")), "no reason at all");
});

interface Answers {
  readonly [url: string]: Response | undefined;
}

function answer(answers: Answers) {
  return (request: Request) => {
    const response = answers[request.url];
    return response === undefined ? Promise.reject(new TypeError("refused")) : Promise.resolve(response);
  };
}

Deno.test("checkMirrors() reports that no client uses a mirror", async () => {
  await using folder = await TestFolder.create();
  await folder.write("etc/docker/daemon.json", "{}");
  await folder.write("etc/containers/registries.conf", '[[registry]]\nlocation = "quay.io"\n');
  const findings = await checkMirrors({ root: folder.path });
  assertEquals(summarize(findings), ["mirror: ok"]);
  assertStringIncludes(findings[0]!.advice!, "mirror-config");
});

Deno.test("checkMirrors() contacts the mirror of every client once", async () => {
  await using folder = await TestFolder.create();
  const crpe = () => Response.json({ status: "ok" });
  await folder.write(
    "etc/rancher/k3s/registries.yaml",
    'mirrors: {"*": {endpoint: ["http://crpe:6060"]}, a.io: {endpoint: ["http://crpe:6060/"]}}',
  );
  await folder.write("etc/containerd/certs.d/_default/hosts.toml", '[host."http://gone:1"]\n');
  await folder.write(
    "etc/containers/registries.conf.d/50-crpe.conf",
    '[[registry.mirror]]\nlocation = "crpe:6060/quay.io"\ninsecure = true\n',
  );
  await folder.write("etc/docker/daemon.json", '{"registry-mirrors": ["https://other"]}');
  const findings = await checkMirrors({
    root: `${folder.path}/`,
    fetch: (request) =>
      answer({ "http://crpe:6060/healthz": crpe(), "https://other/healthz": new Response("no", { status: 404 }) })(
        request,
      ),
  });
  assertEquals(summarize(findings), [
    "mirror of k3s: ok",
    "mirror of containerd: broken",
    "mirror of containerd: broken",
    "mirror of podman and CRI-O: ok",
    "mirror of docker: ok",
  ]);
  assertStringIncludes(findings[0]!.message, "is a crpe");
  assertStringIncludes(findings[1]!.message, "does not answer");
  assertStringIncludes(findings[2]!.message, "there is no /etc/containerd/config.toml");
  assertStringIncludes(findings[2]!.advice!, "config_path");
  assertStringIncludes(findings[4]!.message, "it is not a crpe");
  const offline = await checkMirrors({ root: folder.path });
  assertEquals(offline.filter(({ status }) => status === "skipped").length, 4);
});

Deno.test("checkMirrors() contacts mirrors of the site when offline, and no public ones", async () => {
  await using folder = await TestFolder.create();
  await folder.write(
    "etc/rancher/k3s/registries.yaml",
    'mirrors: {"*": {endpoint: ["http://127.0.0.1:1", "http://10.0.0.2:1", "http://crpe.lan", "https://m.example.com"]}}',
  );
  const asked: string[] = [];
  const findings = await checkMirrors({
    root: folder.path,
    isOffline: true,
    fetch: ({ url }) => {
      asked.push(new URL(url).host);
      return Promise.resolve(Response.json({ status: "ok" }));
    },
  });
  assertEquals(asked, ["127.0.0.1:1", "10.0.0.2:1", "crpe.lan"]);
  assertEquals(findings.map(({ status }) => status as string), ["ok", "ok", "ok", "skipped"]);
});

interface UseCase {
  readonly what: string;
  readonly files: Readonly<Record<string, string>>;
  readonly expected: readonly string[];
  readonly part: string;
}

const K3S_FILE = "etc/rancher/k3s/registries.yaml";
const HOSTS_FILE = "etc/containerd/certs.d/_default/hosts.toml";
const uses: readonly UseCase[] = [
  {
    what: "a crpe behind rewrite rules of k3s",
    files: { [K3S_FILE]: 'mirrors: {a.io: {endpoint: ["http://crpe:1"], rewrite: {x: y}}}' },
    expected: ["broken"],
    part: "has rewrite, which k3s applies to every endpoint",
  },
  {
    what: "an endpoint of k3s that is not a URL",
    files: { [K3S_FILE]: "mirrors: {a.io: {endpoint: [crpe]}}" },
    expected: ["broken"],
    part: "is not a URL",
  },
  {
    what: "a CA file of k3s that is missing",
    files: {
      [K3S_FILE]: 'mirrors: {a.io: {endpoint: ["https://crpe:1"]}}\nconfigs: {"crpe:1": {tls: {ca_file: /none}}}',
    },
    expected: ["broken"],
    part: "needs the certificates in /none, which does not exist",
  },
  {
    what: "a CA file of containerd that is missing",
    files: {
      [HOSTS_FILE]: '[host."https://crpe:1"]\n  ca = "ca.crt"\n',
      "etc/containerd/config.toml":
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n',
    },
    expected: ["broken"],
    part: "needs the certificates in /etc/containerd/certs.d/_default/ca.crt, which does not exist",
  },
  {
    what: "a list of folders of containerd 2",
    files: {
      [HOSTS_FILE]: '[host."http://crpe:1"]\n',
      "etc/containerd/config.toml":
        'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/etc/containerd/certs.d:/x"\n',
    },
    expected: ["ok", "broken"],
    part: 'config_path is the list "/etc/containerd/certs.d:/x"',
  },
  {
    what: "a table that only some releases of containerd read",
    files: {
      [HOSTS_FILE]: '[host."http://crpe:1"]\n',
      "etc/containerd/config.toml":
        'version = 2\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/etc/containerd/certs.d"\n',
    },
    expected: ["ok", "warning"],
    part: "/etc/containerd/certs.d is not read by containerd 1.6 and 1.7: ",
  },
];
for (const { what, files, expected, part } of uses) {
  Deno.test(`checkMirrors() names ${what}`, async () => {
    await using folder = await TestFolder.create();
    for (const [name, text] of Object.entries(files)) await folder.write(name, text);
    const findings = await checkMirrors({
      root: folder.path,
      fetch: () => Promise.resolve(Response.json({ status: "ok" })),
    });
    assertEquals(findings.map(({ status }) => status as string), expected, JSON.stringify(findings));
    assertStringIncludes(findings.at(-1)!.message, part);
    assert(findings.at(-1)!.advice !== undefined);
  });
}

Deno.test("checkMirrors() trusts the certificates of the client, names a CA that is missing, and leaves no client open", async () => {
  await using folder = await TestFolder.create();
  await folder.write("etc/docker/daemon.json", '{"registry-mirrors": ["https://crpe.lan:1"]}');
  const given: string[][] = [];
  let open = 0;
  const check = () =>
    checkMirrors({
      root: folder.path,
      createHttpClient: ({ caCerts }) => {
        given.push(caCerts);
        open++;
        return { [Symbol.dispose]: () => void open-- } as Deno.HttpClient;
      },
      fetch: () =>
        given.at(-1)!.length > 0
          ? Promise.resolve(Response.json({ status: "ok" }))
          : Promise.reject(new TypeError("invalid peer certificate: UnknownIssuer")),
    });
  const [untrusted] = await check();
  assertEquals(untrusted?.status as string, "broken");
  assertStringIncludes(untrusted!.message, "has a certificate that its clients do not trust");
  assertStringIncludes(untrusted!.advice!, "crpe mirror-config docker --to=https://crpe.lan:1 --ca-file=FILE --write");
  await folder.write("etc/docker/certs.d/crpe.lan:1/ca.crt", "PEM");
  assertEquals((await check()).map(({ status }) => status as string), ["ok"]);
  assertEquals(given, [[], ["PEM"]]);
  assertEquals(open, 0, "a server that answers GET /api/doctor would keep the clients");
});

Deno.test("checkMirrors() names a k3s that has not been restarted", async () => {
  await using folder = await TestFolder.create();
  const file = await folder.write("etc/rancher/k3s/registries.yaml", 'mirrors: {"*": {endpoint: ["http://crpe:1"]}}');
  const check = () =>
    checkMirrors({ root: folder.path, fetch: () => Promise.resolve(Response.json({ status: "ok" })) });
  assertEquals((await check()).length, 1);
  const generated = await folder.write("var/lib/rancher/k3s/agent/etc/containerd/config.toml", "");
  for (const [seconds, expected] of [[10, ["ok"]], [-10, ["ok", "warning"]]] as const) {
    const { mtime } = await Deno.stat(file);
    const time = new Date(mtime!.getTime() + seconds * 1000);
    await Deno.utime(generated, time, time);
    const findings = await check();
    assertEquals(findings.map(({ status }) => status as string), [...expected]);
    if (findings.length > 1) assertStringIncludes(findings[1]!.advice!, "systemctl restart k3s");
  }
});

Deno.test("checkMirrors() names a configuration file that cannot be read", async () => {
  await using folder = await TestFolder.create();
  await folder.write("etc/docker/daemon.json", "{,}");
  const [finding] = await checkMirrors({ root: folder.path });
  assertEquals(finding?.status, "broken");
  assertStringIncludes(finding!.message, "etc/docker/daemon.json cannot be read: it is not JSON");
});
