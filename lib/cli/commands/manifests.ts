import { readBundle } from "../../bundle/read_bundle.ts";
import { ifPresent, listFolder } from "../../files/if_present.ts";
import { formatHelmChart } from "../../install/handover/helm_chart.ts";
import { formatObjects } from "../../install/handover/manifest_file.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { formatRelease, parsePackageId } from "../../kubepkg/package_id.ts";
import { packageObjects } from "../../kubepkg/package_objects.ts";
import { cannot, CrpeError, RefusedError } from "../../oci/error.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import type { Io } from "../console/io.ts";
import { formatCount } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { nameOfBundle, openBundle } from "../wiring/open_bundle.ts";
import { openRecords } from "../wiring/open_packages.ts";
import { findInstalledPackage } from "./find_package.ts";

/** `crpe manifests` */
export const COMMAND: CommandDefinition = {
  interrupted: "a chart that was being written is not complete; remove its folder and run the same command again",
  details: [
    "The objects are a YAML stream, in the order in which they are handed over, with their namespaces. PKG.tgz is a file, or",
    "- for standard input; NAME is an installed package, or NAMESPACE/NAME. Among the objects may be Secrets: the files of a",
    "chart can be read by their owner only. With --json, the objects are one List.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    {
      name: "helm",
      value: "DIR",
      summary: "write a Helm chart with the same objects to DIR, a new or an empty folder",
    },
    FLAG.json,
  ],
  examples: [
    ["crpe manifests line4@1.0.0.tgz | kubectl apply -f -", "apply the objects of a bundle by hand"],
    ["crpe manifests line4 --helm=chart/", "write a Helm chart of an installed package"],
  ],
  run: runManifests,
};

// A package can have such a name, but what was meant is a file.
const BUNDLE = /\.(?:tgz|tar|gz|zst)$/;

async function runManifests(invocation: Invocation, io: Io): Promise<number> {
  const where = invocation.arguments[0]!;
  const folder = invocation.flag("helm");
  // Before the bundle, which may be standard input, is read.
  if (folder !== undefined) await refuseFilled(folder);
  const packages = await readPackages(where, invocation, io);
  if (folder !== undefined) return await writeChart(packages, { folder, asJson: invocation.isSet("json"), where }, io);
  const objects = packages.flatMap((it) => packageObjects(it)).map(({ object }) => object);
  io.out(
    invocation.isSet("json") ? formatJson({ apiVersion: "v1", kind: "List", items: objects }) : formatObjects(objects),
  );
  if (objects.length === 0) io.err(`crpe: ${packages.map(formatRelease).join(", ")} has no objects\n`);
  return 0;
}

/** Reads the packages of a bundle, or an installed package where there is no such file. */
async function readPackages(where: string, invocation: Invocation, io: Io): Promise<readonly KubePkg[]> {
  if (where === "-" || (await ifPresent(Deno.stat(where)))?.isDirectory === false) {
    const bundle = await readBundle(await openBundle(where, io), { what: nameOfBundle(where) });
    await bundle.cancel();
    return bundle.packages;
  }
  if (BUNDLE.test(where) || parsePackageId(where) === undefined) {
    throw new CrpeError(cannot(`use ${where}`, "there is no such file or folder"));
  }
  const records = await openRecords(invocation, io);
  const installed = await records.read(await findInstalledPackage(records, where));
  return installed === undefined ? [] : [installed];
}

async function refuseFilled(folder: string): Promise<void> {
  const [first] = await listFolder(folder) ?? [];
  if (first === undefined) return;
  throw new RefusedError(
    cannot(`write the chart to ${folder}`, `it is not empty (${first.name})`, "name a new or an empty folder"),
  );
}

// Secrets are objects too: the files are for their owner alone.
async function writeChart(
  packages: readonly KubePkg[],
  { folder, asJson, where }: { readonly folder: string; readonly asJson: boolean; readonly where: string },
  io: Io,
): Promise<number> {
  const [kubepkg] = packages;
  if (kubepkg === undefined || packages.length > 1) {
    throw new CrpeError(
      cannot(
        `make one chart of ${where}`,
        `it has ${formatCount(packages.length, "package")}, ${packages.map(formatRelease).join(", ")}`,
        "import it, and name one of them",
      ),
    );
  }
  const files = formatHelmChart(kubepkg);
  await Deno.mkdir(`${folder}/templates`, { recursive: true, mode: 0o700 });
  for (const [path, text] of files) {
    await Deno.writeTextFile(`${folder}/${path}`, text, { createNew: true, mode: 0o600 });
  }
  const { name } = kubepkg.metadata;
  const { version } = kubepkg.spec;
  const objects = packageObjects(kubepkg).length;
  io.out(
    asJson
      ? formatJson({ chart: folder, name, version, objects })
      : `${folder}  chart ${name} ${version}, ${formatCount(objects, "object")}\n`,
  );
  return 0;
}
