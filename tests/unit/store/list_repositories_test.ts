import { listRepositories } from "../../../lib/store/list_repositories.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const NAMES = [
  "a.b/c",
  "a.b/c-d",
  "a.b/c-d/e",
  "a.b/c.d",
  "a.b/c/e",
  "a.b/c/e/f",
  "a.b/c0",
  "a.b:1/x",
  "a0/x",
  "library/x",
];

async function makeStore(names: readonly string[]) {
  const folder = await TestFolder.create();
  for (const name of names) {
    await Deno.mkdir(`${folder.path}/docker/registry/v2/repositories/${name}/_manifests/revisions`, {
      recursive: true,
    });
  }
  await Deno.mkdir(`${folder.path}/docker/registry/v2/repositories/a.b/blobs-only/_layers`, { recursive: true });
  return folder;
}

Deno.test("[73] listRepositories() lists in the order of code units, also across folders", async () => {
  await using folder = await makeStore(NAMES);
  assertEquals(NAMES, NAMES.toSorted());
  assertEquals(await listRepositories(folder.path), { repositories: NAMES, isMore: false });
});

Deno.test("[73] listRepositories() lists every page of any size and any start", async () => {
  await using folder = await makeStore(NAMES);
  const starts = [undefined, "", "a", "a.b", "a.b/", "a.b/c-", "a.b/c-e", "a.b/c/", "a.b/c/e/", "zzz", ...NAMES];
  for (const after of starts) {
    const rest = NAMES.filter((name) => after === undefined || name > after);
    for (const limit of [0, 1, 3, NAMES.length, Infinity]) {
      assertEquals(
        await listRepositories(folder.path, { after, limit }),
        { repositories: rest.slice(0, limit), isMore: rest.length > limit },
        `${limit} after ${after}`,
      );
    }
  }
});

Deno.test("[73] listRepositories() reads only the folders that a page needs", async () => {
  const names = Array.from({ length: 300 }, (_, i) => `r.test/group${String(i).padStart(3, "0")}/app`);
  await using folder = await makeStore(names);
  const { readDirSync } = Deno;
  let reads = 0;
  Deno.readDirSync = (path) => {
    reads++;
    return readDirSync(path);
  };
  try {
    const page = await listRepositories(folder.path, { after: "r.test/group199/app", limit: 10 });
    assertEquals(page, { repositories: names.slice(200, 210), isMore: true });
  } finally {
    Deno.readDirSync = readDirSync;
  }
  // The root, the host, the group of `after`, and for each entry its group and itself.
  assertEquals(reads > 0 && reads <= 3 + 2 * 11 + 1, true, `${reads} folders were read`);
});
