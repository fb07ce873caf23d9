import type { Command, Flag } from "./command_line/command.ts";
import { FLAG } from "./command_line/flags.ts";

const HANDOVER_OF_INSTALLED: readonly Flag[] = [
  { ...FLAG.manifestsDir, summary: "the folder of the manifests, if not the one used by the import" },
  { ...FLAG.kubectl, summary: "use kubectl, if the import did not" },
  FLAG.forceConflicts,
];

/** `crpe packages` and its subcommands. */
export const PACKAGES_COMMAND: Command = {
  name: "packages",
  operands: "",
  summary: "list the installed packages; roll one back, or remove it",
  details: "NAME is a package's name, or NAMESPACE/NAME where several namespaces have a package of that name.",
  arity: [0, 0],
  flags: [FLAG.data, FLAG.json],
  subcommands: [
    {
      name: "history",
      operands: "NAME",
      summary: "list the kept versions of a package, newest first",
      arity: [1, 1],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/packages.ts")).runPackageHistory(invocation, io),
    },
    {
      name: "rollback",
      operands: "NAME",
      summary: "reinstall the previously installed version",
      details: [
        "Nothing is changed unless all content of that version is in the store. The replaced version is kept, so that a second",
        "rollback undoes the first. The manifests are handed over to the same place as in the last import.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        FLAG.data,
        { name: "to", value: "VERSION", summary: "one of the kept versions [the previous one]" },
        ...HANDOVER_OF_INSTALLED,
        FLAG.pruneData,
        FLAG.forceHandover,
        FLAG.json,
      ],
      run: async (invocation, io) => (await import("./commands/packages_rollback.ts")).runRollback(invocation, io),
    },
    {
      name: "remove",
      operands: "NAME",
      summary: "remove a package: its objects from the cluster, its tags, its record and its history",
      details: [
        "k3s deletes the objects that disappear from a manifest file, but not those of a deleted file. The file is therefore",
        "emptied first, and deleted after --wait. The package is removed when the objects are seen to be gone, which needs",
        "kubectl; until then its record stays. Data is kept, unless --prune-data is given. Then crpe gc frees the space.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        FLAG.data,
        { name: "wait", value: "DURATION", summary: "how long to wait for k3s to notice the emptied file [20s]" },
        ...HANDOVER_OF_INSTALLED,
        { name: "dry-run", summary: "list what would be deleted and kept, change nothing" },
        FLAG.pruneData,
        FLAG.forceHandover,
        { name: "forget", summary: "drop the record, tags and history; leave the cluster alone" },
        FLAG.json,
      ],
      run: async (invocation, io) => (await import("./commands/packages_remove.ts")).runRemovePackage(invocation, io),
    },
  ],
  run: async (invocation, io) => (await import("./commands/packages.ts")).runPackages(invocation, io),
};
