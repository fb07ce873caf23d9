import { parseConfigFile } from "../../../../lib/cli/command_line/config_file.ts";
import { type Hosts, withStoredRegistries } from "../../../../lib/cli/command_line/stored_registries.ts";
import { Credentials } from "../../../../lib/cli/wiring/credentials.ts";
import type { Endpoint } from "../../../../lib/upstream/endpoints.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";
import { withoutUndefined } from "../../../support/without_undefined.ts";

const auth = (login: string) => ({ auth: btoa(login) });
const auths = (entries: Record<string, string>) =>
  JSON.stringify({ auths: Object.fromEntries(Object.entries(entries).map(([name, login]) => [name, auth(login)])) });

/** Files of a folder, and registries of the page. */
interface Files {
  readonly docker?: string;
  readonly podman?: string;
  readonly config?: string;
  readonly storedHosts?: Hosts;
}

/** Opens the credentials of a folder with docker's configuration, podman's, and that of crpe. */
async function open(folder: TestFolder, { storedHosts = {}, ...files }: Files = {}) {
  const warnings: string[] = [];
  const clock = { time: 0 };
  if (files.docker !== undefined) await folder.write("config.json", files.docker);
  if (files.podman !== undefined) await folder.write("auth.json", files.podman);
  const configPath = files.config === undefined ? undefined : await folder.write("crpe.yaml", files.config);
  const config = parseConfigFile(files.config ?? "", configPath ?? "crpe.yaml");
  const io = createTestIo({ env: { DOCKER_CONFIG: folder.path, REGISTRY_AUTH_FILE: `${folder.path}/auth.json` } });
  const credentials = await Credentials.open(
    { config: withStoredRegistries(config, storedHosts), configPath, storedHosts, now: () => clock.time },
    io,
    (message) => warnings.push(message),
  );
  const userOf = (name: string, url = `https://${name.split("/")[0]}`, endpoint: Partial<Endpoint> = {}) => {
    const [registryHost = "", ...path] = name.split("/");
    const found = credentials.for({ registryHost, endpoint: { url: new URL(url), ...endpoint }, path: path.join("/") });
    return found && `${found.username}:${found.password}`;
  };
  return { credentials, clock, warnings, userOf };
}

const PATHS = auths({
  "reg.test/team": "t:1",
  "reg.test/other/app": "o:2",
  "reg.test": "all:3",
  "10.0.0.1:5000/team": "a:4",
  "docker.io": "hub:5",
  "mirror.lan/hub/library": "m:6",
});
const MATCHES: [what: string, name: string, url: string | undefined, expected: string | undefined][] = [
  ["the longest path of a name", "reg.test/team/app", undefined, "t:1"],
  ["the repository itself", "reg.test/other/app", undefined, "o:2"],
  ["the host for any other path", "reg.test/other/app2", undefined, "all:3"],
  ["no part of a segment", "reg.test/teams/app", undefined, "all:3"],
  ["the name of a registry that has another address", "reg.test/other/app", "http://10.0.0.9:5000", "o:2"],
  ["the address before the name, if both are as long", "reg.test/team/app", "http://10.0.0.1:5000", "a:4"],
  ["the longer path, whatever it matches", "reg.test/other/app", "http://10.0.0.1:5000", "o:2"],
  ["a public registry", "docker.io/library/nginx", "https://registry-1.docker.io", "hub:5"],
  ["the path at a mirror, with its prefix", "docker.io/library/nginx", "https://mirror.lan/v2/hub", "m:6"],
  ["no login of a public registry for a mirror of it", "docker.io/library/nginx", "https://other.lan", undefined],
  ["nothing for an unknown registry", "quay.io/a", undefined, undefined],
];
for (const [what, name, url, expected] of MATCHES) {
  Deno.test(`[72] Credentials finds ${what}`, async () => {
    await using folder = await TestFolder.create();
    assertEquals((await open(folder, { podman: PATHS })).userOf(name, url), expected);
  });
}

Deno.test("[60] Credentials gives the login of a registry to no endpoint that serves every registry", async () => {
  await using folder = await TestFolder.create();
  const config =
    "hosts:\n  reg.test: {username: a, password: b}\n  '*': {username: shared, password: c}\n  mirror.lan: {username: m, password: d}\n";
  const { userOf } = await open(folder, { podman: PATHS });
  assertEquals(userOf("reg.test/team/app", "http://mirror:5000", { isShared: true }), undefined);
  assertEquals(userOf("reg.test/team/app", "http://mirror:5000", { mustBePublic: true }), undefined);
  const configured = await open(folder, { config });
  assertEquals(configured.userOf("reg.test/team/app"), "a:b");
  assertEquals(configured.userOf("reg.test/team/app", "http://mirror:5000", { isShared: true }), "shared:c");
  assertEquals(configured.userOf("docker.io/library/nginx", "https://mirror.lan"), "m:d");
});

