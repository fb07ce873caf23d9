import { type BundleInfo, inspectSigned, type SignatureInfo } from "../../bundle/inspect_bundle.ts";
import { decideTrust } from "../../install/trust.ts";
import { cannot, CorruptError, UsageError } from "../../oci/error.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { formatTrust } from "../console/trust_text.ts";
import { readTrust } from "../wiring/read_keys.ts";
import { nameOfBundle, openBundle } from "../wiring/open_bundle.ts";
import { inspectSboms } from "./inspect_sboms.ts";
import { formatImage } from "../console/image_text.ts";

/** `crpe inspect` */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  flags: [
    { name: "signatures", summary: "show the signatures alone, each verified with the key that it names" },
    { name: "sbom", summary: "print the SBOMs of the images that the bundle carries (SPDX, CycloneDX)" },
    { ...FLAG.trustedKeys, summary: "say whether these public keys, or a policy, make the bundle trusted" },
    FLAG.json,
  ],
  examples: [["crpe inspect line4@1.0.0.tgz", "show the images and manifests of a bundle"]],
  run: runInspect,
};

async function runInspect(invocation: Invocation, io: Io): Promise<number> {
  const where = invocation.arguments[0]!;
  if (invocation.isSet("sbom")) {
    if (invocation.isSet("signatures") || invocation.flags("trusted-keys").length > 0) {
      throw new UsageError(cannot("use --sbom with --signatures or --trusted-keys", "it prints the SBOMs alone"));
    }
    await inspectSboms(where, invocation.isSet("json"), io);
    return 0;
  }
  const policy = await readTrust(invocation);
  const { packages, infos, document, signatures } = await inspectSigned(
    await openBundle(where, io),
    nameOfBundle(where),
  );
  const decisions = policy === undefined
    ? []
    : await Promise.all(packages.map((it) => decideTrust(it, document, { trust: { policy }, action: "trust" })));
  const refusal = decisions.find((decision) => decision.refusal !== undefined)?.refusal;
  if (invocation.isSet("json")) {
    const trustOf = (i: number) => refusal === undefined && decisions[i] ? { trust: decisions[i].verdict } : {};
    const described = invocation.isSet("signatures")
      ? [{ signatures, ...trustOf(0) }]
      : infos.map((info, i) => ({ ...info, signatures, ...trustOf(i) }));
    io.out(formatJson(described.length === 1 ? described[0] : described));
  } else {
    const lines = signatures.length === 0 ? ["not signed\n"] : signatures.map(formatSignature);
    const trusted = decisions.flatMap(({ verdict }) => verdict.state === "trusted" ? formatTrust(verdict) : []);
    const shown = invocation.isSet("signatures") ? [] : infos.map(formatInfo);
    io.out(
      [...shown, [...lines, ...trusted.map((line) => `${line.trimStart()}\n`)].join("")].join(
        shown.length > 1 ? "\n" : "",
      ),
    );
  }
  if (refusal !== undefined) throw refusal;
  const wrong = signatures.find(({ isValid }) => isValid === false);
  if (wrong !== undefined) {
    throw new CorruptError(cannot(`use ${nameOfBundle(where)}`, `its signature by key ${wrong.keyId} is wrong`));
  }
  return 0;
}

function formatSignature({ keyId, algorithm, isValid }: SignatureInfo): string {
  const state = isValid === undefined ? "not verified: its key is not in the file" : isValid ? "valid" : "WRONG";
  return `signature by key ${keyId}${algorithm === undefined ? "" : `, ${algorithm}`}: ${state}\n`;
}

function formatInfo(info: BundleInfo): string {
  const lines = [
    `${info.name}@${info.version}, namespace ${info.namespace}`,
    `platforms: ${info.platforms.join(", ") || "none named"}`,
    info.images.length === 0 ? "images: none" : "images:",
    ...info.images.map(({ reference, digest, platforms, size, referrers }) => {
      const attached = referrers === undefined ? "" : `  ${formatCount(referrers, "referrer")}`;
      return `  ${digest === undefined ? reference : formatImage(reference, digest)}  ${platforms.join(",")}  ${
        formatSize(size)
      }${attached}`;
    }),
    info.manifests.length === 0 ? "manifests: none" : "manifests:",
    ...info.manifests.map(({ kind, namespace, name }) => `  ${[kind, namespace, name].filter(Boolean).join("/")}`),
    `${formatCount(info.blobs.count, "blob")}, ${formatSize(info.blobs.size)}`,
  ];
  if (info.part !== undefined) {
    const { number, count, size } = info.part;
    lines.push(`part ${number} of ${count}, with ${formatSize(size)} of the blobs`);
  }
  if (info.deltas !== undefined) {
    const { count, size, layerSize } = info.deltas;
    const layers = count === 1 ? "layer is a delta" : "layers are deltas";
    lines.push(`${count} ${layers}: ${formatSize(size)} instead of ${formatSize(layerSize)}`);
  }
  if (info.omitted.count > 0) {
    const { count, size } = info.omitted;
    lines.push(`${count} of the blobs (${formatSize(size)}) ${count === 1 ? "is" : "are"} not in the file`);
  }
  return lines.map((line) => `${line}\n`).join("");
}
