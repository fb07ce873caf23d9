// @ts-types="../../../../lib/std/yaml.d.ts"
import { parse, parseAll } from "@std/yaml";
import {
  formatManifestFile,
  handoverFileName,
  withoutPruning,
} from "../../../../lib/install/handover/manifest_file.ts";
import { formatYaml } from "../../../../lib/install/handover/yaml.ts";
import { packageObjects } from "../../../../lib/kubepkg/package_objects.ts";
import { assertEquals, assertMatch, assertNotEquals, assertStringIncludes } from "../../../support/assert.ts";
import { makeObject, makeRelease } from "../../../support/cluster/folder_site.ts";
import { findPeer, peerTest } from "../../../support/peers.ts";

const named = (name: string, namespace?: string) =>
  makeRelease([], { name, ...(namespace === undefined ? {} : { namespace }) });

Deno.test("formatManifestFile() has the objects in their order, then those that are kept, and adds nothing", () => {
  const objects = packageObjects(makeRelease([
    makeObject("Deployment/shop/web", { spec: { replicas: 1, empty: {}, none: [], nothing: null } }),
    makeObject("Service/shop/a"),
    makeObject("Namespace/shop"),
  ]));
  const kept = packageObjects(makeRelease([makeObject("PersistentVolumeClaim/shop/db")]));
  const text = formatManifestFile(objects, kept, 0);
  assertEquals(parseAll(text), [...objects, ...kept].map(({ object }) => object));
  assertEquals(objects.map(({ identity: { kind } }) => kind), ["Namespace", "Service", "Deployment"]);
  assertStringIncludes(text, "# No longer in the package. Kept");
});

Deno.test("formatManifestFile() of a later hand-over differs from the first in a comment", () => {
  const objects = packageObjects(makeRelease([makeObject("ConfigMap/a")]));
  const [first, second] = [formatManifestFile(objects, [], 0), formatManifestFile(objects, [], 1)];
  assertEquals([first.startsWith("---\n"), second], [true, `# hand-over 2\n${first}`]);
});

Deno.test("formatManifestFile() without objects returns an empty file", () => {
  assertEquals(formatManifestFile([], [], 0), "");
});

Deno.test("[77] withoutPruning() adds the label by which k3s does not delete an object", () => {
  const [object] = packageObjects(makeRelease([makeObject("ConfigMap/shop/a", { data: { a: "1" } })]));
  const labelled = withoutPruning(object!);
  const labels = { "objectset.rio.cattle.io/prune": "false" };
  assertEquals(labelled.object, { ...object!.object, metadata: { name: "a", namespace: "shop", labels } });
  const own = { ...object!, object: { ...object!.object, metadata: { name: "a", labels: { app: "a" } } } };
  assertEquals(withoutPruning(own).object.metadata, { name: "a", labels: { app: "a", ...labels } });
});

Deno.test("handoverFileName() returns a DNS label that is unique for every package name", () => {
  const long = "a".repeat(63);
  const names = [
    "web",
    "web-a",
    "web.a",
    "web.b",
    "w.eb-a",
    long,
    `${long}.a`,
    `${long}.b`,
    "a.b.c",
    `${"a.".repeat(120)}b`,
  ];
  const files = names.map((name) => handoverFileName(named(name)));
  for (const file of files) assertMatch(file, /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.yaml$/);
  assertEquals(new Set(files).size, names.length);
  assertEquals(files[0], "web.yaml");
  assertEquals(files[5], `${long}.yaml`);
  assertMatch(files[2] ?? "", /^web-a-[0-9a-f]{10}\.yaml$/);
});

Deno.test("[77] handoverFileName() gives a package another name than the file of another package has", () => {
  const isTaken = (name: string) => name === "web.yaml";
  const [shop, lab] = ["shop", "lab"].map((namespace) => handoverFileName(named("web", namespace), isTaken));
  for (const file of [shop, lab]) assertMatch(file ?? "", /^web-[0-9a-f]{10}\.yaml$/);
  assertNotEquals(shop, lab);
});

