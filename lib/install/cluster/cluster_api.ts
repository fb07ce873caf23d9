import { CrpeError } from "../../oci/error.ts";

/** The metadata of a Secret, as far as crpe uses it. */
export interface SecretMetadata {
  readonly name: string;
  /** The version that a replacement is based on; absent for a Secret that does not exist yet. */
  readonly resourceVersion?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A Secret; `data` is base64, as in the API of Kubernetes. */
export interface Secret {
  readonly metadata: SecretMetadata;
  readonly type: string;
  readonly data: Readonly<Record<string, string>>;
}

/**
 * The Secrets and ConfigMaps of one namespace of the cluster. Every call has a time-out.
 *
 * Every method throws `ClusterUnreachableError` when the cluster cannot be asked, or does not allow it.
 */
export interface ClusterApi {
  /** Returns a Secret; `undefined` when it does not exist. */
  readSecret(name: string): Promise<Secret | undefined>;
  /** Lists the metadata of the Secrets with these labels. @param selector `a=b,c=d` */
  listSecrets(selector: string): Promise<readonly SecretMetadata[]>;
  /**
   * Creates a Secret, or replaces the one that its `resourceVersion` names.
   *
   * @returns false when another writer was faster; nothing was written then
   */
  writeSecret(secret: Secret): Promise<boolean>;
  /** Deletes a Secret. A missing one is not an error. */
  deleteSecret(name: string): Promise<void>;
  /** Applies the keys of a ConfigMap that one field manager owns; keys of others stay. */
  applyConfigMap(name: string, data: Readonly<Record<string, string>>, fieldManager: string): Promise<void>;
}

/** The cluster cannot be asked. A catcher adds the action. */
export class ClusterUnreachableError extends CrpeError {
  /**
   * Whether there should be access: crpe runs in a pod, or kubectl reaches the cluster that reads the manifest folder.
   * False where there may be no cluster at all.
   */
  readonly isExpected: boolean;

  constructor(reason: string, { isExpected = true, ...options }: ErrorOptions & { isExpected?: boolean } = {}) {
    super(reason, options);
    this.isExpected = isExpected;
  }
}
