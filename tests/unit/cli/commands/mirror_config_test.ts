import { run } from "../../../../lib/cli/run.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

const K3S = "etc/rancher/k3s/registries.yaml";
const DAEMON = "etc/docker/daemon.json";
const DROP_IN = "etc/containers/registries.conf.d/50-crpe.conf";

async function mirrorConfig(...args: string[]) {
  const io = createTestIo();
  const status = await run(["mirror-config", ...args], io);
  return { status, out: io.outText, err: io.errText };
}

/** Reads the text of every file of a folder. */
async function readAll(folder: TestFolder): Promise<Record<string, string>> {
  const names = await folder.listFiles();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await Deno.readTextFile(`${folder.path}/${name}`)])),
  );
}

const clients: [client: string, file: string, current: string][] = [
  ["k3s", K3S, "# private\nmirrors:\n  registry.lan:\n    endpoint: [http://10.0.0.2:5000]\n"],
  ["containerd", "etc/containerd/certs.d/_default/hosts.toml", '[host."https://other.example"]\n'],
  ["crio", DROP_IN, "# of the administrator\n"],
  ["podman", DROP_IN, "# of the administrator\n"],
  ["docker", DAEMON, '{"debug":true}'],
];

for (const [client, file, current] of clients) {
  Deno.test(`mirror-config ${client} --remove restores the state before --write, with and without a file`, async () => {
    for (const before of [undefined, current]) {
      await using folder = await TestFolder.create();
      if (before !== undefined) await folder.write(file, before);
      const start = await readAll(folder);
      const flags = [client, `--root=${folder.path}`];

      const printed = await mirrorConfig(...flags);
      assertEquals([printed.status, await readAll(folder)], [0, start]);

      const written = await mirrorConfig(...flags, "--write");
      assertEquals(written.status, 0, written.err);
      assertStringIncludes(written.out, `written ${folder.path}/${file}`);
      const first = await readAll(folder);
      if (before === undefined) assertEquals(first[file], printed.out);
      assertEquals(first[`${file}.before-crpe`], before);

      const again = await mirrorConfig(...flags, "--write");
      assertEquals([again.status, await readAll(folder)], [0, first]);
      assertStringIncludes(again.out, "unchanged");

      // A second --write replaces the address, and keeps the first backup.
      await mirrorConfig(...flags, "--write", "--to=http://192.168.1.20:6060");
      const moved = await readAll(folder);
      assertStringIncludes(moved[file]!, "192.168.1.20:6060");
      assertEquals([moved[file]!.includes("127.0.0.1"), moved[`${file}.before-crpe`]], [false, before]);

      const removed = await mirrorConfig(...flags, "--remove");
      assertEquals([removed.status, await readAll(folder)], [0, start]);
      assertStringIncludes(removed.out, before === undefined ? "removed" : "restored");
      const nothing = await mirrorConfig(...flags, "--remove");
      assertEquals([nothing.status, nothing.out.includes("nothing to remove")], [0, true]);
    }
  });
}

Deno.test("mirror-config --remove keeps later edits of the file in a copy", async () => {
  await using folder = await TestFolder.create();
  await folder.write(DAEMON, '{"debug":true}');
  const flags = ["docker", `--root=${folder.path}`];
  await mirrorConfig(...flags, "--write");
  const edited = '{"debug":true,"experimental":true,"registry-mirrors":["http://127.0.0.1:6060"]}';
  await folder.write(DAEMON, edited);
  // A second --write is based on the edited file, and keeps the first backup.
  await mirrorConfig(...flags, "--write", "--to=http://crpe.lan:6060");
  const second = await readAll(folder);
  assertEquals(JSON.parse(second[DAEMON]!), {
    debug: true,
    experimental: true,
    "registry-mirrors": ["http://crpe.lan:6060", "http://127.0.0.1:6060"],
    "insecure-registries": ["crpe.lan:6060"],
  });
  assertEquals(second[`${DAEMON}.before-crpe`], '{"debug":true}');
  await folder.write(DAEMON, edited);
  const removed = await mirrorConfig(...flags, "--remove");
  assertStringIncludes(removed.out, ".after-crpe");
  assertEquals(await readAll(folder), { [DAEMON]: '{"debug":true}', [`${DAEMON}.after-crpe`]: edited });
});

