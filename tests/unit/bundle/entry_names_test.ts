import {
  blobEntryName,
  parseBlobEntryName,
  parsePieceEntryName,
  pieceEntryName,
} from "../../../lib/bundle/entry_names.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assertEquals } from "../../support/assert.ts";

const DIGESTS = [computeDigest("a"), computeDigest("a", "sha512")];

Deno.test("parseBlobEntryName() and parsePieceEntryName() parse formatted names", () => {
  for (const digest of DIGESTS) {
    assertEquals(parseBlobEntryName(blobEntryName(digest)), digest);
    for (const start of [0, 7, Number.MAX_SAFE_INTEGER]) {
      assertEquals(parsePieceEntryName(pieceEntryName({ digest, start })), { digest, start });
    }
  }
});

const hash = "a".repeat(64);
for (
  const name of [
    `blobs/sha256/${hash}`,
    `pieces/sha256/${hash}`,
    `pieces/sha256/${hash}/`,
    `pieces/sha256/${hash}/01`,
    `pieces/sha256/${hash}/-1`,
    `pieces/sha256/${hash}/1e3`,
    `pieces/sha256/${hash}/0x10`,
    `pieces/sha256/${hash}/9007199254740992`,
    `pieces/sha256/${hash}/5/6`,
    `pieces/md5/${hash}/5`,
    `pieces/sha256/${hash.toUpperCase()}/5`,
  ]
) {
  Deno.test(`parsePieceEntryName() rejects ${name}`, () => {
    assertEquals(parsePieceEntryName(name), undefined);
  });
}
