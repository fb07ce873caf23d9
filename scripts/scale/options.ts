/** The options of `scripts/scale.ts`, and their defaults. */
export const SCALE_OPTIONS: Readonly<Record<string, string>> = {
  nodes: "10,1000,100000",
  within: "10m",
  start: "1m",
  leaf: "0",
  "images-per-node": "20",
  "image-size": "150MiB",
  layers: "8",
  images: "60",
  "node-link": "1Gbit",
  "registry-link": "10Gbit",
  "open-files": "1024",
  // CPU seconds of a registry to send 1 GiB, and to answer a request; docs/performance.md, P9 and P2.
  "cpu-gib": "0.34",
  "cpu-request": "0.00008",
  // The list prices of one large provider, in dollars: a GiB for a month, and 1,000 requests.
  "price-gib": "0.023",
  "price-writes": "0.005",
  "price-reads": "0.0004",
};
