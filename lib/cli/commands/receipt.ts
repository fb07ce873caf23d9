import { decodeText, toUtf8 } from "../../oci/to_utf8.ts";
import { readBounded } from "../../bytes/read_bounded.ts";
import { absentIfBroken } from "../../install/records/record_file.ts";
import { NodeKey } from "../../install/records/node_key.ts";
import type { Receipt } from "../../install/receipts.ts";
import { verifyReceipt } from "../../install/signed_receipt.ts";
import { formatPackageId } from "../../kubepkg/package_id.ts";
import { cannot, CorruptError, CrpeError, UsageError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { formatPublicKey, parsePublicKey, type PublicKey } from "../../signature/keys.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatDate } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openRecords } from "../wiring/open_packages.ts";
import { readPackageReceipt } from "./packages_receipt.ts";
import { formatImage } from "../console/image_text.ts";

/** `crpe receipt` and its subcommands */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: "A receipt says what was imported where and when. The node signs it with its own key.",
  flags: [...STORE_FLAGS, FLAG.json],
  subcommands: [
    {
      name: "show",
      operands: "NAME",
      summary: "show the receipt of the last import or rollback of a package",
      interrupted: "nothing was changed",
      flags: [...STORE_FLAGS, FLAG.json],
      examples: [["crpe receipt show line4 --json", "print the receipt as JSON"]],
      run: runShowReceipt,
    },
    {
      name: "verify",
      operands: "FILE",
      summary: "verify the signature of a receipt: a file, or the text of a QR code; - reads standard input",
      interrupted: "nothing was changed",
      details: [
        "The public key is that of the node: crpe receipt key prints it there, and crpe inventory has it. Without it, the",
        "receipt is as its signer wrote it, with any key. The exit status is 4 if it was changed, 3 if another key signed it.",
      ].join("\n"),
      flags: [
        { name: "public-key", value: "FILE", summary: "the public key (PEM) of the node, or its inventory" },
        FLAG.json,
      ],
      examples: [
        ["crpe receipt verify line4-receipt.json --public-key=gate-2.pub", "verify what a site has sent back"],
      ],
      run: runVerifyReceipt,
    },
    {
      name: "key",
      operands: "",
      summary: "print the public key (PEM) that verifies the receipts of this node",
      interrupted: "nothing was changed",
      flags: [FLAG.data],
      examples: [["crpe receipt key > gate-2.pub", "print the public key, for the desk"]],
      run: runReceiptKey,
    },
  ],
  examples: [["crpe receipt", "list what was imported when, and who signed that"]],
  run: runListReceipts,
};

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 16 };

async function runListReceipts(invocation: Invocation, io: Io): Promise<number> {
  const records = await openRecords(invocation, io);
  const receipts: Receipt[] = [];
  for (const id of await records.listIds()) {
    const receipt = await records.receipts.read(id).catch(absentIfBroken);
    if (receipt !== undefined) receipts.push(receipt);
  }
  if (invocation.isSet("json")) {
    io.out(formatJson(receipts));
    return 0;
  }
  const rows = receipts.map(({ version, imported, node, signature, ...id }) => [
    formatPackageId(id),
    version,
    formatDate(new Date(imported)),
    node || "-",
    signature?.split(" ")[0] ?? "-",
  ]);
  io.out(formatTable(["PACKAGE", "VERSION", "IMPORTED (UTC)", "NODE", "SIGNED BY KEY"], rows));
  return 0;
}

async function runShowReceipt(invocation: Invocation, io: Io): Promise<number> {
  const receipt = await readPackageReceipt(invocation, io);
  io.out(invocation.isSet("json") ? formatJson(receipt) : formatReceipt(receipt));
  return 0;
}

async function runVerifyReceipt(invocation: Invocation, io: Io): Promise<number> {
  const [file = ""] = invocation.arguments;
  const keyFile = invocation.flag("public-key");
  const publicKey = keyFile === undefined ? undefined : await readNodeKey(keyFile);
  const what = file === "-" ? "the receipt" : file;
  const opened = file === "-" ? Deno.stdin.readable : (await Deno.open(file)).readable;
  const document = parseJson(toUtf8(await readBounded(opened, what, LIMITS.maxBytes), what), what, LIMITS);
  const { fields, keyId, isWhole } = verifyReceipt(document, { what, publicKey });
  if (invocation.isSet("json")) {
    io.out(formatJson({ ...fields, signedBy: keyId, isKeyGiven: publicKey !== undefined, isWhole }));
    return 0;
  }
  const { name, namespace, version, node, imported } = fields;
  const release = `${formatPackageId({ name: `${name}`, namespace: `${namespace}` })}@${version}`;
  io.out(`${release}, imported at ${node === "" ? "a node without a name" : node}, ${imported}\n`);
  io.out(`  signed by key ${keyId}\n`);
  if (!isWhole) io.out("  the lists of images and digests are not in it\n");
  if (publicKey === undefined && !invocation.isSet("quiet")) {
    io.err("crpe: whose key that is, is not known: name the node's with --public-key FILE\n");
  }
  return 0;
}

async function runReceiptKey(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  await warnOfData(data, io);
  const key = await new NodeKey(data).read();
  if (key === undefined) {
    throw new CrpeError(
      cannot("print the key", "there is none yet", "the first import, or the first start of an agent, makes it"),
    );
  }
  io.out(formatPublicKey(key.public));
  return 0;
}

// PEM, or an inventory that has it.
async function readNodeKey(path: string): Promise<PublicKey> {
  const text = decodeText(await readBounded((await Deno.open(path)).readable, path, LIMITS.maxBytes), path);
  if (!text.trimStart().startsWith("{")) return parsePublicKey(text, path);
  let document: unknown;
  try {
    document = parseJson(new TextEncoder().encode(text), path, LIMITS);
  } catch (cause) {
    if (cause instanceof CorruptError) throw new UsageError(cause, { cause });
    throw cause;
  }
  const pem = isJsonObject(document) ? document.publicKey : undefined;
  if (typeof pem === "string") return parsePublicKey(pem, path);
  throw new UsageError(cannot(`use ${path}`, 'it has no "publicKey", as crpe inventory prints it'));
}

function formatReceipt(receipt: Receipt): string {
  const { version, node, imported, repaired, trust, key, images, digests, list, signature } = receipt;
  const lines = [
    `${formatPackageId(receipt)}@${version}`,
    `  ${repaired ? "repaired" : "imported"} ${formatDate(new Date(imported))} UTC${node === "" ? "" : ` at ${node}`}`,
    `  ${key === null ? trust ?? "unsigned" : `trusted, signed by key ${key}`}`,
    ...images.map(({ reference, digest }) => `  ${formatImage(reference, digest)}`),
    `  ${formatCount(digests.length, "digest")}, list ${list}`,
    signature === undefined ? "  the receipt is not signed" : `  receipt signed by key ${signature.split(" ")[0]}`,
  ];
  return lines.map((line) => `${line}\n`).join("");
}
