import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { TestFolder } from "../support/test_folder.ts";

const TAGS = ["1.26", "1.27", "1.27-alpine", "1.27.1", "latest"];
const REPO = "registry.test/team/app";

/** An upstream that lists the tags of one repository in pages of two, and a data folder. */
async function createSite() {
  const folder = await TestFolder.create();
  const upstream = startFaultUpstream({ tagsPerPage: 2 });
  for (const tag of TAGS) upstream.addImage("team/app", tag);
  const run = (...args: string[]) =>
    runCrpe([...args, `--data=${folder.path}/data`], { env: { HOME: folder.path }, cwd: folder.path });
  return {
    folder,
    upstream,
    offline: (...args: string[]) => run(...args, "--offline"),
    online: (...args: string[]) => run(...args, `--upstream=registry.test=${upstream.url}`),
    async [Symbol.asyncDispose]() {
      await upstream[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

Deno.test("crpe tags lists all pages of the upstream's tags, or the store's, and pull --tags pulls those that match", async () => {
  await using site = await createSite();
  const listed = await site.online("tags", REPO);
  assertEquals([listed.code, listed.stdout], [0, TAGS.map((tag) => `${tag}\n`).join("")]);
  assertEquals(listed.stderr, `crpe: 5 tags of ${REPO}, from registry.test\n`);
  const json = JSON.parse((await site.online("tags", REPO, "--json")).stdout);
  assertEquals(json, { repository: REPO, from: "upstream", tags: TAGS });

  const pulled = await site.online("pull", REPO, "--tags=1.27?*", "--json");
  assertEquals(pulled.code, 0, pulled.stderr);
  assertEquals(pulled.stderr.split("\n")[0], `crpe: pulling 2 tags of ${REPO} (5 in all): 1.27-alpine, 1.27.1`);
  const held = ["1.27-alpine", "1.27.1"];
  assertEquals(
    JSON.parse(pulled.stdout).map((it: { reference: string }) => it.reference),
    held.map((tag) => `${REPO}:${tag}`),
  );
  const stored = await site.offline("tags", REPO);
  assertEquals([stored.code, stored.stdout], [0, held.map((tag) => `${tag}\n`).join("")]);
  assertStringIncludes(stored.stderr, `2 tags of ${REPO}, from the store in ${site.folder.path}/data\n`);
  assertEquals((await site.offline("pull", REPO, "--tags=*")).code, 0);

  // One image that fails does not stop the others.
  site.upstream.fail({ path: "manifests/1.26", status: 404 });
  const partly = await site.online("pull", REPO, "--tags=1.2?");
  assertEquals([partly.code, partly.stdout.includes(`${REPO}:1.27@`)], [1, true], partly.stderr);
  assertStringIncludes(partly.stderr, `1 of 2 failed: ${REPO}:1.26\n`);
});

Deno.test("crpe tags and pull --tags fail, and never list less, when the upstream fails, ends early or is not allowed", async () => {
  await using site = await createSite();
  assertEquals((await site.online("pull", `${REPO}:1.26`)).code, 0);
  for (
    const [run, args, message] of [
      ["online", ["tags", "registry.test/team/none"], "registry.test has no such repository"],
      ["online", ["tags", "other.test/team/app"], "other.test is not configured as an upstream"],
      ["offline", ["tags", "other.test/team/app"], "data does not have the repository"],
      ["online", ["pull", REPO, "--tags=x*"], `Cannot pull x*: it matches 0 tags of ${REPO} (5 in all)`],
    ] as const
  ) {
    const { code, stdout, stderr } = await site[run](...args);
    assertEquals([code, stdout], [1, ""], stderr);
    assertStringIncludes(stderr, message);
  }
  site.upstream.fail({ path: "tags/list", status: 403 });
  const failed = await site.online("tags", REPO);
  assertEquals([failed.code, failed.stdout], [1, ""], failed.stderr);
  site.upstream.heal();
  // A link to another list is not followed.
  site.upstream.fail({ path: "tags/list", headers: { link: '</v2/other/tags/list?last=1.27>; rel="next"' } });
  for (const args of [["tags", REPO], ["pull", REPO, "--tags=1.26"]]) {
    const { code, stdout, stderr } = await site.online(...args);
    assertEquals([code, stdout.includes("1.26")], [1, true], stderr);
    assertStringIncludes(stderr, "registry.test did not give the whole list of the tags");
  }
});
