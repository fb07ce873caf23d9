import { ChangedRepositories } from "../../../lib/store/changed_repositories.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { readContents, walkNames } from "../../../lib/store/store_scan.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { type Content, makeBlob, makeManifest, streamOf, UNKNOWN_DIGEST } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
// Of time stamps; more than the resolution of the file systems on which tests run.
const MARGIN = 30;
const [config, layer, other] = [makeBlob(101, 1), makeBlob(5000, 2), makeBlob(300, 3)];
const image = makeManifest(config, [layer]);
const later = makeManifest(config, [other]);

/** Opens a store with an image whose time stamps are older than the margin. */
async function openStore() {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  for (const { descriptor, bytes } of [config, layer, other]) {
    await store.writeBlob(REPO, descriptor, streamOf(bytes));
  }
  await store.writeManifest(REPO, image.descriptor, image.bytes);
  await store.tag(REPO, "1", image.descriptor.digest);
  return {
    root: folder.path,
    store,
    repository: `${folder.path}/docker/registry/v2/repositories/${REPO}`,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

type Fixture = Awaited<ReturnType<typeof openStore>>;

async function pause(margin = MARGIN): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 3 * margin));
}

async function watch(root: string, margin = MARGIN): Promise<ChangedRepositories> {
  const changes = await ChangedRepositories.watch(root, { margin });
  for await (const name of walkNames(root, (name) => changes.listFolders(name))) {
    changes.remember(readContents(root, name));
  }
  return changes;
}

const CHANGES: readonly (readonly [string, boolean, (it: Fixture) => Promise<unknown>])[] = [
  ["nothing", false, () => Promise.resolve()],
  ["a new tag", true, ({ store }) => store.tag(REPO, "2", image.descriptor.digest)],
  ["a new manifest", true, ({ store }) => store.writeManifest(REPO, later.descriptor, later.bytes)],
  [
    "a tag that refers to another manifest",
    true,
    async ({ root, repository }) => {
      await Deno.writeTextFile(`${root}/ingest/link.tmp`, later.descriptor.digest);
      await Deno.rename(`${root}/ingest/link.tmp`, `${repository}/_manifests/tags/1/current/link`);
    },
  ],
  [
    "a tag's link that is written in place, as distribution 2.8 does",
    true,
    ({ repository }) =>
      Deno.writeTextFile(`${repository}/_manifests/tags/1/current/link`, later.descriptor.digest, { create: false }),
  ],
  ["a tag that is removed", true, ({ repository }) => Deno.remove(`${repository}/_manifests/tags/1/current/link`)],
  ["a manifest by sha512", true, ({ repository }) => Deno.mkdir(`${repository}/_manifests/revisions/sha512`)],
  [
    "a symbolic link",
    true,
    async ({ root, repository }) => {
      await Deno.rename(`${repository}/_manifests/revisions`, `${root}/elsewhere`);
      await Deno.symlink(`${root}/elsewhere`, `${repository}/_manifests/revisions`);
    },
  ],
  ["no manifests any more", true, ({ repository }) => Deno.remove(`${repository}/_manifests`, { recursive: true })],
  ["a link to a blob", false, ({ repository }) => Deno.mkdir(`${repository}/_layers/sha256/00`)],
];

for (const [name, isChanged, change] of CHANGES) {
  Deno.test(`ChangedRepositories.isChanged() is ${isChanged} after: ${name}`, async () => {
    await using it = await openStore();
    await pause();
    const changes = await watch(it.root);
    assertEquals(changes.isChanged(REPO), false);
    await change(it);
    assertEquals(changes.isChanged(REPO), isChanged);
  });
}

Deno.test("ChangedRepositories.isChanged() ignores tags that were not read, and not manifests", async () => {
  for (const [change, isChanged] of [["a new tag", false], ["a new manifest", true]] as const) {
    await using it = await openStore();
    await pause();
    const changes = await ChangedRepositories.watch(it.root, { margin: MARGIN });
    changes.remember(readContents(it.root, REPO, { omitsTags: true }));
    await CHANGES.find(([name]) => name === change)![2](it);
    assertEquals([change, changes.isChanged(REPO)], [change, isChanged]);
  }
});