// Strings that a reader of YAML 1.1 (go-yaml in kubectl and k3s, PyYAML) or of 1.2 may take for another type.
const TRICKY = [
  ..."y Y yes Yes YES n no on On off OFF true True FALSE null Null NULL ~ NaN .nan .inf -.Inf".split(" "),
  ..."0 1 -1 012 08 0o7 0x1F 0b11 1_000 1e3 1E3 1.5 .5 5. +1 12:30:00 1:2 190:20:30 2024-01-01 2024-01-01T00:00:00Z"
    .split(" "),
  ..."= << - -- --- ... ? : :a a: - * & ! | > % @ ` # , [ ] { } \" ' \\ *a &a !a %a @a #a [a {a -a ?a".split(" "),
  "",
  " ",
  " a",
  "a ",
  "a b",
  "a: b",
  "a #b",
  "a\tb",
  "\t",
  "\n",
  "\n\n",
  "a\n",
  "a\n\n",
  "a\n\n\n",
  "a\nb",
  "a\n  b\nc\n",
  "a\n\tb\n",
  "a\n \nb ",
  " a\nb",
  "\na\nb",
  "a\n---\nb\n",
  "a\n#b\n: c\n",
  "a\r\nb",
  "a\rb",
  "a\0b",
  "\x1b[0m",
  "\x7f",
  "\u0085",
  "a\n\u0085b",
  "\u2028",
  "\ufeffa",
  "é",
  "😀",
  "a\n😀\nb",
  "\ud800".toWellFormed(),
  "x".repeat(500),
  "word ".repeat(100),
  "http://a.b:80/c?d=e&f",
  "docker.io/library/nginx:1.27@sha256:abc",
];
const DEEP = {
  lists: [[], [[]], [1, [2, ["a", { b: [] }]]], [{ a: 1, b: { c: [{}] } }, {}], [TRICKY]],
  numbers: [0, -1, 1.5, 1e21, 1e-7, -0.5, 9007199254740991],
  others: [true, false, null],
  texts: Object.fromEntries(TRICKY.map((text, i) => [`key-${i}`, text])),
  keys: Object.fromEntries(TRICKY.map((text, i) => [text, i])),
};

Deno.test("formatYaml() is read back unchanged by @std/yaml", () => {
  assertEquals(parse(formatYaml(DEEP)), DEEP);
  for (const value of [...TRICKY, [], {}, [1], null, 5, true]) assertEquals(parse(formatYaml(value)), value);
});

Deno.test("formatYaml() writes a plain string only if every version of YAML reads it as a string", () => {
  for (const text of TRICKY) {
    const written = formatYaml({ a: text }).slice(3);
    const isBare = !/^["|]/.test(written);
    assertEquals(
      isBare,
      /^(?:NaN|é|http|docker|x{9})/.test(text) && /^[A-Za-z]/.test(text) && text.length < 100 && !text.includes("?"),
      text,
    );
  }
});

peerTest("formatYaml() is read back unchanged by PyYAML, a reader of YAML 1.1", ["PyYAML"], async () => {
  const script = "import sys, json, yaml; json.dump(yaml.safe_load(sys.stdin.buffer.read().decode()), sys.stdout)";
  const child = new Deno.Command(findPeer("python3")!, { args: ["-c", script], stdin: "piped", stdout: "piped" })
    .spawn();
  const writer = child.stdin.getWriter();
  // PyYAML reads 1e21 as a string, because it expects a dot in a number with an exponent.
  const value = { ...DEEP, numbers: [0, -1, 1.5, -0.5] };
  await writer.write(new TextEncoder().encode(formatYaml(value)));
  await writer.close();
  assertEquals(JSON.parse(new TextDecoder().decode((await child.output()).stdout)), value);
});

Deno.test("formatYaml() is readable", () => {
  const text = formatYaml({
    apiVersion: "v1",
    data: { "run.sh": "#!/bin/sh\necho hi\n", empty: "" },
    list: [{ image: "nginx:1", ports: [80, 443] }, "yes"],
  });
  assertEquals(
    text,
    `apiVersion: v1
data:
  "run.sh": |
    #!/bin/sh
    echo hi
  empty: ""
list:
  - image: nginx:1
    ports:
      - 80
      - 443
  - "yes"
`.replace('"run.sh"', "run.sh"),
  );
});
