import { SCOPES } from "../agent/named_tokens.ts";
import type { Command } from "./command_line/command.ts";
import { FLAG } from "./command_line/flags.ts";

/** `crpe token` and its subcommands. */
export const TOKEN_COMMAND: Command = {
  name: "token",
  operands: "",
  summary: "list the tokens of this machine's servers; create one, or revoke it",
  interrupted: "nothing was changed",
  details: [
    "The first token, which a server makes itself, may do everything and is not in the list. Others have a name, a scope and",
    "perhaps an end. Of them the data folder has only hashes.",
  ].join("\n"),
  arity: [0, 0],
  flags: [FLAG.data, FLAG.json],
  subcommands: [
    {
      name: "create",
      operands: "NAME",
      summary: "create a token, and print it: it is shown only once",
      interrupted: "the token may exist already; run crpe token revoke NAME, then this command again",
      details: [
        "read: see everything, also manifests, and download bundles. import: also upload, install, pack and pull. admin: also",
        "overrule the version rule, roll back, remove, and change registries.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        FLAG.data,
        { name: "scope", value: "SCOPE", values: [...SCOPES], summary: "what the token allows: read, import or admin" },
        { name: "expires", value: "DURATION|DATE", summary: "when it ends, such as 90d or 2027-12-31 (UTC) [never]" },
        FLAG.json,
      ],
      run: async (invocation, io) => (await import("./commands/token.ts")).runCreateToken(invocation, io),
    },
    {
      name: "list",
      operands: "",
      summary: "list the tokens with their scopes and ends",
      interrupted: "nothing was changed",
      arity: [0, 0],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/token.ts")).runListTokens(invocation, io),
    },
    {
      name: "revoke",
      operands: "NAME",
      summary: "revoke a token: running servers refuse it at once",
      interrupted: "the token may be valid still; run the same command again",
      arity: [1, 1],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/token.ts")).runRevokeToken(invocation, io),
    },
  ],
  run: async (invocation, io) => (await import("./commands/token.ts")).runListTokens(invocation, io),
};
