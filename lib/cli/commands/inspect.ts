import { type BundleInfo, inspectBundle } from "../../bundle/inspect_bundle.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { nameOfBundle, openBundle } from "../wiring/open_bundle.ts";

/** `crpe inspect` */
export async function runInspect(invocation: Invocation, io: Io): Promise<number> {
  const where = invocation.arguments[0]!;
  const infos = await inspectBundle(await openBundle(where, io), nameOfBundle(where));
  io.out(
    invocation.isSet("json") ? formatJson(infos.length === 1 ? infos[0] : infos) : infos.map(formatInfo).join("\n"),
  );
  return 0;
}

function formatInfo(info: BundleInfo): string {
  const lines = [
    `${info.name}@${info.version}, namespace ${info.namespace}`,
    `platforms: ${info.platforms.join(", ") || "none named"}`,
    "images:",
    ...info.images.map(({ reference, digest, platforms, size }) =>
      `  ${reference}${digest === undefined ? "" : `@${digest}`}  ${platforms.join(",")}  ${formatSize(size)}`.trimEnd()
    ),
    "manifests:",
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
