import { describeWriter, findDataProblem } from "../../../../lib/cli/wiring/check_data.ts";
import { assertEquals } from "../../../support/assert.ts";
import { peerTest } from "../../../support/peers.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const IMAGES = "docker/registry/v2/repositories/docker.io";
const MINE = "home/me/.local/share/crpe";

interface Row {
  readonly what: string;
  /** Folders that exist, below the root folder of the test. */
  readonly folders: readonly string[];
  readonly data: string;
  readonly isReading?: boolean;
  /** The report; `ROOT` is the root folder of the test. */
  readonly report: string | undefined;
}

const ROWS: readonly Row[] = [
  { what: "a folder with images", folders: [`a/${IMAGES}`, `a/b/${IMAGES}`], data: "a", report: undefined },
  { what: "a folder with packages only", folders: ["a/kubepkg/line4"], data: "a", report: undefined },
  {
    what: "a folder with nothing but the partial file of an interrupted pull",
    folders: ["a/ingest/sha256-00.partial"],
    data: "a",
    report: undefined,
  },
  {
    what: "a folder with nothing but what a server that was stopped has left",
    folders: ["a/ingest/serving.lock"],
    data: "a",
    report: "the data folder ROOT/a is empty; another one is named with --data",
  },
  {
    what: "docker/registry/v2 of a data folder",
    folders: [`a/${IMAGES}`],
    data: "a/docker/registry/v2",
    report: "ROOT/a/docker/registry/v2 is inside the data folder ROOT/a; is --data=ROOT/a meant?",
  },
  {
    what: "a folder that does not exist yet inside a data folder",
    folders: [`a/${IMAGES}`],
    data: "a/docker/data",
    isReading: false,
    report: "ROOT/a/docker/data is inside the data folder ROOT/a; is --data=ROOT/a meant?",
  },
  {
    what: "the folder above a data folder",
    folders: [`var/lib/crpe/${IMAGES}`, "var/lib/apt"],
    data: "var/lib",
    isReading: false,
    report:
      "the data folder ROOT/var/lib is empty, but ROOT/var/lib/crpe in it has content; is --data=ROOT/var/lib/crpe meant?",
  },
  {
    what: "the default folder, which is empty beside that of the service",
    folders: [MINE, `var/lib/crpe/${IMAGES}`],
    data: MINE,
    isReading: false,
    report:
      `the data folder ROOT/${MINE} is empty, but ROOT/var/lib/crpe has content; is --data=ROOT/var/lib/crpe meant?`,
  },
  {
    what: "the default folder, when another user has content",
    folders: [`home/other/.local/share/crpe/${IMAGES}`],
    data: MINE,
    report: `the data folder ROOT/${MINE} does not exist, but ROOT/home/other/.local/share/crpe has content; ` +
      "is --data=ROOT/home/other/.local/share/crpe meant?",
  },
  {
    what: "a misspelt folder that is read",
    folders: ["srv/crep-old", `srv/crpe/${IMAGES}`, `srv/other/${IMAGES}`],
    data: "srv/crep",
    report:
      "the data folder ROOT/srv/crep does not exist, but ROOT/srv/crpe has content; is --data=ROOT/srv/crpe meant?",
  },
  {
    what: "a named folder that is written, beside one with a similar name",
    folders: [`srv/crpe/${IMAGES}`],
    data: "srv/crpe2",
    isReading: false,
    report: undefined,
  },
  {
    what: "a named folder that is read, when the default folder has content",
    folders: ["a", `${MINE}/${IMAGES}`],
    data: "a",
    report: `the data folder ROOT/a is empty, but ROOT/${MINE} has content; is --data=ROOT/${MINE} meant?`,
  },
  {
    what: "a new named folder that is written",
    folders: [`${MINE}/${IMAGES}`],
    data: "a",
    isReading: false,
    report: undefined,
  },
  {
    what: "an empty folder without any other",
    folders: ["a"],
    data: "a",
    report: "the data folder ROOT/a is empty; another one is named with --data",
  },
];
for (const { what, folders, data, isReading = true, report } of ROWS) {
  Deno.test(`findDataProblem() reports ${report === undefined ? "nothing about " : ""}${what}`, async () => {
    await using folder = await TestFolder.create();
    const root = await Deno.realPath(folder.path);
    for (const name of folders) await Deno.mkdir(`${root}/${name}`, { recursive: true });
    const found = await findDataProblem(`${root}/${data}`, { isReading, usual: `${root}/${MINE}`, prefix: root });
    assertEquals(found, report?.replaceAll("ROOT", root));
  });
}

Deno.test("describeWriter() reports nothing about a folder of the same user", async () => {
  await using folder = await TestFolder.create();
  assertEquals(describeWriter(folder.path, Deno.uid()), { problems: [] });
  assertEquals(describeWriter(`${folder.path}/new`, Deno.uid()), { problems: [] });
  assertEquals(describeWriter(folder.path, null), { problems: [] });
});

peerTest("[96] describeWriter() says what the registry of another user will not be able to do", ["root"], async () => {
  await using folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  await Deno.mkdir(`${data}/${IMAGES}`, { recursive: true });
  await Deno.chown(data, 1000, 1000);
  assertEquals(describeWriter(data, 1001), {
    note: `this command writes as uid 1001 into ${data}, which belongs to uid 1000`,
    problems: [
      "a registry of uid 1000 will not be able to repair, replace or remove what it writes; run it as uid 1000 or as root",
    ],
  });
  const note = `this command writes as root into ${data}, which belongs to uid 1000; new files are given to uid 1000`;
  const folders = ["docker/registry/v2/repositories", "docker/registry/v2/blobs"];
  assertEquals(describeWriter(`${data}/new`, 1001), { problems: [] });
  assertEquals(describeWriter(`${data}/docker`, 1001).problems, []);
  assertEquals(describeWriter(data, 0), {
    note,
    problems: folders.map((name) =>
      `${data}/${name} belongs to root: a registry of uid 1000 cannot keep new content there; chown -R 1000 ${data}`
    ),
  });
  for (const name of ["docker", "docker/registry", "docker/registry/v2", folders[0]!]) {
    await Deno.chown(`${data}/${name}`, 1000, 1000);
  }
  assertEquals(describeWriter(data, 0), { note, problems: [] });
});
