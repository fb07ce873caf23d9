import { formatField } from "../../../lib/kubepkg/field_path.ts";
import { expandGroups, flattenObjects, listNullItems } from "../../../lib/kubepkg/flatten_objects.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";

const make = (name: string, kind = "ConfigMap") => ({ apiVersion: "v1", kind, metadata: { name } });
const list = (kind: string, ...items: unknown[]) => ({ apiVersion: "v1", kind, metadata: {}, items });

const ROWS: readonly [string, Record<string, unknown>, Record<string, string>][] = [
  ["objects in the order of the document", { b: make("b"), a: make("a") }, {
    "spec.manifests.b": "ConfigMap b",
    "spec.manifests.a": "ConfigMap a",
  }],
  ["[80] nothing for null", { a: null, b: make("b") }, { "spec.manifests.b": "ConfigMap b" }],
  ["[80] the objects of a group", { web: { a: make("a"), off: null, deep: { b: make("b") } } }, {
    "spec.manifests.web.a": "ConfigMap a",
    "spec.manifests.web.deep.b": "ConfigMap b",
  }],
  ["[80] the objects of an array", { web: [make("a"), null, make("b")] }, {
    "spec.manifests.web[0]": "ConfigMap a",
    "spec.manifests.web[2]": "ConfigMap b",
  }],
  ["[80] nothing for an empty group", { web: {}, off: [] }, {}],
  ["[82] the items of a List", { l: list("List", make("a"), null, make("n", "Namespace")) }, {
    "spec.manifests.l.items[0]": "ConfigMap a",
    "spec.manifests.l.items[2]": "Namespace n",
  }],
  ["[82] the items of a List in a List", { l: list("List", list("List", make("a"))) }, {
    "spec.manifests.l.items[0].items[0]": "ConfigMap a",
  }],
  ["[82] items of a typed list, which need not say what they are", {
    l: list("SecretList", { metadata: { name: "a" } }, { kind: "Secret", metadata: { name: "b" } }),
  }, { "spec.manifests.l.items[0]": "Secret a", "spec.manifests.l.items[1]": "Secret b" }],
  ["[82] nothing for a List without items", { l: { apiVersion: "v1", kind: "List", items: null } }, {}],
  ["a custom resource whose kind ends with List", { l: { ...list("AllowList", "a"), metadata: { name: "x" } } }, {
    "spec.manifests.l": "AllowList x",
  }],
];
for (const [title, manifests, expected] of ROWS) {
  Deno.test(`flattenObjects() gives ${title}`, () => {
    const found = flattenObjects(manifests).map(({ object: { kind, metadata }, path }) => {
      return [formatField(path), `${kind} ${(metadata as { name: string }).name}`];
    });
    assertEquals(Object.fromEntries(found), expected);
    assertEquals(found.map(([field]) => field), Object.keys(expected));
  });
}

const nest = (levels: number, wrap: (inner: unknown) => unknown, inner: unknown): unknown =>
  levels === 0 ? inner : nest(levels - 1, wrap, wrap(inner));

const WRONG: readonly [string, Record<string, unknown>, string][] = [
  ["a text", { a: "x" }, "spec.manifests.a: must be an object"],
  ["a number in a group", { a: { b: 1 } }, "spec.manifests.a.b: must be an object"],
  ["an object without a kind", { a: { apiVersion: "v1" } }, "spec.manifests.a.kind: is missing"],
  ["an object whose apiVersion is a number", { a: { apiVersion: 1, kind: "X" } }, "a.apiVersion: must be text"],
  ["an item of a List that is none", { a: list("List", 5) }, "spec.manifests.a.items[0]: must be an object"],
  ["an item of a List without a kind", { a: list("List", { apiVersion: "v1" }) }, "a.items[0].kind: is missing"],
  ["lists nested 100 deep", { a: nest(100, (it) => list("List", it), make("a")) }, "nested deeper than 8 levels"],
  ["groups nested 100 deep", { a: nest(100, (it) => ({ a: it }), make("a")) }, "nested deeper than 8 levels"],
  ["a million objects", { a: list("List", ...Array(60_000).fill(make("a"))) }, "more than 50000 objects"],
];
for (const [title, manifests, message] of WRONG) {
  Deno.test(`[51] flattenObjects() refuses ${title}`, () => {
    assertStringIncludes(assertThrows(() => flattenObjects(manifests, "a.yaml"), CorruptError).message, message);
  });
}

Deno.test("[80] expandGroups() names the objects of groups after their group, and keeps lists and given names", () => {
  const manifests = { "a.b": make("1"), a: { b: make("2"), c: [make("3")] }, off: null, l: list("List", make("4")) };
  const expanded = expandGroups(manifests);
  assertEquals(
    expanded,
    {
      "a.b": make("1"),
      "a.b-2": make("2"),
      "a.c.0": make("3"),
      l: list("List", make("4")),
    } as unknown as typeof expanded,
  );
  assertEquals(expandGroups(expanded), expanded);
});

for (
  const [most, expected] of [
    [5, ["spec.manifests.a[1]", "spec.manifests.a.items[2][0]", "spec.manifests.a.items[2][1]"]],
    [2, ["spec.manifests.a[1]", "spec.manifests.a.items[2][0]"]],
  ] as const
) {
  Deno.test(`listNullItems() lists the null items of lists, ${most} at most`, () => {
    const a = list("List", make("a"), null, list("ConfigMapList", null, null));
    const found = listNullItems({ a, group: [null] }, most).map(({ path, index }) => `${formatField(path)}[${index}]`);
    assertEquals(found, [...expected]);
  });
}

Deno.test("flattenObjects() keeps nothing of null items: a document can have millions", () => {
  const manifests = { a: { ...list("List"), items: new Array(4_000_000).fill(null) } };
  const before = Deno.memoryUsage().heapUsed;
  assertEquals(flattenObjects(manifests), []);
  assert(Deno.memoryUsage().heapUsed - before < 64 * 1024 * 1024);
});
