import type { Bench } from "./bench.ts";
import { measureBucket } from "./bucket_rows.ts";
import { measureImport, measurePack } from "./bundle_rows.ts";
import { measureColdPull, measureManyClients } from "./cold_rows.ts";
import { measureDeltas } from "./delta_rows.ts";
import { measureLargeStore } from "./large_store_rows.ts";
import { measureManyLayers } from "./many_layers_rows.ts";
import { measureMemory, measureStart } from "./process_rows.ts";
import type { Row } from "./row.ts";
import { measureScale } from "./scale_rows.ts";
import { measureFanOut, measureWarmBlob, measureWarmManifest } from "./warm_rows.ts";

/** All rows, by their id. The order matters: P7 reports the memory of the rows before it. */
export const MEASURES: Readonly<Record<string, (bench: Bench) => Promise<Row[]>>> = {
  P1: measureWarmBlob,
  P2: measureWarmManifest,
  P3: measureColdPull,
  P4: measureManyClients,
  P5: measurePack,
  P6: measureImport,
  P7: measureMemory,
  P8: measureStart,
  P9: measureFanOut,
  P10: measureLargeStore,
  P11: measureManyLayers,
  P12: measureScale,
  P13: measureDeltas,
  P14: measureBucket,
};
