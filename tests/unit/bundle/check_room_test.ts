import { checkRoom, type PlannedFile } from "../../../lib/bundle/check_room.ts";
import { FAT_MAX_FILE, readRoom } from "../../../lib/files/free_bytes.ts";
import { NoSpaceError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

const GIB = 2 ** 30;
const [FAT, EXFAT, EXT4] = [0x4d44, 0x2011bab0, 0xef53];

interface Row {
  readonly what: string;
  readonly type: number;
  readonly files: readonly Omit<PlannedFile, "path">[];
  readonly advice?: string;
  readonly refusal?: string;
}

/** The free space is 10 GiB in each row. */
const ROWS: readonly Row[] = [
  { what: "a file that fits exactly", type: EXT4, files: [{ size: 10 * GIB, present: 0 }] },
  {
    what: "a file that is one byte too large",
    type: EXT4,
    files: [{ size: 10 * GIB + 1, present: 0 }],
    refusal: "Cannot write f0: it needs 10 GiB in /stick, 10 GiB are free, 1 B are missing",
  },
  { what: "the rest of an interrupted file", type: EXT4, files: [{ size: 11 * GIB, present: GIB }] },
  {
    what: "parts that do not fit together",
    type: FAT,
    files: [{ size: 4 * GIB - 1, present: 0 }, { size: 4 * GIB - 1, present: 0 }, { size: 3 * GIB, present: 0 }],
    refusal: "Cannot write 3 parts: it needs 11 GiB in /stick, 10 GiB are free, 1 GiB are missing",
  },
  { what: "parts of which one is there", type: FAT, files: [3, 3, 3, 3].map((n) => ({ size: n * GIB, present: GIB })) },
  { what: "the largest file on FAT", type: FAT, files: [{ size: FAT_MAX_FILE, present: 0 }] },
  {
    what: "a file of 4 GiB on FAT",
    type: FAT,
    files: [{ size: 4 * GIB, present: 0 }],
    refusal: "Cannot write f0: it has 4 GiB, and the file system of /stick (FAT) takes files of less than 4 GiB; " +
      "use --split=4095MiB, or a stick with exFAT",
  },
  {
    what: "an archive of 5 GiB on FAT, which cannot be split",
    type: FAT,
    files: [{ size: 5 * GIB, present: 0 }],
    advice: "save fewer images",
    refusal: "Cannot write f0: it has 5 GiB, and the file system of /stick (FAT) takes files of less than 4 GiB; " +
      "save fewer images",
  },
  { what: "a file of 4 GiB on exFAT", type: EXFAT, files: [{ size: 4 * GIB, present: 0 }] },
];
for (const { what, type, files, advice, refusal } of ROWS) {
  Deno.test(`checkRoom() ${refusal === undefined ? "allows" : "refuses"} ${what}`, async () => {
    const statfs = () => Promise.resolve({ blocks: 1e7, bavail: 10 * GIB / 4096, bsize: 4096, type });
    const check = () =>
      checkRoom("/stick", files.map((file, i) => ({ ...file, path: `f${i}` })), {
        advice,
        read: (it) => readRoom(it, statfs),
      });
    if (refusal === undefined) await check();
    else assertEquals((await assertRejects(check, NoSpaceError)).message, refusal);
  });
}

Deno.test("checkRoom() allows everything where the system does not report the free space", async () => {
  await checkRoom("/stick", [{ path: "f", size: 2 ** 50, present: 0 }], {
    read: () => Promise.resolve(undefined),
  });
});
