import type { Command, Flag, Invocation } from "./command_line/command.ts";
import { FLAG } from "./command_line/flags.ts";
import { UsageError } from "./console/usage_error.ts";

const HANDOVER_OF_INSTALLED: readonly Flag[] = [
  { ...FLAG.manifestsDir, summary: "the folder of the manifests, if not the one used by the import" },
  FLAG.releaseNamespace,
  { ...FLAG.kubectl, summary: "use kubectl, if the import did not" },
  FLAG.forceConflicts,
];

/** The flags with which a command is about the packages of an agent. */
const REMOTE_FLAGS: readonly Flag[] = [
  { name: "to", value: "URL", summary: "the packages of the agent at URL, such as https://node1:36060" },
  FLAG.agentToken,
  FLAG.fingerprint,
  FLAG.agentCa,
  FLAG.insecureHttp,
];

const isRemote = (invocation: Invocation) => invocation.flag("to") !== undefined;

/** Runs a command on this machine, or with `--to` on an agent. */
async function runAt(
  invocation: Invocation,
  { local, remote, isAgent = isRemote(invocation) }: {
    local: () => Promise<number>;
    remote: (module: typeof import("./commands/packages_remote.ts")) => Promise<number>;
    isAgent?: boolean;
  },
): Promise<number> {
  if (isAgent) return await remote(await import("./commands/packages_remote.ts"));
  const flag = ["token-file", "ca-file", "fingerprint"].find((name) => invocation.flag(name) !== undefined) ??
    (invocation.isSet("insecure-http") ? "insecure-http" : undefined);
  if (flag !== undefined) throw new UsageError(`Cannot use --${flag} without --to URL: it is for the agent there`);
  return await local();
}

