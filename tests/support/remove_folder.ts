/** Removes a folder. Retries, because work that a test does not wait for, such as moving a tag, may still write to it. */
export async function removeFolder(path: string): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      return await Deno.remove(path, { recursive: true });
    } catch (error) {
      if (attempt === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
