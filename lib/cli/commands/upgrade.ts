import { readText } from "../../files/read_text.ts";
import { compareVersions } from "../../kubepkg/compare_versions.ts";
import { cannot, CrpeError, RefusedError, UsageError } from "../../oci/error.ts";
import { parsePublicKey, type PublicKey } from "../../signature/keys.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { RELEASE_KEY } from "../console/build.ts";
import type { Io } from "../console/io.ts";
import { createProgress } from "../console/progress.ts";
import { formatJson } from "../console/table.ts";
import { VERSION } from "../console/version.ts";
import { findRelease } from "../wiring/release_files.ts";
import { nameOfInput } from "../wiring/read_url.ts";
import { checkReplaceable, replaceExecutable } from "./replace_executable.ts";

/** `crpe upgrade` */
export const COMMAND: CommandDefinition = {
  interrupted: "the executable is the old one or the new one; run the same command again",
  details: [
    "The files of the release are in a folder, or below a URL: SHA256SUMS, SHA256SUMS.sig, and the npm package of this",
    "platform. An executable of a signed release knows its key; others need --key. An older version is refused (exit status",
    "3). The old executable is kept as crpe.old beside the new one. No program is run.",
  ].join("\n"),
  flags: [
    { name: "from", value: "DIR|URL", summary: "the files of the release" },
    {
      name: "key",
      value: "FILE",
      summary: "the public key (PEM) that must have signed it [the key of this executable]",
    },
    { name: "dry-run", summary: "check the signature and print what would be done, change nothing" },
    { name: "force", summary: "allow an older or the same version, and an executable of dpkg or npm" },
    FLAG.json,
  ],
  examples: [
    ["crpe upgrade --from=/media/usb/crpe-1.1.0 --dry-run", "show what an upgrade from a folder would do"],
    ["crpe upgrade --from=https://files.lan/crpe/1.1.0 --key=crpe.pub", "upgrade from a web server"],
  ],
  run: runUpgrade,
};

async function runUpgrade(invocation: Invocation, io: Io): Promise<number> {
  const from = invocation.flag("from");
  if (from === undefined) {
    throw new UsageError(
      cannot("upgrade without --from DIR|URL", "name the folder or the URL with the files of a release"),
    );
  }
  if (!Deno.build.standalone) {
    throw new CrpeError(
      cannot(
        "upgrade",
        "this crpe runs from its sources",
        "update those (git pull), or compile an executable (deno task compile)",
      ),
    );
  }
  const key = await readKey(invocation.flag("key"));
  return await upgrade(Deno.execPath(), { from, key, invocation, io });
}

/** What an upgrade is made of. */
interface UpgradeRequest {
  readonly from: string;
  readonly key: PublicKey;
  readonly invocation: Invocation;
  readonly io: Io;
}

/** Upgrades an executable, and prints what was done. @returns the exit status */
export async function upgrade(path: string, { from, key, invocation, io }: UpgradeRequest): Promise<number> {
  const release = await findRelease(from, key);
  const isForced = invocation.isSet("force");
  const order = compareVersions(release.version, VERSION);
  const result = { executable: path, previous: VERSION, version: release.version, file: release.file };
  const print = (outcome: string, line: string) => {
    io.out(invocation.isSet("json") ? formatJson({ ...result, outcome }) : `${line}\n`);
    return 0;
  };
  if (order === 0 && !isForced) return print("same", `crpe ${VERSION} is installed; ${nameOfInput(from)} has the same`);
  if (order < 0 && !isForced) {
    throw new RefusedError(
      cannot(
        `upgrade to ${release.version}`,
        `${VERSION} is installed, which is newer`,
        "--force installs the older one",
      ),
    );
  }
  await checkReplaceable(path, isForced);
  if (invocation.isSet("dry-run")) {
    return print("planned", `would replace ${path}, crpe ${VERSION}, with crpe ${release.version} (${release.file})`);
  }
  const progress = createProgress(io, "upgrade", { quiet: invocation.isSet("quiet") });
  const old = await replaceExecutable(path, release, (bytes) => progress.update(bytes)).finally(() =>
    progress.finish()
  );
  return print(
    "upgraded",
    `installed crpe ${release.version} as ${path}; the old one, ${VERSION}, is ${old}. A running server needs a restart.`,
  );
}

async function readKey(path: string | undefined): Promise<PublicKey> {
  if (path !== undefined) return parsePublicKey(await readText(path), path);
  if (RELEASE_KEY !== undefined) return parsePublicKey(RELEASE_KEY, "the key of this executable");
  throw new UsageError(
    cannot(
      "upgrade without --key FILE",
      "this executable knows no key of its releases",
      "name the public key (PEM) that signed the release",
    ),
  );
}