Deno.test("mirror-config --write preserves the file mode, also for the backup", async () => {
  await using folder = await TestFolder.create();
  const path = await folder.write(K3S, "configs: {quay.io: {auth: {password: secret}}}\n");
  await Deno.chmod(path, 0o600);
  const { out, err } = await mirrorConfig("k3s", `--root=${folder.path}`, "--write");
  assertEquals(`${out}${err}`.includes("secret"), false);
  for (const name of [path, `${path}.before-crpe`]) assertEquals((await Deno.stat(name)).mode! & 0o777, 0o600);
});

Deno.test("mirror-config containerd --remove removes all hosts, or the named ones", async () => {
  await using folder = await TestFolder.create();
  const flags = ["containerd", `--root=${folder.path}`];
  await mirrorConfig(...flags, "--write", "--host=quay.io", "--host=registry.lan:5000");
  await mirrorConfig(...flags, "--write");
  const certs = `${folder.path}/etc/containerd/certs.d`;
  const names = async () => (await Array.fromAsync(Deno.readDir(certs))).map(({ name }) => name).sort();
  assertEquals(await names(), ["_default", "quay.io", "registry.lan:5000"]);
  await mirrorConfig(...flags, "--remove", "--host=quay.io");
  assertEquals(await names(), ["_default", "registry.lan:5000"]);
  await mirrorConfig(...flags, "--remove");
  assertEquals(await names(), []);
});

Deno.test("mirror-config changes no file when one of them cannot be merged", async () => {
  await using folder = await TestFolder.create();
  await folder.write("certs.d/quay.io/hosts.toml", '[host."https://a"]\n[host."http://127.0.0.1:6060"]\n');
  const before = await readAll(folder);
  const { status, err } = await mirrorConfig(
    ...["containerd", `--path=${folder.path}/certs.d`, "--write", "--host=docker.io", "--host=quay.io"],
  );
  assertEquals([status, await readAll(folder)], [1, before]);
  assertStringIncludes(err, "quay.io/hosts.toml: it lists https://a before");
});

Deno.test("mirror-config follows a symbolic link, but not out of the root", async () => {
  await using folder = await TestFolder.create();
  await folder.write("real/daemon.json", "{}");
  await folder.write("root/etc/docker/x", "");
  await Deno.symlink(`${folder.path}/real/daemon.json`, `${folder.path}/root/${DAEMON}`);
  const refused = await mirrorConfig("docker", `--root=${folder.path}/root`, "--write");
  assertEquals(refused.status, 1);
  assertStringIncludes(refused.err, "is outside of");
  await Deno.mkdir(`${folder.path}/other`);
  await Deno.mkdir(`${folder.path}/root2`);
  await Deno.symlink(`${folder.path}/other`, `${folder.path}/root2/etc`);
  const byFolder = await mirrorConfig("docker", `--root=${folder.path}/root2`, "--write");
  assertEquals([byFolder.status, await folder.listFiles("other")], [1, []]);
  const followed = await mirrorConfig("docker", `--path=${folder.path}/root/${DAEMON}`, "--write");
  assertEquals(followed.status, 0, followed.err);
  assert((await Deno.lstat(`${folder.path}/root/${DAEMON}`)).isSymlink);
  assertStringIncludes(await Deno.readTextFile(`${folder.path}/real/daemon.json`), "registry-mirrors");
});

Deno.test("mirror-config names other files that configure the same registries", async () => {
  await using folder = await TestFolder.create();
  await folder.write("etc/containers/registries.conf", '[[registry]]\nlocation = "quay.io"\n');
  await folder.write("etc/containers/registries.conf.d/99-ours.conf", '[[registry]]\nprefix = "docker.io"\n');
  const { err } = await mirrorConfig("podman", `--root=${folder.path}`, "--write");
  assertStringIncludes(err, "registries.conf also configures quay.io: crpe's file takes precedence");
  assertStringIncludes(err, "99-ours.conf also configures docker.io: it takes precedence over crpe's file");
});