Deno.test("ChangedRepositories remembers a bounded number of names, and the others count as changed", async () => {
  await using it = await openStore();
  const second = `${REPO}2`;
  await it.store.writeBlob(second, config.descriptor, streamOf(config.bytes));
  await it.store.writeManifest(second, image.descriptor, image.bytes);
  await it.store.tag(second, "1", image.descriptor.digest);
  await pause();
  // The names above the repositories count too: those of no name, of the host, and of the team.
  for (const [maxNames, changed] of [[3, [true, true]], [4, [false, true]], [5, [false, false]]] as const) {
    const changes = await ChangedRepositories.watch(it.root, { margin: MARGIN, maxNames });
    const walk = () => Array.fromAsync(walkNames(it.root, (name) => changes.listFolders(name)));
    for (const name of await walk()) changes.remember(readContents(it.root, name));
    assertEquals(await walk(), [REPO, second]);
    assertEquals([maxNames, [REPO, second].map((name) => changes.isChanged(name))], [maxNames, changed]);
  }
});

const UNUSUAL: readonly (readonly [string, (it: Fixture) => Promise<unknown>])[] = [
  ["a torn tag", ({ repository }) => Deno.writeTextFile(`${repository}/_manifests/tags/1/current/link`, "sha256:12")],
  [
    "a tag without a link",
    ({ repository }) => Deno.mkdir(`${repository}/_manifests/tags/2/current`, { recursive: true }),
  ],
  [
    "a manifest's folder without a link",
    ({ repository }) => Deno.mkdir(`${repository}/_manifests/revisions/sha256/${UNKNOWN_DIGEST.slice(7)}`),
  ],
];

for (const [name, prepare] of UNUSUAL) {
  Deno.test(`ChangedRepositories.isChanged() is true with ${name}`, async () => {
    await using it = await openStore();
    await prepare(it);
    await pause();
    assert((await watch(it.root)).isChanged(REPO));
  });
}

Deno.test("ChangedRepositories.isChanged() is true if the last change was too shortly before the first walk", async () => {
  await using it = await openStore();
  assert((await watch(it.root)).isChanged(REPO));
});

Deno.test("ChangedRepositories.isChanged() is true for a repository that is not remembered", async () => {
  await using it = await openStore();
  await pause();
  const changes = await watch(it.root);
  assertEquals([REPO, "registry.example/team/none"].map((name) => changes.isChanged(name)), [false, true]);
});

Deno.test("ChangedRepositories.isChanged() is true after a link is written whose time is then set back", async () => {
  await using it = await openStore();
  // The runtime rounds `ctime`, which cannot be set back, to seconds.
  await pause(1000);
  const changes = await watch(it.root, 1000);
  assertEquals(changes.isChanged(REPO), false);
  const link = `${it.repository}/_manifests/tags/1/current/link`;
  await Deno.writeTextFile(link, later.descriptor.digest);
  await Deno.utime(link, 1, 1);
  assert(changes.isChanged(REPO));
});

const SPARE = "elsewhere.example/team/app";
/** Folders of a repository that are renamed into the place of those of another, with all that is in them. */
const REPLACED = ["elsewhere.example", "elsewhere.example/team", SPARE, `${SPARE}/_manifests`];

Deno.test("ChangedRepositories.isChanged() is true after an old folder is renamed into the place of another one", async () => {
  const names = [REPO, "far.example/team/app"];
  const found = await Promise.all(REPLACED.map(async (from) => {
    await using it = await openReplaced();
    const changes = await watch(it.root, 1000);
    const before = names.map((name) => changes.isChanged(name));
    await it.replace(from);
    const listed = await Array.fromAsync(walkNames(it.root, (name) => changes.listFolders(name)));
    return [from, before, names.map((name) => listed.includes(name) && changes.isChanged(name))];
  }));
  assertEquals(found, REPLACED.map((from) => [from, [false, false], [true, false]]));
});

