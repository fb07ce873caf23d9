import { type AuditActor, AuditLog } from "../../files/audit_log.ts";

/** The audit log of a data folder, for a command. */
interface CommandAudit {
  readonly log: AuditLog;
  readonly by: AuditActor;
}

/** Opens the audit log of a data folder for a command, which the user of this process has given. */
export async function openAudit(data: string, warn: (message: string) => void): Promise<CommandAudit> {
  const log = new AuditLog(data, { onProblem: ({ message }) => warn(message) });
  return { log, by: { user: await readUser() } };
}

// The environment, which the user can change, does not tell.
async function readUser(): Promise<string> {
  const uid = Deno.uid();
  if (uid === null) return "unknown";
  const text = await Deno.readTextFile("/etc/passwd").catch(() => "");
  const line = text.split("\n").find((line) => line.split(":")[2] === `${uid}`);
  return line?.split(":")[0] ?? `uid ${uid}`;
}
