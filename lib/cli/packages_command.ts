import type { Command, Flag } from "./command_line/command.ts";
import { FLAG } from "./command_line/flags.ts";

const HANDOVER_OF_INSTALLED: readonly Flag[] = [
  { ...FLAG.manifestsDir, summary: "the folder of the manifests, where it is not the one of the import" },
  { ...FLAG.kubectl, summary: "use kubectl, where the import did not" },
];

/** `crpe packages` and what is under it. */
export const PACKAGES_COMMAND: Command = {
  name: "packages",
  operands: "",
  summary: "list the packages that are installed; roll one back, or remove it",
  arity: [0, 0],
  flags: [FLAG.data, FLAG.json],
  subcommands: [
    {
      name: "history",
      operands: "NAME",
      summary: "list the versions of a package that are kept, the newest first",
      arity: [1, 1],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/packages.ts")).runPackageHistory(invocation, io),
    },
    {
      name: "rollback",
      operands: "NAME",
      summary: "install the version again that was installed before",
      details: [
        "Nothing is changed unless all content of that version is in the store. What was installed is kept, so that a second",
        "rollback takes the first one back. The manifests go where the last import handed them over to.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        FLAG.data,
        { name: "to", value: "VERSION", summary: "a version of those that are kept [the one before]" },
        ...HANDOVER_OF_INSTALLED,
        FLAG.json,
      ],
      run: async (invocation, io) => (await import("./commands/packages.ts")).runRollback(invocation, io),
    },
    {
      name: "remove",
      operands: "NAME",
      summary: "remove a package: its objects from the cluster, its tags, its record and its history",
      details: [
        "k3s deletes what leaves a file, but not what was in a file that is gone: so the file is emptied first, and removed",
        "after --wait. Interrupted, run it again. crpe gc then frees the space.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        FLAG.data,
        { name: "wait", value: "DURATION", summary: "how long k3s is given to see that the file is empty [20s]" },
        ...HANDOVER_OF_INSTALLED,
        FLAG.json,
      ],
      run: async (invocation, io) => (await import("./commands/packages.ts")).runRemovePackage(invocation, io),
    },
  ],
  run: async (invocation, io) => (await import("./commands/packages.ts")).runPackages(invocation, io),
};
