// Imported so that the packages are part of the program; `import.meta.resolve` then gives their files.
import "htm/preact/standalone";
import "uqr";
import type { AssetSources } from "./page_assets.ts";

const OWN = [
  "index.html",
  "style.css",
  "main.js",
  "api.js",
  "bundle_file.js",
  "images.js",
  "install.js",
  "inventories.js",
  "jobs.js",
  "nodes.js",
  "outbox.js",
  "pack.js",
  "parts.js",
  "qr.js",
  "registries.js",
  "releases.js",
  "screens.js",
  "send.js",
  "site.js",
  "strings.js",
  "upload.js",
];

/** The files of the page: its own, and those of the two packages that it uses in the browser. */
export const ASSET_FILES: AssetSources = {
  ...Object.fromEntries(OWN.map((name) => [name, new URL(`./assets/${name}`, import.meta.url)])),
  // The build of the executable replaces these by files beside the others (scripts/build.ts).
  "preact.js": new URL(import.meta.resolve("htm/preact/standalone")),
  "uqr.js": new URL(import.meta.resolve("uqr")),
};
