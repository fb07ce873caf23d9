import { findProfile } from "../../../lib/object_store/s3_credentials.ts";
import { formatS3Location, parseS3Location, type S3Defaults } from "../../../lib/object_store/s3_location.ts";
import { parseXml } from "../../../lib/object_store/s3_xml.ts";
import { CorruptError, UsageError } from "../../../lib/oci/error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const LOCAL = "http://127.0.0.1:8333";
const VALID: [text: string, defaults: S3Defaults, formatted: string, region: string, isPathStyle: boolean][] = [
  ["s3://images", {}, "s3://images at https://s3.us-east-1.amazonaws.com", "us-east-1", false],
  ["s3://my.images/a/b/", {}, "s3://my.images/a/b at https://s3.us-east-1.amazonaws.com", "us-east-1", true],
  ["s3://images", { region: "eu-1" }, "s3://images at https://s3.eu-1.amazonaws.com", "eu-1", false],
  ["s3://images?region=x-2", { region: "eu-1" }, "s3://images at https://s3.x-2.amazonaws.com", "x-2", false],
  ["s3://images/p", { endpoint: `${LOCAL}/` }, `s3://images/p at ${LOCAL}`, "us-east-1", true],
  [`s3://images?endpoint=${LOCAL}&path-style=false`, {}, `s3://images at ${LOCAL}`, "us-east-1", false],
];
for (const [text, defaults, formatted, region, isPathStyle] of VALID) {
  Deno.test(`parseS3Location() reads ${text} with ${JSON.stringify(defaults)}`, () => {
    const location = parseS3Location(text, defaults);
    assertEquals([formatS3Location(location), location.region, location.isPathStyle], [formatted, region, isPathStyle]);
  });
}

const INVALID: [text: string, reason: string][] = [
  ["images", "write s3://BUCKET"],
  ["s3:///prefix", "write s3://BUCKET"],
  ["s3://-x", "not the name of a bucket"],
  ["s3://me:secret@x/y", "a store takes no login; the keys of the bucket are in environment variables"],
  ["s3://images/a/../b", "the prefix"],
  ["s3://images/a b", "the prefix"],
  ["s3://images?acl=public", "no parameter acl"],
  ["s3://images?path-style=1", "path-style is true or false"],
  ["s3://images?endpoint=127.0.0.1:80", "the endpoint"],
  ["s3://images?endpoint=http://user:password@127.0.0.1", "the endpoint"],
  ["s3://images?endpoint=http://127.0.0.1/path", "the endpoint"],
  ["s3://images?region=a/b", "not a region"],
];
for (const [text, reason] of INVALID) {
  Deno.test(`parseS3Location() refuses ${text}`, () =>
    void assertThrows(() => parseS3Location(text), UsageError, reason));
}

Deno.test("parseS3Location() repeats no login", () => {
  const error = assertThrows(() => parseS3Location("s3://images?endpoint=http://user:secret@127.0.0.1"), UsageError);
  assertEquals(error.message.includes("secret"), false);
});

Deno.test("findProfile() reads a profile of a shared credentials file", () => {
  const text = "[default]\naws_access_key_id = A\r\n# no secret\n[ work ]\naws_access_key_id=B\n" +
    "aws_secret_access_key = s/+=\naws_session_token=T\n[other]\naws_secret_access_key=x\n";
  assertEquals(findProfile(text, "work"), { accessKeyId: "B", secretAccessKey: "s/+=", sessionToken: "T" });
  assertEquals([findProfile(text, "default"), findProfile(text, "none")], [undefined, undefined]);
});

const XML: [text: string, expected: unknown][] = [
  ['<?xml version="1.0"?>\n<a xmlns="x"><b>1 &lt;&#x41;&#66;</b><c/></a>\n', [["b", "1 <AB"], ["c", ""]]],
  ["<p:a><p:b >x</p:b></p:a>", [["b", "x"]]],
  ["<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", CorruptError],
  ["<a>&b;</a>", CorruptError],
  ["<a>& </a>", CorruptError],
  ["<a><b></a></b>", CorruptError],
  ["<a>", CorruptError],
  ["</a>", CorruptError],
  ["<a/><b/>", CorruptError],
  ["text", CorruptError],
  ["", CorruptError],
  ["<a><![CDATA[x]]></a>", CorruptError],
  ["<a>".repeat(20) + "</a>".repeat(20), CorruptError],
  ["<a>&#x110000;</a>", CorruptError],
];
for (const [text, expected] of XML) {
  const what = JSON.stringify(text.slice(0, 60));
  Deno.test(`parseXml() ${expected === CorruptError ? "refuses" : "reads"} ${what}`, () => {
    if (expected === CorruptError) return void assertThrows(() => parseXml(text), CorruptError);
    assertEquals(parseXml(text).children.map(({ name, text }) => [name, text]), expected as string[][]);
  });
}