const TABLE_2 = '[plugins."io.containerd.grpc.v1.cri".registry]';
const TABLE_3 = '[plugins."io.containerd.cri.v1.images".registry]';
const configs: [what: string, files: Record<string, string>, changed: string | undefined, part: string][] = [
  ["no file", {}, "config.toml", `version = 2\n\n${TABLE_2}\n  config_path = "/etc/containerd/certs.d"\n`],
  [
    "version 3",
    { "config.toml": "version = 3\n" },
    "config.toml",
    `version = 3\n\n${TABLE_3}\n  config_path = "/etc/containerd/certs.d"\n`,
  ],
  [
    "a list of two folders",
    {
      "config.toml":
        "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n",
    },
    "config.toml",
    `.registry]\n  config_path = "/etc/containerd/certs.d"\n`,
  ],
  [
    "an imported folder",
    { "config.toml": 'version = 3\nimports = ["conf.d/*.toml"]\n' },
    "conf.d/99-crpe.toml",
    `version = 3\n\n${TABLE_3}`,
  ],
  [
    "registry.mirrors",
    { "config.toml": `version = 2\n${TABLE_2.replace("]", '.mirrors."a.io"]')}\n  endpoint = ["http://a"]\n` },
    undefined,
    "registry.mirrors, which cannot be combined with config_path",
  ],
  ["another folder", { "config.toml": `version = 2\n${TABLE_2}\nconfig_path = "/x"\n` }, undefined, "--path=/x"],
  ["a file that is not TOML", { "config.toml": "version = \n" }, undefined, "config.toml: it is not TOML"],
];
for (const [what, files, changed, part] of configs) {
  Deno.test(`mirror-config containerd makes containerd read the folder, or says what to do: ${what}`, async () => {
    await using folder = await TestFolder.create();
    for (const [name, text] of Object.entries(files)) await folder.write(`etc/containerd/${name}`, text);
    const before = await readAll(folder);
    const flags = ["containerd", `--root=${folder.path}`];
    const printed = await mirrorConfig(...flags);
    assertEquals(await readAll(folder), before);
    const written = await mirrorConfig(...flags, "--write");
    assertEquals([printed.status, written.status], [0, 0], written.err);
    const after = await readAll(folder);
    if (changed === undefined) {
      assertStringIncludes(written.err, part);
      for (const [name, text] of Object.entries(before)) assertEquals(after[name], text);
    } else {
      assertStringIncludes(printed.err, 'config_path = "/etc/containerd/certs.d"');
      assertStringIncludes(printed.err, `with --write, crpe changes ${folder.path}/etc/containerd/${changed}`);
      assertStringIncludes(after[`etc/containerd/${changed}`]!, part);
      assertStringIncludes(written.err, "restart: systemctl restart containerd");
      const again = await mirrorConfig(...flags, "--write");
      assertEquals([await readAll(folder), again.err], [after, ""]);
    }
    await mirrorConfig(...flags, "--remove");
    assertEquals(await readAll(folder), before);
  });
}

Deno.test("mirror-config containerd leaves a list whose other folder is in use to the administrator", async () => {
  await using folder = await TestFolder.create();
  const config = `version = 2\n${TABLE_2}\nconfig_path = "/etc/containerd/certs.d:/etc/docker/certs.d"\n`;
  await folder.write("etc/containerd/config.toml", config);
  await folder.write("etc/docker/certs.d/r.lan/ca.crt", "x");
  const { err } = await mirrorConfig("containerd", `--root=${folder.path}`, "--write");
  assertStringIncludes(err, "which releases since 2.1 take as one folder");
  assertStringIncludes(err, "containerd also uses /etc/docker/certs.d: move its folders first");
  assertEquals((await readAll(folder))["etc/containerd/config.toml"], config);
});

const CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const CONTAINERS = "etc/containers/certs.d/crpe.lan:6060/ca.crt";
const authorities: [client: string, caFile: string, file: string, part: string][] = [
  [
    "k3s",
    "etc/rancher/k3s/crpe-ca.crt",
    K3S,
    '"crpe.lan:6060":\n    tls:\n      ca_file: "/etc/rancher/k3s/crpe-ca.crt"\n',
  ],
  [
    "containerd",
    "etc/containerd/certs.d/_default/ca.crt",
    "etc/containerd/certs.d/_default/hosts.toml",
    'ca = "/etc/containerd/certs.d/_default/ca.crt"\n',
  ],
  ["crio", CONTAINERS, DROP_IN, "crpe.lan:6060/quay.io"],
  ["podman", CONTAINERS, DROP_IN, "crpe.lan:6060/quay.io"],
  ["docker", "etc/docker/certs.d/crpe.lan:6060/ca.crt", DAEMON, "https://crpe.lan:6060"],
];
for (const [client, caFile, file, part] of authorities) {
  Deno.test(`mirror-config ${client} --ca-file makes the client trust a private CA, and --remove restores all`, async () => {
    await using folder = await TestFolder.create();
    await using source = await TestFolder.create();
    const flags = [client, `--root=${folder.path}`, "--to=https://crpe.lan:6060"];
    assertStringIncludes((await mirrorConfig(...flags)).err, "with a private CA, run this again with --ca-file=FILE");
    const named = `--ca-file=${await source.write("ca.pem", `# private\n${CA.replaceAll("\n", "\r\n")}`)}`;
    const printed = await mirrorConfig(...flags, named);
    assertStringIncludes(printed.out, `# ${folder.path}/${caFile}\n${CA}`);
    const written = await mirrorConfig(...flags, named, "--write");
    assertEquals(written.status, 0, written.err);
    const files = await readAll(folder);
    assertEquals(files[caFile], CA);
    assertStringIncludes(files[file]!, part);
    assertEquals(`${written.err}${printed.err}`.includes("with a private CA"), false);
    const again = await mirrorConfig(...flags, named, "--write");
    assertEquals([again.status, await readAll(folder)], [0, files]);
    await mirrorConfig(...flags, "--remove");
    assertEquals(await readAll(folder), {});
  });
}

Deno.test("mirror-config names at once what --write would refuse", async () => {
  await using folder = await TestFolder.create();
  await folder.write(
    K3S,
    'mirrors:\n  docker.io:\n    endpoint: [https://h.lan]\n    rewrite:\n      "^(.*)$": "proxy/$1"\n',
  );
  const flags = ["k3s", "--host=docker.io", `--root=${folder.path}`];
  assertStringIncludes(
    (await mirrorConfig(...flags)).err,
    `--write cannot change ${folder.path}/${K3S}: "docker.io" has`,
  );
  const { status, err } = await mirrorConfig(...flags, "--write");
  assertEquals(status, 1);
  assertStringIncludes(err, "start crpe with --upstream=docker.io=URL/PATH");
});

Deno.test("mirror-config --json prints one JSON document", async () => {
  await using folder = await TestFolder.create();
  const flags = ["containerd", `--root=${folder.path}`, "--json"];
  const path = `${folder.path}/etc/containerd/certs.d/_default/hosts.toml`;
  const printed = JSON.parse((await mirrorConfig(...flags)).out);
  assertEquals([printed.client, printed.files.length, printed.files[0].path], ["containerd", 1, path]);
  assertStringIncludes(printed.notes.join(), "config_path");
  const written = JSON.parse((await mirrorConfig(...flags, "--write")).out);
  const config = `${folder.path}/etc/containerd/config.toml`;
  assertEquals(written.files, [{ path, action: "written" }, { path: config, action: "written" }]);
  assertStringIncludes(written.restart, "systemctl restart containerd");
  const removed = JSON.parse((await mirrorConfig(...flags, "--remove")).out);
  assertEquals(removed.files, [{ path, action: "removed" }, { path: config, action: "removed" }]);
});

for (
  const [what, args, message] of [
    ["an unknown client", ["k8s"], "it must be one of k3s, containerd, crio, podman, docker"],
    ["an address without a scheme", ["k3s", "--to=crpe:6060"], "Cannot use the address"],
    ["a bad host", ["k3s", "--host=a/b"], 'Cannot use the host "a/b"'],
    ["--write with --remove", ["k3s", "--write", "--remove"], "choose one"],
    ["--root with --path", ["k3s", "--root=/a", "--path=/b"], "Cannot use --root together with --path"],
    ["--ca-file with a plain address", ["k3s", "--ca-file=/etc/hosts"], "without an https address"],
    ["a missing CA file", ["k3s", "--to=https://a", "--ca-file=/none"], "it does not exist"],
    ["a CA file without certificates", ["k3s", "--to=https://a", "--ca-file=/etc/hosts"], "it has no certificate"],
    ["docker for another host", ["docker", "--host=quay.io"], "it supports mirrors of docker.io only"],
  ] as const
) {
  Deno.test(`mirror-config exits with status 2 for ${what}`, async () => {
    const { status, err } = await mirrorConfig(...args);
    assertEquals(status, 2);
    assertStringIncludes(err, message);
  });
}
