/** The calls that a process is allowed to make. */
export interface TraceOptions {
  /** The offset in the trace file of the first call to check, in bytes. */
  readonly begin: number;
  /** The only folder whose files it may open or inspect. */
  readonly folder: string;
  /** The folder of the runtime's modules, for a program that runs from its sources. */
  readonly modules?: string | undefined;
  /** The only port of 127.0.0.1 that it may connect to. */
  readonly port: number;
}

// Files that the runtime and the C library read on their own, and those that name this machine.
const RUNTIME =
  /^\/(?:proc\/self\/|proc\/[0-9]+\/(?:stat|task)|proc\/(?:meminfo|stat|sys\/vm\/overcommit_memory)|sys\/fs\/cgroup\/|sys\/devices\/system\/cpu\/|dev\/(?:urandom|null)|etc(?:\/localtime|\/resolv\.conf|\/hosts)?$|usr\/share\/zoneinfo\/)/;

/** Finds the unexpected calls in the output of strace (`-f -e trace=%file,connect`), each once, at most 20. */
export async function findForeignCalls(path: string, options: TraceOptions): Promise<string[]> {
  using file = await Deno.open(path);
  await file.seek(options.begin, Deno.SeekMode.Start);
  const found = new Set<string>();
  let rest = "";
  for await (const text of file.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      // A process id may precede the call. The end of an interrupted call (`<...`) repeats nothing that matters.
      const call = line.replace(/^\s*(?:\[pid\s+)?[0-9]+\]?\s+/, "");
      if (call.startsWith("<...") || call.startsWith("+++") || call.startsWith("---")) continue;
      if (!isExpected(call, options)) found.add(call.slice(0, 300));
      if (found.size >= 20) return [...found];
    }
  }
  return [...found];
}

function isExpected(call: string, { folder, modules, port }: TraceOptions): boolean {
  if (call.startsWith("connect(")) {
    return call.includes(`sin_port=htons(${port}), sin_addr=inet_addr("127.0.0.1")`);
  }
  // Deno's permission check reads whether a parent folder is a link.
  const asked = /^(?:readlink|readlinkat)\((?:AT_FDCWD, )?"([^"]*)",/.exec(call)?.[1];
  if (asked !== undefined && folder.startsWith(`${asked}/`)) return true;
  const paths = [...call.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1]!);
  return paths.every((path) => {
    if (path.split("/").includes("..")) return false;
    if (modules !== undefined && path.startsWith(`${modules}/`)) return true;
    return path === folder || path.startsWith(`${folder}/`) || path === "" || RUNTIME.test(path);
  });
}
