import { CONTAINERD } from "./containerd.ts";
import { CRIO, PODMAN } from "./containers_conf.ts";
import { DOCKER } from "./docker_daemon.ts";
import { K3S } from "./k3s.ts";
import type { MirrorClient } from "./mirror.ts";

/** All supported clients. */
export const MIRROR_CLIENTS: readonly MirrorClient[] = [K3S, CONTAINERD, CRIO, PODMAN, DOCKER];
