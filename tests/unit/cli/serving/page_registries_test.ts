import { type Hosts, readStoredRegistries } from "../../../../lib/cli/command_line/stored_registries.ts";
import type { Settings } from "../../../../lib/cli/command_line/settings.ts";
import { Metrics } from "../../../../lib/cli/serving/metrics.ts";
import { PageRegistryBook } from "../../../../lib/cli/serving/page_registries.ts";
import { UpstreamStates } from "../../../../lib/cli/serving/upstream_states.ts";
import type { ServerContext } from "../../../../lib/cli/serving/serve_registry.ts";
import { openUpstream } from "../../../../lib/cli/wiring/open_upstream.ts";
import { RefusedError, RegistryError, UsageError } from "../../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { startFaultUpstream } from "../../../support/fault_upstream.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

const NOW = new Date("2026-11-28T08:04:31Z");
const FORBIDDEN = "metadata.test";
const PASSWORD = "a-password-of-a-test";

type Env = Record<string, string>;

/** The registries of a server whose configuration names `given`. Nothing but 127.0.0.1 is asked. */
async function createBook(given: Hosts = {}, { env = {}, ...more }: Partial<Settings> & { env?: Env } = {}) {
  const folder = await TestFolder.create();
  const config = { upstream: [], private: [], hosts: given };
  const settings = { data: folder.path, config, offline: false, upstreams: [], platforms: undefined, ...more };
  const used: Settings[] = [];
  const log: string[] = [];
  const upstreams = new UpstreamStates(() => NOW);
  const context = {
    settings: { tagTtl: 0, isCompleting: false, cacheMax: undefined, ...settings },
    metrics: new Metrics(),
    upstreams,
    log: { write: (_: string, message: string) => log.push(message) },
    content: { reconfigure: (changed: Settings) => Promise.resolve(void used.push(changed)) },
  } as unknown as ServerContext;
  const book = new PageRegistryBook(context, createTestIo({ env }), ({ hostname }) => {
    return Promise.resolve({ class: hostname === FORBIDDEN ? "forbidden" : "public", isResolved: true });
  });
  const list = async () =>
    (await book.list() as { registries: { host: string; url: string; isEditable: boolean; seen: unknown }[] })
      .registries;
  return { folder, book, list, used, log, upstreams, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

for (
  const [name, host, settings, message] of [
    ["a host that is none", "registry lan", {}, "it is not a host name"],
    ["an empty host", "", {}, "it is not a host name"],
    ["markup", "<img src=x onerror=alert(1)>", {}, "it is not a host name"],
    ["a host that is a path", "registry.lan/team", {}, "it is not a host name"],
    ["the name of every object", "__proto__", {}, "it is not a host name"],
    ["a URL that is none", "registry.lan", { url: "http://" }, "it is not a URL"],
    ["a URL with a password", "registry.lan", { url: `http://me:${PASSWORD}@registry.lan` }, "put them into the"],
    ["another scheme", "registry.lan", { url: "file:///etc/passwd" }, "neither http: nor https:"],
    ["a user that is a number", "registry.lan", { username: 1 }, "hosts.registry.lan.username has the wrong type"],
    ["several URLs", "registry.lan", { url: ["http://a", "http://b"] }, "name one"],
    [
      "a file of this machine",
      "registry.lan",
      { "password-file": "/etc/shadow" },
      "other fields are set in the config",
    ],
    ["an unknown field", "registry.lan", { passwort: PASSWORD }, "the page sets url, username, password, insecure"],
    ["a forbidden URL", "registry.lan", { url: `http://${FORBIDDEN}/latest` }, "link-local, multicast or metadata"],
    ["a forbidden host", FORBIDDEN, {}, "link-local, multicast or metadata"],
  ] as const
) {
  Deno.test(`page: a registry with ${name} is refused, and is neither kept nor used`, async () => {
    await using fixture = await createBook();
    for (const change of [fixture.book.save, fixture.book.test]) {
      const error = await assertRejects(() => change(host, settings), RegistryError, message);
      assert(["INVALID", "DENIED", "NAME_INVALID"].includes(error.code), error.code);
      assert(!error.message.includes(PASSWORD), error.message);
    }
    assertEquals([await fixture.list(), fixture.used, await fixture.folder.listFiles("")], [[], [], []]);
  });
}

Deno.test("page: a registry is kept for its owner alone, used at once, listed without its password, and removed", async () => {
  await using fixture = await createBook();
  const { book, folder } = fixture;
  const path = `${folder.path}/kubepkg/.registries.json`;
  const login = { username: "me", password: PASSWORD };
  assertEquals(await book.save(" Registry.LAN:5000 ", { ...login, url: "" }), {
    host: "registry.lan:5000",
    url: "https://registry.lan:5000",
    username: "me",
  });
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  assertEquals(fixture.used.at(-1)?.config.hosts, await readStoredRegistries(folder.path));
  const [one, ...others] = await fixture.list();
  assertEquals([one?.host, one?.isEditable, others], ["registry.lan:5000", true, []]);
  assert(!JSON.stringify([one, fixture.log]).includes(PASSWORD), "the password is not told");

  const passwordAfter = async (settings: object) => {
    await book.save("registry.lan:5000", settings);
    return (await readStoredRegistries(folder.path))["registry.lan:5000"]?.password;
  };
  assertEquals(await passwordAfter({ username: "me", insecure: true }), PASSWORD);
  assertEquals(await passwordAfter({ username: "me", url: "https://other.lan" }), undefined);
  assertEquals(await passwordAfter(login), PASSWORD);
  assertEquals(await passwordAfter({ username: "you" }), undefined);
  await book.remove("registry.lan:5000");
  assertEquals([await fixture.list(), fixture.used.at(-1)?.config.hosts], [[], {}]);
  await assertRejects(() => book.remove("registry.lan:5000"), RegistryError, "it was not added on this page");
});

Deno.test("page: what the configuration says about a registry stays as it is", async () => {
  await using fixture = await createBook({ "docker.io": { url: "http://127.0.0.1:1", username: "me" } });
  for (const host of ["docker.io", "index.docker.io"]) {
    await assertRejects(() => fixture.book.save(host, {}), RefusedError, "the configuration of this server names it");
    await assertRejects(() => fixture.book.remove(host), RegistryError, "it was not added on this page");
  }
  assertEquals((await fixture.list()).map(({ host, isEditable }) => [host, isEditable]), [["docker.io", false]]);
});

Deno.test("[109] page: a file of the configuration that breaks while a registry runs is not the fault of its client", async () => {
  await using fixture = await createBook({ "registry.lan": { url: "https://127.0.0.1:1", "ca-file": "/dev/null" } });
  await assertRejects(() => fixture.book.test("registry.lan", undefined), UsageError, "it has no certificate in PEM");
});

Deno.test("[31] page: a registry that cannot be kept is not used", async () => {
  await using fixture = await createBook();
  await Deno.mkdir(`${fixture.folder.path}/kubepkg/.registries.json/x`, { recursive: true });
  await assertRejects(() => fixture.book.save("registry.lan", {}), Error);
  assertEquals([await fixture.list(), fixture.used], [[], []]);
});

Deno.test("page: a damaged file of registries is named when crpe starts", async () => {
  await using folder = await TestFolder.create();
  await folder.write("kubepkg/.registries.json", '{"hosts":{"a":{"password":1}}}');
  await assertRejects(
    () => readStoredRegistries(folder.path),
    UsageError,
    "kubepkg/.registries.json: hosts.a.password",
  );
});

Deno.test("page: a test asks the registry with its login, and an offline server asks none", async () => {
  await using upstream = startFaultUpstream({ auth: { type: "basic", username: "me", password: PASSWORD } });
  await using fixture = await createBook();
  const statusOf = async (settings: unknown) => {
    const { findings } = await fixture.book.test("registry.lan", settings) as { findings: { status: string }[] };
    return findings.map(({ status }) => status);
  };
  const login = { url: upstream.url, username: "me" };
  await assertRejects(() => statusOf(undefined), RegistryError, "no such registry is configured");
  assertEquals(await statusOf({ ...login, password: "wrong" }), ["broken"]);
  assertEquals(await statusOf({ ...login, password: PASSWORD }), ["ok"]);
  await fixture.book.save("registry.lan", { ...login, password: PASSWORD });
  assertEquals(await statusOf(login), ["ok"]);
  assertEquals(await statusOf(undefined), ["ok"]);
  await using offline = await createBook({}, { offline: true });
  const before = upstream.requests.length;
  await assertRejects(() => offline.book.test("registry.lan", login), RefusedError, "this server is offline");
  assertEquals(upstream.requests.length, before);
});

for (const [what, isGiven, expected] of [["the page", false, false], ["the configuration", true, true]] as const) {
  Deno.test(`[60] page: docker's login of a private registry ${expected ? "goes" : "does not go"} to the URL that ${what} gives it`, async () => {
    await using upstream = startFaultUpstream({ auth: { type: "basic", username: "robot", password: PASSWORD } });
    await using files = await TestFolder.create();
    const auths = { "registry.company.example": { auth: btoa(`robot:${PASSWORD}`) } };
    await files.write("config.json", JSON.stringify({ auths }));
    const env = { DOCKER_CONFIG: files.path };
    const settings = { url: upstream.url };
    await using fixture = await createBook(isGiven ? { "registry.company.example": settings } : {}, { env });
    const { book, used } = fixture;
    if (!isGiven) {
      await book.test("registry.company.example", settings);
      await book.save("registry.company.example", settings);
    }
    await book.test("registry.company.example", undefined);
    const inUse = used.at(-1) ?? book.settings;
    const { source } = await openUpstream({ ...inUse, isClosed: true }, createTestIo({ env }), { warn: () => {} });
    await source.resolve("registry.company.example/team/app", "1").catch(() => {});
    assert(upstream.requests.length > 0);
    assertEquals(upstream.requests.some(({ headers }) => headers.has("authorization")), expected);
  });
}

Deno.test("[90] page: a stored registry at a metadata service is not asked after a start", async () => {
  const storedHosts = { "registry.lan": { url: "http://metadata.google.internal" } };
  const config = { upstream: [], private: [], hosts: storedHosts };
  await using fixture = await createBook({}, { config, givenConfig: { ...config, hosts: {} }, storedHosts });
  let sent = 0;
  const { source } = await openUpstream({ ...fixture.book.settings, isClosed: true }, createTestIo(), {
    warn: () => {},
    // Nothing is sent.
    fetch: () => {
      sent++;
      return Promise.resolve(new Response(null, { status: 404 }));
    },
  });
  await assertRejects(() => source.resolve("registry.lan/a", "1"), RegistryError, "link-local, multicast or metadata");
  assertEquals(sent, 0);
});

const BASIC = { type: "basic", username: "me", password: PASSWORD } as const;
const LIMITED = { "RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600" };
for (
  const [what, auth, password, headers, seen] of [
    ["an answer", undefined, undefined, {}, {}],
    ["a login that is accepted", BASIC, PASSWORD, {}, { isLoginAccepted: true }],
    ["a login that is refused", BASIC, "wrong", {}, { isLoginAccepted: false }],
    ["no login where one is needed", BASIC, undefined, {}, {}],
    ["a login that was not asked for", undefined, PASSWORD, {}, {}],
    ["pulls that are left", undefined, undefined, LIMITED, {
      rateLimit: { remaining: 0, limit: 100, window: 21_600 },
    }],
  ] as const
) {
  Deno.test(`page: a registry that is not tested shows what its clients have seen: ${what}`, async () => {
    await using upstream = startFaultUpstream(auth === undefined ? {} : { auth });
    upstream.addImage("app", "1", [new Uint8Array(10)]);
    if ("RateLimit-Limit" in headers) upstream.fail({ path: "/manifests/", headers });
    const login = password === undefined ? {} : { username: "me", password };
    await using fixture = await createBook({ "registry.lan": { url: upstream.url, ...login } });
    const { source } = await openUpstream({ ...fixture.book.settings, isClosed: true }, createTestIo(), {
      warn: () => {},
      onUpstreamEvent: (event) => fixture.upstreams.record(event),
    });
    assertEquals((await fixture.list()).map((one) => one.seen), [undefined]);
    await source.resolve("registry.lan/app", "1").catch(() => {});
    assertEquals((await fixture.list()).map((one) => one.seen), [{ answered: NOW, ...seen }]);
  });
}

Deno.test("page: a registry that does not answer shows since when, and one that is changed shows nothing of before", async () => {
  await using fixture = await createBook();
  const { book, list, upstreams } = fixture;
  await book.save("registry.lan", { url: "http://127.0.0.1:1" });
  upstreams.record({ type: "error", host: "127.0.0.1:1", method: "GET", path: "/v2/", reason: "refused" });
  upstreams.record({ type: "request", host: "cdn.test", method: "GET", path: "/v2/", status: 200 });
  assertEquals((await list()).map((one) => one.seen), [{ failed: NOW, reason: "refused" }]);
  await book.save("registry.lan", { url: "http://127.0.0.1:1", username: "me", password: PASSWORD });
  assertEquals((await list()).map((one) => one.seen), [undefined]);
});
