import { readRelease } from "../../../../lib/cli/wiring/read_release.ts";
import { CrpeError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

for (
  const [where, isImage] of [
    ["nginx:1.27", true],
    ["registry.test/app@sha256:0a", true],
    ["registry.test/app@sha384:0a", true],
    ["registry.test/app@sha512:0a", true],
    ["web.kubepkg.json", false],
  ] as const
) {
  Deno.test(`readRelease() of "${where}", which is no file: it ${isImage ? "may be" : "is not"} an image`, async () => {
    const { message } = await assertRejects(() => readRelease(where, {}, createTestIo()), CrpeError);
    assertEquals(message.includes("crpe save writes it alone"), isImage, message);
  });
}
