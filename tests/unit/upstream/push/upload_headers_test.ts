import {
  parseMinChunk,
  parseUploadRange,
  resolveUploadUrl,
  withDigest,
} from "../../../../lib/upstream/push/upload_headers.ts";
import { assertEquals } from "../../../support/assert.ts";

const FROM = "https://registry.test:5000/v2/team/app/blobs/uploads/";

Deno.test("resolveUploadUrl takes every form of a Location", () => {
  const rows: [location: string | null, from: string, expected: string][] = [
    ["/v2/team/app/blobs/uploads/1", FROM, "https://registry.test:5000/v2/team/app/blobs/uploads/1"],
    ["1?_state=a%2Bb&c", FROM, `${FROM}1?_state=a%2Bb&c`],
    ["?_state=x", `${FROM}1?_state=old`, `${FROM}1?_state=x`],
    ["https://registry.test:5000/up/1#part", FROM, "https://registry.test:5000/up/1"],
    ["https://uploads.registry.test/1?sig=a", FROM, "https://uploads.registry.test/1?sig=a"],
    ["//uploads.registry.test/1", FROM, "https://uploads.registry.test/1"],
    // The registry does not know that a TLS proxy is in front of it.
    ["http://registry.test:5000/up/1", FROM, "https://registry.test:5000/up/1"],
    ["http://registry.test/up/1", FROM, "https://registry.test:5000/up/1"],
    ["http://127.0.0.1:5000/up/1", "http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/up/1"],
    ["http://other.test/up", FROM, "it sends the upload to other.test, which does not use https"],
    ["https://u:p@registry.test/up", FROM, "the Location of its answer has a user name or a password"],
    ["file:///etc/passwd", FROM, "the Location of its answer is no http or https URL"],
    ["https://[", FROM, "the Location of its answer is not a URL"],
    ["", FROM, "its answer has no Location for the upload"],
    [null, FROM, "its answer has no Location for the upload"],
  ];
  for (const [location, from, expected] of rows) {
    assertEquals(String(resolveUploadUrl(location, new URL(from))), expected, `${location}`);
  }
});

Deno.test("withDigest keeps the query of an upload as it is", () => {
  const rows = [
    ["https://r.test/u/1", "https://r.test/u/1?digest=sha256%3Aab"],
    ["https://r.test/u/1?_state=a%2Bb+c~", "https://r.test/u/1?_state=a%2Bb+c~&digest=sha256%3Aab"],
  ] as const;
  for (const [url, expected] of rows) assertEquals(withDigest(new URL(url), "sha256:ab").href, expected);
});

Deno.test("parseUploadRange gives the number of bytes that a registry has", () => {
  const rows: [header: string | null, expected: number | undefined][] = [
    ["0-0", 0],
    ["0--1", 0],
    ["0-1", 2],
    ["0-4194303", 4194304],
    ["bytes=0-99", 100],
    ["bytes 0-99", 100],
    [" 0-99 ", 100],
    ["5-99", undefined],
    ["0-", undefined],
    ["0-99/100", undefined],
    ["", undefined],
    [null, undefined],
  ];
  for (const [header, expected] of rows) assertEquals(parseUploadRange(header), expected, `${header}`);
});

Deno.test("parseMinChunk ignores what is no number", () => {
  const rows: [header: string | null, expected: number][] = [["5242880", 5242880], ["-1", 0], ["1e6", 0], [null, 0]];
  for (const [header, expected] of rows) assertEquals(parseMinChunk(header), expected);
});
