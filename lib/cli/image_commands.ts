import type { Command } from "./command_line/command.ts";
import { FLAG } from "./command_line/flags.ts";

/** `crpe images` and its subcommands. */
export const IMAGES_COMMAND: Command = {
  name: "images",
  operands: "",
  summary: "list the images in the store; remove, pin or measure them",
  details: [
    "--partial lists the received parts of interrupted downloads, from which they resume. Such a file is removed two weeks",
    "after it was last written to, or at once by crpe gc --partial.",
  ].join("\n"),
  arity: [0, 0],
  flags: [FLAG.data, { name: "partial", summary: "list the partial files of downloads instead" }, FLAG.json],
  subcommands: [
    {
      name: "rm",
      operands: "IMAGE…",
      summary: "remove images from the store, and free their space",
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
      arity: [0, 0],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/images_du.ts")).runImageUsage(invocation, io),
    },
    {
      name: "pin",
      operands: "IMAGE…",
      summary: "protect images from eviction by the size limit (--cache-max)",
      arity: [1, Infinity],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/images_pin.ts")).runPinImages(invocation, io),
    },
    {
      name: "unpin",
      operands: "IMAGE…",
      summary: "allow the eviction of pinned images again",
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
    "that are in the archive. One that fails does not stop the others.",
  ].join("\n"),
  arity: [1, Infinity],
  flags: [
    FLAG.data,
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
  interrupted: "the archive is not complete; run the same command again to write it anew",
  details: [
    "The archive is an OCI image layout that also has docker's manifest.json. It has the platforms of --platform, else all",
    "that the store holds. Nothing is downloaded: crpe pull does that. FILE - is standard output.",
  ].join("\n"),
  arity: [1, Infinity],
  flags: [
    FLAG.data,
    { name: "output", short: "o", value: "FILE", summary: "the archive" },
    FLAG.platform,
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/save.ts")).runSave(invocation, io),
};
