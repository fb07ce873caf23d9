import { addImages, parseImageList } from "../../../lib/bundle/image_list.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { makeKubePkg } from "./bundle_support.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const D = `sha256:${"a".repeat(64)}`;

Deno.test("parseImageList() reads one reference a line, without comments and empty lines", () => {
  const text =
    `# of k3s\r\n\r\ndocker.io/rancher/mirrored-pause:3.6\r\n  rancher/klipper-lb:v0.4.13  # load balancer\n` +
    `busybox\nreg.test:5000/a@${D}\ndocker.io/library/busybox:latest\n`;
  assertEquals(parseImageList(bytesOf(text), "a.txt"), [
    "docker.io/rancher/mirrored-pause:3.6",
    "docker.io/rancher/klipper-lb:v0.4.13",
    "docker.io/library/busybox:latest",
    `reg.test:5000/a@${D}`,
  ]);
});

const WRONG: readonly [title: string, text: string | Uint8Array, message: string][] = [
  ["a page", "<!DOCTYPE html>\n", "Cannot read a.txt, line 1"],
  ["two references on a line", "# x\na:1 b:1\n", "Cannot read a.txt, line 2"],
  ["an empty list", "# x\n\n", "it lists no image"],
  ["bytes that are no text", new Uint8Array([0x61, 0xff]), "it is not text"],
  ["too many images", Array.from({ length: 10_001 }, (_, i) => `a:${i}`).join("\n"), "more than 10000 images"],
];
for (const [title, text, message] of WRONG) {
  Deno.test(`parseImageList() refuses ${title}`, () => {
    assertThrows(() => parseImageList(typeof text === "string" ? bytesOf(text) : text, "a.txt"), CorruptError, message);
  });
}

Deno.test("parseImageList() quotes only the beginning of a long line", () => {
  const error = assertThrows(() => parseImageList(new Uint8Array(100_000), "a.txt"), CorruptError);
  assert(error.message.length < 1000);
});

Deno.test("addImages() adds what is not listed under any spelling", () => {
  const given = makeKubePkg({ "busybox": D, "docker.io/library/nginx:1": "" });
  const { kubepkg, added } = addImages(given, ["docker.io/library/busybox:latest", "nginx:1", "nginx:2", "nginx:2"]);
  assertEquals(added, ["nginx:2"]);
  assertEquals<object>(kubepkg.spec.images, { ...given.spec.images, "nginx:2": "" });
});
