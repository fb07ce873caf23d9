import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { serveRegistry } from "../serving/serve_registry.ts";

const DEFAULT_PORT = 6060;

/** `crpe registry` */
export function runRegistry(invocation: Invocation, io: Io): Promise<number> {
  return serveRegistry(invocation, io, { name: "crpe registry", defaultPort: DEFAULT_PORT });
}
