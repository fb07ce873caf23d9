import { freeBytesOf } from "../../lib/files/free_bytes.ts";

/**
 * A folder in memory, where there is room in memory: a test that syncs hundreds of files is ten times as fast there, and a
 * kill has the same effect. It is removed when the test file ends, with what late work has written into it.
 */
export const MEMORY_FOLDER = await createMemoryFolder();
/** Unit tests, also in groups (scripts/test.ts), are in memory. Integration tests are on the disk: they write gigabytes. */
const DEFAULT_FOLDER = /\/tests\/(?:unit\/|\.groups\/unit_)/.test(Deno.mainModule) ? MEMORY_FOLDER : undefined;

/** A temporary folder of a test, removed when it is disposed of. */
export class TestFolder implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Creates the folder. @param dir its parent, by default `DEFAULT_FOLDER` */
  static async create(dir = DEFAULT_FOLDER): Promise<TestFolder> {
    return new TestFolder(await Deno.makeTempDir({ prefix: "crpe-test-", dir }));
  }

  /** Writes a file, and the folders above it. @returns its path */
  async write(name: string, content: string | Uint8Array): Promise<string> {
    const path = `${this.path}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await (typeof content === "string" ? Deno.writeTextFile(path, content) : Deno.writeFile(path, content));
    return path;
  }

  /** Lists all files below a folder, relative to it and sorted. A missing folder has none. */
  async listFiles(name = ""): Promise<string[]> {
    const found: string[] = [];
    const walk = async (folder: string, prefix: string) => {
      for await (const entry of Deno.readDir(folder)) {
        if (entry.isDirectory) await walk(`${folder}/${entry.name}`, `${prefix}${entry.name}/`);
        else found.push(prefix + entry.name);
      }
    };
    try {
      await walk(`${this.path}/${name}`, "");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return found.sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await Deno.remove(this.path, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
      // A test may have made a folder read-only.
      await new Deno.Command("chmod", { args: ["-R", "u+rwX", this.path] }).output();
      await Deno.remove(this.path, { recursive: true });
    }
  }
}

async function createMemoryFolder(): Promise<string> {
  const memory = "/dev/shm";
  const isThere = await Deno.stat(memory).then(({ isDirectory }) => isDirectory, () => false);
  const hasRoom = isThere && (await freeBytesOf(memory) ?? 0) > 2 ** 30;
  const folder = await Deno.makeTempDir({ prefix: "crpe-test-", dir: hasRoom ? memory : undefined });
  addEventListener("unload", () => {
    try {
      Deno.removeSync(folder, { recursive: true });
    } catch {
      // Work in the background still writes into it.
    }
  });
  return folder;
}
