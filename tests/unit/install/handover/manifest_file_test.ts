// @ts-types="../../../../lib/std/yaml.d.ts"
import { parse, parseAll } from "@std/yaml";
import { diffManifests, formatHandover, handoverFileName } from "../../../../lib/install/handover/manifest_file.ts";
import { formatYaml } from "../../../../lib/install/handover/yaml.ts";
import type { KubeObject, KubePkg } from "../../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { assert, assertEquals, assertMatch, assertNotEquals } from "../../../support/assert.ts";

function make(manifests: Record<string, KubeObject>, name = "demo"): KubePkg {
  return parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name },
    spec: { version: "1.0.0", manifests },
  });
}

const object = (kind: string, name: string, more: Partial<KubeObject> = {}): KubeObject => {
  return { apiVersion: "v1", kind, metadata: { name, namespace: "shop" }, ...more };
};

Deno.test("formatHandover() puts Namespaces and CRDs first, sorts the others by key, and adds nothing", () => {
  const manifests = {
    "web.deployment": object("Deployment", "web", {
      apiVersion: "apps/v1",
      spec: { replicas: 1, empty: {}, none: [], nothing: null },
    }),
    "a.service": object("Service", "a"),
    "z.crd": object("CustomResourceDefinition", "z", { apiVersion: "apiextensions.k8s.io/v1" }),
    "zz.namespace": object("Namespace", "shop"),
    "b.namespace": object("Namespace", "b", { apiVersion: "example.com/v1" }),
  };
  const { name, text } = formatHandover(make(manifests));
  assertEquals(name, "demo.yaml");
  assertEquals(parseAll(text), [
    manifests["zz.namespace"],
    manifests["z.crd"],
    manifests["a.service"],
    manifests["b.namespace"],
    manifests["web.deployment"],
  ]);
});

Deno.test("formatHandover() without manifests returns an empty file", () => {
  assertEquals(formatHandover(make({})).text, "");
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
  const files = names.map(handoverFileName);
  for (const file of files) assertMatch(file, /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.yaml$/);
  assertEquals(new Set(files).size, names.length);
  assertEquals(files[0], "web.yaml");
  assertEquals(files[5], `${long}.yaml`);
  assertMatch(files[2] ?? "", /^web-a-[0-9a-f]{10}\.yaml$/);
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

const PROBE = await new Deno.Command("python3", { args: ["-c", "import yaml"] }).output().catch(() => undefined);

Deno.test({
  name: "formatYaml() is read back unchanged by PyYAML, a reader of YAML 1.1",
  ignore: PROBE?.success !== true,
  async fn() {
    const script = "import sys, json, yaml; json.dump(yaml.safe_load(sys.stdin.buffer.read().decode()), sys.stdout)";
    const child = new Deno.Command("python3", { args: ["-c", script], stdin: "piped", stdout: "piped" }).spawn();
    const writer = child.stdin.getWriter();
    // PyYAML reads 1e21 as a string, because it expects a dot in a number with an exponent.
    const value = { ...DEEP, numbers: [0, -1, 1.5, -0.5] };
    await writer.write(new TextEncoder().encode(formatYaml(value)));
    await writer.close();
    assertEquals(JSON.parse(new TextDecoder().decode((await child.output()).stdout)), value);
  },
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

Deno.test("diffManifests() identifies objects by group, kind, namespace and name", () => {
  const before = make({
    a: object("Service", "a", { spec: 1 }),
    b: object("Deployment", "b", { apiVersion: "apps/v1beta1" }),
    c: object("ConfigMap", "c"),
    d: { apiVersion: "v1", kind: "Node" },
  });
  const after = make({
    renamed: object("Service", "a", { spec: 1 }),
    b: object("Deployment", "b", { apiVersion: "apps/v1" }),
    e: object("Service", "a", { apiVersion: "serving.knative.dev/v1" }),
    f: { apiVersion: "v1", kind: "Namespace", metadata: { name: "x" } },
  });
  assertEquals(diffManifests(before, after), {
    added: ["Namespace/x", "Service/shop/a"],
    changed: ["Deployment/shop/b"],
    removed: ["ConfigMap/shop/c", "Node/d"],
  });
  assertEquals(diffManifests(undefined, before).added.length, 4);
  assertEquals(diffManifests(before, before), { added: [], changed: [], removed: [] });
  assertNotEquals(diffManifests(before, undefined).removed, []);
  assert(diffManifests(before, undefined).added.length === 0);
});
