import { isScope, NamedTokens, type Scope, SCOPES } from "../../agent/named_tokens.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { didYouMean } from "../command_line/parse_command_line.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatDate, parseDuration } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe token` and its subcommands */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: [
    "The first token, which a server makes itself, may do everything and is not in the list. Others have a name, a scope and",
    "perhaps an end. Of them the data folder has only hashes.",
  ].join("\n"),
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
      flags: [
        FLAG.data,
        { name: "scope", value: "SCOPE", values: [...SCOPES], summary: "what the token allows: read, import or admin" },
        { name: "expires", value: "DURATION|DATE", summary: "when it ends, such as 90d or 2027-12-31 (UTC) [never]" },
        FLAG.json,
      ],
      examples: [
        ["crpe token create ci --scope=import --expires=90d", "let a pipeline push for 90 days"],
      ],
      run: runCreateToken,
    },
    {
      name: "list",
      operands: "",
      summary: "list the tokens with their scopes and ends",
      interrupted: "nothing was changed",
      flags: [FLAG.data, FLAG.json],
      examples: [["crpe token list --json", "list the tokens as JSON"]],
      run: runListTokens,
    },
    {
      name: "revoke",
      operands: "NAME",
      summary: "revoke a token: running servers refuse it at once",
      interrupted: "the token may be valid still; run the same command again",
      flags: [FLAG.data, FLAG.json],
      examples: [["crpe token revoke ci", "end that token at once"]],
      run: runRevokeToken,
    },
  ],
  examples: [["crpe token", "list the tokens"]],
  run: runListTokens,
};

const DAY = /^\d{4}-\d{2}-\d{2}$/;

async function runCreateToken(invocation: Invocation, io: Io): Promise<number> {
  const name = invocation.arguments[0] ?? "";
  const scope = readScope(invocation.flag("scope"));
  const expires = readEnd(invocation.flag("expires"), Date.now());
  const data = await openData(invocation, io);
  const end = expires === undefined ? {} : { expires: new Date(expires).toISOString() };
  const { log, by } = await openAudit(data, createWarning(io));
  const token = await log.run(
    { action: "token-creation", by, name, scope, ...end },
    () => new NamedTokens(data).create(name, { scope, expires }),
  );
  if (invocation.isSet("json")) {
    io.out(formatJson({ name, scope, ...end, token }));
    return 0;
  }
  io.out(`${token}\n`);
  if (!invocation.isSet("quiet")) {
    const until = expires === undefined ? "" : `, until ${formatDate(new Date(expires))} UTC`;
    io.err(`${name}: ${scope}${until}. The token is shown only now: keep it in a file of mode 600\n`);
  }
  return 0;
}

async function runListTokens(invocation: Invocation, io: Io): Promise<number> {
  const tokens = await new NamedTokens(await openData(invocation, io)).list();
  const now = Date.now();
  const listed = tokens.map(({ hash: _, ...token }) => {
    return { ...token, expired: token.expires !== undefined && Date.parse(token.expires) <= now };
  });
  if (invocation.isSet("json")) {
    io.out(formatJson(listed));
    return 0;
  }
  const rows = listed.map(({ name, scope, created, expires, expired }) => [
    name,
    scope,
    formatDate(new Date(created)),
    expires === undefined ? "never" : `${formatDate(new Date(expires))}${expired ? " (expired)" : ""}`,
  ]);
  io.out(formatTable(["TOKEN", "SCOPE", "CREATED (UTC)", "EXPIRES (UTC)"], rows));
  return 0;
}

async function runRevokeToken(invocation: Invocation, io: Io): Promise<number> {
  const name = invocation.arguments[0] ?? "";
  const data = await openData(invocation, io);
  const tokens = new NamedTokens(data);
  const { log, by } = await openAudit(data, createWarning(io));
  const revoked = await log.run({ action: "token-revocation", by, name }, () => tokens.revoke(name), {
    isFreeing: true,
    describe: (revoked) => ({ result: revoked === undefined ? "absent" : "done" }),
  });
  if (revoked === undefined) {
    const names = (await tokens.list()).map((token) => token.name);
    throw new CrpeError(cannot(`revoke ${JSON.stringify(name)}`, `there is no such token${didYouMean(name, names)}`));
  }
  io.out(invocation.isSet("json") ? formatJson({ name, revoked: true }) : `revoked ${name}\n`);
  return 0;
}

async function openData(invocation: Invocation, io: Io): Promise<string> {
  const { data } = await readSettings(invocation, io);
  await warnOfData(data, io);
  return data;
}

function readScope(text: string | undefined): Scope {
  if (isScope(text)) return text;
  const what = text === undefined ? "without --scope" : `with --scope ${JSON.stringify(text)}`;
  throw new UsageError(cannot(`create a token ${what}`, `choose ${SCOPES.join(", ")}`));
}

// A day ends with its last second, in UTC.
function readEnd(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  const isDate = /^\d{4}-/.test(text);
  const end = isDate ? Date.parse(DAY.test(text) ? `${text}T23:59:59Z` : text) : now + parseDuration(text, "--expires");
  const latest = Date.parse("9999-12-31T23:59:59Z");
  if (end > now && end <= latest) return end;
  throw new UsageError(
    cannot(
      `use --expires ${JSON.stringify(text)}`,
      "write a duration such as 90d, or a date that is still to come, such as " +
        new Date(now + 365 * 86_400_000).toISOString().slice(0, 10),
    ),
  );
}
