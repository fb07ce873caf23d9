import type { AgentError } from "../../agent/client/agent_error.ts";
import { cannot, CrpeError, RegistryError } from "../../oci/error.ts";
import { TransportError } from "../../upstream/transport/transport_error.ts";

/** Adds the advice to run the command again to the error of a copy to a registry, if that may help. */
export function adviseToCopyAgain(error: unknown): unknown {
  if (!(error instanceof RegistryError) || !["UNAVAILABLE", "TOOMANYREQUESTS"].includes(error.code)) return error;
  const { code, action, reason, advice, cause, retryAfter } = error;
  if (cause instanceof TransportError && cause.isPermanent) return error;
  const both = join(advice, "run the same command again: what is there is not sent twice");
  return new RegistryError(code, { action, reason, advice: both }, { cause: error, retryAfter });
}

/**
 * Adds the action to the error of a push to an agent, and the advice to run the command again, if that may help.
 *
 * @param action `push line4.tgz to https://192.168.1.20:36060`
 */
export function adviseToPushAgain(error: AgentError, action: string): Error {
  const { reason, isTransient, advice } = error;
  const both = isTransient ? join(advice, "run the same command again to resume") : advice;
  return new CrpeError(cannot(action, reason, both), { cause: error });
}

function join(own: string | undefined, repeat: string): string {
  return own === undefined ? repeat : `${own}; ${repeat}`;
}
