import { readBundle } from "../../lib/bundle/read_bundle.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const IMAGE = "registry.test/app:1";
const INIT = "registry.test/init:1";
const PAUSE = "docker.io/rancher/mirrored-pause:3.6";
const image = buildImage();
const OTHER = `sha256:${"1".repeat(64)}`;

const config = (name: string, more: object = {}) => {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default", ...more }, data: { a: "1" } };
};
const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "default" },
  spec: { initContainers: [{ name: "i", image: INIT }], containers: [{ name: "c", image: IMAGE }] },
};

function makePackage(manifests: object, images: Record<string, string> = {}) {
  const kubepkg = makeKubePkg(images);
  return { ...kubepkg, spec: { ...kubepkg.spec, manifests } };
}

async function createDesk() {
  const fixture = await createPackFixture({ [IMAGE]: image, [INIT]: image, [PAUSE]: image });
  const { folder, crpe } = fixture;
  return {
    ...fixture,
    /** Packs what is in a file or a folder. */
    packFile: (path: string, ...flags: string[]) => crpe("pack", path, "--data=source", "--offline", ...flags),
    /** The names of the bundles. */
    listBundles: async () => (await folder.listFiles()).filter((name) => name.endsWith(".tgz")).sort(),
  };
}

const warningsOf = (stderr: string) => stderr.split("\n").filter((line) => line.startsWith("crpe: warning: "));

Deno.test("[83] pack warns about what will not work at the site, and packs", async () => {
  await using desk = await createDesk();
  const manifests = { a: config("a"), b: config("a", { uid: "1" }), g: config("", { generateName: "x-" }), p: POD };
  const { code, stderr } = await desk.pack(makePackage(manifests, { [INIT]: "" }), "a");
  assertEquals(code, 0, stderr);
  const warnings = warningsOf(stderr);
  assertEquals(warnings.length, 4, stderr);
  for (
    const text of [
      `${IMAGE} is not in spec.images: the site will not have it (used by Pod/default/p, spec.containers[0].image)`,
      "ConfigMap/default/a: is in the package twice with the same content: spec.manifests.a and spec.manifests.b",
      "ConfigMap (spec.manifests.g): metadata.generateName is used instead of a name",
      "ConfigMap/default/a: left out what only a live cluster has: metadata.uid",
    ]
  ) assert(warnings.some((line) => line.includes(text)), `${text} in ${stderr}`);
  const bundle = await readBundle((await Deno.open(`${desk.folder.path}/a.tgz`)).readable);
  await bundle.cancel();
  assertEquals(bundle.kubepkg.spec.manifests.b?.metadata, { name: "a", namespace: "default" });
});

Deno.test("[83] pack --json has the warnings", async () => {
  await using desk = await createDesk();
  const { stdout } = await desk.pack(makePackage({ p: POD }, { [INIT]: "" }), "a", "--json");
  const { warnings } = JSON.parse(stdout);
  assertEquals(warnings.map(({ message: _, ...rest }: { message: string }) => rest), [
    { code: "unlisted-image", object: "Pod/default/p", field: "spec.containers[0].image" },
  ]);
  assertStringIncludes(warnings[0].message, IMAGE);
});

Deno.test("[83] pack --strict refuses all of it with exit status 3, and writes nothing", async () => {
  await using desk = await createDesk();
  const manifests = { a: config("a"), b: config("a"), p: POD };
  for (const images of [undefined, { "registry.test/missing:1": "" }]) {
    const { code, stdout, stderr } = await desk.pack(makePackage(manifests, images), "a", "--strict");
    assertEquals([code, stdout], [3, ""]);
    for (const text of [IMAGE, INIT, "twice"]) assertStringIncludes(stderr, text);
    assertStringIncludes(stderr, "crpe: Cannot pack line4@1.0.0: ");
    assertEquals(await desk.listBundles(), []);
  }
  const good = await desk.pack(makePackage({ p: POD }, { [IMAGE]: "", [INIT]: "" }), "a", "--strict");
  assertEquals([good.code, warningsOf(good.stderr)], [0, []], good.stderr);
});

Deno.test("[83] pack prints at most 50 warnings, and how many more there are", async () => {
  await using desk = await createDesk();
  const manifests = Object.fromEntries(Array.from({ length: 120 }, (_, i) => [`m${i}`, config(`a${i}`, { uid: "1" })]));
  const { stdout, stderr } = await desk.pack(makePackage(manifests), "a", "--json");
  assertEquals(warningsOf(stderr).length, 50);
  assertEquals(warningsOf(stderr).at(-1), "crpe: warning: and 71 more");
  assertEquals(JSON.parse(stdout).warnings.length, 120);
});

Deno.test("[83] pack names a warning although an image cannot be found", async () => {
  await using desk = await createDesk();
  const { code, stderr } = await desk.pack(makePackage({ p: POD }, { "registry.test/missing:1": "" }), "a");
  assertEquals(code, 1);
  assertEquals(warningsOf(stderr).length, 2);
  assertStringIncludes(stderr, "crpe: Cannot pack registry.test/missing:1: the image was not found");
});

