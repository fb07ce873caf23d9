/** A cluster whose nodes start together, and the registries that they pull from. Sizes in bytes, rates per second. */
export interface Fleet {
  /** Nodes that start. */
  readonly nodes: number;
  /** The time in which they start, evenly spread, in seconds. */
  readonly startSeconds: number;
  /** Images that each node pulls, one after another as the kubelet does. */
  readonly imagesPerNode: number;
  /** Compressed size of an image. */
  readonly imageBytes: number;
  /** Layers of an image. */
  readonly layers: number;
  /** Different images of the whole cluster. */
  readonly images: number;
  /** Rate of a node's link. */
  readonly nodeRate: number;
  /** Registries behind one name. */
  readonly replicas: number;
  /** Rate of the link of one registry. */
  readonly replicaRate: number;
  /** Connections that one registry holds. */
  readonly replicaConnections: number;
}

/** What one core of a registry can do; the figures of docs/performance.md. */
export interface Cost {
  /** CPU seconds to serve 1 GiB of blobs. */
  readonly cpuPerGiB: number;
  /** CPU seconds to answer one request for a manifest, or the head of one for a blob. */
  readonly cpuPerRequest: number;
}

/** The result of `simulateStart`. */
export interface Start {
  /** Until the last node has its images, in seconds. */
  readonly seconds: number;
  /** Largest number of connections of one registry. */
  readonly peakConnections: number;
  /** Largest number of nodes that wait for a connection. */
  readonly peakWaiting: number;
  /** CPU seconds of all registries. */
  readonly cpuSeconds: number;
  /** Bytes that all nodes received. */
  readonly bytes: number;
  /** Requests of all nodes. */
  readonly requests: number;
}

const GIB = 2 ** 30;
/** Layers that containerd downloads at a time (`max_concurrent_downloads`). */
export const CONNECTIONS_PER_NODE = 3;

/** Returns how many requests containerd sends for an image: the tag, the index, the manifest, the config and the layers. */
export function requestsPerPull(layers: number): number {
  return 4 + layers;
}

/** Returns how many requests all registries together send to the upstream for images that none of them has. */
export function upstreamRequests(images: number, layers: number): number {
  return images * requestsPerPull(layers);
}

/**
 * Simulates the start in steps of a second: nodes arrive, wait for a connection, and share what the registries can send,
 * each at most at the rate of its own link.
 *
 * @param limitSeconds the simulation ends here at the latest; `seconds` is then Infinity
 */
export function simulateStart(fleet: Fleet, cost: Cost, limitSeconds = 7 * 86_400): Start {
  const nodeBytes = fleet.imagesPerNode * fleet.imageBytes;
  const nodeRequests = fleet.imagesPerNode * requestsPerPull(fleet.layers);
  const nodeCpu = nodeBytes / GIB * cost.cpuPerGiB + nodeRequests * cost.cpuPerRequest;
  // One thread serves: a registry has one CPU second a second.
  const rate = fleet.replicas * Math.min(fleet.replicaRate, nodeBytes / nodeCpu);
  const room = Math.max(1, Math.floor(fleet.replicas * fleet.replicaConnections / CONNECTIONS_PER_NODE));
  // Nodes that began to pull in the same second, and the bytes that each of them lacks.
  const pulling: { nodes: number; lacks: number }[] = [];
  let active = 0, waiting = 0, arrived = 0, second = 0, peakActive = 0, peakWaiting = 0;
  while ((arrived < fleet.nodes || active + waiting > 0) && second < limitSeconds) {
    const due = Math.min(fleet.nodes, Math.ceil(fleet.nodes * (second + 1) / Math.max(1, fleet.startSeconds)));
    waiting += due - arrived;
    arrived = due;
    const admitted = Math.min(waiting, room - active);
    if (admitted > 0) pulling.push({ nodes: admitted, lacks: nodeBytes });
    active += admitted;
    waiting -= admitted;
    peakActive = Math.max(peakActive, active);
    peakWaiting = Math.max(peakWaiting, waiting);
    const share = Math.min(fleet.nodeRate, rate / active);
    for (const group of pulling) group.lacks -= share;
    while (pulling[0] !== undefined && pulling[0].lacks < 1) active -= pulling.shift()!.nodes;
    second++;
  }
  return {
    seconds: arrived < fleet.nodes || active + waiting > 0 ? Infinity : second,
    peakConnections: Math.ceil(peakActive * CONNECTIONS_PER_NODE / fleet.replicas),
    peakWaiting,
    cpuSeconds: fleet.nodes * nodeCpu,
    bytes: fleet.nodes * nodeBytes,
    requests: fleet.nodes * nodeRequests,
  };
}

/** Returns how few registries suffice for all nodes to have their images in time; `undefined` if 1,000 are too few. */
export function replicasFor(fleet: Fleet, cost: Cost, withinSeconds: number): number | undefined {
  let low = 1, high = 1000;
  const isEnough = (replicas: number) =>
    simulateStart({ ...fleet, replicas }, cost, withinSeconds + 1).seconds <= withinSeconds;
  if (!isEnough(high)) return undefined;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (isEnough(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
