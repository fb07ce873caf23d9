import { FolderHandover, type FolderHandoverOptions } from "../../../../lib/install/handover/folder_handover.ts";
import type { HandoverPlan, HandoverRequest } from "../../../../lib/install/handover/handover.ts";
import type { HandedOver } from "../../../../lib/install/handover/handover_records.ts";
import type { KubePkg } from "../../../../lib/kubepkg/kubepkg.ts";
import { computeDigest } from "../../../../lib/oci/digest.ts";
import { RefusedError } from "../../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { makeObject, makeRelease } from "../../../support/cluster/folder_site.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { makeRequest } from "./make_request.ts";

const release = (version = "1.0.0", name = "web") => {
  return makeRelease([makeObject("ConfigMap/a", { data: { version } })], { version, name });
};

/** A folder that a `FolderHandover` writes into, and the record that it would have. */
async function createSite(options: FolderHandoverOptions = {}) {
  const folder = await TestFolder.create();
  const manifests = `${await Deno.realPath(folder.path)}/manifests`;
  await Deno.mkdir(manifests);
  const handover = new FolderHandover(manifests, options);
  const plan = (kubepkg: KubePkg, request: Partial<HandoverRequest> = {}) =>
    handover.plan(makeRequest(kubepkg, request));
  return {
    folder,
    manifests,
    handover,
    plan,
    record: ({ request: { package: kubepkg }, file, revision }: HandoverPlan): HandedOver => {
      const { path, digest } = file!;
      return { place: { manifestsDir: manifests }, kubepkg, files: [{ path, digests: [digest] }], revision };
    },
    async handOver(kubepkg: KubePkg, request: Partial<HandoverRequest> = {}): Promise<HandoverPlan> {
      const planned = await plan(kubepkg, request);
      if (planned.refusal !== undefined) throw planned.refusal;
      await handover.apply(planned);
      return planned;
    },
    read: (name = "web.yaml") => Deno.readTextFile(`${manifests}/${name}`),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("[79] FolderHandover writes one file for a package, for its owner alone, and leaves no temporary file", async () => {
  await using site = await createSite();
  const first = await site.handOver(release());
  const { file } = await site.handOver(release("1.1.0"), { before: site.record(first) });
  assertEquals(await site.folder.listFiles("manifests"), ["web.yaml"]);
  assertEquals([file!.path, await site.read()], [`${site.manifests}/web.yaml`, file!.text]);
  assertStringIncludes(file!.text, "kind: ConfigMap");
  assertEquals((await Deno.stat(file!.path)).mode! & 0o777, 0o600);
});

Deno.test("[26] FolderHandover replaces the temporary file that a crash has left", async () => {
  await using site = await createSite();
  await site.folder.write("manifests/.web.yaml.tmp", "half a fi");
  await site.handOver(release());
  assertEquals(await site.folder.listFiles("manifests"), ["web.yaml"]);
});

Deno.test("FolderHandover of a package without manifests empties its file, so that k3s prunes", async () => {
  await using site = await createSite();
  const first = await site.handOver(release());
  const empty = await site.plan(makeRelease([], { version: "1.1.0" }), { before: site.record(first) });
  assertEquals(await site.handover.isHandedOver(empty), false);
  await site.handover.apply(empty);
  assertEquals([await site.read(), await site.handover.isHandedOver(empty)], ["# hand-over 2\n", true]);
});

Deno.test("FolderHandover.place() is an absolute path without symbolic links", async () => {
  await using site = await createSite();
  const handover = new FolderHandover(`${site.manifests}/../manifests`);
  await handover.prepare();
  assertEquals(await handover.place(), { manifestsDir: site.manifests });
});

for (
  const [criterion, name, reason] of [
    ["does not exist", "missing", "the folder does not exist, so no cluster reads it"],
    ["is a file", "manifests/file", "a part of the path is a file, not a folder"],
    ["is below a file", "manifests/file/x", "a part of the path is a file, not a folder"],
  ] as const
) {
  Deno.test(`[78] a folder that ${criterion} is an error of the plan, also with force, and nothing is made`, async () => {
    await using site = await createSite();
    await site.folder.write("manifests/file", "");
    const path = `${site.folder.path}/${name}`;
    const handover = new FolderHandover(path);
    const message = `Cannot write manifests into ${path}: ${reason}; nothing was changed`;
    const { request } = await site.plan(release());
    for (const force of [false, true]) {
      const { refusal } = await handover.plan({ ...request, force });
      assertEquals([refusal?.message, refusal instanceof RefusedError], [message, false]);
    }
    assertEquals((await assertRejects(() => handover.prepare(), Error)).message, message);
    assertEquals(await site.folder.listFiles(), ["manifests/file"]);
  });
}

const FOREIGN = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: x\n";

Deno.test("[77] a file that crpe did not write is refused and left alone, for a release and a removal; force replaces it", async () => {
  await using site = await createSite();
  await site.folder.write("manifests/web.yaml", FOREIGN);
  for (const isRemoval of [false, true]) {
    const { refusal } = await site.plan(release(), { isRemoval });
    assert(refusal instanceof RefusedError);
    assertStringIncludes(refusal.message, isRemoval ? "Cannot remove web" : "Cannot hand over web@1.0.0");
    assertStringIncludes(refusal.message, `${site.manifests}/web.yaml was not written by crpe`);
  }
  assertEquals(await site.read(), FOREIGN);
  const { file } = await site.handOver(release(), { force: true });
  assertEquals(await site.read(), file!.text);
});

for (
  const [criterion, change] of [
    ["has one more line", (path: string) => Deno.writeTextFile(path, "# mine\n", { append: true })],
    ["has only a comment", (path: string) => Deno.writeTextFile(path, "# mine\n")],
    ["has bytes that are no text", (path: string) => Deno.writeFile(path, new Uint8Array([0xff, 0xfe]))],
    ["is a link", async (path: string) => {
      await Deno.rename(path, `${path}.mine`);
      await Deno.symlink(`${path}.mine`, path);
    }],
  ] as const
) {
  Deno.test(`[77] a file that ${criterion} since crpe wrote it is left alone and named; force replaces it`, async () => {
    await using site = await createSite();
    const before = site.record(await site.handOver(release()));
    const path = `${site.manifests}/web.yaml`;
    await change(path);
    const bytes = await Deno.readFile(path);
    for (const isRemoval of [false, true]) {
      const { refusal } = await site.plan(release("1.1.0"), { before, isRemoval });
      assert(refusal instanceof RefusedError);
      assertStringIncludes(refusal.message, `${path} was changed by hand since crpe wrote it, and is left alone`);
    }
    assertEquals(await Deno.readFile(path), bytes);
    const { file } = await site.handOver(release("1.1.0"), { before, force: true });
    assertEquals([await site.read(), (await Deno.lstat(path)).isFile], [file!.text, true]);
  });
}

Deno.test("[77] a folder at the path of the file is an error, also with force", async () => {
  await using site = await createSite();
  await Deno.mkdir(`${site.manifests}/web.yaml`);
  for (const force of [false, true]) {
    assertStringIncludes((await site.plan(release(), { force })).refusal?.message ?? "", "web.yaml: it is a folder");
  }
});

Deno.test("[77] a record of crpe 0.1.0, which has no digests, makes the file crpe's", async () => {
  await using site = await createSite();
  const path = `${site.manifests}/web.yaml`;
  await Deno.writeTextFile(path, "as crpe 0.1.0 wrote it");
  const before: HandedOver = { place: { manifestsDir: site.manifests }, kubepkg: release(), files: [{ path }] };
  const { file } = await site.handOver(release("1.1.0"), { before });
  assertEquals(await site.read(), file!.text);
});

Deno.test("[78] a file that crpe wrote under another name of the folder is crpe's", async () => {
  await using site = await createSite();
  const written = site.record(await site.handOver(release()));
  const files = written.files.map(({ digests }) => ({ path: "/manifests/web.yaml", ...digests && { digests } }));
  const before = { ...written, place: { manifestsDir: "/manifests" }, files };
  assertEquals((await site.plan(release(), { before, isRemoval: true })).refusal, undefined);
  await Deno.writeTextFile(`${site.manifests}/web.yaml`, FOREIGN);
  assert((await site.plan(release(), { before, isRemoval: true })).refusal instanceof RefusedError);
});

Deno.test("[26] either content is crpe's while a file is being replaced", async () => {
  await using site = await createSite();
  const first = await site.handOver(release());
  const second = await site.plan(release("1.1.0"), { before: site.record(first) });
  const { kubepkg, ...record } = site.record(first);
  const digests = [first.file!.digest, second.file!.digest];
  const before = { ...record, kubepkg, attempted: release("1.1.0"), files: [{ path: first.file!.path, digests }] };
  for (const { file } of [first, second]) {
    await Deno.writeTextFile(file!.path, file!.text);
    const again = await site.plan(release("1.1.0"), { before });
    assertEquals([again.refusal, again.file], [undefined, second.file]);
  }
});

for (
  const [other, name] of [
    ["web.yml", "web"],
    ["web.json", "web"],
    ["apps/web.yaml", "web"],
    ["web.yaml.skip", "web"],
  ] as const
) {
  Deno.test(`[77] ${other} beside web.yaml is refused and named; force writes web.yaml all the same`, async () => {
    await using site = await createSite();
    await site.folder.write(`manifests/${other}`, FOREIGN);
    const { refusal } = await site.plan(release("1.0.0", name));
    assert(refusal instanceof RefusedError);
    assertStringIncludes(refusal.message, other);
    await site.handOver(release("1.0.0", name), { force: true });
    assertEquals(await site.folder.listFiles("manifests"), [other, "web.yaml"].sort());
    // What belongs to others does not keep a package from being removed.
    const removal = await site.plan(release("1.0.0", name), {
      isRemoval: true,
      before: site.record(await site.plan(release())),
    });
    assertEquals(removal.refusal, undefined);
  });
}

for (
  const [criterion, name, disabled, reason] of [
    ["a name of k3s's own files", "coredns", [], "k3s itself writes files named coredns.yaml"],
    ["a name of k3s's own folders", "metrics-server", [], "k3s itself writes"],
    ["a name that k3s is told to disable", "web", ["traefik", "web"], "it is told to disable web"],
  ] as const
) {
  Deno.test(`[77] ${criterion} is refused without force`, async () => {
    await using site = await createSite({ listDisabled: () => Promise.resolve(disabled) });
    const { refusal } = await site.plan(release("1.0.0", name));
    assert(refusal instanceof RefusedError);
    assertStringIncludes(refusal.message, reason);
    assertEquals((await site.plan(release("1.0.0", name), { force: true })).refusal, undefined);
    assertEquals((await site.plan(release("1.0.0", "other"))).refusal, undefined);
  });
}

Deno.test("[77] in a folder of k3s's folder, names of the whole are compared, and disabled folders", async () => {
  await using folder = await TestFolder.create();
  const manifests = `${await Deno.realPath(folder.path)}/server/manifests`;
  await folder.write("server/manifests/web.yml", FOREIGN);
  await Deno.mkdir(`${manifests}/apps/more`, { recursive: true });
  await using site = await createSite();
  const { request } = await site.plan(release());
  const refusalIn = async (below: string, kubepkg: KubePkg, disabled: string[] = []) => {
    const handover = new FolderHandover(`${manifests}/${below}`, { listDisabled: () => Promise.resolve(disabled) });
    return (await handover.plan({ ...request, package: kubepkg })).refusal?.message;
  };
  assertStringIncludes(await refusalIn("apps", release()) ?? "", `takes web.yaml and web.yml in ${manifests}`);
  assertEquals(await refusalIn("apps", release("1.0.0", "other")), undefined);
  assertStringIncludes(
    await refusalIn("apps/more", release("1.0.0", "other"), ["apps/more"]) ?? "",
    "disable apps/more",
  );
  assertEquals(await refusalIn("apps/more", release("1.0.0", "other"), ["more"]), undefined);
});

Deno.test("[77] a package gets another file than the one that another package has, also in folders below each other", async () => {
  await using site = await createSite();
  const taken = (path: string) => site.plan(release(), { takenFiles: new Set([path]) });
  for (const path of ["web.yaml", "apps/web.yaml", "../web.yaml"]) {
    const { file } = await taken(new URL(path, `file://${site.manifests}/`).pathname);
    assert(/\/web-[0-9a-f]{10}\.yaml$/.test(file!.path), `${path}: ${file!.path}`);
  }
  for (const path of ["/elsewhere/web.yaml", `${site.manifests}/other.yaml`]) {
    assertEquals((await taken(path)).file?.path, `${site.manifests}/web.yaml`);
  }
  // A package keeps the file that it has.
  const before: HandedOver = {
    place: { manifestsDir: site.manifests },
    kubepkg: release(),
    files: [{ path: `${site.manifests}/web-0123456789.yaml` }],
  };
  assertEquals((await site.plan(release(), { before })).file?.path, `${site.manifests}/web-0123456789.yaml`);
});

Deno.test("a file that is as it should be is not written again; force makes k3s apply equal content again", async () => {
  await using site = await createSite();
  const first = await site.handOver(release());
  const { ino, mtime } = await Deno.stat(first.file!.path);
  const same = await site.handOver(release(), { before: site.record(first) });
  assertEquals(same.file, first.file);
  const now = await Deno.stat(first.file!.path);
  assertEquals([now.ino, now.mtime], [ino, mtime]);

  const digests = [first.file!.digest];
  let last = first;
  for (let i = 0; i < 3; i++) {
    last = await site.handOver(release(), { before: site.record(last), force: true });
    assertEquals([digests.includes(last.file!.digest), await site.read()], [false, last.file!.text]);
    digests.push(last.file!.digest);
    // Without force it stays as the force has left it.
    assertEquals((await site.plan(release(), { before: site.record(last) })).file, last.file);
  }
});

Deno.test("[78] a release that is handed over again after another one has another file: k3s may have failed in between", async () => {
  await using site = await createSite();
  const one = await site.handOver(release());
  const two = await site.handOver(release("2.0.0"), { before: site.record(one) });
  const again = await site.handOver(release(), { before: site.record(two) });
  assertEquals(new Set([one, two, again].map(({ file }) => file!.digest)).size, 3);
});

Deno.test("[26] a file that was deleted by hand is restored as it was", async () => {
  await using site = await createSite();
  const first = await site.handOver(release());
  await Deno.remove(first.file!.path);
  assertEquals(await site.handover.isHandedOver(first), false);
  const again = await site.handOver(release(), { before: site.record(first) });
  assertEquals([again.file, await site.read()], [first.file, first.file!.text]);
});

for (
  const [criterion, addons, expected] of [
    ["nothing tells what k3s does", undefined, { isConfirmed: false }],
    ["kubectl does not reach the cluster", { state: undefined }, { isConfirmed: false }],
    ["k3s has not read it yet", { state: { state: "pending" } }, { isConfirmed: false }],
    ["k3s fails", { state: { state: "failed", reason: "no" } }, { isConfirmed: false, failure: "no" }],
    ["k3s has applied it, objects stay", { state: { state: "applied" }, isPresent: true }, {
      isConfirmed: false,
      remaining: ["ConfigMap/default/a"],
    }],
    ["k3s has applied it, the objects are gone", { state: { state: "applied" } }, { isConfirmed: true }],
  ] as const
) {
  Deno.test(`[78] a removal empties the file, and when ${criterion} ${expected.isConfirmed ? "removes" : "leaves"} it`, async () => {
    const asked: unknown[] = [];
    await using site = await createSite(
      addons === undefined ? {} : {
        addons: {
          readState: ({ path, digest }) => {
            asked.push([path.replace(/^.*\//, ""), digest]);
            return Promise.resolve(addons.state);
          },
          listPresent: (objects) => Promise.resolve("isPresent" in addons ? objects : []),
        },
      },
    );
    const before = site.record(await site.handOver(release()));
    const removal = await site.plan(release(), { before, isRemoval: true });
    const { where, ...result } = await site.handover.apply(removal);
    const unknown = { remaining: undefined, failure: undefined };
    assertEquals([where, { ...unknown, ...result }], [`${site.manifests}/web.yaml`, { ...unknown, ...expected }]);
    assertEquals(await site.folder.listFiles("manifests"), expected.isConfirmed ? [] : ["web.yaml"]);
    if (!expected.isConfirmed) assertEquals(await site.read(), "");
    if (addons !== undefined) assertEquals(asked[0], ["web.yaml", computeDigest("")]);
  });
}

Deno.test("[78] a removal writes the empty file also where the file was deleted by hand", async () => {
  await using site = await createSite();
  const before = site.record(await site.handOver(release()));
  await Deno.remove(`${site.manifests}/web.yaml`);
  await site.handOver(release(), { before, isRemoval: true });
  assertEquals(await site.read(), "");
});

Deno.test("[26] a removal that was interrupted while it waited can be repeated", async () => {
  let isCut = true;
  await using site = await createSite({
    waitForWatcher: () => isCut ? Promise.reject(new Error("interrupted")) : Promise.resolve(),
    addons: { readState: () => Promise.resolve({ state: "applied" }), listPresent: () => Promise.resolve([]) },
  });
  const before = site.record(await site.handOver(release()));
  const removal = await site.plan(release(), { before, isRemoval: true });
  await assertRejects(() => site.handover.apply(removal), Error, "interrupted");
  assertEquals(await site.read(), "");
  isCut = false;
  assertEquals((await site.handover.apply(removal)).isConfirmed, true);
  assertEquals(await site.folder.listFiles("manifests"), []);
});