Deno.test("[83] pack --add-images adds what the objects use, by digest where a tag is pinned to another one", async () => {
  await using desk = await createDesk();
  const pinned = { ...POD, spec: { containers: [{ name: "c", image: `${IMAGE}@${image.root.digest}` }] } };
  const manifests = { p: POD, q: { ...pinned, metadata: { name: "q", namespace: "default" } } };
  const added = await desk.pack(makePackage(manifests), "a", "--add-images", "--json");
  assertEquals(added.code, 0, added.stderr);
  const { addedImages, warnings } = JSON.parse(added.stdout);
  assertEquals([addedImages, warnings], [[IMAGE, INIT], []]);
  assertStringIncludes(added.stderr, `crpe: added to spec.images: ${INIT}, used by Pod/default/p\n`);
  const other = { ...POD, spec: { containers: [{ name: "c", image: `${IMAGE}@${OTHER}` }] } };
  const { code, stderr } = await desk.pack(makePackage({ p: other }, { [IMAGE]: "" }), "b", "--add-images");
  assertEquals(code, 1);
  assertStringIncludes(stderr, `Cannot pack registry.test/app@${OTHER}`);
});

Deno.test("[83] pack refuses half of a surrogate pair with exit status 4, and names the field", async () => {
  await using desk = await createDesk();
  const json = JSON.stringify(makePackage({ a: config("a") })).replace('"1"', '"cut \\ud83d here"');
  const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: "cut \\ud83d here"}\n';
  for (const [name, text, ...flags] of [["a.json", json], ["a.yaml", yaml, "--name=a", "--version=1.0.0"]]) {
    await desk.folder.write(name!, text!);
    const { code, stderr } = await desk.packFile(name!, ...flags);
    assertEquals(code, 4, stderr);
    assertStringIncludes(stderr, "data.a: has half of a surrogate pair");
  }
});

const YAML = `apiVersion: v1
kind: List
items:
- ${JSON.stringify(POD)}
---
${JSON.stringify(config("a"))}
---
`;

Deno.test("[84] pack takes plain objects from a file and from standard input, and adds their images", async () => {
  await using desk = await createDesk();
  await desk.folder.write("a.yaml", YAML);
  const named = ["--name=web", "--version=1.0.0", "--namespace=shop", "--json"];
  const { code, stdout, stderr } = await desk.packFile("a.yaml", ...named);
  assertEquals(code, 0, stderr);
  const result = JSON.parse(stdout);
  assertEquals([result.name, result.version, result.file], ["web", "1.0.0", "web@1.0.0.tgz"]);
  assertEquals(result.addedImages, [IMAGE, INIT]);
  const args = ["pack", "-", ...named, "--data=source", "--offline"];
  const piped = await runCrpe(args, { ...desk.processOptions, stdin: new TextEncoder().encode(YAML) });
  assertEquals(JSON.parse(piped.stdout), result);
  const info = JSON.parse((await desk.crpe("inspect", "web@1.0.0.tgz", "--json")).stdout);
  assertEquals(info.namespace, "shop");
  assertEquals(info.manifests.map(({ key }: { key: string }) => key), ["a.default.configmap", "p.default.pod"]);
});

const USAGE: readonly [title: string, file: string, flags: string[], status: number, message: string][] = [
  ["plain objects without a name", "a.yaml", [], 2, "give the package a name and a version with --name and --version"],
  ["plain objects without a version", "a.yaml", ["--name=web"], 2, "with --name and --version"],
  ["a KubePkg with --name", "k.json", ["--name=web"], 2, "it holds a KubePkg, which says this itself"],
  ["a name that is none", "a.yaml", ["--name=Web", "--version=1.0.0"], 2, 'Cannot use --name "Web"'],
  ["a version that is none", "a.yaml", ["--name=web", "--version=1"], 2, 'Cannot use --version "1"'],
  ["a namespace that is none", "a.yaml", ["--namespace=a.b"], 2, 'Cannot use --namespace "a.b"'],
  ["an empty folder", "empty", ["--name=web", "--version=1.0.0"], 1, "it has no .yaml, .yml or .json file"],
  ["an input of kustomize", "kust", ["--name=web", "--version=1.0.0"], 4, "pack the output of kubectl kustomize"],
  ["a file that is nothing", "x.yaml", ["--name=web", "--version=1.0.0"], 4, "it is no Kubernetes object"],
  ["the later generation", "later.json", [], 4, "spec.deploy"],
  ["a list into one file", "list.json", ["-o", "a.tgz"], 2, "name a folder, such as out/"],
  ["a list to standard output", "list.json", ["-o", "-"], 2, "each is a bundle of its own"],
  ["a list with one package twice", "twice.json", [], 4, "two of its packages would be line4@1.0.0.tgz"],
  ["--k3s with a list", "list.json", ["--k3s=v1.34.1+k3s1", "--k3s-images=k3s.txt"], 2, "Cannot use --k3s with 2"],
  ["--k3s without its list", "k.json", ["--k3s=v1.34.1+k3s1"], 2, "with --k3s-images FILE"],
  ["--k3s-images alone", "k.json", ["--k3s-images=k3s.txt"], 2, "without --k3s"],
  ["another version of k3s", "k.json", ["--k3s=1.34", "--k3s-images=k3s.txt"], 2, "like v1.34.1+k3s1"],
  ["a page instead of a list", "k.json", ["--k3s=1.34.1+k3s1", "--k3s-images=page.txt"], 4, "page.txt, line 1"],
];

