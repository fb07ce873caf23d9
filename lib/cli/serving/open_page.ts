import type { ApiTokens } from "../../agent/check_token.ts";
import { Outbox } from "../../bundle/outbox.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import type { SiteTrust } from "../../install/trust.ts";
import type { PackageRecords } from "../../install/package_records.ts";
import { listVersions } from "../../install/rollback_package.ts";
import { imagesOf } from "../../kubepkg/images_of.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { formatPackageId, formatRelease, packageIdOf } from "../../kubepkg/package_id.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { formatReference } from "../../oci/reference.ts";
import { ASSET_FILES } from "../../page/asset_files.ts";
import { PageAssets } from "../../page/page_assets.ts";
import { createPageHandler } from "../../page/page_handler.ts";
import type { PageOutbox, PageSource } from "../../page/page_options.ts";
import { PairingCodes } from "../../page/pairing_codes.ts";
import { loggedPathOf } from "../../server/exchange.ts";
import { listOwnAddresses } from "../../server/own_hosts.ts";
import { formatInventoryCode } from "../../store/inventory_code.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { listTaggedImages, type TaggedImage } from "../../store/list_images.ts";
import type { Invocation } from "../command_line/command.ts";
import { describeError } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { VERSION } from "../console/version.ts";
import { examineMachine } from "../wiring/examine_machine.ts";
import type { OpenedObjectStore } from "../wiring/open_object_store.ts";
import { listHeldContent } from "../wiring/list_held_content.ts";
import { BucketImages } from "./bucket_images.ts";
import { checkHealth, createRareCheck } from "./check_health.ts";
import { readOwnHosts } from "./host_check.ts";
import { methodLabel } from "./metrics.ts";
import { createPageActions } from "./page_actions.ts";
import { createPageImages } from "./page_images.ts";
import { createPageDesk } from "./page_desk.ts";
import { createPageNodes } from "./page_nodes.ts";
import { PageRegistryBook } from "./page_registries.ts";
import type { Handler } from "./serve.ts";
import type { ServerContext } from "./serve_registry.ts";

/** How a server differs from the others on its page. */
export interface PageSettings {
  readonly kind: "registry" | "agent";
  /** The name of the node. */
  readonly node: string;
  /** The names and addresses of `--host-name`. */
  readonly hostNames: readonly string[];
  /** Whether the packages of an agent must be signed. */
  readonly acceptsOnlySigned?: boolean;
  /** Reads whose bundles the page of a registry sends; `undefined`: all. */
  readonly readTrust?: () => Promise<SiteTrust | undefined>;
  /** Opens the tokens. */
  readonly openTokens: () => Promise<ApiTokens>;
}

/** A server and how it was started. */
interface StartedServer {
  readonly invocation: Invocation;
  readonly io: Io;
  readonly context: ServerContext;
}

/** Opens the page of a server: its files, its API, and the functions behind them. */
export async function openPage(server: StartedServer, settings: PageSettings): Promise<Handler> {
  const { invocation, io, context } = server;
  const { settings: { data, config }, log, isReadOnly } = context;
  // Other machines may have changed them, where the store is a bucket.
  const readRecords = async () => {
    const records = await context.openRecords();
    await records.refresh();
    return records;
  };
  const [tokens, hosts] = await Promise.all([settings.openTokens(), readOwnHosts(settings.hostNames)]);
  const outbox = new Outbox(data);
  const registries = new PageRegistryBook(context, io);
  const listImages = createImageList(context);
  const { store } = context.content;
  const checkBucket = store instanceof DiskStore ? undefined : createRareCheck(store, () => performance.now());
  const source: PageSource = {
    readStatus: () => readStatus(server, settings, checkBucket),
    listImages: async () => describeImages(await listImages(), context.imageUse, await readRecords()),
    listPackages: async () => listPackages(await readRecords()),
    examine: async (image) => {
      const { findings } = await examineMachine(registries.settings, io, { image, store: context.content.store });
      return { findings, isBroken: findings.some(({ status }) => status === "broken") };
    },
    outbox: openOutbox(outbox),
    ...(settings.kind === "registry" && !isReadOnly
      ? {
        desk: createPageDesk(context, outbox),
        nodes: createPageNodes(io, { context, outbox, readTrust: settings.readTrust }),
      }
      : {}),
    readInventoryCode: settings.kind === "agent"
      ? async () => readInventoryCode(context, settings.node, await readRecords())
      : undefined,
    ...(isReadOnly ? {} : { images: createPageImages(context), registries }),
    actions: settings.kind === "agent" && !isReadOnly
      ? createPageActions(invocation, io, { context, readRecords, node: settings.node })
      : undefined,
  };
  const answer = createPageHandler({
    source,
    tokens,
    codes: new PairingCodes(data),
    audit: context.audit,
    acceptsOnlySigned: settings.acceptsOnlySigned === true,
    isPrivate: (invocation.flag("require-login") ?? config["require-login"]) !== undefined,
    isOwnHost: (hostname, localAddress) => hosts.has(hostname, localAddress),
    describeError,
    onError: (error, request) => log.write("error", `${loggedPathOf(request)}: ${describeError(error)}`),
  }, new PageAssets(ASSET_FILES));
  return async (request, { remoteAddr, localAddress }) => {
    // Read now, because the runtime discards a request once it is answered.
    const { method } = request;
    const response = await answer(request, { remoteAddress: remoteAddr.hostname, localAddress });
    const labels = { kind: "page", method: methodLabel(method), status: String(response.status) };
    context.metrics.add("crpe_requests_total", 1, labels);
    return response;
  };
}

