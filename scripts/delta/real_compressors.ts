/** A program that compresses to gzip. */
export interface Compressor {
  readonly name: string;
  readonly compress: (bytes: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer>>;
}

/** The sizes of the writes to Go's compressor: `io.Copy` has 32 KiB. */
const WRITE_SIZES = [32_768, 512, 1000, 65_536, 1_000_000];

const GO_PROGRAM = `package main

import ("compress/gzip"; "io"; "os"; "strconv")

func main() {
	level, _ := strconv.Atoi(os.Args[1])
	size, _ := strconv.Atoi(os.Args[2])
	output, _ := gzip.NewWriterLevel(os.Stdout, level)
	buffer := make([]byte, size)
	for {
		count, err := io.ReadFull(os.Stdin, buffer)
		output.Write(buffer[:count])
		if err != nil { break }
	}
	output.Close()
}
`;

const PYTHON_PROGRAM = `
import sys, zlib
level, memory, size = map(int, sys.argv[1:])
compressor = zlib.compressobj(level, zlib.DEFLATED, 31, memory)
while chunk := sys.stdin.buffer.read(size): sys.stdout.buffer.write(compressor.compress(chunk))
sys.stdout.buffer.write(compressor.flush())
`;

/** Finds the compressors that this machine has. @param goCommands builds a compressor with each of these `go` */
export async function findCompressors(goCommands: readonly string[]): Promise<Compressor[]> {
  const levels = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const gzip = levels.map((level) => command("gzip", ["-n", `-${level}`], `GNU gzip ${level}`));
  const zlib = levels.map((level) =>
    command("python3", ["-c", PYTHON_PROGRAM, `${level}`, "8", "65536"], `zlib ${level}`)
  );
  const others = [[6, 9, 65_536], [6, 8, 512], [6, 8, 1_000_000]].map((parameters) =>
    command("python3", ["-c", PYTHON_PROGRAM, ...parameters.map(String)], `zlib ${parameters.join(", ")}`)
  );
  const found: Compressor[] = [];
  for (const candidates of [gzip, [...zlib, ...others], ...await Promise.all(goCommands.map(buildGo))]) {
    const isThere = await candidates[0]?.compress(new Uint8Array(1)).then(() => true, () => false);
    if (isThere) found.push(...candidates);
  }
  return found;
}

async function buildGo(go: string): Promise<Compressor[]> {
  const folder = await Deno.makeTempDir({ prefix: "crpe-models-" });
  await Deno.writeTextFile(`${folder}/main.go`, GO_PROGRAM);
  const env = { GO111MODULE: "off", GOTOOLCHAIN: "local", GOCACHE: `${folder}/cache` };
  const options = { args: ["build", "-o", "compress", "main.go"], cwd: folder, env };
  // A program that is missing is an error at once, not a rejected promise.
  const built = await Promise.resolve().then(() => new Deno.Command(go, options).output()).catch(() => undefined);
  if (!built?.success) return [];
  const { stdout } = await new Deno.Command(go, { args: ["env", "GOVERSION"], env }).output();
  const version = new TextDecoder().decode(stdout).trim();
  await Deno.remove(`${folder}/cache`, { recursive: true });
  const make = (level: number, size: number) =>
    command(`${folder}/compress`, [`${level}`, `${size}`], `${version} ${level}, writes of ${size}`);
  return [...[1, 2, 3, 4, 5, 7, 8, 9].map((level) => make(level, 32_768)), ...WRITE_SIZES.map((size) => make(6, size))];
}

/** A compressor that is a command. */
export function command(program: string, args: string[], name: string): Compressor {
  const compress = async (bytes: Uint8Array<ArrayBuffer>) => {
    const child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "null" }).spawn();
    const [{ success, stdout }] = await Promise.all([child.output(), send(child.stdin, bytes)]);
    if (!success) throw new Error(`Cannot compress: ${program} failed`);
    return stdout;
  };
  return { name, compress };
}

async function send(stdin: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  const writer = stdin.getWriter();
  await writer.write(bytes);
  await writer.close();
}
