import type { Command } from "./command_line/command.ts";
import { FLAG, UPSTREAM_FLAGS } from "./command_line/flags.ts";
import { PLATFORM_DETAILS } from "./pack_command.ts";

/** `crpe pull` */
export const PULL_COMMAND: Command = {
  name: "pull",
  operands: "IMAGE…",
  summary: "pull images into the store",
  interrupted: "what was received is kept; run the same command again to resume",
  details: [
    "Without --platform, everything that an image's index lists is pulled.",
    PLATFORM_DETAILS,
    "With --tags, IMAGE is one repository without a tag: nginx --tags '1.27*'. An image that fails does not stop the others.",
  ].join("\n"),
  arity: [0, Infinity],
  flags: [
    FLAG.data,
    FLAG.store,
    {
      name: "file",
      short: "f",
      value: "FILE",
      summary: "pull the images that FILE lists too, one on a line; - is standard input",
    },
    {
      name: "tags",
      value: "GLOB",
      summary: "pull all tags of a repository that match: * is any text, ? any character",
    },
    FLAG.platform,
    FLAG.noReferrers,
    ...UPSTREAM_FLAGS,
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/pull.ts")).runPull(invocation, io),
};

/** `crpe tags` */
export const TAGS_COMMAND: Command = {
  name: "tags",
  operands: "REPO",
  summary: "list the tags of a repository: at its registry, or with --offline those in the store",
  details:
    "REPO is an image's name without a tag, such as nginx or quay.io/prometheus/node-exporter. Nothing is stored.",
  interrupted: "nothing was changed",
  arity: [1, 1],
  flags: [FLAG.data, ...UPSTREAM_FLAGS, FLAG.json],
  run: async (invocation, io) => (await import("./commands/tags.ts")).runTags(invocation, io),
};

/** `crpe images` and its subcommands. */
export const IMAGES_COMMAND: Command = {
  name: "images",
  operands: "",
  summary: "list the images in the store; remove, pin or measure them",
  interrupted: "nothing was changed",
  details: [
    "--partial lists the received parts of interrupted downloads, from which they resume. Such a file is removed two weeks",
    "after it was last written to, or at once by crpe gc --partial.",
  ].join("\n"),
  arity: [0, 0],
  flags: [
    FLAG.data,
    FLAG.store,
    { name: "partial", summary: "list the partial files of downloads instead" },
    FLAG.json,
  ],
  subcommands: [
    {
      name: "rm",
      operands: "IMAGE…",
      summary: "remove images from the store, and free their space",
      interrupted:
        "images that were named as removed are gone; run the same command for the others, and crpe gc to free the space",
      details: [
        "An image that a package needs (also one that is kept for a rollback), or that is pinned, is refused (exit status 3).",
        "Content that other images have stays.",
      ].join("\n"),
      arity: [1, Infinity],
      flags: [FLAG.data, { name: "dry-run", summary: "print what would be removed, remove nothing" }, FLAG.json],
      run: async (invocation, io) => (await import("./commands/images_rm.ts")).runRemoveImages(invocation, io),
    },
    {
      name: "du",
      operands: "",
      summary: "show the disk space of each image, and what it shares with others",
      interrupted: "nothing was changed",
      arity: [0, 0],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/images_du.ts")).runImageUsage(invocation, io),
    },
    {
      name: "pin",
      operands: "IMAGE…",
      summary: "protect images from eviction by the size limit (--cache-max)",
      interrupted: "not every image may be pinned; run the same command again",
      arity: [1, Infinity],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/images_pin.ts")).runPinImages(invocation, io),
    },
    {
      name: "unpin",
      operands: "IMAGE…",
      summary: "allow the eviction of pinned images again",
      interrupted: "not every image may be unpinned; run the same command again",
      arity: [1, Infinity],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/images_pin.ts")).runUnpinImages(invocation, io),
    },
  ],
  run: async (invocation, io) => (await import("./commands/images.ts")).runImages(invocation, io),
};

/** `crpe load` */
export const LOAD_COMMAND: Command = {
  name: "load",
  operands: "FILE…",
  summary: "load images from docker save, podman save or OCI archives into the store",
  interrupted: "content that was stored is kept; run the same command again to load the rest",
  details: [
    "FILE is an archive (tar, also compressed with gzip or zstd), the folder of an OCI image layout, or - for standard input:",
    "what docker save, podman save, ctr image export, skopeo copy and k3s (airgap-images) write. The images get the names",
    "that are in the archive. One that fails does not stop the others. Without a FILE, standard input is read.",
  ].join("\n"),
  arity: [0, Infinity],
  flags: [
    FLAG.data,
    FLAG.store,
    { name: "input", short: "i", value: "FILE", isRepeatable: true, summary: "a FILE, as docker load has it" },
    {
      name: "name",
      value: "IMAGE",
      summary: "the name of the image, for a FILE with one image and no name, or another one",
    },
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/load.ts")).runLoad(invocation, io),
};

/** `crpe save` */
export const SAVE_COMMAND: Command = {
  name: "save",
  operands: "IMAGE…",
  summary: "write images of the store into one archive for docker load, podman load, ctr or skopeo",
  interrupted: "no archive was written; run the same command again",
  details: [
    "The archive is an OCI image layout that also has docker's manifest.json. It has the platforms of --platform, else all",
    "that the store holds. Nothing is downloaded: crpe pull does that. Standard output must not be a terminal.",
  ].join("\n"),
  arity: [1, Infinity],
  flags: [
    FLAG.data,
    FLAG.store,
    { name: "output", short: "o", value: "FILE", summary: "the archive [-, standard output]" },
    FLAG.platform,
    FLAG.noReferrers,
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/save.ts")).runSave(invocation, io),
};

/** `crpe copy` */
export const COPY_COMMAND: Command = {
  name: "copy",
  operands: "IMAGE…|FILE…",
  summary: "push images of the store, of their registries, of bundles or of archives into any registry",
  interrupted: "what the registry has is not sent again; run the same command again to continue",
  details: [
    "FILE is a bundle, an archive (crpe save, skopeo oci-archive) or the folder of an OCI layout. Its name ends in .tgz,",
    ".tar, .tar.gz or .tar.zst, or is a path (./layout). An IMAGE that the store does not have comes from its registry,",
    "through the store, as in crpe pack; with --offline it fails.",
    "docker.io/library/nginx:1 becomes REGISTRY/PREFIX/library/nginx:1. Blobs that the registry has are not sent; an",
    "upload that is cut resumes where the registry allows it. One image that fails does not stop the others.",
    "An image keeps its digest. Registries refuse an index of which manifests are missing: of an image that was packed or",
    "pulled for some platforms, --platform pushes the manifest of one, or a new index of several, with other digests.",
    "The login is that of docker login or podman login, or of the configuration.",
  ].join("\n"),
  arity: [1, Infinity],
  flags: [
    { name: "to", value: "REGISTRY", summary: "the registry, with a prefix of the names: registry.lan:5000/mirror" },
    FLAG.data,
    {
      name: "manifests",
      value: "FILE",
      summary: "write the manifests of the bundle (YAML) with the new names of its images; - is stdout",
    },
    FLAG.platform,
    FLAG.noReferrers,
    { name: "dry-run", summary: "print what would be sent, send nothing" },
    ...UPSTREAM_FLAGS,
    { name: "insecure-http", summary: "send the login over plain http to another machine" },
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/copy.ts")).runCopy(invocation, io),
};