Deno.test("collectGarbage() keeps the content of an old folder that is renamed into the place of another one meanwhile", async () => {
  const found = await Promise.all(REPLACED.map(async (from) => {
    await using it = await openReplaced();
    const sizeOf = () => new DiskStore(it.root).statBlob(SPARE, other.descriptor.digest);
    await collectGarbage(it.root, {
      watch: { margin: 1000 },
      // The first mark does not find the folder, and moves aside what it needs.
      onMovedAside: async () => {
        assertEquals(await sizeOf(), undefined);
        await it.replace(from);
      },
    });
    return [from, (await new DiskStore(it.root).resolve(REPO, "1"))?.digest, await sizeOf()];
  }));
  assertEquals(found, REPLACED.map((from) => [from, later.descriptor.digest, other.bytes.length]));
});

/** Opens a store as `openStore`, with another repository that was moved out of it before the times that count. */
async function openReplaced() {
  const it = await openStore();
  const repositories = `${it.root}/docker/registry/v2/repositories`;
  const put = async (name: string, manifest: Content) => {
    await it.store.writeManifest(name, manifest.descriptor, manifest.bytes);
    await it.store.tag(name, "1", manifest.descriptor.digest);
  };
  await put("far.example/team/app", image);
  await put(SPARE, later);
  // Else the collection reads the repository again because of this link.
  await Deno.remove(`${it.repository}/_layers/sha256/${other.descriptor.digest.slice(7)}`, { recursive: true });
  await Deno.rename(`${repositories}/elsewhere.example`, `${it.root}/elsewhere.example`);
  // The runtime rounds `ctime` to seconds.
  await pause(1000);
  return {
    ...it,
    /** Renames a folder of the repository that was moved out into the place of that of `REPO`. */
    async replace(from: string) {
      const to = from.replace("elsewhere", "registry");
      await Deno.rename(`${repositories}/${to}`, `${it.root}/replaced`);
      await Deno.rename(`${it.root}/${from}`, `${repositories}/${to}`);
    },
  };
}

Deno.test("ChangedRepositories.listFolders() finds repositories created after the first walk", async () => {
  await using it = await openStore();
  await it.store.writeManifest("registry.example/a", image.descriptor, image.bytes);
  await pause();
  const changes = await watch(it.root);
  const added = ["registry.example/team/new", `${REPO}/below`, "other.example/x"];
  for (const name of added) await it.store.writeManifest(name, image.descriptor, image.bytes);
  const found = await Array.fromAsync(walkNames(it.root, (name) => changes.listFolders(name)));
  assertEquals(found.sort(), ["registry.example/a", REPO, ...added].sort());
});

Deno.test("ChangedRepositories.listFolders() does not read unchanged folders again", async () => {
  await using it = await openStore();
  await pause();
  const changes = await watch(it.root);
  const { readDirSync } = Deno;
  const read: string[] = [];
  Deno.readDirSync = (path) => {
    read.push(`${path}`.slice(it.root.length + "/docker/registry/v2/repositories/".length));
    return readDirSync(path);
  };
  try {
    await it.store.writeManifest("registry.example/team/new", image.descriptor, image.bytes);
    read.length = 0;
    await Array.fromAsync(walkNames(it.root, (name) => changes.listFolders(name)));
  } finally {
    Deno.readDirSync = readDirSync;
  }
  assertEquals(read, ["registry.example/team", "registry.example/team/new"]);
  assertEquals(changes.isChanged(REPO), false);
});

for (const [name, jump, isSteady] of [["is not set", 0, true], ["is set", 5000, false]] as const) {
  Deno.test(`ChangedRepositories.isClockSteady() is ${isSteady} when the clock ${name}`, async () => {
    await using it = await openStore();
    let offset = 0;
    const now = () => performance.now() + offset;
    const changes = await ChangedRepositories.watch(it.root, { now });
    offset = jump;
    assertEquals(await changes.isClockSteady(), isSteady);
  });
}

Deno.test("ChangedRepositories counts everything as changed where no file can be written", async () => {
  await using it = await openStore();
  await pause();
  await Deno.rename(`${it.root}/ingest`, `${it.root}/elsewhere`);
  const changes = await watch(it.root);
  assertEquals([changes.isChanged(REPO), await changes.isClockSteady()], [true, false]);
});
