import type { Finding } from "../../doctor/finding.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { examineMachine } from "../wiring/examine_machine.ts";

/** `crpe doctor` */
export async function runDoctor(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io);
  const [image] = invocation.arguments;
  const { findings, trace } = await examineMachine(settings, io, { image, root: invocation.flag("root") });
  const first = findings.find(({ status }) => status === "broken");
  if (invocation.isSet("json")) {
    const { findings: _, ...image } = trace ?? { findings: [] };
    io.out(formatJson({
      status: first === undefined ? "ok" : "broken",
      findings,
      firstBroken: first,
      ...(trace === undefined ? {} : { image }),
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
