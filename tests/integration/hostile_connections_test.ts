import { DiskStore } from "../../lib/store/disk_store.ts";
import { assertEquals } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { openHostileConnections } from "../support/hostile_connections.ts";
import { buildImage } from "../support/images.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const image = buildImage();
// A process without enough open files for all connections closes those that have been idle longest.
const LIMITS: readonly [string, string[], boolean][] = [
  ["the default limit of open files", [], true],
  ["a limit of 1,024 open files", ["/bin/sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"], false],
];
for (const [what, within, isEnough] of LIMITS) {
  peerTest(
    `[57] [58] an image can be pulled while 2,200 idle and slow connections are open, with ${what}`,
    ["skopeo"],
    async () => {
      await using folder = await TestFolder.create();
      await writeImage(new DiskStore(`${folder.path}/data`), "registry.test/team/app:1.0", image);
      await using tools = await ContainerTools.create();
      const args = ["registry", "--addr=127.0.0.1:0", "--offline", `--data=${folder.path}/data`];
      await using crpe = await startCrpe(args, { within });
      const port = Number(new URL(crpe.url).port);
      await using hostile = await openHostileConnections({ port, idle: 2000, dripping: 200 });
      for (let i = 0; i < 3; i++) {
        const { code, stderr } = await tools.skopeo([
          ...["copy", `docker://127.0.0.1:${port}/registry.test/team/app:1.0`, `dir:${tools.home}/pulled-${i}`],
        ]);
        assertEquals(code, 0, stderr);
        assertEquals(await Deno.readFile(`${tools.home}/pulled-${i}/manifest.json`), image.manifests.at(-1)?.bytes);
      }
      assertEquals(hostile.open === 2200, isEnough);
      // Closing connections is not logged as an error.
      assertEquals(crpe.log().split("\n").filter((line) => /error|warning/.test(line)), []);
    },
  );
}
