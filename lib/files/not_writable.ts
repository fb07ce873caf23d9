/** Reports whether an error means that a file or folder is not writable for this process. */
export function isNotWritable(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable ||
    (error as { code?: string }).code === "EROFS";
}
