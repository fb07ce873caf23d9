import { TestFolder } from "./test_folder.ts";

/** A call of the fake kubectl. */
export interface KubectlCall {
  readonly args: string;
  readonly input: string;
  /** The value of `$KUBECONFIG`. */
  readonly kubeconfig: string;
}

/** An executable `kubectl` that records its calls. */
export class FakeKubectl implements AsyncDisposable {
  readonly #folder: TestFolder;

  private constructor(folder: TestFolder) {
    this.#folder = folder;
  }

  static async create(): Promise<FakeKubectl> {
    const folder = await TestFolder.create();
    const script = await folder.write(
      "bin/kubectl",
      `#!/bin/sh
PATH=$PATH:/usr/bin:/bin
folder=$(dirname "$0")/..
number=0
while test -f "$folder/calls/$number.args"; do number=$((number + 1)); done
printf '%s' "$*" > "$folder/calls/$number.args"
printf '%s' "$KUBECONFIG" > "$folder/calls/$number.kubeconfig"
cat > "$folder/calls/$number.stdin"
test -f "$folder/says-$1" && cat "$folder/says-$1" >&2
test -f "$folder/hangs-$1" && exec sleep 600
test -f "$folder/fails-$1" && exit 1
exit 0
`,
    );
    await Deno.chmod(script, 0o755);
    await Deno.mkdir(`${folder.path}/calls`);
    return new FakeKubectl(folder);
  }

  /** A value of `$PATH` that finds this kubectl first. */
  get path(): string {
    return `${this.#folder.path}/bin:${Deno.env.get("PATH")}`;
  }

  /** Makes a command such as `apply` fail with a message from now on. */
  async fail(command: string, says: string): Promise<void> {
    await this.#folder.write(`fails-${command}`, "");
    await this.#folder.write(`says-${command}`, says);
  }

  /** From now on a command says this, and does not end. */
  async hang(command: string, says: string): Promise<void> {
    await this.#folder.write(`hangs-${command}`, "");
    await this.#folder.write(`says-${command}`, says);
  }

  /** Makes a command succeed again. */
  async succeed(command: string): Promise<void> {
    await Deno.remove(`${this.#folder.path}/fails-${command}`);
    await Deno.remove(`${this.#folder.path}/says-${command}`);
  }

  /** Returns the calls since the last `takeCalls()`. */
  async takeCalls(): Promise<KubectlCall[]> {
    const folder = `${this.#folder.path}/calls`;
    const calls: KubectlCall[] = [];
    for (let i = 0;; i++) {
      try {
        const read = (what: string) => Deno.readTextFile(`${folder}/${i}.${what}`);
        calls.push({ args: await read("args"), input: await read("stdin"), kubeconfig: await read("kubeconfig") });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        break;
      }
    }
    await Deno.remove(folder, { recursive: true });
    await Deno.mkdir(folder);
    return calls;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}
