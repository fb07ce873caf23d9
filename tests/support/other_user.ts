import { type CrpeOptions, denoFolder } from "./crpe_process.ts";

/** The user without rights as whom tests of root run crpe. */
export const OTHER_USER = 65534;

/**
 * Prepares a run of crpe as another user. The modules of the program may be in a folder that only root can read, so that
 * they are copied.
 *
 * @param folder an existing folder, for the home of the user
 */
export async function createOtherUser(folder: string): Promise<{ readonly options: CrpeOptions } & AsyncDisposable> {
  const home = await Deno.makeTempDir({ dir: folder });
  const denoDir = `${home}/deno`;
  await Deno.mkdir(denoDir);
  for (
    const [command, ...args] of [["cp", "-r", `${denoFolder()}/npm`, denoDir], ["chown", "-R", `${OTHER_USER}`, home]]
  ) {
    await new Deno.Command(command!, { args }).output();
  }
  return {
    options: {
      env: { HOME: home, DENO_DIR: denoDir },
      within: ["setpriv", `--reuid=${OTHER_USER}`, "--clear-groups"],
      cwd: home,
    },
    [Symbol.asyncDispose]: () => Deno.remove(home, { recursive: true }),
  };
}
