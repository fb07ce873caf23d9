import type { ReadProgress } from "../../bundle/image_entries.ts";
import { loadImages } from "../../bundle/load_images.ts";
import { sweepStale } from "../../store/data_folder.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readReference } from "../command_line/read_reference.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { baseName, createProgress, formatItem } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { runSeveral, type SeveralItem } from "../console/several.ts";
import { limitLines } from "../console/warning_text.ts";
import { reportWriter, warnOfData } from "../wiring/check_data.ts";
import { checkInputs, nameOfBundle } from "../wiring/open_bundle.ts";
import { openEntries } from "../wiring/open_entries.ts";
import { openPlainStore } from "../wiring/open_packages.ts";
import { formatImage } from "../console/image_text.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** `crpe load` */
export const COMMAND: CommandDefinition = {
  interrupted: "content that was stored is kept; run the same command again to load the rest",
  details: [
    "FILE is an archive (tar, also compressed with gzip or zstd), the folder of an OCI image layout, or - for standard input:",
    "what docker save, podman save, ctr image export, skopeo copy and k3s (airgap-images) write. The images get the names",
    "that are in the archive. One that fails does not stop the others. Without a FILE, standard input is read.",
  ].join("\n"),
  arity: [0, Infinity],
  flags: [
    ...STORE_FLAGS,
    { name: "input", short: "i", value: "FILE", isRepeatable: true, summary: "a FILE, as docker load has it" },
    {
      name: "name",
      value: "IMAGE",
      summary: "the name of the image, for a FILE with one image and no name, or another one",
    },
    FLAG.json,
  ],
  examples: [
    ["crpe load images.tar", "load what docker save wrote"],
    ["docker save nginx:1.27 | crpe load", "load standard input"],
  ],
  run: runLoad,
};

async function runLoad(invocation: Invocation, io: Io): Promise<number> {
  const files = listInputs(invocation, io);
  checkInputs(files, "load");
  const given = invocation.flag("name");
  const name = given === undefined ? undefined : readReference(given);
  if (name !== undefined && files.length > 1) throw new UsageError(cannot("use --name with several files"));
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data } = settings;
  await warnOfData(data, io, { isReading: false });
  reportWriter(data, io);
  using _lease = await takeWriteLease(data);
  await sweepStale(data);
  // A load is also a way to replace corrupt content, so what the store has is hashed.
  const warn = createWarning(io);
  const store = await openPlainStore(settings, io, { warn, isHashing: true });
  const run = async (where: string, { number, report }: SeveralItem) => {
    const progress = createProgress(io, "load", {
      quiet: invocation.isSet("quiet"),
      item: formatItem(baseName(where), number, files.length),
    });
    const options = {
      what: nameOfBundle(where),
      name,
      warn,
      onProgress: ({ bytes, total }: ReadProgress) => progress.update(bytes, total),
      onUnnamed: (images: readonly string[]) =>
        warn(
          `${nameOfBundle(where)}: ${formatCount(images.length, "image")} without a name ${
            images.length === 1 ? "is" : "are"
          } skipped: ${limitLines(images).join(", ")}`,
        ),
    };
    const loaded = await loadImages(await openEntries(where, io), store, options).finally(() => progress.finish());
    for (const one of loaded) report(one, `${formatImage(one.reference, one.digest)}  ${formatSize(one.size)}\n`);
  };
  return await runSeveral(files, { invocation, io }, run);
}

function listInputs(invocation: Invocation, io: Io): readonly string[] {
  const named = [...invocation.arguments, ...invocation.flags("input")];
  if (named.length > 0) return named;
  if (io.isInputTerminal) {
    throw new UsageError(cannot("load nothing", "name an archive, or pipe one into standard input"));
  }
  return ["-"];
}
