import { runProgram } from "./program.ts";

/**
 * Lets curl download something to nowhere, as several clients at a time.
 *
 * @param expected bytes that each of them has to get
 */
export async function download(url: string, expected: number, clients = 1): Promise<void> {
  const each = Array.from({ length: clients }, () => ["-o", "/dev/null", url]).flat();
  const parallel = clients > 1 ? ["--parallel", "--parallel-immediate", "--parallel-max", String(clients)] : [];
  const got = (await runProgram("curl", "-sf", ...parallel, "-w", "%{size_download}\n", ...each)).trim().split("\n");
  if (got.length !== clients || got.some((size) => Number(size) !== expected)) {
    throw new Error(`${url} gave ${got.join(", ")} bytes to ${clients} clients, ${expected} each were expected`);
  }
}
