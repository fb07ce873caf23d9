import type { Random } from "../support/random.ts";
import { latin1 } from "./request_noise.ts";

/** A request before it is formatted. */
export interface RequestDraft {
  method: string;
  target: string;
  host: string | undefined;
  headers: [name: string, value: string][];
  body: string;
  expected?: readonly number[];
}

/** Formats a request with valid framing: a Content-Length, or chunks. */
export function formatDraft(
  { method, target, host, headers, ...draft }: RequestDraft,
  random: Random,
): Uint8Array<ArrayBuffer> {
  // The bytes after a CONNECT belong to the tunnel (RFC 9110, 9.3.6), or to the next request.
  const body = method === "CONNECT" ? "" : draft.body;
  const lines = [...(host === undefined ? [] : [["Host", host] as const]), ...headers];
  // White space and control characters would end the target, or the line.
  const path = target.replaceAll(/[\0- \x7f]/g, (character) => encodeURIComponent(character));
  let text = body;
  if (body !== "" && random.chance(0.4)) {
    lines.push(["Transfer-Encoding", "chunked"]);
    text = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  } else if (body !== "" || random.chance(0.02)) lines.push(["Content-Length", `${body.length}`]);
  // deno-lint-ignore no-control-regex
  const clean = (value: string) => value.replaceAll(/[\0-\x08\x0a-\x1f\x7f]/g, "");
  const head = lines.map(([name, value]) => `${name}: ${clean(value)}\r\n`).join("");
  return latin1(`${method} ${path} HTTP/1.1\r\n${head}\r\n${text}`);
}