/** `crpe packages` and its subcommands. */
export const PACKAGES_COMMAND: Command = {
  name: "packages",
  operands: "",
  summary: "list the installed packages; show the status of one, roll it back, or remove it",
  interrupted: "nothing was changed",
  details: [
    "NAME is a package's name, or NAMESPACE/NAME where several namespaces have a package of that name. With --to, the",
    "packages are those of an agent: the list and receipts are open, everything else needs its token and its page. The data",
    "folder is then only the one that knows the agent's certificate.",
  ].join("\n"),
  arity: [0, 0],
  flags: [
    FLAG.data,
    FLAG.store,
    ...REMOTE_FLAGS,
    { name: "pending", summary: "list the packages of which only some content was received" },
    FLAG.json,
  ],
  subcommands: [
    {
      name: "history",
      operands: "NAME",
      summary: "list the kept versions of a package, newest first",
      interrupted: "nothing was changed",
      arity: [1, 1],
      flags: [FLAG.data, FLAG.store, ...REMOTE_FLAGS, FLAG.json],
      run: (invocation, io) =>
        runAt(invocation, {
          local: async () => (await import("./commands/packages.ts")).runPackageHistory(invocation, io),
          remote: (it) => it.runRemoteHistory(invocation, io),
        }),
    },
    {
      name: "receipt",
      operands: "NAME",
      summary: "print the receipt of the last import or rollback of a package as JSON",
      interrupted: "nothing was changed",
      arity: [1, 1],
      flags: [FLAG.data, FLAG.store, ...REMOTE_FLAGS],
      run: (invocation, io) =>
        runAt(invocation, {
          local: async () => (await import("./commands/packages.ts")).runPackageReceipt(invocation, io),
          remote: (it) => it.runRemoteReceipt(invocation, io),
        }),
    },
    {
      name: "status",
      operands: "NAME",
      summary: "show whether the cluster has applied a package: applied, failed, pending or unknown",
      interrupted: "nothing was changed",
      details: [
        "For a manifest folder this reads what k3s notes of the file (Addon objects and their events), with kubectl. The exit",
        "status is 0 if the package is applied, else 1.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        FLAG.data,
        FLAG.store,
        ...REMOTE_FLAGS,
        { name: "wait", value: "DURATION", summary: "wait so long until it is applied, or has failed [0]" },
        FLAG.json,
      ],
      usesKubectl: (invocation) => !isRemote(invocation),
      run: (invocation, io) =>
        runAt(invocation, {
          local: async () => (await import("./commands/packages_status.ts")).runPackageStatus(invocation, io),
          remote: (it) => it.runRemoteStatus(invocation, io),
        }),
    },
    {
      name: "rollback",
      operands: "NAME[@VERSION]",
      summary: "reinstall the previously installed version",
      interrupted: "the rollback may not be complete; run the same command again to finish it",
      details: [
        "Nothing is changed unless all content of that version is in the store. The replaced version is kept, so that a second",
        "rollback undoes the first. The manifests are handed over to the same place as in the last import. VERSION is one of the",
        "kept versions, by default the previous one.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        FLAG.data,
        FLAG.store,
        {
          name: "to",
          value: "URL|VERSION",
          summary: "the package of the agent at URL, which has a scheme or a port; or the VERSION",
        },
        ...REMOTE_FLAGS.slice(1),
        { ...FLAG.trustedKeys, summary: "roll back only to a version that these public keys, or a policy, trust" },
        { ...FLAG.firstUse, summary: "roll back only to a version signed with the recorded keys of the package" },
        ...HANDOVER_OF_INSTALLED,
        FLAG.pruneData,
        FLAG.forceHandover,
        FLAG.json,
      ],
      usesKubectl: () => true,
      run: async (invocation, io) => {
        const rollback = await import("./commands/packages_rollback.ts");
        return await runAt(invocation, {
          isAgent: rollback.isRemoteRollback(invocation),
          local: () => rollback.runRollback(invocation, io),
          remote: (it) => it.runRemoteRollback(invocation, io),
        });
      },
    },
    {
      name: "remove",
      operands: "NAME",
      summary: "remove a package: its objects from the cluster, its tags, its record and its history",
      interrupted: "the removal may not be complete; run the same command again to finish it",
      details: [
        "k3s deletes the objects that disappear from a manifest file, but not those of a deleted file. The file is therefore",
        "emptied first. The package is removed, and the file deleted, when the objects are seen to be gone, which needs",
        "kubectl; until then both stay, and the command can be repeated. Data is kept, unless --prune-data is given.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        FLAG.data,
        FLAG.store,
        ...REMOTE_FLAGS,
        {
          name: "wait",
          value: "DURATION",
          summary: "how long to wait until the objects are gone [20s; 5m with kubectl]",
        },
        ...HANDOVER_OF_INSTALLED,
        { name: "dry-run", summary: "list what would be deleted and kept, change nothing" },
        FLAG.pruneData,
        FLAG.forceHandover,
        { name: "pending", summary: "end the pending release of the package; the installed one stays" },
        { name: "forget", summary: "drop the record, tags and history; leave the cluster alone" },
        FLAG.json,
      ],
      usesKubectl: (invocation) => !isRemote(invocation),
      run: (invocation, io) =>
        runAt(invocation, {
          local: async () => (await import("./commands/packages_remove.ts")).runRemovePackage(invocation, io),
          remote: (it) => it.runRemoteRemove(invocation, io),
        }),
    },
  ],
  run: (invocation, io) =>
    runAt(invocation, {
      local: async () => (await import("./commands/packages.ts")).runPackages(invocation, io),
      remote: (it) => it.runRemotePackages(invocation, io),
    }),
};

/** `crpe manifests` */
export const MANIFESTS_COMMAND: Command = {
  name: "manifests",
  operands: "PKG.tgz|NAME",
  summary: "print the Kubernetes objects of a bundle or of an installed package, or write them as a Helm chart",
  interrupted: "a chart that was being written is not complete; remove its folder and run the same command again",
  details: [
    "The objects are a YAML stream, in the order in which they are handed over, with their namespaces. PKG.tgz is a file, or",
    "- for standard input; NAME is an installed package, or NAMESPACE/NAME. Among the objects may be Secrets: the files of a",
    "chart can be read by their owner only. With --json, the objects are one List.",
  ].join("\n"),
  arity: [1, 1],
  flags: [
    FLAG.data,
    FLAG.store,
    {
      name: "helm",
      value: "DIR",
      summary: "write a Helm chart with the same objects to DIR, a new or an empty folder",
    },
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/manifests.ts")).runManifests(invocation, io),
};
