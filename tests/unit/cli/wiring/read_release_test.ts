import { readRelease } from "../../../../lib/cli/wiring/read_release.ts";
import { CrpeError, UsageError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
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

for (const login of ["user:secret@", "secret@", ":secret@"]) {
  Deno.test(`readRelease() sends no login of a URL: http://${login}`, async () => {
    const url = `http://${login}127.0.0.1:1/k.json`;
    const { message } = await assertRejects(() => readRelease(url, {}, createTestIo()), UsageError);
    assertStringIncludes(message, "a password in a command line is visible to all users of the machine");
    assertEquals(message.includes("secret"), false);
  });
}

for (const url of ["https://user:secret@host:99999/k.json", "http://", "http://user:secret@/k.json"]) {
  Deno.test(`readRelease() refuses a URL that is not valid, without a login in it: ${url}`, async () => {
    const { message } = await assertRejects(() => readRelease(url, {}, createTestIo()), UsageError, "Cannot use http");
    assertEquals(message.includes("secret"), false);
  });
}

Deno.test("readRelease() names the kinds of URLs that are read", async () => {
  const { message } = await assertRejects(() => readRelease("ftp://127.0.0.1/k.json", {}, createTestIo()), CrpeError);
  assertStringIncludes(message, "there is no such file or folder; of URLs, those of http and https are read");
});
