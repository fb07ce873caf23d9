import type { TestBrowser, WatchedPage } from "./browser.ts";

/** Opens the screen of an agent that installs, signed in with the token. @param tokenFile the file with the token */
export async function openInstall(browser: TestBrowser, tokenFile: string, url: string): Promise<WatchedPage> {
  const watched = await browser.open();
  const { page } = watched;
  await page.goto(url);
  await page.getByLabel("Token").fill((await Deno.readTextFile(tokenFile)).trim());
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("link", { name: "Install from a file" }).click();
  return watched;
}
