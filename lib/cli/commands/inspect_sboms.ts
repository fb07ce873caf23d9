import { type BundleSbom, listSboms } from "../../bundle/list_sboms.ts";
import { toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { openBundleAgain } from "../wiring/open_bundle.ts";

/** `crpe inspect --sbom`: prints the SBOMs that a bundle carries, one after the other. */
export async function inspectSboms(where: string, asJson: boolean, io: Io): Promise<void> {
  let count = 0;
  const options = { open: openBundleAgain(where, "--sbom", io), what: where };
  await listSboms(options, (sbom) => {
    // The documents may be large, so that the list is written piece by piece.
    if (asJson) io.out(`${count === 0 ? "[" : ","}\n${formatJson(sbom).trimEnd()}`);
    else io.out(formatSbom(sbom));
    count++;
  });
  if (asJson) io.out(count === 0 ? "[]\n" : "\n]\n");
  else if (count === 0) io.out("no SBOM\n");
}

function formatSbom(sbom: BundleSbom): string {
  const { image, platform, format, version, components, isAttestation, problem, size, digest } = sbom;
  const name = format === undefined ? sbom.mediaType : version === undefined ? format : `${format} ${version}`;
  const what = [
    isAttestation ? `${name} in an attestation` : name,
    problem ??
      (components === undefined
        ? "not JSON: its components are not listed"
        : formatCount(components.length, "component")),
    `${formatSize(size)}, ${digest}`,
  ];
  const head = [image, platform, what.join(", ")].filter((it) => it !== undefined).join("  ");
  const lines = (components ?? []).map(({ name, version }) => {
    return `  ${toOneLine(version === undefined ? name : `${name} ${version}`)}`;
  });
  return [toOneLine(head), ...lines].map((line) => `${line}\n`).join("");
}
