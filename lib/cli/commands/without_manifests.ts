import type { KubePkg } from "../../kubepkg/kubepkg.ts";

/** A release for a list: its manifests can hold Secrets, and lists are passed on. `crpe manifests NAME` prints them. */
export function withoutManifests(kubepkg: KubePkg): object {
  return { ...kubepkg, spec: { ...kubepkg.spec, manifests: undefined } };
}