Deno.test("[83][84] pack refuses inputs and flags that do not fit, and writes nothing", async (test) => {
  await using desk = await createDesk();
  const { folder } = desk;
  const kubepkg = makePackage({ a: config("a") });
  const list = (...items: object[]) => ({ apiVersion: kubepkg.apiVersion, kind: "KubePkgList", items });
  const other = { ...kubepkg, metadata: { name: "other" } };
  const files = {
    "a.yaml": YAML,
    "x.yaml": "a: b\n",
    "k.json": JSON.stringify(kubepkg),
    "later.json": JSON.stringify({ ...kubepkg, spec: { version: "1.0.0", deploy: { kind: "Deployment" } } }),
    "list.json": JSON.stringify(list(kubepkg, other)),
    "twice.json": JSON.stringify(list(kubepkg, kubepkg)),
    "kust/a.yaml": YAML,
    "kust/kustomization.yaml":
      "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n",
    "empty/README": "",
    "k3s.txt": `${PAUSE}\n`,
    "page.txt": "<!DOCTYPE html>\n",
  };
  for (const [name, text] of Object.entries(files)) await folder.write(name, text);
  for (const [title, file, flags, status, message] of USAGE) {
    await test.step(title, async () => {
      const { code, stdout, stderr } = await desk.packFile(file, ...flags);
      assertEquals([code, stdout], [status, ""], stderr);
      assertStringIncludes(stderr, message);
      assertEquals(await desk.listBundles(), []);
    });
  }
});

Deno.test("[80] a KubePkgList packs into one bundle for each package", async () => {
  await using desk = await createDesk();
  const kubepkg = makePackage({ a: config("a") }, { [IMAGE]: "" });
  const items = [kubepkg, { ...kubepkg, metadata: { name: "other" } }];
  await desk.folder.write("list.json", JSON.stringify({ apiVersion: kubepkg.apiVersion, kind: "KubePkgList", items }));
  const { code, stdout, stderr } = await desk.packFile("list.json", "-o", "out/", "--json");
  assertEquals(code, 0, stderr);
  const files = ["out/line4@1.0.0.tgz", "out/other@1.0.0.tgz"];
  assertEquals(JSON.parse(stdout).map(({ file }: { file: string }) => file), files);
  assertEquals(await desk.listBundles(), files);
});

Deno.test("pack --k3s adds the images of a k3s release, from a file, a URL and standard input", async () => {
  await using desk = await createDesk();
  const { folder, crpe } = desk;
  const text = `# images\n${PAUSE}\n\n${IMAGE}\n`;
  await folder.write("k3s.txt", text);
  await folder.write("k.json", JSON.stringify(makePackage({}, { [IMAGE]: "" })));
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    return url.endsWith("/k3s-images.txt") ? new Response(text) : new Response("", { status: 404 });
  });
  const base = `http://127.0.0.1:${server.addr.port}`;
  for (const where of ["k3s.txt", `${base}/k3s-images.txt`]) {
    const flags = ["--k3s=v1.34.1+k3s1", `--k3s-images=${where}`, "--json"];
    const { code, stdout, stderr } = await desk.packFile("k.json", ...flags);
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "crpe: added 1 system images of k3s v1.34.1+k3s1 to spec.images\n");
    assertEquals(JSON.parse(stdout).images.map(({ reference }: { reference: string }) => reference), [PAUSE, IMAGE]);
  }
  const missing = await desk.packFile("k.json", "--k3s=v1.34.1+k3s1", `--k3s-images=${base}/none.txt`);
  assertEquals([missing.code, missing.stderr], [1, `crpe: Cannot read ${base}/none.txt: it answered 404 Not Found\n`]);
  const args = ["pack", "--k3s=v1.34.1+k3s1", "--k3s-images=k3s.txt", "--data=source", "--offline", "--json"];
  const alone = await crpe(...args);
  assertEquals(alone.code, 0, alone.stderr);
  const { name, version, file } = JSON.parse(alone.stdout);
  assertEquals([name, version, file], ["k3s-images", "v1.34.1+k3s1", "k3s-images@v1.34.1+k3s1.tgz"]);
  assertEquals((await crpe("pack", "--data=source", "--offline")).code, 2);
});