async function readStatus(
  { context: { settings, content, metrics, gauges, isReadOnly, listPeers } }: StartedServer,
  { kind, node }: PageSettings,
  checkBucket: (() => Promise<void>) | undefined,
): Promise<Record<string, unknown>> {
  const { data, cacheMax, platforms, offline } = settings;
  const problem = await checkHealth({ data, store: content.store, isReadOnly, checkBucket })
    .catch((error) => describeError(error));
  await gauges.read();
  const served = metrics.sumBy("crpe_cache_requests_total", "outcome");
  return {
    kind,
    node,
    version: VERSION,
    addresses: listOwnAddresses(),
    platforms: platforms?.map(formatPlatform),
    data,
    bucket: content.bucket && describeBucket(content.bucket),
    freeBytes: await freeBytesOf(data),
    link: await content.link?.describe().catch(() => undefined),
    cacheMax: content.bucket === undefined ? cacheMax : undefined,
    storeBytes: metrics.gauge("crpe_store_bytes"),
    hits: served.get("hit") ?? 0,
    misses: [...served.values()].reduce((sum, count) => sum + count, 0) - (served.get("hit") ?? 0),
    transfers: metrics.gauge("crpe_transfers"),
    running: content.source.listDownloads().filter(({ download }) => !download.isCommitting).map((
      { repos, download: { digest, received, size } },
    ) => ({
      ...{ repositories: [...repos], digest },
      ...{ bytes: received, total: size },
    })),
    isOffline: offline,
    isReadOnly,
    problem,
    servedBytes: metrics.sum("crpe_served_bytes_total"),
    receivedBytes: metrics.sum("crpe_upstream_received_bytes_total"),
    downloads: metrics.sum("crpe_downloads_total"),
    imports: metrics.sumBy("crpe_imports_total", "outcome").get("imported") ?? 0,
    registries: listRegistries(metrics),
    peers: listPeers?.(),
  };
}

function describeBucket({ name, copies }: OpenedObjectStore) {
  return { name, copiesBytes: copies?.bytes, copiesMax: copies?.maxBytes };
}

// Those that were asked since the start; the doctor asks all of them.
function listRegistries(metrics: ServerContext["metrics"]): unknown[] {
  const [requests, errors] = (["crpe_upstream_requests_total", "crpe_upstream_errors_total"] as const)
    .map((name) => metrics.sumBy(name, "host"));
  return [...new Set([...requests!.keys(), ...errors!.keys()])].sort()
    .map((host) => ({ host, requests: requests!.get(host) ?? 0, errors: errors!.get(host) ?? 0 }));
}

function createImageList({ content: { store } }: ServerContext): () => Promise<readonly TaggedImage[]> {
  if (store instanceof DiskStore) return () => listTaggedImages(store);
  const images = new BucketImages(store, () => performance.now());
  return () => images.list();
}

async function describeImages(
  images: readonly TaggedImage[],
  imageUse: ServerContext["imageUse"],
  records: PackageRecords,
): Promise<unknown> {
  const users = new Map<string, string[]>();
  for (const kubepkg of await records.list()) {
    for (const { reference } of imagesOf(kubepkg)) {
      const name = formatReference(reference);
      users.set(name, [...users.get(name) ?? [], formatPackageId(packageIdOf(kubepkg))]);
    }
  }
  return {
    images: images.map((image) => ({
      ...image,
      used: imageUse.find(image),
      packages: users.get(image.reference) ?? [],
    })),
  };
}

function openOutbox(outbox: Outbox): PageOutbox {
  return {
    list: async () => ({
      bundles: (await outbox.list()).map(({ time, ...bundle }) => ({
        ...bundle,
        packed: new Date(time).toISOString(),
      })),
      partials: (await outbox.listPartials()).map(({ isInUse, ...partial }) => ({ ...partial, inUse: isInUse })),
    }),
    open: async (digest) => {
      const file = await outbox.open(digest);
      return file && { ...file, name: await outbox.nameOf(digest) };
    },
    remove: (digest) => outbox.remove(digest),
    removePartials: async () => ({
      removed: (await outbox.removePartials()).map(({ name, size }) => ({ name, size })),
    }),
  };
}

async function readInventoryCode(
  { settings: { data }, content }: ServerContext,
  node: string,
  records: PackageRecords,
): Promise<string> {
  const packages = (await records.list()).map((kubepkg) => formatRelease(kubepkg));
  return formatInventoryCode({ node, time: Date.now(), packages, digests: await listHeldContent(data, content) });
}

async function listPackages(records: PackageRecords): Promise<unknown> {
  const { packages, problems } = await records.scan();
  const described = await Promise.all(packages.map(async (kubepkg) => {
    const id = packageIdOf(kubepkg);
    const handover = await records.handovers.read(id).catch(() => undefined);
    const [, ...earlier] = listVersions(kubepkg, await records.listHistory(id));
    return {
      ...describeRelease(kubepkg),
      handedOver: handover !== undefined,
      removing: handover?.isRemoving === true,
      earlier: earlier.map(({ spec: { version } }) => version),
    };
  }));
  const broken = problems.map(({ id }) => ({ ...id, error: "its record cannot be read; run crpe packages" }));
  return { packages: [...described, ...broken] };
}

function describeRelease(kubepkg: KubePkg): Record<string, unknown> {
  const { metadata: { name, namespace }, spec: { version, manifests }, status } = kubepkg;
  const sizes = new Map(status?.digests?.map(({ digest, size }) => [digest, size]));
  return {
    name,
    namespace,
    version,
    images: imagesOf(kubepkg).map(({ reference }) => formatReference(reference)),
    objects: Object.keys(manifests).length,
    size: sizes.size === 0 ? undefined : [...sizes.values()].reduce((sum, size) => sum + size, 0),
  };
}
