/** The commit that this program was built from; `scripts/release` writes it here. Absent in a working copy. */
export const COMMIT: string | undefined = undefined;
