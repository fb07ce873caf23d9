import type { Finding } from "../../doctor/finding.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS, UPSTREAM_FLAGS } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { examineMachine } from "../wiring/examine_machine.ts";

/** `crpe doctor` */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: [
    "With IMAGE, the image is traced: how its name is parsed, its registry, tag, manifests, platforms, and whether each",
    "blob is in the store or at the upstream. Nothing is stored. The exit status is 1 if something is broken.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    ...UPSTREAM_FLAGS,
    { name: "root", value: "DIR", summary: "root folder of this machine's file system, for its clients' files [/]" },
    FLAG.json,
  ],
  examples: [
    ["crpe doctor", "check this machine"],
    ["crpe doctor registry.lan/team/web:1.0 --offline", "find out why an image cannot be pulled"],
  ],
  run: runDoctor,
};

async function runDoctor(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true, isDiagnosis: true });
  const [image] = invocation.arguments;
  const { findings, trace } = await examineMachine(settings, io, { image, root: invocation.flag("root") });
  const first = findings.find(({ status }) => status === "broken");
  if (invocation.isSet("json")) {
    const { findings: _, ...image } = trace ?? { findings: [] };
    io.out(formatJson({
      status: first === undefined ? "ok" : "broken",
      findings,
      firstBroken: first,
      image: trace === undefined ? undefined : image,
    }));
  } else io.out(formatFindings(findings, first));
  return first === undefined ? 0 : 1;
}

function formatFindings(findings: readonly Finding[], first: Finding | undefined): string {
  const lines = findings.flatMap(({ step, status, message, advice }) => [
    `${status.padEnd(8)} ${step}: ${message}`,
    ...advice === undefined || advice === first?.advice ? [] : [`${" ".repeat(9)}→ ${advice}`],
  ]);
  const end = first === undefined
    ? ["nothing is broken"]
    : [`the first broken step: ${first.step}: ${first.message}`, `what to do: ${first.advice ?? "see above"}`];
  return [...lines, "", ...end, ""].join("\n");
}