const OF_PAGE: [what: string, name: string, url: string, expected: string | undefined][] = [
  ["the login that the page has", "own.test/a", "https://own.test", "page:7"],
  ["that login at the URL of the page, also over plain http", "own.test/a", "http://10.0.0.9:5000", "page:7"],
  ["a file's login of the URL's own host over https", "reg.test/team/app", "https://reg.test", "t:1"],
  ["a file's login of a mirror's own host over https", "any.test/library/a", "https://mirror.lan/hub", "m:6"],
  ["no file's login of its name for another host", "reg.test/team/app", "https://10.0.0.9:5000", undefined],
  ["no file's login over plain http", "reg.test/team/app", "http://reg.test", undefined],
  ["no file's login over plain http by address", "any.test/team/app", "http://10.0.0.1:5000", undefined],
  ["no configured login of the URL's host", "any.test/a", "http://secret.test", undefined],
  ["no login that the configuration got later for its name", "later.test/a", "https://10.0.0.9", undefined],
];
for (const [what, name, url, expected] of OF_PAGE) {
  Deno.test(`[60] Credentials gives a registry of the page ${what}`, async () => {
    await using folder = await TestFolder.create();
    const storedHosts: Hosts = {
      "own.test": { username: "page", password: "7" },
      "reg.test": {},
      "any.test": {},
      "later.test": {},
    };
    const config = "hosts:\n  secret.test: {username: s, password: '8'}\n";
    const { userOf, clock } = await open(folder, { podman: PATHS, config, storedHosts });
    await replace(folder, "crpe.yaml", `${config}  later.test: {username: l, password: '9'}\n`);
    clock.time = 1000;
    assertEquals(userOf(name, url, { isFromPage: true }), expected);
  });
}

Deno.test("[72] Credentials reads docker's file again when it has changed, at most once a second", async () => {
  await using folder = await TestFolder.create();
  const { userOf, clock, warnings } = await open(folder, { docker: auths({ "reg.test": "AWS:first" }) });
  assertEquals(userOf("reg.test/a"), "AWS:first");
  await replace(folder, "config.json", auths({ "reg.test": "AWS:other" }));
  assertEquals(userOf("reg.test/a"), "AWS:first");
  clock.time = 1000;
  assertEquals(userOf("reg.test/a"), "AWS:other");
  // A file that is just being written leaves the last login in use, and is named once.
  await replace(folder, "config.json", '{"auths": {"reg');
  for (clock.time = 2000; clock.time < 5000; clock.time += 1000) assertEquals(userOf("reg.test/a"), "AWS:other");
  assertEquals(warnings.length, 1);
  await Deno.remove(`${folder.path}/config.json`);
  clock.time = 6000;
  assertEquals(userOf("reg.test/a"), undefined);
  await folder.write("config.json", auths({ "reg.test": "AWS:third" }));
  clock.time = 7000;
  assertEquals(userOf("reg.test/a"), "AWS:third");
});

Deno.test("[72] Credentials reads the files of the configuration again, and the logins of the configuration itself", async () => {
  await using folder = await TestFolder.create();
  await folder.write("pw", "first\n");
  await folder.write("idt", "token-1\n");
  const config = "hosts:\n  reg.test: {username: AWS, password-file: pw}\n  acr.test: {identity-token-file: idt}\n";
  const { credentials, userOf, clock, warnings } = await open(folder, { config });
  assertEquals(withoutUndefined([userOf("reg.test/a"), credentials.configured("acr.test")]), ["AWS:first", {
    identityToken: "token-1",
  }]);
  await replace(folder, "pw", "second");
  await replace(folder, "idt", "token-2");
  clock.time = 1000;
  assertEquals(withoutUndefined([userOf("reg.test/a"), credentials.configured("acr.test")]), ["AWS:second", {
    identityToken: "token-2",
  }]);
  // A helper may remove the file before it writes the next one.
  await Deno.remove(`${folder.path}/pw`);
  clock.time = 2000;
  assertEquals(userOf("reg.test/a"), "AWS:second");
  await replace(folder, "crpe.yaml", "hosts:\n  reg.test: {username: bob, password: third}\n");
  clock.time = 3000;
  assertEquals(userOf("reg.test/a"), "bob:third");
  await replace(folder, "crpe.yaml", "hosts:\n  reg.test: {user: bob}\n");
  clock.time = 4000;
  assertEquals(userOf("reg.test/a"), "bob:third");
  assertEquals(warnings.length, 1);
  assertStringIncludes(warnings[0]!, "the logins that were read before are used");
});

Deno.test("Credentials requires at the start the files that the configuration names", async () => {
  await using folder = await TestFolder.create();
  const config = "hosts:\n  reg.test: {username: AWS, password-file: pw}\n";
  await assertRejects(() => open(folder, { config }), Error, "(hosts.reg.test.password-file): no such file");
});

Deno.test("[72] Credentials names the credential helpers of docker once", async () => {
  await using folder = await TestFolder.create();
  const docker = { credsStore: "desktop", credHelpers: { "1.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login" } };
  const { warnings, clock, userOf } = await open(folder, { docker: JSON.stringify(docker) });
  await replace(folder, "config.json", JSON.stringify({ ...docker, auths: {} }));
  clock.time = 5000;
  userOf("reg.test/a");
  assertEquals(warnings.length, 1);
  assertStringIncludes(warnings[0]!, "docker-credential-desktop, docker-credential-ecr-login, which crpe does not run");
});

async function replace(folder: TestFolder, name: string, content: string): Promise<void> {
  await Deno.rename(await folder.write(`${name}.new`, content), `${folder.path}/${name}`);
}
