import { answerError, toApiError } from "../../../lib/agent/answer.ts";
import { errorOfAnswer } from "../../../lib/agent/client/agent_error.ts";
import { describeError } from "../../../lib/cli/console/describe_error.ts";
import { RecordError } from "../../../lib/install/records/record_file.ts";
import { byForce, CorruptError, IncompleteError, RefusedError } from "../../../lib/oci/error.ts";
import { assertEquals } from "../../support/assert.ts";

const PATH = "/data/kubepkg/line4@default/current.json";
const REPAIR =
  "import the package again with --force, or drop its record with crpe packages remove default/line4 --forget";

const ROWS: readonly (readonly [error: Error, status: number, message: string, advice: string | undefined])[] = [
  [
    new RefusedError("1.1.0 is installed", byForce("--force allows it")),
    409,
    "1.1.0 is installed",
    "--force allows it",
  ],
  [new RefusedError("the image is pinned"), 409, "the image is pinned", undefined],
  [
    new CorruptError("the record is wrong", byForce("--force drops it")),
    422,
    "the record is wrong",
    "--force drops it",
  ],
  [new IncompleteError("a blob is missing", ["x"], byForce("--force")), 422, "a blob is missing", "--force"],
  [
    new RecordError(PATH, new Error("its checksum is wrong")),
    422,
    `Cannot read ${PATH}: its checksum is wrong`,
    REPAIR,
  ],
];

for (const [error, status, message, advice] of ROWS) {
  Deno.test(`"${message}" names ${advice === undefined ? "no flag" : "its flag"} beside the message, and a push gets it back`, async () => {
    const response = answerError(toApiError(error, describeError));
    const bytes = new Uint8Array(await response.arrayBuffer());
    const [answered] = JSON.parse(new TextDecoder().decode(bytes)).errors;
    assertEquals([response.status, answered.message], [status, message]);
    assertEquals(answered.detail?.overrule, advice && { flag: "force", advice });
    const pushed = errorOfAnswer(status, bytes);
    assertEquals(describeError(pushed), describeError(error));
  });
}

Deno.test("a flag of an agent that crpe does not know is not repeated", () => {
  const document = {
    errors: [{ code: "CONFLICT", message: "no", detail: { overrule: { flag: "rm", advice: "rm -r /" } } }],
  };
  const error = errorOfAnswer(409, new TextEncoder().encode(JSON.stringify(document)));
  assertEquals(describeError(error), "no");
});
