import { checkCertificates } from "../../../lib/doctor/check_certificates.ts";
import { checkDockerStore } from "../../../lib/doctor/check_docker_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const MIRROR = "http://mirror:6060";
const STORE = "var/lib/docker/image/overlay2";
const ROWS: readonly [what: string, folder: string, config: object, closed: string[], status: string | undefined][] = [
  ["overlay2 and a mirror that asks for a login", STORE, {}, [MIRROR], "broken"],
  ["overlay2 and a mirror that asks for none", STORE, {}, [], undefined],
  ["overlay2 in another folder", "data/image/overlay2", { "data-root": "/data" }, [MIRROR], "broken"],
  ["the containerd store of a new docker", "var/lib/docker", {}, [MIRROR], undefined],
  [
    "the containerd store beside an older one",
    STORE,
    { features: { "containerd-snapshotter": true } },
    [MIRROR],
    undefined,
  ],
  ["an older store that is chosen", STORE, { features: { "containerd-snapshotter": false } }, [MIRROR], "broken"],
];
for (const [what, name, config, closed, status] of ROWS) {
  Deno.test(`checkDockerStore() reports ${status ?? "nothing"} for ${what}`, async () => {
    await using folder = await TestFolder.create();
    await Deno.mkdir(`${folder.path}/${name}`, { recursive: true });
    const found = await checkDockerStore({
      prefix: folder.path,
      config: JSON.stringify({ "registry-mirrors": [MIRROR], ...config }),
      listClosed: () => Promise.resolve(closed),
    });
    assertEquals([found?.status, found?.advice !== undefined], [status, status !== undefined]);
  });
}

const PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const FILES: readonly [what: string, read: () => string, status: string, message: string][] = [
  ["two certificates", () => PEM + PEM, "ok", "/ca.pem has 2 certificates"],
  ["no certificate", () => "x", "broken", "/ca.pem has no certificate, so that no authority of the system is trusted"],
  [
    "a file of another user",
    () => {
      throw new Deno.errors.PermissionDenied();
    },
    "broken",
    "/ca.pem cannot be read: permission denied",
  ],
];
for (const [what, read, status, message] of FILES) {
  Deno.test(`checkCertificates() reports ${what}`, async () => {
    const [found] = await checkCertificates("/ca.pem", () => Promise.resolve().then(read));
    assertEquals([found?.status as string, found?.message], [status, message]);
    assertEquals(await checkCertificates(undefined), []);
  });
}
