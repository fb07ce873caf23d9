import { runProgram } from "./program.ts";

/**
 * Downloads a URL to /dev/null with curl, as one or several concurrent clients.
 *
 * @param expected the number of bytes that each client must receive
 * @throws {Error} when curl fails, or a client receives another number of bytes
 */
export async function download(url: string, expected: number, clients = 1): Promise<void> {
  const each = Array.from({ length: clients }, () => ["-o", "/dev/null", url]).flat();
  const parallel = clients > 1 ? ["--parallel", "--parallel-immediate", "--parallel-max", String(clients)] : [];
  const got = (await runProgram("curl", "-sf", ...parallel, "-w", "%{size_download}\n", ...each)).trim().split("\n");
  if (got.length !== clients || got.some((size) => Number(size) !== expected)) {
    throw new Error(
      `Cannot download ${url}: ${clients} clients received ${got.join(", ")} bytes; expected ${expected} each`,
    );
  }
}
