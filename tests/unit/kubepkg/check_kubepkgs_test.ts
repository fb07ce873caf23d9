import { checkKubePkgs, type Problem } from "../../../lib/kubepkg/check_kubepkgs.ts";
import { assertEquals } from "../../support/assert.ts";

const HEAD = "apiVersion: octohelm.tech/v1alpha1\nkind: KubePkg\n";
function find(text: string): { problems: readonly Problem[]; more: number } {
  const checked = checkKubePkgs(new TextEncoder().encode(text));
  return "kubepkgs" in checked ? { problems: [], more: 0 } : checked;
}
/** `line field message`, with the start of the message. */
const format = ({ line, field, message }: Problem) => `${line ?? "-"} ${field} ${message.slice(0, 24)}`.trimEnd();

for (
  const [name, text, expected] of [
    ["a release without errors", `${HEAD}metadata: {name: line4}\nspec: {version: 1.0.0}\n`, []],
    [
      "every field of a YAML text",
      "apiVersion: v1\nkind: Package\nmetadata:\n  name: Line4\n  labels:\n    a: [1]\n# a comment\nspec:\n  version: one\n" +
      '  images:\n    nginx:1: latest\n    nginx:2: ""\n',
      [
        "1 apiVersion must be octohelm.tech/v1",
        "2 kind must be KubePkg",
        "4 metadata.name must be lower-case lette",
        "6 metadata.labels.a must be text",
        "9 spec.version must be a semantic versi",
        '11 spec.images["nginx:1"] must be "" or a digest (',
      ],
    ],
    [
      "every field of a JSON text",
      '{\n "apiVersion": "octohelm.tech/v1alpha1",\n "kind": "KubePkg",\n "metadata": {\n  "name": 4\n },\n' +
      ' "spec": {"version": 1}\n}',
      ["5 metadata.name must be text", "7 spec.version must be text"],
    ],
    [
      "a field that is missing, at the one around it",
      `${HEAD}metadata:\n  namespace: shop\nspec:\n  images: {}\n`,
      ["3 metadata.name is missing", "5 spec.version is missing"],
    ],
    ["a part that is missing, at the beginning", `# a release\n${HEAD}`, [
      "2 metadata is missing",
      "2 spec is missing",
    ]],
    [
      "a name, images and manifests, all of them wrong",
      `${HEAD}metadata: {name: Line4}\nspec:\n  version: 1.0.0\n  images:\n    a b: ""\n    nginx:1: latest\n` +
      "  manifests:\n    b:\n      kind: ConfigMap\n",
      [
        "3 metadata.name must be lower-case lette",
        '8 spec.images["nginx:1"] must be "" or a digest (',
        '7 spec.images["a b"] Cannot use repository na',
        "10 spec.manifests.b.apiVersion is missing",
      ],
    ],
    ["images and manifests that are none", `${HEAD}metadata: {name: a}\nspec:\n  images: 1\n  manifests: []\n`, [
      "4 spec.version is missing",
      "5 spec.images must be an object: image",
      "6 spec.manifests must be an object: name",
    ]],
    ["a spec that is none", `${HEAD}metadata: {name: A}\nspec: []\n`, [
      "3 metadata.name must be lower-case lette",
      "4 spec must be an object",
    ]],
    [
      "every image, when the schema is right",
      `${HEAD}metadata: {name: line4}\nspec:\n  version: 1.0.0\n  images:\n    "UPPER/x:1": ""\n    a b: ""\n    nginx: ""\n`,
      ['7 spec.images["UPPER/x:1"] Cannot use repository na', '8 spec.images["a b"] Cannot use repository na'],
    ],
    [
      "every manifest, when the schema is right",
      `${HEAD}metadata: {name: line4}\nspec:\n  version: 1.0.0\n  manifests:\n    a: 1\n    b:\n      kind: ConfigMap\n` +
      "    c: {apiVersion: v1, kind: ConfigMap}\n    d:\n      apiVersion: v1\n      kind: List\n      items:\n" +
      "        - apiVersion: v1\n          kind: ConfigMap\n        - kind: [x]\n          apiVersion: v1\n",
      [
        "7 spec.manifests.a must be an object",
        "8 spec.manifests.b.apiVersion is missing",
        "17 spec.manifests.d.items[1].kind must be text",
      ],
    ],
    [
      "the items of a list",
      "apiVersion: octohelm.tech/v1alpha1\nkind: KubePkgList\nitems:\n- metadata: {name: a}\n  spec: {version: 1.0.0}\n" +
      "- metadata: {name: b}\n  spec: {version: x}\n- 4\n",
      ["7 items[1].spec.version must be a semantic versi", "8 items[2] must be an object"],
    ],
    ["a list without items", "apiVersion: octohelm.tech/v1alpha1\nkind: KubePkgList\nitems: []\n", [
      "3 items must be a list of KubePk",
    ]],
    [
      "several documents",
      `${HEAD}metadata: {name: a}\nspec: {version: 1.0.0}\n---\n---\n${HEAD}metadata: {name: B}\nspec: {version: 1.0.0}\n`,
      ["9 metadata.name must be lower-case lette"],
    ],
    ["YAML that is none", "kind: KubePkg\nspec: [\n", ["3  Cannot read the release"]],
    ["JSON that is none", '{\n "kind": "KubePkg",\n "spec" 1}\n', ["3  Cannot read the release"]],
    ["a number that is not exact", `${HEAD}spec:\n  manifests:\n    a: {number: 12345678901234567890}\n`, [
      "5 spec.manifests.a.number the number 1234567890123",
    ]],
    ["one in a later document", `a: 1\n---\nb:\n  c: 12345678901234567890\n`, ["4 b.c the number 1234567890123"]],
    ["nothing but a comment", "# nothing\n", ["1  must be an object"]],
    ["fields of the later generation", `${HEAD}metadata: {name: a}\nspec: {version: 1.0.0, deploy: {kind: X}}\n`, [
      "1  Cannot use the release:",
    ]],
    [
      "anchors, tags, merges and explicit keys",
      `${HEAD}metadata: &m\n  name: line4\n? spec\n: version: &v one\n  images: !!map {}\n  manifests:\n    <<: *m\n    x: *v\n`,
      [
        "6 spec.version must be a semantic versi",
        "8 spec.manifests.name must be an object",
        "10 spec.manifests.x must be an object",
      ],
    ],
  ] as const
) {
  Deno.test(`checkKubePkgs() finds ${name}`, () => {
    const { problems, more } = find(text);
    assertEquals([problems.map(format), more], [[...expected], 0]);
  });
}

Deno.test("checkKubePkgs() lists a hundred problems, and counts the others", () => {
  const manifests = Array.from({ length: 5000 }, (_, i) => `    m${i}: ${i}\n`).join("");
  const { problems, more } = find(
    `${HEAD}metadata: {name: a}\nspec:\n  version: 1.0.0\n  manifests:\n${manifests}`,
  );
  assertEquals([problems.length, more], [100, 4900]);
  assertEquals(format(problems[99]!), "106 spec.manifests.m99 must be an object");
});
