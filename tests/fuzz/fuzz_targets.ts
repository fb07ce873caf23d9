import type { FuzzTarget } from "./fuzz_target.ts";
import { CHALLENGE } from "./targets/challenge.ts";
import { CONFIGURATION } from "./targets/configuration.ts";
import { DOCKER_CONFIG } from "./targets/docker_config.ts";
import { LAYER_DELTAS } from "./targets/layer_deltas.ts";
import { PARTS } from "./targets/parts.ts";
import { PUSH } from "./targets/push.ts";
import { RECORDS } from "./targets/records.ts";
import { UPSTREAM_LISTS } from "./targets/upstream_lists.ts";

/** All targets of `fuzzInputs`. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  CONFIGURATION,
  DOCKER_CONFIG,
  CHALLENGE,
  UPSTREAM_LISTS,
  RECORDS,
  PARTS,
  PUSH,
  LAYER_DELTAS,
];
