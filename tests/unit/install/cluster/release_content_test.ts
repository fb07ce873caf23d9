import { decodeContent, digestOfContent, encodeContent } from "../../../../lib/install/cluster/release_content.ts";
import {
  type ClusterRelease,
  formatReleaseSecret,
  parseRelease,
  RELEASE_ANNOTATION,
  secretNameOf,
  type SharedContent,
} from "../../../../lib/install/cluster/release_secret.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest } from "../../../../lib/oci/digest.ts";
import { CorruptError } from "../../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../../support/assert.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";

const noise = (bytes: number) =>
  Array.from({ length: bytes / 32 }, (_, i) => computeDigest(String(i)).slice(7, 39)).join("");

function content(data: Record<string, string> = { a: "1" }): SharedContent {
  return { kubepkg: parseKubePkg(makeKubePkg({}, { data })), kept: [], revision: 2, fileName: "line4.yaml" };
}

Deno.test("the content of a release survives compression, in one part and in several", async () => {
  for (const [maxPart, least] of [[undefined, 1], [4096, 2]] as const) {
    const given = content({ noise: noise(64 * 1024) });
    const encoded = await encodeContent(given, maxPart === undefined ? {} : { maxPart });
    assert(encoded !== undefined && encoded.parts.length >= least);
    assert(encoded.parts.every((part) => part.length <= (maxPart ?? Infinity)));
    assertEquals(encoded.ref.digest, digestOfContent(given));
    assertEquals(await decodeContent(encoded.parts, encoded.ref, "it"), given);
  }
});

Deno.test("content that needs too many Secrets is not encoded", async () => {
  assertEquals(await encodeContent(content({ noise: noise(64 * 1024) }), { maxPart: 1024, maxParts: 4 }), undefined);
});

Deno.test("content that is not what its release says is refused", async () => {
  const encoded = (await encodeContent(content()))!;
  const other = (await encodeContent(content({ a: "2" })))!;
  const changed = encoded.parts[0]!.slice();
  changed[changed.length - 12]! ^= 1;
  const bomb = new Uint8Array(
    await new Response(
      new Blob([new Uint8Array(8 * 1024 * 1024)]).stream().pipeThrough(new CompressionStream("gzip")),
    ).arrayBuffer(),
  );
  const rows: [string, Uint8Array<ArrayBuffer>[], string?][] = [
    ["nothing", []],
    ["no gzip", [new Uint8Array(100)]],
    ["changed", [changed]],
    ["cut", [encoded.parts[0]!.slice(0, 40)]],
    ["another release", [...other.parts]],
    ["more than its size", [bomb]],
  ];
  for (const [what, parts] of rows) {
    await assertRejects(() => decodeContent(parts, encoded.ref, what), CorruptError, what);
  }
  for (const fileName of ["../web.yaml", "web.yml", ".web.yaml", "a/b.yaml", "web.x.yaml", ""]) {
    const hostile = (await encodeContent({ ...content(), fileName }))!;
    await assertRejects(() => decodeContent(hostile.parts, hostile.ref, "it"), CorruptError, "it");
  }
});

const RELEASE: ClusterRelease = {
  package: { namespace: "shop", name: "web.shop" },
  state: "installed",
  version: "1.2.0+k3s1",
  identity: computeDigest("x"),
  generation: 3,
  time: "2026-01-01T00:00:00.000Z",
  node: "node-1",
  content: { digest: computeDigest("y"), size: 10, parts: 1 },
  resourceVersion: "7",
};

Deno.test("a release is read from its Secret as it was written, and its labels are labels", () => {
  const { metadata, type } = formatReleaseSecret(RELEASE, new Uint8Array([1]));
  assertEquals(parseRelease(metadata), RELEASE);
  assertEquals([type, metadata.name.length <= 253], ["crpe.octohelm.tech/release", true]);
  for (const [label, value] of Object.entries(metadata.labels)) {
    assert(/^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(value), label);
  }
});

Deno.test("two packages never share the name of a Secret", () => {
  const names = [
    ["a", "b"],
    ["a-b", "c"],
    ["a", "b-c"],
    ["default", "web"],
    ["shop", "web"],
    ["default", "web.a"],
    [
      "default",
      "web-a",
    ],
    ["default", "x".repeat(253)],
    ["default", `${"x".repeat(252)}y`],
  ]
    .map(([namespace = "", name = ""]) => secretNameOf({ namespace, name }));
  assertEquals(new Set(names).size, names.length);
  assert(names.every((name) => /^[a-z0-9][-a-z0-9]{0,100}[a-z0-9]$/.test(name)));
});

Deno.test("a Secret that crpe did not write is refused", () => {
  const { metadata } = formatReleaseSecret(RELEASE, undefined);
  const written = JSON.parse(metadata.annotations[RELEASE_ANNOTATION]!);
  const rows: Record<string, unknown> = {
    name: "../../x",
    namespace: "a/b",
    state: "other",
    version: "latest",
    identity: "sha256:x",
    generation: 0.5,
    node: "",
    content: { digest: "x" },
  };
  for (const [field, value] of Object.entries(rows)) {
    const annotations = { [RELEASE_ANNOTATION]: JSON.stringify({ ...written, [field]: value }) };
    assertThrows(() => parseRelease({ ...metadata, annotations }), CorruptError, "delete the Secret");
  }
  assertThrows(() => parseRelease({ ...metadata, annotations: {} }), CorruptError);
  assertThrows(() => parseRelease({ ...metadata, name: "crpe-release-other" }), CorruptError, "another name");
});
