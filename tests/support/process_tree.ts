/** What a process and its descendants use, read from `/proc`. */
export interface TreeUsage {
  /** Memory that is not backed by a file, in bytes: of each process its own, and what it shares. */
  readonly memory: number;
  /** Bytes that were read by system calls, of files and pipes. */
  readonly read: number;
}

/** Measures a process and its descendants. A process that ends meanwhile is left out. */
export function measureTree(pid: number): TreeUsage {
  const children = new Map<number, number[]>();
  for (const { name } of Deno.readDirSync("/proc")) {
    const parent = /^\d+$/.test(name) ? readNumber(`/proc/${name}/status`, "PPid") : 0;
    if (parent !== 0) children.set(parent, [...children.get(parent) ?? [], Number(name)]);
  }
  let [memory, read] = [0, 0];
  const waiting = [pid];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const status = `/proc/${next}/status`;
    memory += 1024 * (readNumber(status, "RssAnon") + readNumber(status, "RssShmem"));
    read += readNumber(`/proc/${next}/io`, "rchar");
    waiting.push(...children.get(next) ?? []);
  }
  return { memory, read };
}

function readNumber(path: string, name: string): number {
  try {
    return Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(Deno.readTextFileSync(path))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
