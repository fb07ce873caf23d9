import type { Command } from "./command_line/command.ts";
import { FLAG, HANDOVER_FLAGS, isHandedOver, SERVE_FLAGS, UPSTREAM_FLAGS } from "./command_line/flags.ts";

/** `crpe agent`: its flags and help. */
export const AGENT_COMMAND: Command = {
  name: "agent",
  operands: "",
  summary: "serve the registry, and install bundles received over HTTP",
  interrupted: undefined,
  details: [
    "Serves the registry and an API that installs bundles: use crpe push, or curl -T PKG.tgz ADDRESS/kubepkgs and the token.",
    "An upstream is contacted only if --upstream or the configuration names it.",
  ].join("\n"),
  arity: [0, 0],
  flags: [
    FLAG.data,
    FLAG.store,
    { ...FLAG.addr, summary: "where to listen [:36060; $PORT changes the port]" },
    {
      name: "tls-addr",
      value: "HOST:PORT|off",
      summary: "where to serve https, with a certificate of its own [the port behind that of --addr]",
    },
    ...HANDOVER_FLAGS,
    {
      name: "token-file",
      value: "FILE",
      summary: "file with the token that imports need [generated at the first start, in the data folder]",
    },
    FLAG.trustedKeys,
    FLAG.firstUse,
    { name: "node-id", value: "ID", summary: "name of this node [$DEVICE_ID, else the host name]" },
    { ...FLAG.platform, summary: "platforms of the node, comma-separated [$PLATFORMS, else this machine's]" },
    {
      name: "sync-interval",
      value: "DURATION",
      summary: "how often the manifests are compared with other servers; 0: never [60s]",
    },
    { name: "max-bundle", value: "SIZE", summary: "size limit of a bundle, such as 20GiB [unlimited]" },
    FLAG.pendingTtl,
    ...UPSTREAM_FLAGS,
    ...SERVE_FLAGS,
  ],
  usesKubectl: isHandedOver,
  run: async (invocation, io) => (await import("./commands/agent.ts")).runAgent(invocation, io),
};
