/** The commit that this program was built from; `scripts/release` writes it here. Absent in a working copy. */
export const COMMIT: string | undefined = undefined;

/**
 * The public key (Ed25519, PEM) that releases are signed with, which `crpe upgrade` trusts. `scripts/release` writes it here.
 * Absent in a working copy, and where a release was not signed.
 */
export const RELEASE_KEY: string | undefined = undefined;
