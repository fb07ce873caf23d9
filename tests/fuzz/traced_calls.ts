/** Which calls a process is expected to make. */
export interface TraceOptions {
  /** Where in the file the calls begin that count, in bytes. */
  readonly begin: number;
  /** The only folder whose files it may look at. */
  readonly folder: string;
  /** Where the runtime keeps the modules of a program that runs from its sources. */
  readonly modules?: string | undefined;
  /** The only port that it may connect to, of 127.0.0.1. */
  readonly port: number;
}

// What the runtime and the C library look at by themselves.
const RUNTIME =
  /^\/(?:proc\/self\/|proc\/[0-9]+\/(?:stat|task)|proc\/(?:meminfo|stat|sys\/vm\/overcommit_memory)|sys\/fs\/cgroup\/|sys\/devices\/system\/cpu\/|dev\/(?:urandom|null)|etc\/localtime$|usr\/share\/zoneinfo\/)/;

/** Finds the calls in what strace has written (`-f -e trace=%file,connect`) that reach outside, each once. */
export async function findForeignCalls(path: string, options: TraceOptions): Promise<string[]> {
  using file = await Deno.open(path);
  await file.seek(options.begin, Deno.SeekMode.Start);
  const found = new Set<string>();
  let rest = "";
  for await (const text of file.readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      // The name of a process may come first; the end of a call that was begun above says nothing new.
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
  // Deno's own check of permissions asks whether a folder above is a link.
  const asked = /^(?:readlink|readlinkat)\((?:AT_FDCWD, )?"([^"]*)",/.exec(call)?.[1];
  if (asked !== undefined && folder.startsWith(`${asked}/`)) return true;
  const paths = [...call.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1]!);
  return paths.every((path) => {
    if (path.split("/").includes("..")) return false;
    if (modules !== undefined && path.startsWith(`${modules}/`)) return true;
    return path === folder || path.startsWith(`${folder}/`) || path === "" || RUNTIME.test(path);
  });
}
